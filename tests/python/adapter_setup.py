"""Shared by the tests of the adapters: configurations on the simulator, scripted calls, a loop without threads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from graphbit import EmbeddingConfig
from llm_setup import KEY
from simulator import Server

__all__ = ["KEY", "calls", "embedding", "sent", "without_threads"]


def embedding(server: Server, **extra: Any) -> EmbeddingConfig:
    return EmbeddingConfig.openai(KEY, "m", base_url=server.openai_url, **extra)


def calls(name: str, arguments: Any, prompt: str = "", **more: Any) -> dict[str, Any]:
    """A scripted reply of the simulator that calls one tool."""
    return {"prompt": prompt, "tool_calls": [["call_1", name, arguments]], **more}


def sent(server: Server) -> list[Any]:
    """The bodies of the requests so far."""
    return [json.loads(entry["body"]) for entry in server.log()]


@contextmanager
def without_threads() -> Iterator[None]:
    """Whoever hands work to the event loop's threads fails."""

    def refuse(*_: Any) -> Any:
        raise AssertionError("an asynchronous method went to a thread")

    with patch.object(asyncio.base_events.BaseEventLoop, "run_in_executor", refuse):
        yield
