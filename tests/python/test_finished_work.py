"""Finished work survives: on the exception that ends a call, or on the future that was cancelled.

``children/finished.py`` is interrupted in a process of its own, on a kill timer.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphbit import EmbeddingClient, EmbeddingConfig, LlmClient, LlmConfig
from graphbit.exceptions import AuthenticationError, RequestTimeoutError
from llm_setup import ECHO, KEY, config, wait_until
from simulator import Server, expected_embedding

SCRIPT = Path(__file__).parent / "children" / "finished.py"
RESULTS: dict[str, Any] = {
    "complete_many": ["A", "B", None, None],
    "complete_many_full": ["A", "B", None, None],
    "complete_many_return": ["A", "LookupError", None, None],
    "complete_batch": ["A", "Error: LookupError: fail", None, None],
    "embed_many": [[1.0], None, [3.0]],
    "embed_array": [[1.0], [2.0], ["nan"], ["nan"]],
    "embed_array_nothing": None,
    "embed_batch_parallel": [[[1.0], [2.0]], "LookupError", None, None],
}
BLOCKING = [verb for verb in RESULTS if verb != "complete_batch"]
signals = pytest.mark.skipif(os.name == "nt", reason="signals of another kind")


def interrupted(run_child: Any, verb: str, way: str) -> Any:
    child = run_child(script=SCRIPT, arguments=(verb, way), timeout=50)
    assert (child.returncode, child.stderr) == (0, ""), child
    return json.loads(child.stdout)


@signals
@pytest.mark.parametrize("verb", BLOCKING)
@pytest.mark.parametrize(
    ("way", "error"), [("ctrl-c", "KeyboardInterrupt"), ("alarm", "TimeoutError")]
)
def test_a_signal_costs_nothing_that_was_finished(
    verb: str, way: str, error: str, run_child: Any
) -> None:
    assert interrupted(run_child, verb, way) == [error, RESULTS[verb]]


@signals
def test_an_exception_that_refuses_attributes_goes_without(run_child: Any) -> None:
    assert interrupted(run_child, "complete_many", "stubborn") == ["Stubborn", "none were kept"]


@signals
@pytest.mark.skipif(sys.version_info < (3, 11), reason="tasks do not count cancellations")
@pytest.mark.parametrize("verb", ["complete_many", "embed_array"])
def test_a_blocking_call_in_a_cancelled_task(verb: str, run_child: Any) -> None:
    assert interrupted(run_child, verb, "task") == ["CancelledError", RESULTS[verb]]


@pytest.mark.parametrize("verb", RESULTS)
@pytest.mark.parametrize("way", ["cancel_future", "cancel_task", "wait_for"])
def test_a_cancelled_future_has_what_was_finished(verb: str, way: str, run_child: Any) -> None:
    error = "TimeoutError" if way == "wait_for" else "CancelledError"
    assert interrupted(run_child, verb, way) == [error, RESULTS[verb]]


async def test_work_that_ended_just_before_it_was_cancelled(server: Server) -> None:
    client = LlmClient(config("openai", server))
    future: Any = client.complete_many_async(["a", "b"])
    # Without a turn of the loop: all is done, and nobody has been told.
    wait_until(lambda: server.stats()["requests"] == 2 and server.stats()["in_flight"] == 0)
    time.sleep(0.2)
    future.cancel()
    assert future.results == [ECHO + "a", ECHO + "b"]
    with pytest.raises(asyncio.CancelledError):
        await future


CALLS: dict[str, Callable[[Callable[[str], str]], Any]] = {
    "complete_many": lambda work: asked(work).complete_many_async(["a", "slow"]),
    "complete_batch": lambda work: asked(work).complete_batch(["a", "slow"]),
    "embed_many": lambda work: asked_vectors(work).embed_many_async(["a", "slow"]),
    "embed_array": lambda work: asked_vectors(work).embed_array_async(["a", "slow"]),
}


def asked(work: Callable[[str], str]) -> LlmClient:
    return LlmClient(LlmConfig.from_callable(lambda messages, **_: work(messages[-1]["content"])))


def asked_vectors(work: Callable[[str], str]) -> EmbeddingClient:
    def embed(texts: list[str]) -> list[list[float]]:
        return [[float(len(work(text)))] for text in texts]

    return EmbeddingClient(EmbeddingConfig.from_callable(embed, dimensions=1, max_batch=1))


@pytest.mark.parametrize("loops", ["asyncio", "uvloop"])
@pytest.mark.parametrize("call", CALLS)
def test_the_results_are_there_as_soon_as_it_is_cancelled(call: str, loops: str) -> None:
    loop = pytest.importorskip(loops).new_event_loop()
    release = threading.Event()

    def work(text: str) -> str:
        if text == "slow":
            release.wait()
        return text

    async def main() -> None:
        future = CALLS[call](work)
        assert isinstance(future, asyncio.Future) and asyncio.isfuture(future)
        await asyncio.wait([future], timeout=0.3)
        assert not hasattr(future, "results")
        assert future.cancel() and future.cancelled()
        # Cancelled already: the loop takes no turn before this raises.
        with pytest.raises(asyncio.CancelledError):
            await future
        results = future.results
        assert len(results) == 2 and results[0] in ("a", [1.0]), results
        assert not future.cancel()
        await asyncio.sleep(0.05)
        assert future.results is results

    try:
        loop.run_until_complete(main())
    finally:
        release.set()
        loop.close()


async def test_a_cancelled_task_finds_the_results_of_what_it_awaited(server: Server) -> None:
    server.behaviour(hang=True)
    future: Any = LlmClient(config("openai", server)).complete_many_async(["a", "b"])
    seen: list[Any] = []

    async def awaiting() -> None:
        try:
            await future
        except asyncio.CancelledError:
            seen.append(future.results)
            raise

    task = asyncio.create_task(awaiting())
    await asyncio.sleep(0.05)
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == [[None, None]]


async def test_a_future_that_was_not_cancelled_has_no_results(server: Server) -> None:
    future = LlmClient(config("openai", server)).complete_many_async(["a"])
    assert await future == [ECHO + "a"]
    assert not hasattr(future, "results")


def embedder(server: Server) -> EmbeddingClient:
    return EmbeddingClient(EmbeddingConfig.openai(KEY, base_url=server.openai_url))


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_failed_batch_leaves_the_rows_of_the_others(colour: str, server: Server) -> None:
    server.behaviour(status=[200, [401, "no"]], dimensions=4)

    def run() -> Any:
        texts, options = ["a", "b", "c", "d"], {"batch_size": 2, "max_concurrency": 1}
        if colour == "sync":
            return embedder(server).embed_array(texts, **options)  # type: ignore[arg-type]

        async def main() -> Any:
            return await embedder(server).embed_array_async(texts, **options)  # type: ignore[arg-type]

        return asyncio.run(main())

    with pytest.raises(AuthenticationError) as caught:
        run()
    results: Any = caught.value.results
    assert results.dtype == np.float32 and results.shape == (4, 4)
    assert results[:2].tolist() == [expected_embedding(text, 4) for text in "ab"]
    assert np.isnan(results[2:]).all()


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_failure_before_anything_is_finished(colour: str, server: Server) -> None:
    server.behaviour(status=[[401, "no"]])

    async def main() -> Any:
        return await embedder(server).embed_many_async(["a", "b"])

    with pytest.raises(AuthenticationError) as caught:
        embedder(server).embed_many(["a", "b"]) if colour == "sync" else asyncio.run(main())
    assert caught.value.results == [None, None]


def test_a_time_limit_that_nothing_was_finished_in(server: Server) -> None:
    server.behaviour(hang=True)
    with pytest.raises(RequestTimeoutError) as caught:
        embedder(server).embed_batch_parallel([["a"], ["b"]], timeout_ms=50)
    assert caught.value.results == [None, None]
