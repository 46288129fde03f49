"""Tools by their names: what is known about them, how often they were called, and the last calls.

There is one registry for the whole process, and as many others as are made. A tool runs with no lock
held: it may use the registry that runs it, and others may run beside it.

>>> registry = ToolRegistry()
>>> registry.register_tool("greet", "Greets.", lambda name: "Hello " + name, {}, "str")
>>> registry.execute_tool("greet", {"name": "Ada"}).output
'Hello Ada'
"""

from __future__ import annotations

import collections
import time
from typing import TYPE_CHECKING, Any

from graphbit.tools.arguments import ArgumentError, fitted, parameters_of
from graphbit.tools.guard import guarded
from graphbit.tools.rendering import compact, failure_text, json_value, pretty, sorted_keys, text_of
from graphbit.tools.result import ToolResult, now_ms, percent, require
from graphbit.tools.waiting import settled

if TYPE_CHECKING:
    from collections.abc import Callable

#: How many calls a registry remembers.
HISTORY = 1000


class _Entry:
    """A tool and its counters, which change under the guard only."""

    __slots__ = (
        "call_count", "created_at", "description", "function", "last_called_at", "name", "parameters",
        "return_type", "schema", "total_duration_ms",
    )  # fmt: skip

    def __init__(
        self, name: str, description: str, function: Any, schema: dict[str, Any], return_type: str
    ) -> None:
        self.name = name
        self.description = description
        self.function = function
        self.schema = schema
        self.return_type = return_type
        # What the arguments are made to fit; None for one registered by hand, which gets them as they are.
        self.parameters: list[Any] | None = None
        self.created_at = now_ms()
        self.call_count = 0
        self.total_duration_ms = 0
        self.last_called_at: int | None = None

    def call(self, params: dict[str, Any]) -> Any:
        positional, keywords = fitted(self.parameters, params)
        return settled(self.function(*positional, **keywords))

    def metadata(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "description": self.description,
            "parameters_schema": self.schema,
            "return_type": self.return_type,
            "created_at": self.created_at,
            "call_count": self.call_count,
            "total_duration_ms": self.total_duration_ms,
            "last_called_at": self.last_called_at,
        }


class _Store:
    __slots__ = ("history", "tools")

    def __init__(self) -> None:
        self.tools: dict[str, _Entry] = {}
        self.history: collections.deque[ToolResult] = collections.deque(maxlen=HISTORY)


_GLOBAL = _Store()


class ToolRegistry:
    """A set of tools with unique names. Usable from any number of threads."""

    __module__ = "graphbit"

    __slots__ = ("__weakref__", "_store")

    def __init__(self) -> None:
        self._store = _Store()

    @staticmethod
    def new_global_proxy() -> ToolRegistry:
        """A registry that shares all it has with every other one made like this."""
        proxy = ToolRegistry()
        proxy._store = _GLOBAL
        return proxy

    def register_tool(
        self,
        name: str,
        description: str,
        function: Any,
        parameters_schema: dict[str, Any],
        return_type: str | None,
    ) -> None:
        """Add a tool; one of the same name is replaced, with its counters.

        Args:
            name: What it is called by.
            description: What it does, for the model.
            function: Called with the arguments as keywords. A coroutine function is awaited.
            parameters_schema: JSON Schema of its parameters, kept as JSON with its keys sorted.
            return_type: Noted only; ``None`` is ``"Any"``.

        Raises:
            ValueError: If the name or the description is blank.
            TypeError: If an argument is of another type.
        """
        require(name, str, "name")
        require(description, str, "description")
        require(parameters_schema, dict, "parameters_schema")
        if return_type is not None:
            require(return_type, str, "return_type")
        if not name.strip():
            raise ValueError("Tool name cannot be empty")
        if not description.strip():
            raise ValueError("Tool description cannot be empty")
        schema: dict[str, Any] = sorted_keys(json_value(parameters_schema))
        kind = "Any" if return_type is None else return_type
        self._put(_Entry(name, description, function, schema, kind))

    def fit_arguments_of(self, name: str) -> None:
        """From now on make the arguments of this tool what its hints ask for."""
        with guarded():
            entry = self._store.tools.get(name)
        if entry is not None:
            entry.parameters = parameters_of(entry.function)

    def _put(self, entry: _Entry) -> None:
        with guarded():
            replaced = self._store.tools.get(entry.name)
            self._store.tools[entry.name] = entry
        del replaced  # here, where its function may run what it wants to run at its end

    def unregister_tool(self, name: str) -> bool:
        """Remove a tool; whether there was one."""
        require(name, str, "name")
        with guarded():
            removed = self._store.tools.pop(name, None)
        return removed is not None

    def has_tool(self, name: str) -> bool:
        """Whether there is a tool of this name."""
        return require(name, str, "name") in self._store.tools

    def list_tools(self) -> list[str]:
        """The names, in the order in which they came."""
        with guarded():
            return list(self._store.tools)

    def get_tool_metadata(self, name: str) -> str | None:
        """JSON of what is known about a tool and of its calls; ``None`` if there is none."""
        require(name, str, "name")
        with guarded():
            entry = self._store.tools.get(name)
            known = None if entry is None else entry.metadata()
        return None if known is None else compact(known)

    def get_llm_tools(self) -> list[str]:
        """JSON of each tool as models are offered it: ``name, description, parameters``."""
        return [
            compact(
                {
                    "name": entry.name,
                    "description": entry.description,
                    "parameters": entry.schema,
                }
            )
            for entry in self._entries()
        ]

    def execute_tool(self, name: str, params: dict[str, Any]) -> ToolResult:
        """Call a tool and note the outcome; a tool that fails gives a failed result.

        Raises:
            KeyError: If there is no such tool.
            TypeError: If ``params`` is no dict.
        """
        require(name, str, "name")
        require(params, dict, "params")
        with guarded():
            entry = self._store.tools.get(name)
        if entry is None:
            raise KeyError(f"Tool '{name}' not found")
        given = _text(params)
        started = time.perf_counter_ns()
        try:
            output = text_of(entry.call(params))
        except Exception as error:  # noqa: BLE001 - but not what stops the program
            if isinstance(error, ArgumentError):
                error = TypeError(str(error))  # which is what Python calls it
            elapsed = (time.perf_counter_ns() - started) // 1_000_000
            result = ToolResult.failure(name, given, failure_text(error), elapsed)
        else:
            elapsed = (time.perf_counter_ns() - started) // 1_000_000
            result = ToolResult(name, given, output, elapsed)
        with guarded():
            if result.success:
                entry.call_count += 1
                entry.total_duration_ms += elapsed
                entry.last_called_at = result.timestamp
            self._store.history.append(result)
        return result

    def function_of(self, name: str) -> Callable[..., Any] | None:
        """The callable itself, ``None`` if there is no such tool."""
        with guarded():
            entry = self._store.tools.get(name)
        return None if entry is None else entry.function

    def get_execution_history(self) -> list[ToolResult]:
        """The last 1000 calls, the oldest first."""
        with guarded():
            return list(self._store.history)

    def clear_history(self) -> None:
        """Forget the calls; the counters of the tools stay."""
        with guarded():
            self._store.history.clear()

    def clear(self) -> None:
        """Remove every tool and forget every call."""
        with guarded():
            removed = dict(self._store.tools)
            self._store.tools.clear()
            self._store.history.clear()
        del removed  # outside of the guard, as in `_put`

    def get_stats(self) -> str:
        """Pretty JSON: ``total_tools, total_executions, successful_executions, success_rate, tools``."""
        history = self.get_execution_history()
        successful = sum(result.success for result in history)
        with guarded():
            known = [entry.metadata() for entry in self._store.tools.values()]
        return pretty(
            {
                "total_tools": len(known),
                "total_executions": len(history),
                "successful_executions": successful,
                "success_rate": percent(successful, len(history)),
                "tools": known,
            }
        )

    def _entries(self) -> list[_Entry]:
        with guarded():
            return list(self._store.tools.values())

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a ToolRegistry holds functions of this process and can not be copied")

    def __repr__(self) -> str:
        return f"ToolRegistry(tools={len(self._store.tools)})"


def _text(params: dict[str, Any]) -> str:
    try:
        return repr(params)
    except Exception:  # noqa: BLE001 - values of the caller's own classes
        return object.__repr__(params)
