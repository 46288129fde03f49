"""`graphbit.providers`, and the configurations over it, on stand-ins for huggingface_hub and litellm."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys
import threading
import traceback
from collections import UserDict
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from types import SimpleNamespace as Thing
from typing import Any
from unittest.mock import MagicMock

import graphbit
import numpy as np
import pytest
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

KEY = "sk-verysecret-0123"
BRIDGE = f"{CORE}python_bridge - "


class Libraries:
    """Both libraries as far as the wrappers use them; every call is kept, and answered from here."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, Any] = {}
        recorder = self

        class InferenceClient:
            def __init__(self, **options: Any) -> None:
                recorder.calls.append(("InferenceClient", options))

            def __getattr__(self, name: str) -> Any:
                return lambda **options: recorder.answer(name, options)

        async def aembedding(**options: Any) -> Any:
            await asyncio.sleep(0)
            return recorder.answer("aembedding", options)

        self.hub, self.litellm = ModuleType("huggingface_hub"), ModuleType("litellm")
        self.hub.InferenceClient = InferenceClient  # type: ignore[attr-defined]
        for name in ("completion", "embedding"):
            setattr(self.litellm, name, lambda name=name, **options: self.answer(name, options))
        self.litellm.aembedding = aembedding  # type: ignore[attr-defined]

    def answer(self, name: str, options: dict[str, Any]) -> Any:
        self.calls.append((name, options))
        answer = self.answers.get(name)
        if isinstance(answer, BaseException):
            raise answer
        return answer(options) if callable(answer) else answer


@pytest.fixture
def libraries() -> Iterator[Libraries]:
    """Stand-ins in place of the libraries, and wrappers that have imported them."""

    def ours() -> set[str]:
        tops = ("graphbit.providers", "huggingface_hub", "litellm")
        return {name for name in sys.modules if name.startswith(tops)}

    before = {name: sys.modules.pop(name) for name in ours()}
    stand_ins = Libraries()
    sys.modules["huggingface_hub"] = stand_ins.hub
    sys.modules["litellm"] = stand_ins.litellm
    environment = {**os.environ, "PYTEST_CURRENT_TEST": ""}
    yield stand_ins
    for name in ours():
        del sys.modules[name]
    sys.modules.update(before)
    after = {**os.environ, "PYTEST_CURRENT_TEST": ""}
    assert after == environment, "nothing is handed over through the environment"


@pytest.fixture
def bridge(libraries: Libraries, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``bridge(answer) -> (client, calls)``: a wrapper class of the test's own behind a client."""

    def make(answer: Any, backend: str = "litellm", **options: Any) -> tuple[LlmClient, list[Any]]:
        calls: list[Any] = []

        class Wrapper:
            def __init__(self, *arguments: Any, **options: Any) -> None:
                calls.append((arguments, options))

            def chat(self, *arguments: Any, **options: Any) -> Any:
                calls.append((arguments, options))
                found = answer(*arguments) if isinstance(answer, FunctionType) else answer
                if isinstance(found, BaseException):
                    raise found
                return found

        if backend == "litellm":
            import graphbit.providers.litellm.llm as module

            monkeypatch.setattr(module, "LiteLLMLLM", Wrapper)
        else:
            import graphbit.providers.huggingface.llm as module  # type: ignore[no-redef]

            monkeypatch.setattr(module, "HuggingfaceLLM", Wrapper)
        return LlmClient(getattr(LlmConfig, backend)(KEY, "m", **options)), calls

    return make


@pytest.fixture
def vectors(libraries: Libraries, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``vectors(answer) -> (client, calls)``, for embeddings."""

    def make(answer: Any) -> tuple[EmbeddingClient, list[Any]]:
        import graphbit.providers.huggingface.embeddings as module

        calls: list[Any] = []

        class Wrapper:
            def __init__(self, *arguments: Any, **options: Any) -> None: ...

            def __getattr__(self, name: str) -> Any:
                def method(*arguments: Any, **options: Any) -> Any:
                    calls.append((name, arguments, options))
                    if isinstance(answer, BaseException):
                        raise answer
                    return answer(arguments[1]) if callable(answer) else answer

                return method

        monkeypatch.setattr(module, "HuggingfaceEmbeddings", Wrapper)
        return EmbeddingClient(EmbeddingConfig.huggingface(KEY, "m")), calls

    return make


def completion(content: Any = "hi", **message: Any) -> Thing:
    return Thing(choices=[Thing(message=Thing(content=content, **message))])


class Failure(Exception):
    """As both libraries raise them: with a status, or with a response that has one."""

    def __init__(self, text: str = "no", **fields: Any) -> None:
        super().__init__(text)
        vars(self).update(fields)


# the package


@pytest.mark.parametrize(
    ("present", "absent", "library"),
    [("Huggingface", "Litellm", "litellm"), ("Litellm", "Huggingface", "huggingface_hub")],
)
def test_each_backend_needs_its_own_library_only(
    present: str, absent: str, library: str, run_child: Any
) -> None:
    child = run_child(
        f"""
        import inspect, sys
        from types import ModuleType
        import graphbit
        assert not any(name.startswith("graphbit.providers") for name in sys.modules)
        hub, litellm = ModuleType("huggingface_hub"), ModuleType("litellm")
        hub.InferenceClient = litellm.completion = litellm.embedding = litellm.aembedding = None
        sys.modules.update(huggingface_hub=hub, litellm=litellm)
        sys.modules[{library!r}] = None

        import graphbit.providers
        assert "{present}" in dir(graphbit.providers) and "{absent}" not in dir(graphbit.providers)
        from graphbit.providers import {present}
        assert dict(inspect.getmembers(graphbit.providers))["{present}"] is {present}
        assert graphbit.providers.{present.lower()}.{present} is {present}
        for _ in range(3):  # 0.6.8 fails the first time only
            for work in (
                lambda: getattr(graphbit.providers, "{absent}"),
                lambda: getattr(graphbit.LlmConfig, "{absent.lower()}")("k" * 10),
                lambda: getattr(graphbit.EmbeddingConfig, "{absent.lower()}")("k" * 10),
            ):
                try:
                    work()
                except ImportError as error:
                    assert "run: pip install 'graphbit[{absent.lower()}]'" in str(error), error
                else:
                    raise AssertionError("no ImportError")
        try:
            graphbit.providers.Skynet
        except AttributeError as error:
            assert "Skynet" in str(error)
        else:
            raise AssertionError("no AttributeError")
        """
    )
    assert (child.returncode, child.stderr) == (0, "")


def test_a_library_that_is_broken_says_so_itself(run_child: Any, tmp_path: Path) -> None:
    (tmp_path / "litellm.py").write_text("import a_dependency_that_is_not_there\n")
    (tmp_path / "huggingface_hub.py").write_text("")
    child = run_child(
        """
        import graphbit
        for make, text in (
            (graphbit.LlmConfig.litellm, "No module named 'a_dependency_that_is_not_there'"),
            (graphbit.LlmConfig.huggingface, "has no 'InferenceClient'"),
        ):
            try:
                make("k" * 10)
            except ImportError as error:
                assert str(error).startswith("Failed to import ") and text in str(error), error
                assert isinstance(error.__cause__, ImportError)
        """,
        env={"PYTHONPATH": str(tmp_path)},
    )
    assert (child.returncode, child.stderr) == (0, "")


# the wrappers


def test_huggingface(libraries: Libraries) -> None:
    from graphbit.providers import Huggingface
    from graphbit.providers.huggingface.llm import HuggingfaceLLM

    account = Huggingface(KEY)
    assert account.api_token == KEY
    assert libraries.calls == [("InferenceClient", {"token": KEY})] * 3
    HuggingfaceLLM(KEY, timeout=3)
    assert libraries.calls.pop() == ("InferenceClient", {"token": KEY, "timeout": 3})

    libraries.answers["chat_completion"] = completion("hi")
    messages = [{"role": "user", "content": "x"}]
    answer = account.llm.chat("m", messages, temperature=0.5, tools=[])
    assert account.llm.get_output_content(answer) == "hi"
    libraries.answers["text_to_image"] = "an image"
    assert account.inference.generate_image("m", "a heron", width=8) == "an image"
    libraries.answers["feature_extraction"] = np.array([0.5, 1], dtype="float32")
    assert account.embeddings.embed("m", "x", normalize=True) == [0.5, 1.0]
    libraries.answers["feature_extraction"] = np.array([[0.5], [1]])
    assert account.embeddings.embed_many("m", ["x", "y"]) == [[0.5], [1.0]]
    libraries.answers["sentence_similarity"] = [0.25]
    assert account.embeddings.similarity("m", "x", ["y"]) == [0.25]
    assert libraries.calls[3:] == [
        (
            "chat_completion",
            {"model": "m", "messages": messages, "temperature": 0.5, "tools": []},
        ),
        ("text_to_image", {"model": "m", "prompt": "a heron", "width": 8}),
        ("feature_extraction", {"model": "m", "text": "x", "normalize": True}),
        ("feature_extraction", {"model": "m", "text": ["x", "y"]}),
        ("sentence_similarity", {"model": "m", "sentence": "x", "other_sentences": ["y"]}),
    ]


def test_litellm_chat(libraries: Libraries) -> None:
    from graphbit.providers import Litellm
    from graphbit.providers.litellm import LiteLLMLLM

    messages = [{"role": "user", "content": "x"}]
    account = Litellm(KEY, api_base="http://host", temperature=0.5)
    assert account.api_key == account.llm.api_key == account.embeddings.api_key == KEY
    assert account.llm.config == {"api_base": "http://host", "temperature": 0.5}
    assert account.embeddings.config == {"api_base": "http://host"}, "sampling is for chat"
    libraries.answers["completion"] = completion("hi")
    assert account.llm.chat("m", messages, max_tokens=3) is libraries.answers["completion"]
    account.llm.chat("m", messages, 0.0, None, 0.1, True, seed=7, api_key="another")
    LiteLLMLLM().chat("m", messages)
    shared = {"model": "m", "messages": messages, "api_base": "http://host"}
    assert [options for _, options in libraries.calls] == [
        shared | {"api_key": KEY, "temperature": 0.5, "max_tokens": 3},
        shared
        | {"api_key": "another", "temperature": 0.0, "top_p": 0.1, "stream": True, "seed": 7},
        {"model": "m", "messages": messages},
    ]


def test_litellm_embeddings(libraries: Libraries) -> None:
    from graphbit.providers.litellm.embeddings import LiteLLMEmbeddings

    embeddings = LiteLLMEmbeddings(KEY, timeout=3)
    shared = {"model": "m", "api_key": KEY, "timeout": 3}
    # In another order than the texts, as objects or as mappings.
    rows = [{"embedding": [2.0], "index": 1}, {"embedding": [1.0], "index": 0}]
    for answer in (Thing(data=rows), {"data": [Thing(**row) for row in rows]}):
        libraries.answers["embedding"] = libraries.answers["aembedding"] = answer
        assert embeddings.embed("m", ["x", "y"]) == [[1.0], [2.0]]
        assert embeddings.embed_many("m", ["x", "y"], dimensions=1) == [[1.0], [2.0]]
        assert asyncio.run(embeddings.aembed("m", ["x", "y"])) == [[1.0], [2.0]]
    libraries.answers["embedding"] = libraries.answers["aembedding"] = {
        "data": [{"embedding": [1.0, 2.0, 3.0]}]
    }
    assert embeddings.embed("m", "x", 3, "float", "query", user="me") == [1.0, 2.0, 3.0]
    assert libraries.calls[-1][1] == shared | {
        "input": ["x"],
        "dimensions": 3,
        "encoding_format": "float",
        "input_type": "query",
        "user": "me",
    }
    assert asyncio.run(embeddings.aembed("m", "x")) == [1.0, 2.0, 3.0]
    assert libraries.calls[-1] == ("aembedding", shared | {"input": ["x"]})
    assert embeddings.get_embedding_dimension("m") == 3
    assert libraries.calls[-1] == ("embedding", shared | {"input": ["test"]})
    with pytest.raises(Exception, match="LiteLLM embedding failed: 1 embeddings for 2 texts"):
        embeddings.embed("m", ["x", "y"])


def test_litellm_failures(libraries: Libraries) -> None:
    from graphbit.providers.litellm import LiteLLMEmbeddings, LiteLLMLLM

    embeddings = LiteLLMEmbeddings(KEY)
    tries = {
        "LiteLLM completion failed: ": lambda: LiteLLMLLM(KEY).chat("m", []),
        "LiteLLM embedding failed: ": lambda: embeddings.embed_many("m", ["x"]),
        "LiteLLM async embedding failed: ": lambda: asyncio.run(embeddings.aembed("m", "x")),
        "Failed to get embedding dimension: LiteLLM embedding failed: ": (
            lambda: embeddings.get_embedding_dimension("m")
        ),
    }
    for prefix, work in tries.items():
        for text, shown in (("slow down", "slow down"), (f"bad key {KEY}!", "bad key ***!")):
            error = ValueError(text)
            for name in ("completion", "embedding", "aembedding"):
                libraries.answers[name] = error
            with pytest.raises(Exception) as caught:
                work()
            assert type(caught.value) is Exception
            assert str(caught.value) == prefix + shown
            innermost: BaseException = caught.value
            while innermost.__cause__ is not None:
                innermost = innermost.__cause__
            assert (innermost is error) == (text == shown), "a telling cause is left out"
            assert KEY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("backend", ["huggingface", "litellm"])
def test_output_content(backend: str, libraries: Libraries) -> None:
    from graphbit.providers import Huggingface, Litellm

    llm: Any = Litellm(KEY).llm if backend == "litellm" else Huggingface(KEY).llm
    for answer in (completion("hi"), {"choices": [{"message": {"content": "hi"}}]}):
        assert llm.get_output_content(answer) == "hi"
    assert llm.get_output_content(completion(None)) is None
    for answer in (None, "text", {}, {"choices": []}, Thing(choices=[])):
        text = "Failed to extract content from response: " if backend == "litellm" else ""
        with pytest.raises(Exception, match=f"^{text}"):
            llm.get_output_content(answer)


# configurations


@pytest.mark.parametrize(
    ("make", "label", "shortest"),
    [
        (LlmConfig.huggingface, "HuggingFace", 10),
        (LlmConfig.litellm, "LiteLLM", 8),
        (EmbeddingConfig.huggingface, "HuggingFace", 10),
        (EmbeddingConfig.litellm, "LiteLLM", 8),
    ],
)
def test_keys_are_measured_in_bytes(
    make: Any, label: str, shortest: int, libraries: Libraries
) -> None:
    with pytest.raises(ValueError, match=f"^{label} API key cannot be empty$"):
        make("")
    with pytest.raises(ValueError, match=f"^{label} API key too short$"):
        make("k" * (shortest - 1))
    assert make("é" * (shortest // 2)).provider() == "python_bridge"
    with pytest.raises(TypeError):
        make(5)


def test_configurations_name_provider_and_model(libraries: Libraries) -> None:
    for made, model in [
        (LlmConfig.huggingface(KEY), "microsoft/DialoGPT-medium"),
        (LlmConfig.huggingface(KEY, "mine"), "mine"),
        (LlmConfig.litellm(), "gpt-3.5-turbo"),
        (LlmConfig.litellm(model=""), ""),
        (EmbeddingConfig.huggingface(KEY), "sentence-transformers/all-MiniLM-L6-v2"),
        (EmbeddingConfig.litellm(KEY), "text-embedding-3-small"),
    ]:
        assert (made.provider(), made.model()) == ("python_bridge", model)  # type: ignore[attr-defined]
        assert KEY not in repr(made)
    with pytest.raises(TypeError):
        EmbeddingConfig.litellm(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unexpected keyword"):
        LlmConfig.litellm(temperature=0.5)  # type: ignore[call-arg]


def test_the_connection_is_the_librarys_to_make(libraries: Libraries) -> None:
    connection: dict[str, Any] = {
        "base_url": "http://host/v1",
        "timeout": 2.5,
        "headers": {"x-team": "blue"},
    }
    LlmConfig.huggingface(KEY, **connection)
    EmbeddingConfig.huggingface(KEY, **connection)
    assert libraries.calls == [("InferenceClient", {"token": KEY} | connection)] * 2
    libraries.answers["completion"] = completion("hi")
    libraries.answers["embedding"] = {"data": [{"embedding": [1]}]}
    assert LlmClient(LlmConfig.litellm(KEY, "m", **connection)).complete("x", 5, 1.5) == "hi"
    EmbeddingClient(EmbeddingConfig.litellm(KEY, "m", **connection)).embed("x")
    LlmClient(LlmConfig.litellm(None, "m")).complete("x")
    chat, embed, bare = (options for _, options in libraries.calls[2:])
    named = {
        "model": "m",
        "api_key": KEY,
        "api_base": "http://host/v1",
        "timeout": 2.5,
        "extra_headers": {"x-team": "blue"},
    }
    messages = [{"role": "user", "content": "x"}]
    assert chat == named | {"messages": messages, "max_tokens": 5, "temperature": 1.5}
    assert embed == named | {"input": ["x"]}
    assert bare == {"model": "m", "messages": messages}


def test_two_keys_do_not_meet(libraries: Libraries) -> None:
    libraries.answers["completion"] = lambda options: options["api_key"]
    clients = [LlmClient(LlmConfig.litellm(f"key-number-{n}")) for n in range(8)]
    for client in clients:
        client.complete("x")

    async def main() -> list[str]:
        return await asyncio.gather(*(client.complete_async("x") for client in clients))

    assert asyncio.run(main()) == [f"key-number-{n}" for n in range(8)]


@pytest.mark.parametrize("backend", ["huggingface", "litellm"])
def test_a_class_that_cannot_be_made(
    backend: str, libraries: Libraries, monkeypatch: pytest.MonkeyPatch
) -> None:
    import graphbit.providers.huggingface.llm as hub
    import graphbit.providers.litellm.llm as litellm

    module: Any = hub if backend == "huggingface" else litellm
    name = "HuggingfaceLLM" if backend == "huggingface" else "LiteLLMLLM"
    make = getattr(LlmConfig, backend)
    errors: list[BaseException] = [ValueError("no"), ValueError(f"no {KEY}"), KeyboardInterrupt()]

    def fail(*_: Any) -> None:
        raise errors[0]

    monkeypatch.setattr(module, name, fail)
    with pytest.raises(RuntimeError) as caught:
        make(KEY)
    assert str(caught.value) == f"Failed to create {name} instance: ValueError: no"
    assert caught.value.__cause__ is errors.pop(0)
    with pytest.raises(RuntimeError) as caught:
        make(KEY)
    assert str(caught.value) == f"Failed to create {name} instance: ValueError: no ***"
    assert caught.value.__cause__ is None
    del errors[0]
    with pytest.raises(KeyboardInterrupt):
        make(KEY)
    monkeypatch.delattr(module, name)
    with pytest.raises(AttributeError, match=f"^Failed to get {name} class: AttributeError: "):
        make(KEY)
    monkeypatch.setitem(sys.modules, module.__name__, None)
    label = "HuggingFace" if backend == "huggingface" else "LiteLLM"
    with pytest.raises(ImportError, match=f"^Failed to import {label} module: ModuleNotFound"):
        make(KEY)
    embeddings = f"graphbit.providers.{backend}.embeddings"
    monkeypatch.setitem(sys.modules, embeddings, None)
    with pytest.raises(ImportError, match=f"^Failed to import {label} embeddings module: "):
        getattr(EmbeddingConfig, backend)(KEY)


def test_cleanup_answers_as_before_and_breaks_nothing(libraries: Libraries) -> None:
    libraries.answers["chat_completion"] = libraries.answers["completion"] = "hi"
    hub, litellm = LlmConfig.huggingface(KEY), LlmConfig.litellm(KEY)
    client = LlmClient(hub)
    assert (hub.cleanup(), hub.cleanup()) == (True, False)
    assert (litellm.cleanup(), LlmConfig.extractive().cleanup()) == (False, False)
    assert client.complete("x") == LlmClient(hub).complete("x") == "hi"
    with pytest.raises(LookupError), LlmConfig.huggingface(KEY) as entered:
        raise LookupError
    assert entered.cleanup() is False, "leaving the block has cleaned up"
    assert LlmConfig.huggingface(KEY).__exit__() is False


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
        MagicMock(),
        object(),
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
