"""Many workflows at once, and workflows inside workflows; prints a line of JSON.

    python workflow_scale.py thousand_runs blocking|coroutine
    python workflow_scale.py nested DEPTH WORKERS
    python workflow_scale.py parallel_agents COUNT ROUNDS

The simulator at ``GRAPHBIT_SIMULATOR_URL`` must have ``tool_rounds=1``.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import graphbit

LLM = graphbit.LlmConfig.azurellm(
    "key-0123456789", "prod-chat", os.environ["GRAPHBIT_SIMULATOR_URL"]
)
NAMES = ("first", "second", "third")
NAP = 0.05


def chain(number: int, called: Callable[[], None], *, coroutine: bool) -> graphbit.Workflow:
    """Three agents in a row, each with a tool that sleeps and then tells the workflow's number."""

    def blocking_tool() -> int:
        """Sleeps."""
        called()
        time.sleep(NAP)
        return number

    async def coroutine_tool() -> int:
        """Sleeps."""
        called()
        await asyncio.sleep(NAP)
        return number

    tool = coroutine_tool if coroutine else blocking_tool
    workflow = graphbit.Workflow(f"run {number}")
    nodes = [graphbit.Node.agent(name, "use the tool", tools=[tool]) for name in NAMES]
    ids = [workflow.add_node(node) for node in nodes]
    workflow.connect(ids[0], ids[1])
    workflow.connect(ids[1], ids[2])
    return workflow


def thousand_runs(kind: str) -> dict[str, Any]:
    calls: list[None] = []  # appending is atomic
    executor = graphbit.Executor(LLM)
    workflows = [
        chain(number, lambda: calls.append(None), coroutine=kind == "coroutine")
        for number in range(1000)
    ]

    async def run() -> list[Any]:
        return await asyncio.gather(*map(executor.run_async, workflows))

    results = asyncio.run(run())
    right = sum(
        [result.get_node_output(name) for name in NAMES] == [f"told: {number}"] * 3
        for number, result in enumerate(results)
    )
    stats = executor.get_stats()
    return {
        "right": right,
        "tool_calls": len(calls),
        "counted": stats["successful_executions"],
        "failed": stats["failed_executions"],
    }


def nested(depth: str, workers: str) -> dict[str, Any]:
    """A tool that runs a workflow whose tool runs a workflow, by each door in turn."""
    graphbit.configure_runtime(worker_threads=int(workers))
    executor = graphbit.Executor(LLM)

    def streamed(workflow: graphbit.Workflow) -> Any:
        *_, last = executor.execute_streaming(workflow)
        return last["result"]

    async def awaited(workflow: graphbit.Workflow) -> Any:
        return await executor.run_async(workflow)

    doors: list[Callable[[graphbit.Workflow], Any]] = [
        executor.execute,
        streamed,
        lambda workflow: asyncio.run(awaited(workflow)),
    ]

    def descend(level: int) -> str:
        def deeper() -> str:
            """Goes one level down."""
            return "bottom" if level == 1 else descend(level - 1)

        workflow = graphbit.Workflow(f"level {level}")
        workflow.add_node(graphbit.Node.agent("only", "use the tool", tools=[deeper]))
        result = doors[level % len(doors)](workflow)
        assert result.is_success(), result.state()
        return str(result.get_node_output("only"))

    return {"told": descend(int(depth))}


def parallel_agents(count: str, rounds: str) -> dict[str, Any]:
    executor = graphbit.Executor(LLM)
    workflow = graphbit.Workflow("wide")
    for number in range(int(count)):
        workflow.add_node(graphbit.Node.agent(f"agent{number}", f"say {number}"))
    right = 0
    for _ in range(int(rounds)):
        outputs = executor.execute(workflow).get_all_node_outputs()
        right += sum(outputs[f"agent{n}"] == f"echo: say {n}" for n in range(int(count)))
    return {"right": right}


if __name__ == "__main__":
    cases: dict[str, Callable[..., dict[str, Any]]] = {
        case.__name__: case for case in (thousand_runs, nested, parallel_agents)
    }
    print(json.dumps(cases[sys.argv[1]](*sys.argv[2:])))
