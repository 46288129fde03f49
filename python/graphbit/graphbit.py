"""The native module under the name it has in GraphBit: `from graphbit.graphbit import LlmClient`."""

from typing import TYPE_CHECKING

from graphbit._graphbit import *  # noqa: F403

if TYPE_CHECKING:
    from graphbit.tools import (
        ExecutorConfig as ExecutorConfig,
        ToolDecorator as ToolDecorator,
        ToolExecutor as ToolExecutor,
        ToolRegistry as ToolRegistry,
        ToolResult as ToolResult,
        ToolResultCollection as ToolResultCollection,
        clear_tools as clear_tools,
        execute_production_tool_calls as execute_production_tool_calls,
        execute_tool as execute_tool,
        execute_workflow_tool_calls as execute_workflow_tool_calls,
        get_registered_tools as get_registered_tools,
        get_tool_registry as get_tool_registry,
        sync_global_tools_to_workflow as sync_global_tools_to_workflow,
        tool as tool,
    )
else:
    from graphbit._lazy import resolver

    __getattr__, __dir__ = resolver(__name__)
