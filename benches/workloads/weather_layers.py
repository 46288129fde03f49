"""Blocking chat calls with every layer of the stack at work, or with the defaults."""

from itertools import count

from graphbit import (
    AdaptiveConcurrency,
    Cache,
    CircuitBreaker,
    Hedging,
    LlmClient,
    RateLimit,
    RetryPolicy,
)
from measure import chat_client, chat_config, on_threads, parameters, report

given = parameters(layers=True, threads=32, calls=20_000)
if given.layers:
    # Limits that are counted and never reached, a cache that is asked and never has it.
    client = LlmClient(
        chat_config(given.url),
        retry=RetryPolicy(deadline=60),
        circuit_breaker=CircuitBreaker(slow_seconds=10),
        rate_limit=RateLimit(requests_per_minute=1e9, tokens_per_minute=1e12),
        concurrency=AdaptiveConcurrency(initial=1000),
        hedging=Hedging(after=10),
        cache=Cache(completions="all"),
    )
else:
    client = chat_client(given.url)
numbers = count()  # next() on it is atomic

report(**on_threads(given.threads, given.calls, lambda: client.complete(f"Say {next(numbers)}.")))
