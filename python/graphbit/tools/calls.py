"""Functions over the global registry: the tools of every node of the process, on every thread.

What a model asks for by JSON is run only if its name is among those that the node offers.

>>> clear_tools()
>>> get_tool_registry().register_tool("add", "Adds.", lambda one, other: one + other, {}, "int")
>>> execute_tool("add", [1, 2])
3
>>> execute_workflow_tool_calls('[{"tool_name": "add", "parameters": {"one": 1, "other": 2}}]', ["add"])
'add: 3'
"""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from graphbit.tools.registry import ToolRegistry
from graphbit.tools.rendering import compact
from graphbit.tools.result import ToolResult, require


def get_tool_registry() -> ToolRegistry:
    """The registry of the whole process."""
    return ToolRegistry.new_global_proxy()


def clear_tools() -> None:
    """Remove every tool of the global registry and forget its calls. Nodes keep the tools bound to them."""
    get_tool_registry().clear()


def get_registered_tools() -> list[str]:
    """The names in the global registry, the same on every thread."""
    return get_tool_registry().list_tools()


def sync_global_tools_to_workflow() -> None:
    """Does nothing that is left to do: workflows and the global registry share their tools already."""


def execute_tool(tool_name: str, args: Sequence[Any]) -> Any:
    """Call a tool by its name with positional arguments, as they are, and return what it returns.

    The object itself: a coroutine function gives its coroutine, for the caller to await.

    Raises:
        ValueError: If there is no such tool.
        TypeError: If ``args`` is no sequence. What the tool raises is raised on.
    """
    require(tool_name, str, "tool_name")
    if isinstance(args, (str, bytes)) or not _is_sequence(args):
        raise TypeError(
            f"argument 'args': '{type(args).__name__}' object cannot be converted to 'Sequence'"
        )
    function = get_tool_registry().function_of(tool_name)
    if function is None:
        raise ValueError(f"Tool '{tool_name}' not found in registry")
    return function(*args)


def execute_workflow_tool_calls(tool_calls_json: str, node_tools: Sequence[str]) -> str:
    """Run calls one after another and describe each in a line.

    Args:
        tool_calls_json: JSON array of ``{"tool_name", "parameters"}``.
        node_tools: The names that may be called.

    Raises:
        ValueError: If the text is no JSON array.
    """
    calls, offered = _parsed(tool_calls_json), _names(node_tools)
    lines: list[str] = []
    for call in calls:
        if call is None:
            lines.append("Error: Invalid tool call format - missing tool_name or parameters")
            continue
        outcome = f"Error - Tool '{call.name}' not available for this node"
        if call.name in offered:
            result = _run(call)
            if result is None:
                outcome = (
                    f"Error - Tool '{call.name}' not found in any registry: "
                    f"ValueError: Tool '{call.name}' not found in global registry"
                )
            else:
                outcome = result.output if result.success else f"Error - {result.error}"
        lines.append(f"{call.name}: {outcome}")
    return "\n".join(lines) if lines else "No tool calls were executed"


def execute_production_tool_calls(tool_calls_json: str, node_tools: Sequence[str]) -> str:
    """Run calls one after another and describe each in a JSON array.

    Its objects have ``tool_name, output, success, error``, the UTC times ``start_time`` and ``end_time``, and
    ``latency_ms``. Arguments and errors are those of `execute_workflow_tool_calls`.
    """
    calls, offered = _parsed(tool_calls_json), _names(node_tools)
    rows: list[dict[str, Any]] = []
    for call in calls:
        began, started = _utc(), time.perf_counter_ns()
        output, error = "", None
        if call is None:
            error = "Invalid tool call format"
        elif get_tool_registry().function_of(call.name) is None:
            error = f"ValueError: Tool '{call.name}' not found in global registry"
        elif call.name not in offered:
            error = f"Tool '{call.name}' not available for this node"
        else:
            result = _run(call)
            if result is None:  # removed just now
                error = f"ValueError: Tool '{call.name}' not found in global registry"
            else:
                output, error = result.output, result.error
        rows.append(
            {
                "end_time": _utc(),
                "error": error,
                "latency_ms": (time.perf_counter_ns() - started) // 1_000_000,
                "output": output,
                "start_time": began,
                "success": error is None,
                "tool_name": "unknown" if call is None else call.name,
            }
        )
    return compact(rows)


class _Call(NamedTuple):
    name: str
    parameters: dict[str, Any]


def _parsed(text: str) -> list[_Call | None]:
    """The calls in a JSON array, ``None`` for what is none."""
    failed = "Failed to parse tool calls JSON: "
    try:
        found: Any = json.loads(require(text, str, "tool_calls_json"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{failed}{error}") from None
    if not isinstance(found, list):
        raise ValueError(f"{failed}expected an array")  # noqa: TRY004 - it is the text that is wrong
    return [_call(item) for item in cast("list[Any]", found)]


def _call(item: Any) -> _Call | None:
    if not isinstance(item, dict):
        return None
    fields = cast("dict[str, Any]", item)
    name, parameters = fields.get("tool_name"), fields.get("parameters")
    if isinstance(name, str) and isinstance(parameters, dict):
        return _Call(name, cast("dict[str, Any]", parameters))
    return None


def _names(node_tools: Sequence[str]) -> set[str]:
    if isinstance(node_tools, (str, bytes)) or not _is_sequence(node_tools):
        raise TypeError(
            f"argument 'node_tools': '{type(node_tools).__name__}' object cannot be converted to 'Sequence'"
        )
    return {require(name, str, "node_tools") for name in node_tools}


def _run(call: _Call) -> ToolResult | None:
    registry = get_tool_registry()
    try:
        return registry.execute_tool(call.name, call.parameters)
    except KeyError:
        return None


def _is_sequence(value: object) -> bool:
    return isinstance(value, Sequence)


def _utc() -> str:
    return dt.datetime.now(dt.timezone.utc).isoformat()
