"""The settings of a client's layers, and that each layer does what it says, seen from the server."""

from __future__ import annotations

import asyncio
import dataclasses
import pickle
import re
import threading
import time
from typing import Any

import graphbit
import pytest
from graphbit import (
    AdaptiveConcurrency,
    Cache,
    CircuitBreaker,
    EmbeddingClient,
    EmbeddingConfig,
    Hedging,
    LlmClient,
    LlmConfig,
    RateLimit,
    RetryPolicy,
)
from llm_setup import ECHO, KEY, config, wait_until
from simulator import Server

AT_ONCE = {"retry-after-ms": "0"}
SETTINGS = [
    RetryPolicy(attempts=7, deadline=3.5),
    CircuitBreaker(failure_rate=0.2, slow_seconds=2),
    RateLimit(requests_per_minute=60, name="mine"),
    AdaptiveConcurrency(algorithm="fixed", initial=3),
    Hedging(after=0.2),
    Cache(ttl=60, completions="all"),
]


def down(count: int, status: int = 500) -> list[Any]:
    return [[status, "down", AT_ONCE]] * count


def client(server: Server, **layers: Any) -> LlmClient:
    return LlmClient(config("openai", server), **layers)


def embedder(server: Server, model: str = "e", **layers: Any) -> EmbeddingClient:
    return EmbeddingClient(
        EmbeddingConfig.openai_compatible(server.openai_url, model, dimensions=4), **layers
    )


# the settings


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda it: type(it).__name__)
def test_settings_are_values(settings: Any) -> None:
    copy = pickle.loads(pickle.dumps(settings))
    assert copy == settings and copy is not settings
    assert type(settings)() != settings or isinstance(settings, AdaptiveConcurrency)
    assert repr(settings).startswith(type(settings).__name__ + "(")
    with pytest.raises(AttributeError):
        settings.attempts = 1
    assert type(settings).__name__ in dir(graphbit)


def test_an_address_of_redis_is_never_shown() -> None:
    limit = RateLimit(requests_per_minute=1, redis="redis://:hunter2@localhost:1/0")
    assert "hunter2" not in repr(limit)


NOT_A_TIME = "be a finite number of seconds, at least 0"
NO_TIME = "be above 0 seconds"
NO_COUNT = "be a whole number from 1 to "
SOME_SHARE = "be above 0 and at most 1"
ANY_SHARE = "be at least 0 and at most 1"
#: One wrong value at least for each field: its value as it is shown and what would be right, or its type.
WRONG: list[tuple[type, str, Any, str]] = [
    (RetryPolicy, "attempts", 0, NO_COUNT + "4294967295"),
    (RetryPolicy, "attempts", 2**80, NO_COUNT + "4294967295"),
    (RetryPolicy, "attempts", "4", "be an int"),
    (RetryPolicy, "base_delay", -1, NOT_A_TIME),
    (RetryPolicy, "max_delay", float("nan"), NOT_A_TIME),
    (RetryPolicy, "max_retry_after", float("inf"), NOT_A_TIME),
    (RetryPolicy, "jitter", "yes", "be True or False"),
    (RetryPolicy, "deadline", 0, NO_TIME),
    (RetryPolicy, "budget", 1.5, ANY_SHARE),
    (RetryPolicy, "budget_per_second", -1, "be a finite number, at least 0"),
    (RetryPolicy, "on_retry", 1, "be callable"),
    (CircuitBreaker, "failure_rate", 0, SOME_SHARE),
    (CircuitBreaker, "slow_rate", 1.5, SOME_SHARE),
    (CircuitBreaker, "slow_seconds", 0, NO_TIME),
    (CircuitBreaker, "window", -1, NO_COUNT + "1000000"),
    (CircuitBreaker, "window", 2**62, NO_COUNT + "1000000"),
    (CircuitBreaker, "minimum_calls", 0, NO_COUNT + "1000000"),
    (CircuitBreaker, "minimum_calls", 101, "not exceed window, which is 100"),
    (CircuitBreaker, "open_seconds", 0.0, NO_TIME),
    (CircuitBreaker, "probes", 70_000, NO_COUNT + "65535"),
    (RateLimit, "requests_per_minute", 0, "be a finite number above 0"),
    (RateLimit, "requests_per_minute", "60", "be a number"),
    (RateLimit, "tokens_per_minute", float("inf"), "be a finite number above 0"),
    (RateLimit, "burst_seconds", 61, "be a number of seconds from 0 to 60"),
    (RateLimit, "burst_seconds", -1, NOT_A_TIME),
    (RateLimit, "from_headers", "no", "be True or False"),
    (RateLimit, "redis", 6379, "be a str"),
    (RateLimit, "name", 1, "be a str"),
    (AdaptiveConcurrency, "algorithm", "vegas", "be 'aimd', 'gradient2' or 'fixed'"),
    (AdaptiveConcurrency, "initial", 0, NO_COUNT),
    (
        AdaptiveConcurrency,
        "initial",
        10_001,
        "lie between minimum and maximum, which are 1 and 10000",
    ),
    (AdaptiveConcurrency, "minimum", 0, NO_COUNT),
    (AdaptiveConcurrency, "maximum", -4, NO_COUNT),
    (AdaptiveConcurrency, "backoff", 1.0, "be at least 0.5 and below 1"),
    (Hedging, "after", 0, NO_TIME),
    (Hedging, "percentile", 1.0, "be above 0 and below 1"),
    (Hedging, "minimum", -0.5, NOT_A_TIME),
    (Hedging, "budget", -0.1, ANY_SHARE),
    (Cache, "max_bytes", 0, NO_COUNT),
    (Cache, "ttl", -1, NOT_A_TIME),
    (Cache, "ttl", 0, NO_TIME),
    (Cache, "path", 1, "be a str or os.PathLike"),
    (Cache, "path", "/", "name a file"),
    (Cache, "completions", "some", "be 'deterministic', 'all' or 'none'"),
]


@pytest.mark.parametrize(("kind", "field", "value", "right"), WRONG)
def test_a_wrong_setting_is_named_with_its_value_and_what_is_right(
    kind: type, field: str, value: Any, right: str
) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        kind(**{field: value})
    text = str(caught.value)
    if isinstance(caught.value, TypeError):
        assert text == f"{field} must {right}, not '{type(value).__name__}'"
    else:
        named = rf"'{field}' with value '([^']*)': {field} must {re.escape(right)}"
        found = re.search(named, text)
        assert found, text
        assert found[1].lower() == str(value).lower() or float(found[1]) == float(value)


def test_each_field_has_a_wrong_value_above() -> None:
    fields = {(type(it), field.name) for it in SETTINGS for field in dataclasses.fields(it)}
    assert fields == {(kind, field) for kind, field, _, _ in WRONG}


@pytest.mark.parametrize(
    ("kind", "keywords", "text"),
    [
        (
            CircuitBreaker,
            {"window": 3},
            "'minimum_calls' with value '5': minimum_calls must not exceed",
        ),
        (
            AdaptiveConcurrency,
            {"minimum": 5, "maximum": 4},
            "'4': maximum must not be below minimum, w",
        ),
        (AdaptiveConcurrency, {"algorithm": "fixed"}, "'initial': initial must be given where"),
        (
            AdaptiveConcurrency,
            {"algorithm": "gradient2", "backoff": 7},
            "'7': backoff must be at least",
        ),
        (
            RateLimit,
            {"from_headers": False},
            "'requests_per_minute': requests_per_minute must be set",
        ),
        (RateLimit, {"redis": "http://:hunter2@x"}, "'redis': redis must be redis://"),
        (
            RateLimit,
            {"redis": "redis://x", "name": ""},
            "'name' with value '': name must not be empty",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_named(
    kind: type, keywords: dict[str, Any], text: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(text)) as caught:
        kind(**keywords)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("retry", 4),
        ("retry", CircuitBreaker()),
        ("circuit_breaker", True),
        ("rate_limit", RetryPolicy()),
        ("concurrency", 10),
        ("hedging", Cache()),
        ("cache", "file.db"),
    ],
)
def test_a_keyword_takes_its_own_settings_only(server: Server, keyword: str, value: Any) -> None:
    for make in (client, embedder):
        with pytest.raises(TypeError, match=f"'{keyword}'"):
            make(server, **{keyword: value})


def test_models_are_configurations_or_clients(server: Server) -> None:
    with pytest.raises(TypeError, match="LlmConfig or LlmClient"):
        LlmClient(["gpt-4o"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="at least one model"):
        LlmClient([])
    with pytest.raises(ValueError, match="order"):
        client(server, order="random")
    with pytest.raises(ValueError, match="weights"):
        client(server, order="weighted")
    with pytest.raises(ValueError, match="weights"):
        client(server, order="weighted", weights=[1.0, 2.0], fallbacks=[])


def test_a_client_pickles_with_its_settings(server: Server) -> None:
    layers = {"retry": RetryPolicy(attempts=2), "circuit_breaker": False}
    server.behaviour(status=down(9))
    portable = config("openai", server).with_portable_key()
    for original in (LlmClient(portable, **layers), embedder(server, **layers)):
        copy = pickle.loads(pickle.dumps(original))
        ask = copy.complete if isinstance(copy, LlmClient) else copy.embed
        with pytest.raises(RuntimeError) as caught:
            ask("x")
        assert caught.value.attempts == 2  # type: ignore[attr-defined]


# retry


@pytest.mark.parametrize("attempts", [1, 6])
def test_attempts(server: Server, attempts: int) -> None:
    server.behaviour(fail_every=1)
    for make in (client, embedder):
        before = len(server.log())
        asked = make(server, retry=RetryPolicy(attempts=attempts, base_delay=0))
        with pytest.raises(RuntimeError):
            asked.complete("x") if isinstance(asked, LlmClient) else asked.embed("x")
        assert len(server.log()) - before == attempts


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 529])
def test_statuses_that_pass_are_tried_again(server: Server, status: int) -> None:
    server.behaviour(status=down(1, status))
    assert client(server).complete("x") == ECHO + "x"
    assert len(server.log()) == 2


def test_a_deadline_ends_the_call_before_a_pause_that_would_pass_it(server: Server) -> None:
    server.behaviour(status=[[503, "later", {"retry-after": "30"}]] * 9)
    started = time.monotonic()
    with pytest.raises(RuntimeError, match="later"):
        client(server, retry=RetryPolicy(deadline=5)).complete("x")
    assert time.monotonic() - started < 4 and len(server.log()) == 1


def test_a_servers_wait_is_cut_to_what_is_allowed(server: Server) -> None:
    server.behaviour(status=[[503, "later", {"retry-after": "1000000000"}]])
    assert client(server, retry=RetryPolicy(max_retry_after=0.2)).complete("x") == ECHO + "x"
    first, second = server.log()
    assert 0.2 <= second["started"] - first["finished"] < 5


def test_each_retry_is_told(server: Server) -> None:
    told: list[tuple[int, float, str]] = []
    main = threading.get_ident()
    threads: list[int] = []

    def tell(attempt: int, pause: float, kind: str) -> None:
        told.append((attempt, pause, kind))
        threads.append(threading.get_ident())
        raise RuntimeError("passed over")

    server.behaviour(status=[[500, "down"], [429, "slow down"]])
    policy = RetryPolicy(base_delay=0.01, jitter=False, on_retry=tell)
    assert client(server, retry=policy).complete("x") == ECHO + "x"
    wait_until(lambda: len(told) == 2)
    assert sorted(told) == [(1, 0.01, "server"), (2, 0.02, "rate_limited")]
    assert main not in threads


def test_a_spent_budget_ends_a_storm(server: Server) -> None:
    server.behaviour(fail_every=1)
    policy = RetryPolicy(base_delay=0, max_delay=0, budget=0.2, budget_per_second=0)
    stormy = client(server, retry=policy, circuit_breaker=False)
    outcomes = stormy.complete_many(["x"] * 500, on_error="return")
    assert all(isinstance(outcome, graphbit.exceptions.ServerError) for outcome in outcomes)
    assert 500 < server.stats()["requests"] <= 600


# circuit breaker


def test_a_breaker_of_its_own_and_none(server: Server) -> None:
    server.behaviour(fail_every=1)
    once = RetryPolicy(attempts=1)
    quick = CircuitBreaker(window=2, minimum_calls=2, failure_rate=1.0, open_seconds=0.3)
    for make in (client, embedder):
        guarded = make(server, retry=once, circuit_breaker=quick)
        ask = guarded.complete if isinstance(guarded, LlmClient) else guarded.embed
        before = server.stats()["requests"]
        for _ in range(2):
            with pytest.raises(graphbit.exceptions.ServerError):
                ask("x")
        with pytest.raises(graphbit.exceptions.CircuitOpenError):
            ask("x")
        assert server.stats()["requests"] - before == 2
        assert guarded.get_resilience()["routes"][0]["circuit_breaker_state"] == "Open"
    server.behaviour()
    wait_until(lambda: answers(ask))
    assert guarded.get_resilience()["routes"][0]["circuit_breaker_state"].startswith("Closed")
    server.behaviour(fail_every=1)
    bare = client(server, retry=once, circuit_breaker=False)
    for _ in range(30):
        with pytest.raises(graphbit.exceptions.ServerError):
            bare.complete("x")


def answers(ask: Any) -> bool:
    try:
        ask("x")
    except graphbit.exceptions.CircuitOpenError:
        return False
    return True


def test_an_open_breaker_ends_the_retries_of_calls_under_way(server: Server) -> None:
    server.behaviour(fail_every=1)
    policy = RetryPolicy(attempts=50, base_delay=0.05, max_delay=0.05, jitter=False)
    breaker = CircuitBreaker(window=1, minimum_calls=1)
    asked = client(server, retry=policy, circuit_breaker=breaker)
    patient = threading.Thread(target=lambda: answers_or_fails(asked))
    patient.start()
    wait_until(lambda: server.stats()["requests"] >= 2)
    # The same layers: what was given as a client brings its own.
    hasty = LlmClient(asked)
    with pytest.raises(graphbit.exceptions.ServerError):
        hasty.complete("x")
    patient.join(timeout=20)
    assert not patient.is_alive()


def answers_or_fails(asked: LlmClient) -> None:
    with pytest.raises(graphbit.exceptions.ServerError):
        asked.complete("x")


# limits


def test_a_rate_is_shared_by_all_that_it_is_given_to(server: Server) -> None:
    limit = RateLimit(requests_per_minute=1200, burst_seconds=0.25)
    chat, vectors = client(server, rate_limit=limit), embedder(server, rate_limit=limit)
    started = time.monotonic()
    chat.complete_many(["x"] * 10)
    for _ in range(10):
        vectors.embed("x")
    # A burst of 5, then 20 a second.
    assert time.monotonic() - started >= (20 - 5 - 1) / 20
    seen = limit.snapshot()
    assert seen["requests_per_minute"] == 1200 and seen["waited_seconds"] > 0


def test_tokens_are_settled_by_what_an_answer_cost(server: Server) -> None:
    limit = RateLimit(tokens_per_minute=600_000)
    asked = client(server, rate_limit=limit)
    asked.complete("x", max_tokens=5000)
    # 10,000 may be spent at once; the answer cost a handful of the 5,000 that it was allowed.
    assert limit.snapshot()["tokens_available"] > 9000


def test_a_fixed_concurrency_is_never_exceeded(server: Server) -> None:
    server.behaviour(latency_ms=20)
    limit = AdaptiveConcurrency(algorithm="fixed", initial=3)
    asked = client(server, concurrency=limit)
    assert asked.complete_many([str(n) for n in range(40)]) == [f"{ECHO}{n}" for n in range(40)]
    assert server.stats()["max_in_flight"] == 3
    assert limit.snapshot() == {"limit": 3, "in_flight": 0, "waiting": 0}


def test_a_stream_keeps_its_place_until_it_ends(server: Server) -> None:
    server.behaviour(slow_stream={"chunks": 5, "delay_ms": 100})
    limit = AdaptiveConcurrency(algorithm="fixed", initial=1)
    asked = client(server, concurrency=limit)
    pieces = iter(asked.stream("a b c"))
    next(pieces)
    assert limit.snapshot()["in_flight"] == 1
    assert "".join(pieces)
    assert limit.snapshot()["in_flight"] == 0
    dropped = iter(asked.stream("a b c"))
    next(dropped)
    del dropped
    wait_until(lambda: limit.snapshot()["in_flight"] == 0)


def test_refusals_lower_the_concurrency(server: Server) -> None:
    server.behaviour(latency_ms=20, status=down(3, 429))
    asked = client(server, retry=RetryPolicy(base_delay=0.01))
    assert asked.get_resilience()["routes"][0]["concurrency_limit"] is None
    assert len(asked.complete_many(["x"] * 60)) == 60
    assert asked.get_resilience()["routes"][0]["concurrency_limit"] is not None
    free = client(server, concurrency=False)
    assert free.get_resilience()["routes"][0]["in_flight"] is None


# hedging


def test_a_late_answer_is_overtaken_and_cancelled(server: Server) -> None:
    server.behaviour(status=["hang"])
    asked = client(server, hedging=Hedging(after=0.05, budget=1.0))
    started = time.monotonic()
    assert asked.complete("x") == ECHO + "x"
    assert time.monotonic() - started < 10
    assert asked.get_resilience()["routes"][0]["hedged"] == 1
    wait_until(lambda: server.log()[0]["disconnected"])


# several things at once


def test_async_twins_go_through_the_same_layers(server: Server) -> None:
    server.behaviour(status=down(2))
    cache = Cache()
    asked = client(server, retry=RetryPolicy(attempts=3, base_delay=0), cache=cache)

    async def twice() -> list[str]:
        first = await asked.complete_async("x", temperature=0.0)
        return [first, await asked.complete_async("x", temperature=0.0)]

    assert asyncio.run(twice()) == [ECHO + "x"] * 2
    assert len(server.log()) == 3 and cache.stats()["hits"] == 1


def test_a_forked_child_has_limits_and_caches_of_its_own(run_child: Any) -> None:
    code = """
        import os
        from graphbit import AdaptiveConcurrency, Cache, LlmClient, LlmConfig, RateLimit
        url = os.environ["GRAPHBIT_SIMULATOR_URL"] + "/v1"
        client = LlmClient(
            LlmConfig.openai_compatible(url, "m"),
            rate_limit=RateLimit(requests_per_minute=60_000),
            concurrency=AdaptiveConcurrency(algorithm="fixed", initial=1),
            cache=Cache(path="FILE"),
        )
        held = iter(client.stream("parent"))
        next(held)  # holds the only place
        if os.fork() == 0:
            assert client.complete("x", temperature=0.0) == "echo: x"
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
        list(held)
        assert client.complete("x", temperature=0.0) == "echo: x"
        print(client.get_resilience()["cache"]["disk_hits"])
    """
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        child = run_child(code.replace("FILE", f"{folder}/answers.db"), timeout=30)
    assert (child.returncode, child.stdout.strip()) == (0, "1"), child.stderr


def test_a_function_of_the_users_has_layers_too() -> None:
    asked = LlmClient(
        LlmConfig.from_callable(lambda request: "hello"),
        retry=RetryPolicy(attempts=2),
        rate_limit=RateLimit(requests_per_minute=600, tokens_per_minute=10_000),
    )
    assert asked.complete("x") == "hello"
    with pytest.raises(ValueError, match="cache="):
        LlmClient(LlmConfig.from_callable(lambda request: "hello"), cache=Cache())


def test_keys_stay_out_of_what_the_layers_tell(server: Server) -> None:
    asked = client(server, fallbacks=[config("openai", server)], cache=Cache())
    asked.complete("x")
    assert KEY not in repr(asked) + repr(asked.get_resilience()) + repr(asked.get_stats())
