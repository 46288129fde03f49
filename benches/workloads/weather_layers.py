"""Blocking chat calls with every layer of the stack at work, and with the defaults, in turns.

Both clients take their turns in one process: what a process costs differs more from run to run than the layers do.
"""

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

given = parameters(threads=32, calls=2000, turns=20, only="")
# Limits that are counted and never reached, a cache that is asked and never has it.
layers = {
    "retry": RetryPolicy(deadline=60),
    "circuit_breaker": CircuitBreaker(slow_seconds=10),
    "rate_limit": RateLimit(requests_per_minute=1e9, tokens_per_minute=1e12),
    "concurrency": AdaptiveConcurrency(initial=1000),
    "hedging": Hedging(after=10),
    "cache": Cache(completions="all"),
}
if given.only:
    layers = {given.only: layers[given.only]}
layered, plain = LlmClient(chat_config(given.url), **layers), chat_client(given.url)
numbers = count()  # next() on it is atomic
spent = {True: 0.0, False: 0.0}


def work(client: LlmClient) -> float:
    """CPU seconds of some calls, no two of them alike."""

    def call() -> str:
        return client.complete(f"Say {next(numbers)}.")

    return on_threads(given.threads, given.calls, call)["cpu_seconds"]


for turn in range(given.turns):
    for with_layers in (True, False) if turn % 2 else (False, True):
        cpu_seconds = work(layered if with_layers else plain)
        if turn:  # the first warms up
            spent[with_layers] += cpu_seconds
each = 1e6 / given.calls / (given.turns - 1)
report(
    figures={
        "x plain": spent[True] / spent[False],
        "CPU us/call": spent[True] * each,
        "plain us/call": spent[False] * each,
    }
)
