"""The native module under the name it has in GraphBit: `from graphbit.graphbit import LlmClient`."""

# ruff: noqa: PLC0414 - the alias is how a module says that it hands a name on

from typing import TYPE_CHECKING

from graphbit._graphbit import *  # noqa: F403

if TYPE_CHECKING:
    from graphbit.tools import ExecutorConfig as ExecutorConfig
    from graphbit.tools import ToolDecorator as ToolDecorator
    from graphbit.tools import ToolExecutor as ToolExecutor
    from graphbit.tools import ToolRegistry as ToolRegistry
    from graphbit.tools import ToolResult as ToolResult
    from graphbit.tools import ToolResultCollection as ToolResultCollection
    from graphbit.tools import clear_tools as clear_tools
    from graphbit.tools import execute_production_tool_calls as execute_production_tool_calls
    from graphbit.tools import execute_tool as execute_tool
    from graphbit.tools import execute_workflow_tool_calls as execute_workflow_tool_calls
    from graphbit.tools import get_registered_tools as get_registered_tools
    from graphbit.tools import get_tool_registry as get_tool_registry
    from graphbit.tools import sync_global_tools_to_workflow as sync_global_tools_to_workflow
    from graphbit.tools import tool as tool
    from graphbit.workflows import WorkflowContext as WorkflowContext

    def __dir__() -> list[str]: ...
else:
    from graphbit._lazy import resolver

    __getattr__, __dir__ = resolver(__name__)
