"""Calls of the library from inside callbacks of workflows: the whole matrix, from one kind of caller.

    python workflow_nesting.py CALLER WORKERS REPEATS [CELL]

CALLER is where the run is started: ``plain`` (a script's main thread), ``thread``, ``loop`` (inside a
coroutine, so the blocking doors stand on the thread of a running loop) or ``uvloop``; a notebook imports
the file and awaits :func:`in_coroutine`. Runs on this package and, as far as that comes, on GraphBit
0.6.8. The simulator at ``GRAPHBIT_SIMULATOR_URL`` must have
``tool_rounds=1``. Each line is a cell and how often it came back with the right value; the name is
written first, so that the last line tells where a hang or an abort was.
"""

from __future__ import annotations

import asyncio
import functools
import os
import sqlite3
import sys
import tempfile
import threading
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import graphbit

URL = os.environ["GRAPHBIT_SIMULATOR_URL"]
OURS = hasattr(graphbit.LlmConfig, "from_callable")
KEY = "key-0123456789"
LLM = graphbit.LlmConfig.azurellm(KEY, "prod-chat", URL)
CLIENT = graphbit.LlmClient(LLM)
EMBEDDINGS = graphbit.EmbeddingClient(graphbit.EmbeddingConfig.azure(KEY, "prod-embed", URL))
# The executor that runs every outer workflow, and that its callbacks use again.
EXECUTOR = graphbit.Executor(LLM)
TEXT = "One sentence. Another one follows here. And a third."


@functools.cache
def vector() -> list[float]:
    """What the server embeds "ping" to, asked for outside of any callback."""
    return EMBEDDINGS.embed("ping")


def inner() -> graphbit.Workflow:
    """A workflow to run inside a callback: it has a callback of its own."""

    def deeper() -> str:
        """Says where it is."""
        return "inner"

    workflow = graphbit.Workflow("inner")
    workflow.add_node(graphbit.Node.agent("inner", "use the tool", tools=[deeper]))
    return workflow


def told(tool: str, word: str) -> list[str]:
    """What the model says after a tool; 0.6.8 puts the tool's name first, by some of its doors."""
    return [f"told: {word}"] if OURS else [f"told: {word}", f"told: {tool}: {word}"]


def check_inner(result: Any) -> None:
    assert result.is_success(), result.state()
    assert result.get_node_output("inner") in told("deeper", "inner"), result.get_all_node_outputs()


def last_event(events: Any) -> Any:
    """The result that the terminal event of a stream carries."""
    *_, last = events
    assert last["event"] == "workflow_completed", last
    return last["result"]


async def last_event_async(events: Any) -> Any:
    return last_event([event async for event in events])


# --- calls in ordinary functions ------------------------------------------------------------------


def embed() -> None:
    assert EMBEDDINGS.embed("ping") == vector()


def embed_many() -> None:
    assert EMBEDDINGS.embed_many(["ping", "pong"])[0] == vector()


def embed_with_client_built_inside() -> None:
    config = graphbit.EmbeddingConfig.azure(KEY, "prod-embed", URL)
    client = graphbit.EmbeddingClient(config)
    assert client.embed("ping") == vector()


def complete() -> None:
    assert CLIENT.complete("ping") == "echo: ping"


def complete_full() -> None:
    assert CLIENT.complete_full("ping").content == "echo: ping"


def client_stats() -> None:
    before = CLIENT.get_stats()["successful_requests"]
    complete()
    assert CLIENT.get_stats()["successful_requests"] > before


def other_executor() -> None:
    check_inner(graphbit.Executor(LLM).execute(inner()))


def other_executor_streaming() -> None:
    check_inner(last_event(graphbit.Executor(LLM).execute_streaming(inner(), stream_mode="all")))


def same_executor() -> None:
    check_inner(EXECUTOR.execute(inner()))


def same_executor_streaming() -> None:
    check_inner(last_event(EXECUTOR.execute_streaming(inner())))


def joined_thread() -> None:
    failures: list[BaseException] = []

    def work() -> None:
        try:
            complete()
            embed()
            same_executor()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not failures, failures


def asyncio_complete() -> None:
    asyncio.run(await_complete())


def asyncio_other_executor() -> None:
    asyncio.run(await_other_executor())


def asyncio_same_executor_streaming() -> None:
    async def listen() -> None:
        check_inner(await last_event_async(EXECUTOR.execute_streaming(inner())))

    asyncio.run(listen())


def node_with_tools() -> None:
    def tool_made_inside(number: int) -> int:
        """Adds one."""
        return number + 1

    node = graphbit.Node.agent("made inside", "use the tool", tools=[tool_made_inside])
    assert node.get_tool_names() == ["tool_made_inside"]


def tool_registry() -> None:
    registry = graphbit.get_tool_registry()
    registry.register_tool("from_inside", "Made in a callback.", len, {"type": "object"}, None)
    assert registry.has_tool("from_inside")
    assert "from_inside" in registry.list_tools()


def splitters() -> None:
    chunks = graphbit.RecursiveSplitter(20, 0).split_text(TEXT)
    assert [chunk.content for chunk in chunks], chunks
    assert len(graphbit.SentenceSplitter(25, 0).split_text(TEXT)) > 1


@functools.cache
def remembered() -> graphbit.MemoryClient:
    """A memory that holds "ping"."""
    path = Path(tempfile.mkdtemp(), "memory.db")
    config = graphbit.EmbeddingConfig.azure(KEY, "prod-embed", URL)
    settings = graphbit.MemoryConfig(LLM, config, str(path))
    made = graphbit.MemoryClient(settings)
    with sqlite3.connect(path) as other:
        columns = "id, content, hash, created_at, updated_at"
        values = (str(uuid.uuid4()), "ping", "", "", "")
        other.execute(f"INSERT INTO memories ({columns}) VALUES (?, ?, ?, ?, ?)", values)
    other.close()
    # 0.6.8 sees what others wrote when it is opened.
    return made if OURS else graphbit.MemoryClient(settings)


def memory_search() -> None:
    (hit,) = remembered().search("ping")
    assert hit.memory.content == "ping"


def building_clients() -> None:
    graphbit.LlmClient(LLM)
    graphbit.EmbeddingClient(graphbit.EmbeddingConfig.azure(KEY, "prod-embed", URL))
    assert graphbit.Executor(LLM, timeout_seconds=5).get_stats()["total_executions"] == 0


# --- calls in coroutine functions -----------------------------------------------------------------


async def await_complete() -> None:
    assert await CLIENT.complete_async("ping") == "echo: ping"


async def await_other_executor() -> None:
    check_inner(await graphbit.Executor(LLM).run_async(inner()))


async def await_same_executor() -> None:
    check_inner(await EXECUTOR.run_async(inner()))


async def async_for_other_executor() -> None:
    events = graphbit.Executor(LLM).execute_streaming(inner(), stream_mode="messages")
    check_inner(await last_event_async(events))


async def blocking_complete() -> None:
    complete()


async def blocking_other_executor() -> None:
    other_executor()


async def blocking_same_executor_streaming() -> None:
    same_executor_streaming()


async def await_joined_thread() -> None:
    await asyncio.to_thread(joined_thread)


CALLS: dict[str, Callable[[], None]] = {
    call.__name__: call
    for call in (
        embed,
        embed_many,
        embed_with_client_built_inside,
        complete,
        complete_full,
        client_stats,
        memory_search,
        other_executor,
        other_executor_streaming,
        same_executor,
        same_executor_streaming,
        joined_thread,
        asyncio_complete,
        asyncio_other_executor,
        asyncio_same_executor_streaming,
        node_with_tools,
        tool_registry,
        splitters,
        building_clients,
    )
}
AWAITED_CALLS: dict[str, Callable[[], Awaitable[None]]] = {
    call.__name__: call
    for call in (
        await_complete,
        await_other_executor,
        await_same_executor,
        async_for_other_executor,
        blocking_complete,
        blocking_other_executor,
        blocking_same_executor_streaming,
        await_joined_thread,
    )
}

# --- the callbacks that make them -----------------------------------------------------------------

Check = Callable[[Any], None]


def _with_tool(probe: Callable[..., Any]) -> tuple[graphbit.Workflow, Check]:
    workflow = graphbit.Workflow("outer")
    workflow.add_node(graphbit.Node.agent("outer", "use the tool", tools=[probe]))

    def check(result: Any) -> None:
        assert result.is_success(), result.state()
        outputs = result.get_all_node_outputs()
        assert result.get_node_output("outer") in told("probe", "right"), outputs

    return workflow, check


def _with_condition(handler: Callable[..., Any]) -> tuple[graphbit.Workflow, Check]:
    workflow = graphbit.Workflow("outer")
    first = workflow.add_node(graphbit.Node.agent("first", "begin"))
    branch = workflow.add_node(graphbit.Node.condition("branch", handler))
    right = workflow.add_node(graphbit.Node.agent("right", "go on"))
    wrong = workflow.add_node(graphbit.Node.agent("wrong", "never asked"))
    workflow.connect(first, branch)
    workflow.connect(branch, right)
    workflow.connect(branch, wrong)

    def check(result: Any) -> None:
        assert result.is_success(), result.state()
        assert result.get_node_output("right") == "echo: right\n\ngo on"
        assert result.get_node_output("wrong") is None

    return workflow, check


def tool(call: Callable[[], None]) -> tuple[graphbit.Workflow, Check]:
    def probe() -> str:
        """Calls the library from inside a tool."""
        call()
        return "right"

    return _with_tool(probe)


def coroutine_tool(call: Callable[[], Awaitable[None]]) -> tuple[graphbit.Workflow, Check]:
    async def probe() -> str:
        """Calls the library from inside a coroutine that is a tool."""
        await call()
        return "right"

    return _with_tool(probe)


def condition(call: Callable[[], None]) -> tuple[graphbit.Workflow, Check]:
    def handler(context: dict[str, Any]) -> str:
        assert context["parent_output"] == "echo: begin", context
        call()
        return "right"

    return _with_condition(handler)


def coroutine_condition(call: Callable[[], Awaitable[None]]) -> tuple[graphbit.Workflow, Check]:
    async def handler(context: dict[str, Any]) -> str:
        assert context["parent_output"] == "echo: begin", context
        await call()
        return "right"

    return _with_condition(handler)


PLACES: dict[str, tuple[Callable[..., tuple[graphbit.Workflow, Check]], dict[str, Any]]] = {
    "tool": (tool, CALLS),
    "condition": (condition, CALLS),
    "coroutine_tool": (coroutine_tool, AWAITED_CALLS),
    "coroutine_condition": (coroutine_condition, AWAITED_CALLS),
}

# --- doors and callers ----------------------------------------------------------------------------


def execute(workflow: graphbit.Workflow) -> Any:
    return EXECUTOR.execute(workflow)


def execute_streaming(workflow: graphbit.Workflow) -> Any:
    return last_event(EXECUTOR.execute_streaming(workflow, stream_mode="all"))


async def run_async(workflow: graphbit.Workflow) -> Any:
    return await EXECUTOR.run_async(workflow)


async def async_for(workflow: graphbit.Workflow) -> Any:
    return await last_event_async(EXECUTOR.execute_streaming(workflow, stream_mode="all"))


BLOCKING_DOORS = {door.__name__: door for door in (execute, execute_streaming)}
ASYNC_DOORS = {door.__name__: door for door in (run_async, async_for)}


def cells(only: str | None) -> list[tuple[str, str, graphbit.Workflow, Check]]:
    """Name, door, workflow and check of every cell; a workflow is run again and again."""
    return [
        (f"{place}/{name}/{door}", door, *build(call))
        for place, (build, calls) in PLACES.items()
        for name, call in calls.items()
        for door in (*BLOCKING_DOORS, *ASYNC_DOORS)
        if only in (None, f"{place}/{name}/{door}")
    ]


async def in_coroutine(repeats: int, only: str | None = None) -> None:
    """Every cell, started by a coroutine of a running loop."""
    for name, door, workflow, check in cells(only):
        print(name, end=" ", flush=True)
        for _ in range(repeats):
            if door in ASYNC_DOORS:
                check(await ASYNC_DOORS[door](workflow))
            else:
                check(BLOCKING_DOORS[door](workflow))
        print(repeats, flush=True)


def without_loop(repeats: int, only: str | None = None) -> None:
    """Every cell, started by ordinary code; the asynchronous doors get a loop for each call."""
    for name, door, workflow, check in cells(only):
        print(name, end=" ", flush=True)
        for _ in range(repeats):
            if door in ASYNC_DOORS:
                check(asyncio.run(ASYNC_DOORS[door](workflow)))
            else:
                check(BLOCKING_DOORS[door](workflow))
        print(repeats, flush=True)


def main() -> None:
    caller, workers, repeats = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    only = sys.argv[4] if len(sys.argv) > 4 else None
    graphbit.configure_runtime(worker_threads=workers)
    assert vector()
    if caller == "plain":
        without_loop(repeats, only)
    elif caller == "thread":
        failures: list[BaseException] = []

        def work() -> None:
            try:
                without_loop(repeats, only)
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        for failure in failures:
            raise failure
    elif caller == "loop":
        asyncio.run(in_coroutine(repeats, only))
    else:
        import uvloop

        uvloop.run(in_coroutine(repeats, only))


if __name__ == "__main__":
    main()
