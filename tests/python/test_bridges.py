"""Calls through `graphbit.providers`: what goes in, what comes out, what fails."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys
import threading
import traceback
from collections import UserDict
from pathlib import Path
from types import SimpleNamespace as Thing
from typing import Any
from unittest.mock import MagicMock

import graphbit
import numpy as np
import pytest
from bridge_setup import BRIDGE, KEY, Failure, Libraries, completion
from graphbit import (
    EmbeddingClient,
    EmbeddingConfig,
    FinishReason,
    LlmClient,
    LlmConfig,
    LlmToolCall,
    LlmUsage,
)
from graphbit.exceptions import CallbackError, GraphbitError
from llm_setup import CORE, ECHO, config
from simulator import Server

# calls


def test_what_a_call_gets(bridge: Any) -> None:
    client, calls = bridge("hi", "huggingface")
    assert calls == [((KEY,), {})]
    client.complete("x")
    client.complete("x", max_tokens=7, temperature=0.7)
    roles = [("system", "be brief"), ("user", "a"), ("assistant", "b"), ("user", "c")]

    async def chat() -> str:
        return await client.chat_optimized(roles)

    assert asyncio.run(chat()) == "hi"
    user = [{"role": "user", "content": "x"}]
    history = [{"role": role, "content": content} for role, content in roles]
    assert calls[1:] == [
        (("m", user), {}),
        (("m", user), {"max_tokens": 7, "temperature": 0.7}),
        (("m", history), {}),
    ]


def test_a_key_is_not_required_by_litellm(bridge: Any, libraries: Libraries) -> None:
    bridge("hi")
    made: list[Any] = []
    import graphbit.providers.litellm.llm as module

    module.LiteLLMLLM = lambda *arguments, **options: made.append((arguments, options))
    LlmConfig.litellm()
    LlmConfig.litellm(model="m")
    assert made == [((), {})] * 2


@dataclasses.dataclass
class Dumps:
    """An object of which only the mapping it turns into is known."""

    mapping: dict[str, Any]
    method: str = "model_dump"

    def __getattr__(self, name: str) -> Any:
        if name == self.method:
            return lambda: self.mapping
        raise AttributeError(name)


class Attentive(dict[str, Any]):
    """A mapping that has every attribute, as some clients' answers are."""

    def __getattr__(self, name: str) -> None:
        return None


MESSAGE = {"choices": [{"message": {"content": "hi"}}]}
mock = MagicMock()
mock.choices[0].message.content = "hi"
mock_list = MagicMock(choices=[MagicMock(message=MagicMock(content="hi"))])


@pytest.mark.parametrize(
    "answer",
    [
        completion("hi"),
        MESSAGE,
        UserDict(MESSAGE),
        Dumps(MESSAGE),
        Dumps(MESSAGE, "to_dict"),
        Attentive(MESSAGE),
        Thing(choices=MESSAGE["choices"]),
        {"choices": (Thing(message=Dumps({"content": "hi"})),)},
        completion(["h", Thing(type="text", text="i"), {"type": "image_url"}]),
        completion("", reasoning_content="hi"),
        {"choices": [{"message": {"content": None, "reasoning_content": "hi"}}]},
        [Thing(generated_text="hi")],
        [{"generated_text": "hi"}, {"generated_text": "lo"}],
        ({"generated_text": "hi"},),
        "hi",
        Thing(text="hi"),
        {"text": "hi"},
        Thing(generated_text="hi"),
        Dumps({"generated_text": "hi"}),
        MagicMock(text="hi"),
        mock,
        mock_list,
    ],
    ids=lambda answer: type(answer).__name__,
)
def test_every_shape_is_read(answer: Any, bridge: Any) -> None:
    client, _ = bridge(answer)
    response = client.complete_full("x")
    assert (response.content, response.model) == ("hi", "m")
    assert (response.usage, response.tool_calls) == (LlmUsage.empty(), [])
    assert response.finish_reason == FinishReason.stop()


CALLS = [
    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}},
    {"id": "c2", "function": {"name": "g", "arguments": {"y": [2]}}},
]
FULL = {
    "id": "r1",
    "model": "m-2026",
    "choices": [
        {
            "message": {"content": None, "tool_calls": CALLS, "reasoning_content": "hm"},
            "finish_reason": "tool_calls",
        }
    ],
    "usage": {
        "prompt_tokens": 5,
        "completion_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 2},
        "cache_creation_input_tokens": 1,
    },
    "citations": ["https://host/"],
}


def as_objects(value: Any) -> Any:
    if isinstance(value, dict):
        # Arguments of a tool stay what they are.
        return Thing(
            **{
                name: item if name == "arguments" else as_objects(item)
                for name, item in value.items()
            }
        )
    return [as_objects(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "answer", [FULL, as_objects(FULL), Dumps(FULL)], ids=["dict", "object", "dump"]
)
def test_nothing_of_a_full_answer_is_lost(answer: Any, bridge: Any) -> None:
    response = bridge(answer)[0].complete_full("x")
    assert response.content == "", "what it thought is no answer when it calls tools"
    assert response.id == "r1"
    assert response.tool_calls == [
        LlmToolCall("c1", "f", '{"x":1}'),
        LlmToolCall("c2", "g", '{"y":[2]}'),
    ]
    assert response.finish_reason == FinishReason.tool_calls()
    usage = response.usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (5, 4)
    assert (usage.cache_read_tokens, usage.cache_creation_tokens) == (3, 1)
    assert usage.reasoning_tokens == 2
    assert response.metadata == {
        "server_model": '"m-2026"',
        "provider_finish_reason": '"tool_calls"',
        "reasoning": '"hm"',
        "citations": '["https://host/"]',
    }


def test_odd_side_fields_do_not_lose_the_answer(bridge: Any) -> None:
    odd = Thing(
        id=7,
        model=None,
        choices=[Thing(message=Thing(content="hi", tool_calls="none"), finish_reason=object())],
        usage=Thing(prompt_tokens="many", completion_tokens=-1),
    )
    response = bridge(odd)[0].complete_full("x")
    assert (response.content, response.id, response.tool_calls) == ("hi", None, [])
    assert response.usage == LlmUsage.empty()
    own = Thing(choices=[Thing(message=Thing(content="hi"), finish_reason="weird")], usage=None)
    assert bridge(own)[0].complete_full("x").finish_reason == FinishReason.other("weird")


@pytest.mark.parametrize(
    "answer",
    [
        None,
        7,
        b"hi",
        [],
        {},
        {"choices": []},
        {"choices": [{"message": {}}]},
        Thing(choices=[Thing(message=None)]),
        completion(7),
        [Thing(generated_text=None)],
        Thing(text=7),
        pytest.param(MagicMock(), id="MagicMock()"),
        pytest.param(object(), id="object()"),
    ],
    ids=repr,
)
def test_other_shapes_are_named(answer: Any, bridge: Any) -> None:
    client, calls = bridge(answer)
    with pytest.raises(RuntimeError) as caught:
        client.complete("x")
    text = str(caught.value)
    assert text.startswith(f"{BRIDGE}Failed to parse Python LLM response. ")
    for word in ("choices[0].message.content", "generated_text", "text", "str"):
        assert word in text
    assert f"Python type: {type(answer).__name__}; repr: {repr(answer)[:150]}" in text
    assert len(calls) == 2, "asking again would bring the same"


def test_an_unreadable_answer_is_shown_in_part_and_without_the_key(bridge: Any) -> None:
    class Odd:
        def __repr__(self) -> str:
            return "é" * 95 + KEY + "z" * 1000

    with pytest.raises(GraphbitError) as caught:
        bridge(Odd())[0].complete("x")
    assert str(caught.value).endswith("repr: " + "é" * 95 + "***" + "z" * 7 + "...")

    class Mute:
        def __repr__(self) -> str:
            raise ValueError("no")

    with pytest.raises(GraphbitError, match="Python type: Mute"):
        bridge(Mute())[0].complete("x")


# failures


def response(status: int, **headers: str) -> Thing:
    return Thing(status_code=status, headers=headers)


@pytest.mark.parametrize(
    ("error", "cls", "status", "attempts"),
    [
        (Failure(status_code=401), PermissionError, 401, 1),
        (Failure(response=response(403)), PermissionError, 403, 1),
        (Failure(status_code=404), FileNotFoundError, 404, 1),
        (Failure(status_code=422), ValueError, 422, 1),
        (Failure(status_code=409), ValueError, 409, 4),
        (
            Failure(response=response(429, **{"retry-after": "0"})),
            graphbit.exceptions.RateLimitError,
            429,
            4,
        ),
        (
            Failure("insufficient_quota", status_code=429),
            graphbit.exceptions.QuotaExhaustedError,
            429,
            1,
        ),
        (
            Failure(status_code=None, response=response(503)),
            graphbit.exceptions.ServerError,
            503,
            4,
        ),
        (Failure(status_code=408), TimeoutError, 408, 1),
        (TimeoutError("slow"), TimeoutError, None, 1),
        (ConnectionResetError("gone"), ConnectionError, None, 4),
        (Failure(status_code=200), CallbackError, None, 1),
        (Failure(status_code="401"), CallbackError, None, 1),
        (ValueError("boom"), CallbackError, None, 1),
        (Exception(), CallbackError, None, 1),
    ],
    ids=repr,
)
def test_an_exception_finds_its_class(
    error: Exception, cls: type[Exception], status: int | None, attempts: int, bridge: Any
) -> None:
    client, calls = bridge(error)
    with pytest.raises(cls) as caught:
        client.complete("x")
    raised: Any = caught.value
    assert isinstance(raised, GraphbitError) and isinstance(raised, RuntimeError)
    assert str(raised) == f"{BRIDGE}Python call failed: {type(error).__name__}: {error}"
    assert raised.__cause__ is error
    assert (raised.provider, raised.status_code) == ("python_bridge", status)
    assert len(calls) - 1 == attempts


def test_the_status_is_found_below_the_wrappers_own_exception(
    libraries: Libraries,
) -> None:
    limits = {"retry-after": "7", "x-request-id": "req_7"}
    quoting = f"bad key {KEY}"
    for text, shown in (("slow down", "slow down"), (quoting, "bad key ***")):
        for status, cls in ((401, PermissionError), (400, ValueError)):
            library_error = Failure(text, status_code=status, response=response(status, **limits))
            libraries.answers["completion"] = library_error
            client = LlmClient(LlmConfig.litellm(KEY))
            with pytest.raises(cls) as caught:
                client.complete("x")
            raised: Any = caught.value
            words = f"Python call failed: Exception: LiteLLM completion failed: {shown}"
            assert str(raised) == BRIDGE + words
            assert (raised.status_code, raised.request_id) == (status, "req_7")
            assert type(raised.__cause__) is Exception
            assert (raised.__cause__.__cause__ is library_error) == (text == shown)
            assert KEY not in "".join(traceback.format_exception(raised))


def test_the_servers_wish_is_kept(bridge: Any) -> None:
    for wish, seconds in (("0.01", 0.01), ("-1", None), ("nan", None), ("soon", None)):
        error = Failure(response=response(503, **{"retry-after": wish}))
        with pytest.raises(graphbit.exceptions.ServerError) as caught:
            bridge(error)[0].complete("x")
        assert caught.value.retry_after == seconds


def test_an_exception_that_quotes_the_key(bridge: Any) -> None:
    inner = ValueError(f"header Bearer {KEY}")
    outer = LookupError("no")
    outer.__cause__ = inner
    for error, shown in ((inner, "ValueError: header Bearer ***"), (outer, "LookupError: no")):
        for backend in ("huggingface", "litellm"):
            with pytest.raises(GraphbitError) as caught:
                bridge(error, backend)[0].complete("x")
            assert str(caught.value) == f"{BRIDGE}Python call failed: {shown}"
            assert caught.value.__cause__ is None
            assert KEY not in "".join(traceback.format_exception(caught.value))


def test_very_long_texts_are_cut(bridge: Any) -> None:
    with pytest.raises(GraphbitError) as caught:
        bridge(ValueError("é" * 50_000))[0].complete("x")
    assert len(str(caught.value).encode()) < 17_000 and str(caught.value).endswith("é...")


def test_an_exit_is_no_failure(bridge: Any) -> None:
    client, calls = bridge(SystemExit(3))
    with pytest.raises(SystemExit):
        client.complete("x")
    assert len(calls) == 2


def test_a_client_inside_has_tried_already(bridge: Any, server: Server) -> None:
    server.behaviour(status=[[500, "down", {"retry-after-ms": "0"}]] * 20)
    inner = LlmClient(config("openai", server))
    client, _ = bridge(lambda *_: inner.complete("x"))
    with pytest.raises(graphbit.exceptions.ServerError) as caught:
        client.complete("x")
    assert str(caught.value).startswith(f"{BRIDGE}Python call failed: ServerError: {CORE}openai")
    assert len(server.log()) == 4


def test_five_server_failures_open_the_breaker(bridge: Any) -> None:
    fast = Failure(response=response(503, **{"retry-after": "0"}))
    client, calls = bridge(fast)
    for _ in range(5):
        with pytest.raises(graphbit.exceptions.ServerError):
            client.complete("x")
    with pytest.raises(RuntimeError, match="Circuit breaker is open"):
        client.complete("x")
    assert len(calls) == 21
    client, calls = bridge(ValueError("no"))
    for _ in range(7):
        with pytest.raises(CallbackError):
            client.complete("x")
    assert client.get_stats()["circuit_breaker_state"] == "Closed (failures: 0)"


# threads and colours


def test_calls_run_on_threads_of_their_own_at_once(bridge: Any) -> None:
    together = threading.Barrier(12, timeout=20)
    names = set()

    def answer(model: str, messages: Any) -> str:
        names.add(threading.current_thread().name)
        together.wait()
        return messages[0]["content"]

    client, _ = bridge(answer)
    prompts = [f"p{n}" for n in range(12)]

    async def main() -> list[str]:
        return await client.complete_batch(prompts, max_concurrency=12)

    assert asyncio.run(main()) == prompts
    assert len(names) == 12 and threading.main_thread().name not in names


def test_a_client_may_be_called_inside(bridge: Any, server: Server) -> None:
    innermost = LlmClient(config("openai", server))
    client = innermost
    for _ in range(10):

        def answer(model: str, messages: Any, inner: LlmClient = client) -> str:
            return inner.complete(messages[0]["content"]) + "!"

        client, _ = bridge(answer)
    expected = ECHO + "x" + "!" * 10
    assert client.complete("x") == expected

    async def main() -> list[str]:
        return await asyncio.gather(*(client.complete_async("x") for _ in range(5)))

    assert asyncio.run(main()) == [expected] * 5

    def in_a_loop(model: str, messages: Any) -> str:
        async def ask() -> str:
            return await innermost.complete_async("y")

        return asyncio.run(ask())

    assert bridge(in_a_loop)[0].complete("x") == ECHO + "y"


def test_no_streaming(bridge: Any) -> None:
    client, calls = bridge("hi")

    async def main() -> None:
        async for _ in client.stream("x"):
            pass

    with pytest.raises(
        ValueError, match="^Configuration error: Streaming not supported by this provider$"
    ):
        asyncio.run(main())
    assert len(calls) == 1


# embeddings


def test_one_text_and_many(vectors: Any) -> None:
    client, calls = vectors(lambda given: [[1, 2]] * (1 if isinstance(given, str) else len(given)))
    assert client.embed("a") == [1.0, 2.0]
    assert client.embed_many(["a"]) == [[1.0, 2.0]]
    assert client.embed_many(["a", "b", "c"]) == [[1.0, 2.0]] * 3
    assert calls == [
        ("embed", ("m", "a"), {}),
        ("embed", ("m", "a"), {}),
        ("embed_many", ("m", ["a", "b", "c"]), {}),
    ]
    array = client.embed_array(["a", "b", "c"], batch_size=2)
    assert array.tolist() == [[1.0, 2.0]] * 3
    outcome = client.embed_batch_parallel([["a"], ["b", "c"]])
    assert outcome["embeddings"] == [[[1.0, 2.0]], [[1.0, 2.0]] * 2]


@pytest.mark.parametrize(
    "answer",
    [
        [0.5, 2],
        (0.5, 2),
        [[0.5, 2]],
        [(0.5, 2)],
        [np.float32(0.5), np.int64(2)],
        np.array([0.5, 2]),
        np.array([[0.5, 2]], dtype="float16"),
        [np.array([0.5, 2])],
        np.array([[0.5, 9, 2]])[:, ::2],
    ],
    ids=repr,
)
def test_every_vector_is_read(answer: Any, vectors: Any) -> None:
    client, _ = vectors(answer)
    assert client.embed("a") == [0.5, 2.0]
    assert client.embed_many(["a"]) == [[0.5, 2.0]]


NUMBERS = "Failed to extract float: "


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (None, "Python embedding response must be a list"),
        ("12", "Python embedding response must be a list"),
        ({"data": []}, "Python embedding response must be a list"),
        (np.float32(1), "Python embedding response must be a list"),
        ([], "Empty embedding response from Python"),
        ([[]], "Empty embedding response from Python"),
        (np.zeros((0, 3)), "Empty embedding response from Python"),
        (["a"], f"{NUMBERS}TypeError: must be real number, not str"),
        ([None, 1.0], f"{NUMBERS}TypeError: must be real number, not NoneType"),
        ([[1.0, None]], f"{NUMBERS}TypeError: must be real number, not NoneType"),
        ([1.0, [2.0]], f"{NUMBERS}TypeError: must be real number, not list"),
        ([[1.0], 2.0], NUMBERS),
        (np.array(["1"]), NUMBERS),
        (np.array([None]), NUMBERS),
        (np.zeros((1, 2, 3)), NUMBERS),
        ([[1.0], [2.0, 3.0]], "rows of 1 and 2 values in one answer"),
        ([[1.0], [2.0]], "2 embeddings for 1 texts from python_bridge"),
    ],
    ids=repr,
)
def test_what_is_no_vector(answer: Any, text: str, vectors: Any) -> None:
    client, calls = vectors(answer)
    with pytest.raises(RuntimeError) as caught:
        client.embed("a")
    assert str(caught.value).startswith(f"LLM error: {text}")
    assert len(calls) == 1


def test_embedding_failures(vectors: Any) -> None:
    for error, cls, attempts in [
        (ValueError("boom"), CallbackError, 1),
        (Failure("no", response=response(401)), PermissionError, 1),
        (Failure("no", response=response(503, **{"retry-after": "0"})), RuntimeError, 4),
    ]:
        client, calls = vectors(error)
        with pytest.raises(cls) as caught:
            client.embed_many(["a", "b"])
        text = f"LLM error: Python embed_many call failed: {type(error).__name__}: {error}"
        assert str(caught.value) == text
        assert caught.value.__cause__ is error and isinstance(caught.value, RuntimeError)
        assert len(calls) == attempts
    with pytest.raises(RuntimeError) as caught:
        vectors(ValueError(f"key {KEY}"))[0].embed("a")
    assert str(caught.value) == "LLM error: Python embed call failed: ValueError: key ***"
    assert caught.value.__cause__ is None


def test_a_client_may_be_called_inside_an_embedding(vectors: Any) -> None:
    inner = EmbeddingClient(EmbeddingConfig.from_callable(lambda texts: [[1.0]] * len(texts)))
    client, _ = vectors(lambda given: inner.embed_many([given]))
    assert client.embed("a") == [1.0]


# GraphBit 0.6.8


@pytest.mark.peer
def test_graphbit_0_6_8_answers_the_same(run_child: Any) -> None:
    peer = os.environ.get("GRAPHBIT_PEER_PYTHON")
    if not peer:
        pytest.skip("GRAPHBIT_PEER_PYTHON names no interpreter with graphbit 0.6.8")
    script = Path(__file__).parent / "children" / "bridges.py"
    both = []
    for python in (peer, sys.executable):
        child = run_child(script=script, python=python, env={"PYTHONPATH": ""})
        assert child.returncode == 0, child.stderr
        both.append(json.loads(child.stdout))
    theirs, ours = both
    assert len(theirs["outcomes"]) > 70
    for name, outcome in theirs["outcomes"].items():
        assert ours["outcomes"][name] == outcome, name
    assert ours["calls"] == theirs["calls"]
