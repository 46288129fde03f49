"""Names that are looked up when they are first asked for, so that importing graphbit stays cheap.

What stands behind them is written in Python and needs `inspect`, `asyncio` and others that take longer to
import than all the rest.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

#: Which module each name is in.
NAMES: dict[str, str] = dict.fromkeys(
    (
        "ExecutorConfig",
        "ToolDecorator",
        "ToolExecutor",
        "ToolRegistry",
        "ToolResult",
        "ToolResultCollection",
        "clear_tools",
        "execute_production_tool_calls",
        "execute_tool",
        "execute_workflow_tool_calls",
        "get_registered_tools",
        "get_tool_registry",
        "sync_global_tools_to_workflow",
        "tool",
    ),
    "graphbit.tools",
)
NAMES["WorkflowContext"] = "graphbit.workflows"
NAMES.update(
    dict.fromkeys(
        ("AdaptiveConcurrency", "Cache", "CircuitBreaker", "Hedging", "RateLimit", "RetryPolicy"),
        "graphbit.resilience",
    )
)


def resolver(module: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` for a module that has these names beside its own."""
    own = vars(sys.modules[module])

    def look_up(name: str) -> Any:
        home = NAMES.get(name)
        if home is None:
            raise AttributeError(f"module '{module}' has no attribute '{name}'")
        value = own[name] = getattr(importlib.import_module(home), name)
        return value

    def names() -> list[str]:
        return sorted({*own, *NAMES})

    return look_up, names
