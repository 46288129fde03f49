"""Stand-ins for huggingface_hub and litellm, and clients over wrapper classes of a test's own.

A pytest plugin, loaded by ``conftest.py``: its fixtures are there for every test.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from types import FunctionType, ModuleType
from types import SimpleNamespace as Thing
from typing import Any

import pytest
from graphbit import (
    EmbeddingClient,
    EmbeddingConfig,
    LlmClient,
    LlmConfig,
)
from llm_setup import CORE

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
