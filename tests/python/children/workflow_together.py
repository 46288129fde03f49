"""Workflows that run beside each other, with tools that sleep: what brought GraphBit 0.6.8 to a stop.

    python workflow_together.py SCENARIO WORKERS REPEATS

The simulator at ``GRAPHBIT_SIMULATOR_URL`` must have ``tool_rounds=1``. Prints ``ok REPEATS``.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import graphbit

LLM = graphbit.LlmConfig.azurellm(
    "key-0123456789", "prod-chat", os.environ["GRAPHBIT_SIMULATOR_URL"]
)
NAP = 0.005


def workflow(word: str) -> graphbit.Workflow:
    """Two agents that wait for each other, each with a tool that lets others run while it sleeps."""

    def doze() -> str:
        """Sleeps and says a word."""
        time.sleep(NAP)
        return word

    made = graphbit.Workflow(word)
    first = made.add_node(graphbit.Node.agent("first", "use the tool", tools=[doze]))
    second = made.add_node(graphbit.Node.agent("second", "use the tool", tools=[doze]))
    made.connect(first, second)
    return made


def check(result: Any, word: str) -> None:
    assert result.is_success(), result.state()
    outputs = [result.get_node_output(name) for name in ("first", "second")]
    assert outputs == [f"told: {word}"] * 2, outputs


def check_events(events: list[dict[str, Any]], word: str) -> None:
    assert events[-1]["event"] == "workflow_completed", events[-1]
    check(events[-1]["result"], word)


def two_async_runs() -> None:
    async def run() -> None:
        executors = graphbit.Executor(LLM), graphbit.Executor(LLM)
        runs = zip(executors, ("one", "two"), strict=True)
        results = await asyncio.gather(*(each.run_async(workflow(word)) for each, word in runs))
        for result, word in zip(results, ("one", "two"), strict=True):
            check(result, word)

    asyncio.run(run())


def two_threads_on_workflows_of_the_main_thread() -> None:
    made = {word: (graphbit.Executor(LLM), workflow(word)) for word in ("one", "two")}
    with ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda pair: pair[0].execute(pair[1]), made.values())
        for result, word in zip(results, made, strict=True):
            check(result, word)


def two_streams() -> None:
    executor = graphbit.Executor(LLM)
    words = ("one", "two")
    streams = {word: iter(executor.execute_streaming(workflow(word))) for word in words}
    events: dict[str, list[dict[str, Any]]] = {word: [] for word in words}
    while streams:
        for word in list(streams):
            event = next(streams[word], None)
            if event is None:
                del streams[word]
            else:
                events[word].append(event)
    for word in words:
        check_events(events[word], word)


async def _listen(executor: graphbit.Executor, word: str) -> None:
    stream = executor.execute_streaming(workflow(word), stream_mode="all")
    check_events([event async for event in stream], word)


def two_async_streams() -> None:
    async def run() -> None:
        executor = graphbit.Executor(LLM)
        await asyncio.gather(_listen(executor, "one"), _listen(executor, "two"))

    asyncio.run(run())


def _beside_an_async_run(work: Callable[[], object]) -> None:
    """Does ``work`` in another thread again and again, from before a run until after it."""
    stop = threading.Event()
    failures: list[BaseException] = []
    rounds = 0

    def busy() -> None:
        nonlocal rounds
        try:
            while not stop.is_set():
                work()
                rounds += 1
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=busy)
    thread.start()

    async def run() -> None:
        check(await graphbit.Executor(LLM).run_async(workflow("one")), "one")

    try:
        asyncio.run(run())
    finally:
        stop.set()
        thread.join()
    assert not failures, failures
    assert rounds > 0


def async_run_and_thread_building_nodes() -> None:
    _beside_an_async_run(lambda: workflow("built"))


def async_run_and_thread_reading_the_registry() -> None:
    def read() -> None:
        registry = graphbit.get_tool_registry()
        registry.get_stats()
        assert registry.has_tool("doze")

    workflow("registered")
    _beside_an_async_run(read)


def eight_threads_on_one_executor() -> None:
    executor = graphbit.Executor(LLM)
    words = [f"word{number}" for number in range(8)]
    made = [workflow(word) for word in words]
    with ThreadPoolExecutor(8) as pool:
        for result, word in zip(pool.map(executor.execute, made), words, strict=True):
            check(result, word)
    assert executor.get_stats()["successful_executions"] == 8


def streams_beside_runs_beside_threads() -> None:
    executor = graphbit.Executor(LLM)

    def blocking(word: str) -> None:
        check(executor.execute(workflow(word)), word)
        check_events(list(executor.execute_streaming(workflow(word))), word)

    async def run() -> None:
        threads = [asyncio.to_thread(blocking, f"thread{number}") for number in range(4)]
        streams = [_listen(executor, f"stream{number}") for number in range(4)]
        runs = [executor.run_async(workflow(f"run{number}")) for number in range(4)]
        await asyncio.gather(*threads, *streams)
        for number, result in enumerate(await asyncio.gather(*runs)):
            check(result, f"run{number}")

    asyncio.run(run())


def coroutine_tools_on_one_loop() -> None:
    """Tools that wait for each other: they only come to an end if all of them are under way at once."""

    async def run() -> None:
        here, arrived = asyncio.Event(), 0

        async def meet() -> str:
            """Waits for the others."""
            nonlocal arrived
            arrived += 1
            if arrived == 4:
                here.set()
            await here.wait()
            return "met"

        async def one(executor: graphbit.Executor) -> None:
            made = graphbit.Workflow("meeting")
            made.add_node(graphbit.Node.agent("first", "use the tool", tools=[meet]))
            result = await executor.run_async(made)
            assert result.get_node_output("first") == "told: met", result.state()

        executor = graphbit.Executor(LLM)
        await asyncio.gather(*(one(executor) for _ in range(4)))

    asyncio.run(run())


SCENARIOS: dict[str, Callable[[], None]] = {
    scenario.__name__: scenario
    for scenario in (
        two_async_runs,
        two_threads_on_workflows_of_the_main_thread,
        two_streams,
        two_async_streams,
        async_run_and_thread_building_nodes,
        async_run_and_thread_reading_the_registry,
        eight_threads_on_one_executor,
        streams_beside_runs_beside_threads,
        coroutine_tools_on_one_loop,
    )
}


def main() -> None:
    name, workers, repeats = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    graphbit.configure_runtime(worker_threads=workers)
    for scenario in list(SCENARIOS) if name == "all" else [name]:
        print(scenario, end=" ", flush=True)
        for _ in range(repeats):
            SCENARIOS[scenario]()
        print(repeats, flush=True)


if __name__ == "__main__":
    main()
