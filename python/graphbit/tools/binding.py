"""Tools as a node holds them: a name, what the model reads, and how to run what the model asks for.

A node calls only what was bound to it, whatever else of the same name the process has. Binding also puts
the tools into the global registry, as a view for the program. Refused: what can not be called, and two
tools of one name.

>>> def add(one: int, other: int) -> int:
...     return one + other
>>> [bound] = bind_tools([add])
>>> bound.run('{"one": 1, "other": "2"}')
(True, '3')
>>> bound.run('{"one": 1}')
(False, "Argument 'other' is missing: give an integer.")
"""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any, NoReturn, cast

from graphbit.tools.arguments import ArgumentError, fitted, parameters_of
from graphbit.tools.decorator import (
    has_own_name,
    notes_of,
    tool_description,
    tool_name,
    tool_schema,
)
from graphbit.tools.executor import ToolExecutor
from graphbit.tools.registry import ToolRegistry
from graphbit.tools.rendering import failure_text, rendered, sendable
from graphbit.tools.waiting import settled

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

_MALFORMED = "Invalid tool call format"


class BoundTool:
    """One tool of one node. Immutable; made by `bind_tools`."""

    __slots__ = ("_description", "_function", "_name", "_parameters", "_schema")

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self._name = name
        self._function = function
        self._description = sendable(tool_description(function))
        self._schema = tool_schema(function)
        self._parameters = parameters_of(function)

    @property
    def name(self) -> str:
        """What the model calls it by."""
        return self._name

    @property
    def description(self) -> str:
        """What the model reads about it."""
        return self._description

    @property
    def parameters(self) -> dict[str, Any]:
        """JSON Schema of its arguments, a new dict each time."""
        return copy.deepcopy(self._schema)

    @property
    def function(self) -> Callable[..., Any]:
        """The callable that was bound."""
        return self._function

    def run(
        self,
        arguments: str,
        event_loop: asyncio.AbstractEventLoop | None = None,
        wanted: Callable[[], bool] | None = None,
    ) -> tuple[bool, str]:
        """Call the tool with a model's arguments; whether it worked, and the text for the model.

        Args:
            arguments: JSON text of an object; a blank one is an empty object.
            event_loop: Where coroutines run, if it is running in another thread; else they run on a
                loop of their own.
            wanted: Asked now and then; a coroutine that nobody wants any more is cancelled.

        Returns:
            ``(True, text)``, a string as it is and anything else as JSON; or ``(False, text)`` with what
            is wrong with the arguments, or the tool's exception.

        Raises:
            BaseException: What is no `Exception` is not the model's business: KeyboardInterrupt, SystemExit,
                GeneratorExit and asyncio.CancelledError are raised on.
        """
        try:
            given: Any = json.loads(arguments, parse_constant=_refuse) if arguments.strip() else {}
        except (ValueError, RecursionError):
            return False, _MALFORMED
        if not isinstance(given, dict):
            return False, _MALFORMED
        try:
            positional, keywords = fitted(self._parameters, cast("dict[str, Any]", given))
        except ArgumentError as problem:
            return False, sendable(str(problem))
        try:
            value = settled(self._function(*positional, **keywords), event_loop, wanted)
            return True, rendered(value)
        except Exception as error:  # noqa: BLE001 - any failure of a tool is told to the model
            return False, failure_text(error)

    def __repr__(self) -> str:
        return f"BoundTool(name='{self._name}')"


def bind_tools(tools: list[Any]) -> list[BoundTool]:
    """Bind callables to be the tools of one node, in their order, and show them in the global registry.

    Callables without a name of their own are named after their function or class, and numbered.

    Raises:
        TypeError: If one of them can not be called.
        ValueError: If two of them have the same name.
    """
    names: list[str] = []
    for place, function in enumerate(tools):
        if not callable(function):
            raise TypeError(
                f"tool {place + 1} has to be callable, and a {type(function).__name__} is not"
            )
        names.append(tool_name(function))
    taken: set[str] = set()
    for name, function in zip(names, tools, strict=True):
        if has_own_name(function):
            if name in taken:
                raise ValueError(
                    f"two tools are named '{name}': name one of them with @tool(name=...)"
                )
            taken.add(name)
    for place, function in enumerate(tools):
        if not has_own_name(function):
            names[place] = _numbered(names[place], taken)
            taken.add(names[place])
    bound = [BoundTool(name, function) for name, function in zip(names, tools, strict=True)]
    _register(bound, ToolRegistry.new_global_proxy())
    return bound


def executor_for(bound: Sequence[BoundTool]) -> ToolExecutor:
    """An executor with the default configuration that finds exactly these tools."""
    registry = ToolRegistry()
    _register(bound, registry)
    return ToolExecutor(registry)


def execute_listing(bound: Sequence[BoundTool], tool_calls: list[Any]) -> str:
    """Run calls of these tools; a numbered line for each, below a heading.

    Raises:
        TypeError: If ``tool_calls`` is no list.
    """
    lines = ["Tool Execution Results:"]
    for number, result in enumerate(executor_for(bound).execute_tools(tool_calls), start=1):
        outcome = result.output if result.success else f"Error: {result.error}"
        lines.append(f"{number}. {result.tool_name} -> {outcome}")
    return "\n".join(lines) + "\n"


def _register(bound: Sequence[BoundTool], registry: ToolRegistry) -> None:
    for each in bound:
        return_type = notes_of(each.function).return_type
        registry.register_tool(
            each.name, each.description, each.function, each.parameters, return_type
        )
        registry.fit_arguments_of(each.name)


def _numbered(name: str, taken: set[str]) -> str:
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
