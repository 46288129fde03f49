"""Tools: Python functions that a model may call, their schemas, registries and executors.

A tool's schema comes from its signature and docstring; what the model writes is checked and converted before
the call. Nothing is printed, and no lock is held while a tool runs.

>>> @tool(description="Adds two numbers.")
... def add(one: int, other: int = 1) -> int:
...     return one + other
>>> [bound] = bind_tools([add])
>>> bound.run('{"one": "41"}')
(True, '42')
"""

from graphbit.tools.arguments import ArgumentError
from graphbit.tools.binding import BoundTool, bind_tools, execute_listing, executor_for
from graphbit.tools.calls import (
    clear_tools,
    execute_production_tool_calls,
    execute_tool,
    execute_workflow_tool_calls,
    get_registered_tools,
    get_tool_registry,
    sync_global_tools_to_workflow,
)
from graphbit.tools.decorator import ToolDecorator, tool
from graphbit.tools.executor import ExecutorConfig, ToolExecutor
from graphbit.tools.registry import ToolRegistry
from graphbit.tools.result import ToolResult, ToolResultCollection
from graphbit.tools.schema import parameters_schema

__all__ = [
    "ArgumentError",
    "BoundTool",
    "ExecutorConfig",
    "ToolDecorator",
    "ToolExecutor",
    "ToolRegistry",
    "ToolResult",
    "ToolResultCollection",
    "bind_tools",
    "clear_tools",
    "execute_listing",
    "execute_production_tool_calls",
    "execute_tool",
    "execute_workflow_tool_calls",
    "executor_for",
    "get_registered_tools",
    "get_tool_registry",
    "parameters_schema",
    "sync_global_tools_to_workflow",
    "tool",
]
