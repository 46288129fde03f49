"""Ways to leave a program right after, or in the middle of, a run of a workflow.

    python workflow_leave.py WAY

Each must end with status 0 and without a word on standard error. The simulator at
``GRAPHBIT_SIMULATOR_URL`` must have ``tool_rounds=1``; the one at ``GRAPHBIT_HANGING_URL`` never answers.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import graphbit

URL = os.environ["GRAPHBIT_SIMULATOR_URL"]
HANG = os.environ["GRAPHBIT_HANGING_URL"]


def executor(url: str = URL) -> graphbit.Executor:
    return graphbit.Executor(graphbit.LlmConfig.azurellm("key-0123456789", "prod-chat", url))


def plain() -> graphbit.Workflow:
    workflow = graphbit.Workflow("plain")
    workflow.add_node(graphbit.Node.agent("one", "ping"))
    return workflow


def with_tool(tool: Callable[..., Any]) -> graphbit.Workflow:
    workflow = graphbit.Workflow("with a tool")
    workflow.add_node(graphbit.Node.agent("one", "use the tool", tools=[tool]))
    return workflow


def with_condition(handler: Callable[..., Any]) -> graphbit.Workflow:
    workflow = graphbit.Workflow("with a condition")
    nodes = [
        graphbit.Node.agent("one", "ping"),
        graphbit.Node.condition("branch", handler),
        graphbit.Node.agent("two", "pong"),
    ]
    ids = [workflow.add_node(node) for node in nodes]
    workflow.connect(ids[0], ids[1])
    workflow.connect(ids[1], ids[2])
    return workflow


def in_daemon_thread(work: Callable[[], object], until: threading.Event | None = None) -> None:
    threading.Thread(target=work, daemon=True).start()
    if until is None:
        time.sleep(0.05)
    else:
        assert until.wait(5), "the callback never began"


def after_async_run() -> None:
    def four() -> int:
        """Gives four."""
        return 4

    async def run() -> None:
        result = await executor().run_async(with_tool(four))
        assert result.get_node_output("one") == "told: 4", result.state()

    asyncio.run(run())


def after_async_run_with_condition() -> None:
    async def run() -> None:
        result = await executor().run_async(with_condition(lambda context: "two"))
        assert result.get_node_output("two") == "echo: two\n\npong", result.state()

    asyncio.run(run())


def after_async_stream() -> None:
    async def run() -> None:
        events = [event async for event in executor().execute_streaming(plain())]
        assert events[-1]["event"] == "workflow_completed", events[-1]

    asyncio.run(run())


def after_coroutine_tool() -> None:
    async def nap() -> str:
        """Sleeps for a moment."""
        await asyncio.sleep(0.001)
        return "slept"

    async def run() -> None:
        result = await executor().run_async(with_tool(nap))
        assert result.get_node_output("one") == "told: slept", result.state()

    asyncio.run(run())
    assert executor().execute(with_tool(nap)).is_success()


def with_abandoned_async_run() -> None:
    async def run() -> None:
        executor(HANG).run_async(plain())
        await asyncio.sleep(0.01)

    asyncio.run(run())


def with_abandoned_async_run_in_a_tool() -> None:
    begun = threading.Event()

    def slow() -> str:
        """Takes longer than the program."""
        begun.set()
        time.sleep(0.3)
        return "late"

    async def run() -> None:
        executor().run_async(with_tool(slow))
        await asyncio.to_thread(begun.wait, 5)

    asyncio.run(run())


def with_abandoned_async_run_in_a_coroutine_tool() -> None:
    async def run() -> None:
        begun = asyncio.Event()

        async def slow() -> str:
            """Takes longer than the program."""
            begun.set()
            await asyncio.sleep(5)
            return "late"

        executor().run_async(with_tool(slow))
        await asyncio.wait_for(begun.wait(), 5)

    asyncio.run(run())


def with_unawaited_result() -> None:
    async def run() -> None:
        executor().run_async(plain())

    asyncio.run(run())


def with_abandoned_stream() -> None:
    stream = executor(HANG).execute_streaming(plain())
    assert next(iter(stream))["event"] == "workflow_started"
    # It stays alive until the interpreter takes the module's names away.
    globals()["kept"] = stream


def with_abandoned_async_stream() -> None:
    async def run() -> None:
        async for _ in executor(HANG).execute_streaming(plain()):
            break

    asyncio.run(run())


def with_daemon_thread_waiting() -> None:
    in_daemon_thread(lambda: executor(HANG).execute(plain()))


def with_daemon_threads_working() -> None:
    def count() -> int:
        """Counts."""
        return sum(range(1000))

    def work() -> None:
        mine, workflow = executor(), with_tool(count)
        while True:
            mine.execute(workflow)

    for _ in range(4):
        threading.Thread(target=work, daemon=True).start()
    time.sleep(0.1)


def with_tool_running() -> None:
    begun = threading.Event()

    def slow() -> str:
        """Takes longer than the program."""
        begun.set()
        time.sleep(0.3)
        return "late"

    in_daemon_thread(lambda: executor().execute(with_tool(slow)), begun)


def with_coroutine_tool_running() -> None:
    begun = threading.Event()

    async def slow() -> str:
        """Takes longer than the program."""
        begun.set()
        await asyncio.sleep(0.3)
        return "late"

    in_daemon_thread(lambda: executor().execute(with_tool(slow)), begun)


def with_condition_running() -> None:
    begun = threading.Event()

    def slow(context: dict[str, Any]) -> str:
        begun.set()
        time.sleep(0.3)
        return "two"

    in_daemon_thread(lambda: executor().execute(with_condition(slow)), begun)


def with_tool_nested_in_a_tool_running() -> None:
    begun = threading.Event()

    def slow() -> str:
        """Takes longer than the program."""
        begun.set()
        time.sleep(0.3)
        return "late"

    def outer() -> str:
        """Runs a workflow of its own."""
        return str(executor().execute(with_tool(slow)).get_node_output("one"))

    in_daemon_thread(lambda: executor().execute(with_tool(outer)), begun)


def from_exit_handler() -> None:
    import atexit

    def four() -> int:
        """Gives four."""
        return 4

    def last() -> None:
        assert executor().execute(with_tool(four)).get_node_output("one") == "told: 4"

    atexit.register(last)
    last()


def by_system_exit_in_coroutine() -> None:
    async def run() -> None:
        executor(HANG).run_async(plain())
        await executor().run_async(plain())
        raise SystemExit(0)

    asyncio.run(run())


WAYS = {
    way.__name__: way
    for way in (
        after_async_run,
        after_async_run_with_condition,
        after_async_stream,
        after_coroutine_tool,
        with_abandoned_async_run,
        with_abandoned_async_run_in_a_tool,
        with_abandoned_async_run_in_a_coroutine_tool,
        with_unawaited_result,
        with_abandoned_stream,
        with_abandoned_async_stream,
        with_daemon_thread_waiting,
        with_daemon_threads_working,
        with_tool_running,
        with_coroutine_tool_running,
        with_condition_running,
        with_tool_nested_in_a_tool_running,
        from_exit_handler,
        by_system_exit_in_coroutine,
    )
}

if __name__ == "__main__":
    WAYS[sys.argv[1]]()
