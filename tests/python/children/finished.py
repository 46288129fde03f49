"""What a call for many things had finished when something interrupted it.

    python finished.py VERB WAY

The model works off what it is given until it comes to "hang"; then the call is interrupted in that way.
Prints JSON, the class of what was raised and its results: texts and rows, classes of exceptions, null.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from graphbit import EmbeddingClient, EmbeddingConfig, LlmClient, LlmConfig

reached, release = threading.Event(), threading.Event()
SETTLING = 0.5  # until what was asked beside the one that hangs has certainly been taken


def answer(messages: list[dict[str, Any]], **_: Any) -> str:
    return work(messages[-1]["content"])


def embed(texts: list[str]) -> list[list[float]]:
    return [[float(len(work(text)))] for text in texts]


def work(text: str) -> str:
    if text == "hang":
        reached.set()
        release.wait()
    if text == "fail":
        raise LookupError(text)
    return text.upper()


LLM = LlmClient(LlmConfig.from_callable(answer))
EMBEDDER = EmbeddingClient(EmbeddingConfig.from_callable(embed, dimensions=1, max_batch=1))
PROMPTS = ["a", "b", "hang", "c"]
MIXED = ["a", "fail", "hang", "c"]
ALONE: dict[str, Any] = {"max_concurrency": 1}

BLOCKING: dict[str, Callable[[], Any]] = {
    "complete_many": lambda: LLM.complete_many(PROMPTS, **ALONE),
    "complete_many_full": lambda: LLM.complete_many(PROMPTS, full=True, **ALONE),
    "complete_many_return": lambda: LLM.complete_many(MIXED, on_error="return", **ALONE),
    "embed_many": lambda: EMBEDDER.embed_many(["a", "hang", "ccc"]),
    "embed_array": lambda: EMBEDDER.embed_array(["a", "bb", "hang", "c"], **ALONE),
    "embed_array_nothing": lambda: EMBEDDER.embed_array(["hang", "c"], **ALONE),
    "embed_batch_parallel": lambda: EMBEDDER.embed_batch_parallel(
        [["a", "bb"], ["fail"], ["hang"], ["c"]], **ALONE
    ),
}
ASYNC: dict[str, Callable[[], asyncio.Future[Any]]] = {
    "complete_many": lambda: LLM.complete_many_async(PROMPTS, **ALONE),
    "complete_many_full": lambda: LLM.complete_many_async(PROMPTS, full=True, **ALONE),
    "complete_many_return": lambda: LLM.complete_many_async(MIXED, on_error="return", **ALONE),
    "complete_batch": lambda: LLM.complete_batch(MIXED, **ALONE),
    "embed_many": lambda: EMBEDDER.embed_many_async(["a", "hang", "ccc"]),
    "embed_array": lambda: EMBEDDER.embed_array_async(["a", "bb", "hang", "c"], **ALONE),
    "embed_array_nothing": lambda: EMBEDDER.embed_array_async(["hang", "c"], **ALONE),
    "embed_batch_parallel": lambda: EMBEDDER.embed_batch_parallel_async(
        [["a", "bb"], ["fail"], ["hang"], ["c"]], **ALONE
    ),
}


class Stubborn(Exception):
    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)


def raising(error: type[BaseException]) -> Callable[..., None]:
    def handler(*_: object) -> None:
        raise error("time is up")

    return handler


def press(way: str) -> None:
    """The finger on the key, or the clock."""
    reached.wait()
    time.sleep(SETTLING)
    if way in ("alarm", "stubborn"):
        signal.setitimer(signal.ITIMER_REAL, 0.01)
    else:
        os.kill(os.getpid(), signal.SIGINT)


def block(verb: str, way: str) -> tuple[BaseException, Any]:
    if way in ("alarm", "stubborn"):
        signal.signal(signal.SIGALRM, raising(TimeoutError if way == "alarm" else Stubborn))
    threading.Thread(target=press, args=(way,), daemon=True).start()

    async def in_a_task() -> None:
        try:
            BLOCKING[verb]()
        except asyncio.CancelledError as error:
            caught.append(error)

    caught: list[BaseException] = []
    try:
        asyncio.run(in_a_task()) if way == "task" else BLOCKING[verb]()
    except BaseException as error:
        caught.append(error)
    return caught[0], getattr(caught[0], "results", "none were kept")


async def wait(verb: str, way: str) -> tuple[BaseException, Any]:
    future = ASYNC[verb]()

    async def awaiting() -> Any:
        return await future

    try:
        if way == "wait_for":
            await asyncio.wait_for(future, 2 * SETTLING)
        task = asyncio.create_task(awaiting())
        await asyncio.to_thread(reached.wait)
        await asyncio.sleep(SETTLING)
        (task if way == "cancel_task" else future).cancel()
        await task
    except BaseException as error:
        return error, getattr(future, "results", "none were kept")
    raise AssertionError("nothing was raised")


def shown(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return shown(value.tolist())
    if isinstance(value, list):
        return [shown(item) for item in value]
    if isinstance(value, float) and math.isnan(value):
        return "nan"
    if isinstance(value, BaseException):
        return type(value).__name__
    return getattr(value, "content", value)


def main(verb: str, way: str) -> None:
    if way in ("cancel_future", "cancel_task", "wait_for"):
        error, results = asyncio.run(wait(verb, way))
    else:
        error, results = block(verb, way)
    release.set()
    print(json.dumps([type(error).__name__, shown(results)]))


if __name__ == "__main__":
    main(*sys.argv[1:])
