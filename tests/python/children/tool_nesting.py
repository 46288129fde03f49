"""Calls of the library from inside tools that the program itself runs, without a model.

    python tool_nesting.py REPEATS

Every call of ``workflow_nesting.py`` by every way to run a tool by name, and each of these ways from
inside itself. GraphBit 0.6.8 aborts where such a tool builds a node, and stops where a tool uses the
executor that runs it. Each line is a cell and how often it worked.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import graphbit
from workflow_nesting import CALLS, vector

REGISTRY = graphbit.get_tool_registry()
# What `probe` does at the moment.
ACTIONS: list[Callable[[], object]] = []


def probe() -> str:
    """Calls the library."""
    ACTIONS[-1]()
    return "right"


NODE = graphbit.Node.agent("outer", "use the tool", tools=[probe])
EXECUTOR = graphbit.ToolExecutor(REGISTRY)
CALL = json.dumps([{"tool_name": "probe", "parameters": {}}])


def execute_tool() -> None:
    assert graphbit.execute_tool("probe", []) == "right"


def execute_workflow_tool_calls() -> None:
    assert graphbit.execute_workflow_tool_calls(CALL, ["probe"]) == "probe: right"


def execute_production_tool_calls() -> None:
    [entry] = json.loads(graphbit.execute_production_tool_calls(CALL, ["probe"]))
    assert (entry["success"], entry["output"]) == (True, "right"), entry


def registry_execute_tool() -> None:
    result = REGISTRY.execute_tool("probe", {})
    assert (result.success, result.output) == (True, "right"), result.error


def executor_execute_tools() -> None:
    [result] = EXECUTOR.execute_tools([{"name": "probe"}]).get_all()
    assert (result.success, result.output) == (True, "right"), result.error


def node_execute_tools() -> None:
    text = NODE.execute_tools([{"name": "probe"}])
    assert text == "Tool Execution Results:\n1. probe -> right\n", text


WAYS: dict[str, Callable[[], None]] = {
    way.__name__: way
    for way in (
        execute_tool,
        execute_workflow_tool_calls,
        execute_production_tool_calls,
        registry_execute_tool,
        executor_execute_tools,
        node_execute_tools,
    )
}


def inside(way: Callable[[], None], action: Callable[[], Any]) -> None:
    """Runs the tool with something to do; the tool of an inner run has something else to do."""
    ACTIONS.append(action)
    try:
        way()
    finally:
        ACTIONS.pop()


def main() -> None:
    repeats = int(sys.argv[1])
    assert vector()
    cells = [(f"{name}/{call}", way, CALLS[call]) for name, way in WAYS.items() for call in CALLS]
    for name, way in WAYS.items():
        for other, inner in WAYS.items():
            action = lambda inner=inner: inside(inner, lambda: None)  # noqa: E731
            cells.append((f"{name}/{other}", way, action))
    for cell, way, action in cells:
        print(cell, end=" ", flush=True)
        for _ in range(repeats):
            inside(way, action)
        print(repeats, flush=True)


if __name__ == "__main__":
    main()
