"""What each way to fail becomes, for every provider: class, bases, text, fields, and nothing secret."""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import pytest
from far_side import NO_HOST
from graphbit import EmbeddingClient, EmbeddingConfig, LlmClient, LlmConfig
from graphbit.exceptions import BY_KIND, GraphbitError
from llm_setup import CORE, KEY, KINDS, config
from simulator import Server, Simulator

PROMPT = "a prompt that is nobody else's business"
SAYS = '{"error": "no, says the server"}'
QUOTA = '{"error": {"code": "insufficient_quota"}}'
AT_ONCE = {"x-request-id": "r7", "retry-after": "0.05"}
FOUR, TWICE, ONCE, NEVER = 4, 2, 1, None

Failing = Callable[[str, Server], LlmClient]


def collect(
    simulator: Simulator, fail: Callable[[str, Server], Any], kinds: list[str]
) -> dict[str, tuple[GraphbitError, int]]:
    """The error of each kind of provider, and how many requests it took; all at once."""

    def one(kind: str) -> tuple[GraphbitError, int]:
        server = Server(simulator, simulator.new_scope(kind))
        try:
            with pytest.raises(GraphbitError) as caught:
                fail(kind, server)
            return caught.value, len(server.log())
        finally:
            simulator.forget(server.scope)

    with ThreadPoolExecutor(len(kinds)) as pool:
        return dict(zip(kinds, pool.map(one, kinds), strict=True))


def label(kind: str, status: int) -> str:
    """What stands before a server's words."""
    if kind == "ollama":
        return f"HTTP {status} {HTTPStatus(status).phrase}: "
    return "Responses API error: " if kind == "azure-responses" else "API error: "


def check(
    kind: str,
    error: GraphbitError,
    word: str,
    bases: tuple[type[BaseException], ...],
    attempts: int | None,
    operation: str = "complete",
) -> None:
    made = config(kind, SimpleNamespace(base_url="", openai_url=""))  # type: ignore[arg-type]
    assert type(error) is BY_KIND[word], (kind, error)
    assert all(isinstance(error, base) for base in (GraphbitError, *bases)), kind
    told = (error.kind, error.provider, error.model, error.operation, error.attempts)
    assert told == (word, made.provider(), made.model(), operation, attempts)
    assert PROMPT not in f"{error} {error!r} {vars(error)}"


@pytest.mark.parametrize(
    ("status", "body", "word", "bases", "attempts"),
    [
        (400, SAYS, "bad_request", (ValueError, RuntimeError), ONCE),
        (401, SAYS, "authentication", (PermissionError, RuntimeError), ONCE),
        (403, SAYS, "permission_denied", (PermissionError, RuntimeError), ONCE),
        (404, SAYS, "not_found", (FileNotFoundError, RuntimeError), ONCE),
        (408, SAYS, "timeout", (TimeoutError, RuntimeError), FOUR),
        (409, SAYS, "bad_request", (ValueError, RuntimeError), FOUR),
        (422, SAYS, "bad_request", (ValueError, RuntimeError), ONCE),
        (429, SAYS, "rate_limited", (RuntimeError,), FOUR),
        (429, QUOTA, "quota_exhausted", (RuntimeError,), ONCE),
        (500, SAYS, "server", (RuntimeError,), FOUR),
        (503, SAYS, "server", (RuntimeError,), FOUR),
    ],
)
def test_a_status(
    status: int,
    body: str,
    word: str,
    bases: tuple[type[BaseException], ...],
    attempts: int,
    simulator: Simulator,
) -> None:
    def fail(kind: str, server: Server) -> None:
        server.behaviour(status=[[status, body, AT_ONCE]] * 4)
        LlmClient(config(kind, server)).complete(PROMPT)

    for kind, (error, requests) in collect(simulator, fail, KINDS).items():
        check(kind, error, word, bases, attempts)
        assert str(error) == f"{CORE}{error.provider} - {label(kind, status)}{body}"
        assert (error.status_code, error.request_id, requests) == (status, "r7", attempts)
        assert error.retry_after == (0.05 if attempts == FOUR else None), kind


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", f"http://{NO_HOST}"])
def test_no_connection(address: str, simulator: Simulator) -> None:
    def fail(kind: str, _: Server) -> None:
        nobody = SimpleNamespace(base_url=address, openai_url=address + "/v1")
        LlmClient(config(kind, nobody, http_proxy="")).complete(PROMPT)  # type: ignore[arg-type]

    for kind, (error, _) in collect(simulator, fail, KINDS).items():
        check(kind, error, "network", (ConnectionError, RuntimeError), FOUR)
        start = f"{CORE}{error.provider} - Request failed: error sending request for url ({address}"
        assert str(error).startswith(start), error
        assert "?" not in str(error), "a query string may hold more than an address"
        assert (error.status_code, error.request_id, error.retry_after) == (None, None, None)


@pytest.mark.parametrize(
    ("behaviour", "word", "bases", "text", "attempts"),
    [
        ({"reset": True}, "network", (ConnectionError,), "Request failed: error sending", FOUR),
        ({"truncate": True}, "network", (ConnectionError,), "Request failed: error sending", FOUR),
        ({"malformed": True}, "decode", (RuntimeError,), "Failed to parse response: error", TWICE),
        ({"body": "<html>"}, "decode", (RuntimeError,), "Failed to parse response: error", TWICE),
    ],
)
def test_a_broken_answer(
    behaviour: dict[str, Any],
    word: str,
    bases: tuple[type[BaseException], ...],
    text: str,
    attempts: int,
    simulator: Simulator,
) -> None:
    def fail(kind: str, server: Server) -> None:
        server.behaviour(**behaviour)
        LlmClient(config(kind, server)).complete(PROMPT)

    for kind, (error, requests) in collect(simulator, fail, KINDS).items():
        check(kind, error, word, (*bases, RuntimeError), attempts)
        assert str(error).startswith(f"{CORE}{error.provider} - {text}"), error
        assert (error.status_code, requests) == (None, attempts)


@pytest.mark.parametrize(
    ("body", "kinds", "text"),
    [
        ({"choices": []}, {"openai", "azure-chat", "compatible"}, "No choices in response"),
        ({"candidates": []}, {"gemini"}, "No candidates in response"),
    ],
)
def test_an_answer_without_its_main_part(
    body: Any, kinds: set[str], text: str, simulator: Simulator
) -> None:
    def fail(kind: str, server: Server) -> None:
        server.behaviour(body=body, headers={"x-request-id": "r7"})
        LlmClient(config(kind, server)).complete(PROMPT)

    for kind, (error, _) in collect(simulator, fail, sorted(kinds & set(KINDS))).items():
        check(kind, error, "decode", (RuntimeError,), TWICE)
        assert str(error) == f"{CORE}{error.provider} - {text}"
        assert error.request_id == "r7"


def test_our_time_limit(simulator: Simulator) -> None:
    def fail(kind: str, server: Server) -> None:
        server.behaviour(hang=True)
        LlmClient(config(kind, server, timeout=1.5)).complete(PROMPT)

    for kind, (error, requests) in collect(simulator, fail, KINDS).items():
        check(kind, error, "timeout", (TimeoutError, RuntimeError), ONCE)
        assert str(error) == "Timeout in 'llm_request' after 1500ms: Request timed out"
        assert requests == 1


def test_an_open_breaker(simulator: Simulator) -> None:
    def fail(kind: str, server: Server) -> None:
        server.behaviour(hang=True)
        client = LlmClient(config(kind, server, timeout=1.0))
        for _ in range(5):
            with pytest.raises(TimeoutError):
                client.complete(PROMPT)
        client.complete(PROMPT)

    for kind, (error, requests) in collect(simulator, fail, KINDS).items():
        check(kind, error, "circuit_open", (RuntimeError,), NEVER)
        assert str(error) == "Circuit breaker is open, request rejected"
        assert requests == 5


def test_streams(simulator: Simulator) -> None:
    def refuse(kind: str, server: Server) -> None:
        server.behaviour(status=[[500, SAYS, AT_ONCE], [401, SAYS, AT_ONCE]])
        list(LlmClient(config(kind, server)).stream(PROMPT))

    for kind, (error, _) in collect(simulator, refuse, KINDS).items():
        check(kind, error, "authentication", (PermissionError,), TWICE, "stream")
        before = "HTTP error: " if kind == "ollama" else label(kind, 401)
        assert str(error) == f"{CORE}{error.provider} - {before}{SAYS}"

    def break_off(kind: str, server: Server) -> None:
        server.behaviour(status=[[500, SAYS, AT_ONCE]], stream_error_frame=True)
        list(LlmClient(config(kind, server)).stream("four words to say"))

    for kind, (error, _) in collect(simulator, break_off, KINDS).items():
        # What a frame says about its cause counts; some of the simulator's say it.
        assert error.kind in {"stream", "server"}, kind
        check(kind, error, error.kind, (RuntimeError,), TWICE, "stream")
        assert str(error).startswith(f"{CORE}{error.provider} - Stream error: ")


def test_embeddings(server: Server) -> None:
    client = EmbeddingClient(EmbeddingConfig.openai(KEY, "m", base_url=server.openai_url))
    for status, word, attempts in ((401, "authentication", ONCE), (503, "server", FOUR)):
        server.behaviour(status=[[status, SAYS, AT_ONCE]] * 4)
        for call, operation in ((client.embed, "embed"), (client.embed_many, "embed_many")):
            server.behaviour(status=[[status, SAYS, AT_ONCE]] * 4)
            with pytest.raises(BY_KIND[word]) as caught:
                call("x" if operation == "embed" else ["x"])  # type: ignore[operator]
            error = caught.value
            assert (error.provider, error.model, error.operation) == ("openai", "m", operation)
            assert (error.status_code, error.attempts) == (status, attempts)
    server.behaviour(body={"data": []})
    with pytest.raises(RuntimeError) as garbled:
        client.embed_many(["x"])
    assert isinstance(garbled.value, GraphbitError)
    assert (garbled.value.model, garbled.value.attempts) == ("m", TWICE)


def test_what_is_refused_here_was_never_tried(server: Server) -> None:
    client = LlmClient(config("openai", server))
    for wrong in (lambda: client.complete(""), lambda: LlmConfig.openai("short")):
        with pytest.raises(ValueError) as caught:
            wrong()
        assert isinstance(caught.value, GraphbitError)
        assert (caught.value.kind, caught.value.attempts) == ("validation", NEVER)
    assert server.log() == []


# secrets

SECRET = "sk-/+a very=secret~?key>0123456789"


def encodings(secret: str) -> list[str]:
    raw = secret.encode()
    return [
        secret,
        f"Bearer {secret}",
        urllib.parse.quote(secret),
        urllib.parse.quote(secret, safe=""),
        urllib.parse.quote_plus(secret),
        "".join(f"%{byte:02x}" for byte in raw),
        json.dumps(secret).replace("/", "\\/"),
        "".join(f"\\u{byte:04X}" for byte in raw),
        base64.b64encode(raw).decode(),
        base64.urlsafe_b64encode(raw).decode(),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
    ]


def test_what_the_server_repeats_of_a_secret_is_masked(simulator: Simulator) -> None:
    text = "; ".join([*encodings(SECRET), *encodings(KEY)])
    error_frame = 'data: {"error": {"message": ' + json.dumps(text) + "}}\n\n"
    answers: list[dict[str, Any]] = [
        {"status": [[400, text], [401, {"error": {"message": text}}]]},
        {"status": [[302, "", {"location": f"http://host/{urllib.parse.quote(SECRET)}?k={KEY}"}]]},
        {"body": dict.fromkeys(("choices", "content", "output", "candidates", "message"), text)},
        {"body": error_frame, "headers": {"content-type": "text/event-stream"}},
        {"body": json.dumps({"error": text}) + "\n"},
    ]

    def fail(kind: str, server: Server) -> None:
        client = LlmClient(config(kind, server, headers={"x-secret-key": SECRET}))
        errors = []
        for answer in answers:
            server.behaviour(**answer)
            for call in (client.complete, lambda prompt: list(client.stream(prompt))):
                try:
                    call(PROMPT)
                except GraphbitError as error:
                    errors.append(error)
        assert len(errors) >= 6, kind
        for error in errors:
            shown = f"{error} {error!r} {vars(error)} {error.__cause__!r} {error.__context__!r}"
            quoted = encodings(SECRET)
            if kind not in {"ollama", "compatible"}:  # they have no key
                quoted += encodings(KEY)
            assert not [each for each in quoted if each in shown], (kind, shown)
        raise errors[0]

    for kind, (error, _) in collect(simulator, fail, KINDS).items():
        assert "***" in str(error), kind
