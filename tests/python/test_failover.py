"""Several models behind one client: who is asked when, and that the answer says who gave it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import graphbit
import pytest
from graphbit import (
    AdaptiveConcurrency,
    CircuitBreaker,
    EmbeddingClient,
    EmbeddingConfig,
    Hedging,
    LlmClient,
    LlmConfig,
    RateLimit,
    RetryPolicy,
)
from llm_setup import ECHO, KEY
from simulator import Server, Simulator

NOBODY = "http://127.0.0.1:9/v1"
QUICK = RetryPolicy(attempts=2, base_delay=0)
QUOTA = [429, {"error": {"code": "insufficient_quota", "message": "pay"}}]


@pytest.fixture
def other(simulator: Simulator, request: pytest.FixtureRequest) -> Iterator[Server]:
    scope = simulator.new_scope("other-" + request.node.name)
    yield Server(simulator, scope)
    simulator.forget(scope)


def at(url: str, model: str = "m") -> LlmConfig:
    return LlmConfig.openai_compatible(url, model)


def test_the_next_model_answers_and_says_so(server: Server) -> None:
    asked = LlmClient([at(NOBODY, "first"), at(server.openai_url, "second")], retry=QUICK)
    answer = asked.complete_full("x")
    assert (answer.content, answer.model) == (ECHO + "x", "second")
    assert answer.provider == "openai_compatible"
    assert asked.get_stats()["successful_requests"] == 1
    assert asked.get_stats()["failed_requests"] == 0
    first, second = asked.get_resilience()["routes"]
    assert (first["model"], first["attempts"]) == ("first", 2)
    assert (second["model"], second["attempts"]) == ("second", 1)


def test_another_provider_is_named(server: Server, other: Server) -> None:
    server.behaviour(status=[QUOTA])
    anthropic = LlmConfig.anthropic(KEY, "claude", base_url=other.base_url)
    asked = LlmClient(LlmConfig.openai(KEY, "m", base_url=server.openai_url), fallbacks=anthropic)
    answer = asked.chat("x")
    assert (answer.provider, answer.model) == ("anthropic", "claude")
    assert len(server.log()) == 1, "an exhausted quota moves on at once"
    asked.complete("x")
    assert len(server.log()) == 1, "and is asked last for a while"


def test_what_all_would_refuse_moves_nobody(server: Server, other: Server) -> None:
    for status in (400, 413, 422):
        server.behaviour(status=[[status, "no"]])
        asked = LlmClient([at(server.openai_url), at(other.openai_url)])
        with pytest.raises(graphbit.exceptions.BadRequestError):
            asked.complete("x")
    assert other.log() == []


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_what_others_may_answer_moves_on(server: Server, other: Server, status: int) -> None:
    server.behaviour(fail_every=1, fail_status=status, retry_after="0")
    asked = LlmClient([at(server.openai_url), at(other.openai_url)], retry=QUICK)
    assert asked.complete("x") == ECHO + "x"
    assert len(other.log()) == 1


def test_an_open_breaker_moves_on_at_once(server: Server, other: Server) -> None:
    server.behaviour(fail_every=1)
    breaker = CircuitBreaker(minimum_calls=1, window=1)
    asked = LlmClient(
        [at(server.openai_url), at(other.openai_url)], retry=QUICK, circuit_breaker=breaker
    )
    for _ in range(5):
        assert asked.complete("x") == ECHO + "x"
    assert (len(server.log()), len(other.log())) == (2, 5)


def test_when_nobody_answers_the_last_real_error_is_raised(server: Server, other: Server) -> None:
    server.behaviour(fail_every=1, fail_status=500)
    other.behaviour(fail_every=1, fail_status=401)
    asked = LlmClient([at(server.openai_url), at(other.openai_url)], retry=QUICK)
    with pytest.raises(graphbit.exceptions.AuthenticationError):
        asked.complete("x")
    assert asked.get_stats()["failed_requests"] == 1


def test_streams_move_on_until_their_first_piece(server: Server, other: Server) -> None:
    server.behaviour(fail_every=1)
    asked = LlmClient([at(server.openai_url, "one"), at(other.openai_url, "two")], retry=QUICK)
    stream = asked.stream_events("a b")
    assert "".join(event.text for event in stream if event.type == "text") == ECHO + "a b"
    assert stream.response is not None
    assert (stream.response.model, stream.response.content) == ("two", ECHO + "a b")
    assert "".join(asked.stream("a b")) == ECHO + "a b"


def test_weights_share_the_work(server: Server, other: Server) -> None:
    asked = LlmClient(
        [at(server.openai_url, "one"), at(other.openai_url, "two")],
        order="weighted",
        weights=[1.0, 3.0],
    )
    answers = asked.complete_many(["x"] * 400, full=True)
    share = Counter(answer.model for answer in answers)
    assert 50 <= share["one"] <= 150 and share["one"] + share["two"] == 400


def test_the_cheapest_is_asked_first(server: Server) -> None:
    def model(name: str) -> LlmConfig:
        return LlmConfig.openai(KEY, name, base_url=server.openai_url)

    models = [model("of-no-price"), model("gpt-4o"), model("gpt-4o-mini")]
    asked = LlmClient(models, order="cheapest")
    assert asked.complete_full("x").model == "gpt-4o-mini"
    listed = [route["model"] for route in asked.get_resilience()["routes"]]
    assert listed == ["gpt-4o-mini", "gpt-4o", "of-no-price"]


def test_a_client_brings_its_own_layers(server: Server, other: Server) -> None:
    server.behaviour(fail_every=1)
    patient = LlmClient(at(server.openai_url), retry=RetryPolicy(attempts=3, base_delay=0))
    asked = LlmClient(patient, fallbacks=[at(other.openai_url)], retry=RetryPolicy(attempts=1))
    assert asked.complete("x") == ECHO + "x"
    assert len(server.log()) == 3
    assert patient.get_stats()["total_requests"] == 0, "its statistics are of its own calls"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("retry", RetryPolicy(attempts=1)),
        ("circuit_breaker", False),
        ("hedging", Hedging()),
        ("rate_limit", RateLimit(requests_per_minute=60)),
        ("concurrency", False),
    ],
)
def test_settings_that_nobody_would_get_are_refused(
    server: Server, other: Server, field: str, value: Any
) -> None:
    given = {field: value}
    ours = LlmClient(at(server.openai_url))
    for make, client in (
        (LlmClient, ours),
        (EmbeddingClient, EmbeddingClient(vectors(server.openai_url))),
    ):
        with pytest.raises(graphbit.exceptions.ValidationError, match=f"give {field}= to that"):
            make(client, **given)
    # A configuration beside it gets them, but the limits are those of the first model.
    if field in ("rate_limit", "concurrency"):
        with pytest.raises(graphbit.exceptions.ValidationError, match=f"give {field}= to that"):
            LlmClient([ours, at(other.openai_url)], **given)
    else:
        LlmClient([ours, at(other.openai_url)], **given)
    LlmClient([at(other.openai_url), ours], **given)


def vectors(url: str, model: str = "e", **extra: Any) -> EmbeddingConfig:
    return EmbeddingConfig.openai_compatible(url, model, **extra)


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("embeds", [True, False])
def test_a_fallback_s_configuration_gets_the_layers(
    server: Server, other: Server, embeds: bool, listed: bool
) -> None:
    make: Any = EmbeddingClient if embeds else LlmClient
    first, second = [(vectors if embeds else at)(it.openai_url) for it in (server, other)]
    given: dict[str, Any] = {
        "retry": RetryPolicy(attempts=3, base_delay=0),
        "circuit_breaker": CircuitBreaker(minimum_calls=1, window=1),
    }

    def routes(**more: Any) -> Any:
        keywords = given | more
        client = (
            make([first, second], **keywords)
            if listed
            else make(first, fallbacks=second, **keywords)
        )
        for scope in (server, other):
            scope.behaviour(fail_every=1)
        with pytest.raises(graphbit.exceptions.ServerError):
            client.embed("x") if embeds else client.complete("x")
        return client.get_resilience()["routes"]

    limit = RateLimit(requests_per_minute=60, burst_seconds=60)
    for route in routes(rate_limit=limit):
        assert (route["attempts"], route["circuit_breaker_state"]) == (3, "Open")
    assert 56 < limit.snapshot()["requests_available"] < 59, "three of them were the first one's"
    fixed = AdaptiveConcurrency(algorithm="fixed", initial=2)
    assert [it["concurrency_limit"] for it in routes(concurrency=fixed)] == [2, None]
    assert [it["in_flight"] for it in routes()] == [0, 0]
    assert [it["in_flight"] for it in routes(concurrency=False)] == [None, None]


def test_a_server_that_dies_in_a_batch_costs_no_answer(server: Server) -> None:
    with Simulator() as mortal:
        mortal.behaviour(latency_ms=5)
        asked = LlmClient([at(mortal.url() + "/v1", "mortal"), at(server.openai_url, "other")])
        prompts = [f"prompt {number}" for number in range(1000)]
        died = threading.Event()

        def kill(done: int, total: int) -> None:
            if done >= 200 and not died.is_set():
                died.set()
                os.kill(mortal.pid, signal.SIGKILL)

        ends: list[float] = []

        def progress(done: int, total: int) -> None:
            ends.append(time.monotonic())
            kill(done, total)

        answers = asked.complete_many(prompts, full=True, max_concurrency=20, on_progress=progress)
    assert [answer.content for answer in answers] == [ECHO + prompt for prompt in prompts]
    models = Counter(answer.model for answer in answers)
    assert died.is_set() and models["mortal"] >= 200 and models["other"] >= 100, models


# embeddings


def test_another_server_of_the_same_model_embeds(server: Server) -> None:
    asked = EmbeddingClient([vectors(NOBODY), vectors(server.openai_url)], retry=QUICK)
    assert asked.embed("x") == EmbeddingClient(vectors(server.openai_url)).embed("x")
    array = asked.embed_array([str(number) for number in range(100)], batch_size=10)
    assert array.shape[0] == 100


def test_another_model_is_refused(server: Server) -> None:
    for odd in (vectors(NOBODY, "f"), vectors(NOBODY, "e", dimensions=8)):
        with pytest.raises(ValueError, match="same model with the same dimensions"):
            EmbeddingClient(vectors(server.openai_url), fallbacks=[odd])
    with pytest.raises(ValueError, match="order"):
        EmbeddingClient([vectors(NOBODY), vectors(server.openai_url)], order="cheapest")  # type: ignore[arg-type]
