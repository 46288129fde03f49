"""`graphbit.providers` itself, and how configurations are made over it."""

from __future__ import annotations

import asyncio
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace as Thing
from typing import Any

import numpy as np
import pytest
from bridge_setup import KEY, Libraries, completion
from graphbit import (
    EmbeddingClient,
    EmbeddingConfig,
    LlmClient,
    LlmConfig,
)

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
