"""`tool` says of a function what a model is to read about it; `ToolDecorator` also registers it.

Neither changes the function: the object itself is returned, and what was said is kept beside it. What is
said wins over the docstring.

>>> @tool(description="Adds two numbers.", name="plus")
... def add(one: int, other: int) -> int:
...     return one + other
>>> add(1, 2), tool_name(add), tool_description(add)
(3, 'plus', 'Adds two numbers.')
"""

# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# Classes are values here, and what a class is generic over is not known.

from __future__ import annotations

import functools
import re
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, overload

from graphbit.tools.guard import guarded
from graphbit.tools.registry import ToolRegistry
from graphbit.tools.result import require
from graphbit.tools.schema import parameters_schema

Tool = TypeVar("Tool", bound=Callable[..., Any])

_ATTRIBUTE = "__graphbit_tool__"
_NO_DESCRIPTION = "Tool function"


class Notes(NamedTuple):
    """What was said of a tool; ``None`` where nothing was."""

    description: str | None = None
    name: str | None = None
    return_type: str | None = None


# By identity, for two tools may be equal; an entry goes when its tool does.
_remembered: dict[int, tuple[weakref.ref[Any], Notes]] = {}


@overload
def tool(_description: Tool, /) -> Tool: ...
@overload
def tool(
    _description: str | None = None,
    *,
    description: str | None = None,
    name: str | None = None,
    return_type: str | None = None,
) -> Callable[[Tool], Tool]: ...
def tool(
    _description: Any = None,
    *,
    description: str | None = None,
    name: str | None = None,
    return_type: str | None = None,
) -> Any:
    """Mark a callable as a tool, as ``@tool``, ``@tool("text")`` or with keywords.

    Args:
        _description: What the tool does, for the model; or the callable itself.
        description: The same by its plain name, and the one that counts if both are given.
        name: What the model calls the tool; letters, digits, ``_`` and ``-``, others become ``_``.
        return_type: Noted in the registry, ``"Any"`` if nothing is said.

    Raises:
        TypeError: If an argument is not a text, or what is decorated can not be called.
    """
    if callable(_description) and not isinstance(_description, str):
        return _description
    for value, argument in (
        (_description, "_description"), (description, "description"), (name, "name"),
        (return_type, "return_type"),
    ):  # fmt: skip
        if value is not None:
            require(value, str, argument)
    notes = Notes(_description if description is None else description, name, return_type)

    def decorate(function: Any) -> Any:
        _require_callable(function)
        remember(function, notes)
        return function

    return decorate


class ToolDecorator:
    """Registers what it decorates, with a schema from its signature.

    Args:
        registry: Where to register; by default the global registry.
    """

    __module__ = "graphbit"

    def __init__(self, registry: ToolRegistry | None = None) -> None:
        if registry is not None:
            require(registry, ToolRegistry, "registry")
        self._registry = ToolRegistry.new_global_proxy() if registry is None else registry

    @overload
    def __call__(self, description: Tool, /) -> Tool: ...
    @overload
    def __call__(
        self,
        description: str | None = None,
        name: str | None = None,
        return_type: str | None = None,
    ) -> Callable[[Tool], Tool]: ...
    def __call__(
        self, description: Any = None, name: str | None = None, return_type: str | None = None
    ) -> Any:
        """A decorator that registers its function and returns it; also usable without a call of its own."""
        if callable(description) and not isinstance(description, str):
            return self(None)(description)
        decorate = tool(description=description, name=name, return_type=return_type)

        def registering(function: Any) -> Any:
            decorate(function)
            self._register(function, tool_name(function), tool_description(function), return_type)
            return function

        return registering

    def register(
        self, func: Any, name: str | None, description: str | None, return_type: str | None
    ) -> None:
        """Register a callable under its own name or another.

        Raises:
            TypeError: If ``func`` can not be called.
            ValueError: If the name or the description is blank.
        """
        _require_callable(func)
        for value, argument in (
            (name, "name"), (description, "description"), (return_type, "return_type"),
        ):  # fmt: skip
            if value is not None:
                require(value, str, argument)
        text = "Manually registered tool" if description is None else description
        self._register(func, tool_name(func) if name is None else name, text, return_type)

    def _register(self, func: Any, name: str, description: str, return_type: str | None) -> None:
        schema = tool_schema(func)
        self._registry.register_tool(name, description, func, schema, return_type)
        self._registry.fit_arguments_of(name)

    def get_registry(self) -> ToolRegistry:
        """The registry in which it registers."""
        return self._registry

    def list_tools(self) -> list[str]:
        """The names in that registry."""
        return self._registry.list_tools()

    def get_tool_info(self, name: str) -> str | None:
        """JSON of one tool, as `ToolRegistry.get_tool_metadata` gives it."""
        return self._registry.get_tool_metadata(name)

    def __repr__(self) -> str:
        return "ToolDecorator(registry=<ToolRegistry>)"


def tool_name(function: Any) -> str:
    """What a model calls this tool: what was said of it, its own name, or that of its class.

    Letters, digits, ``_`` and ``-``: no server takes others.
    """
    said = notes_of(function).name
    if said is not None:
        return _clean(said)
    inner = _inner(function)
    own = getattr(inner, "__name__", None)
    return _clean(own if isinstance(own, str) else type(inner).__name__)


def has_own_name(function: Any) -> bool:
    """Whether the author chose the tool's name, so that two of it are a mistake."""
    if notes_of(function).name is not None:
        return True
    own = getattr(function, "__name__", None)
    return isinstance(own, str) and own != "<lambda>"


def tool_description(function: Any) -> str:
    """What a model reads about this tool: what was said of it, its docstring as it is, or a filler."""
    said = notes_of(function).description
    if said is not None and said.strip():
        return said
    return _docstring(function) or _NO_DESCRIPTION


def tool_schema(function: Any) -> dict[str, Any]:
    """The JSON Schema of this tool's parameters."""
    return parameters_schema(function, docstring=_docstring(function))


def notes_of(function: Any) -> Notes:
    """What was said of a callable, or of what it wraps, is bound to or is a part of."""
    for _ in range(16):
        notes = _recall(function)
        if notes is not None:
            return notes
        for attribute in ("__func__", "__wrapped__", "func"):
            deeper = getattr(function, attribute, None)
            if callable(deeper) and (attribute != "func" or _is_partial(function)):
                function = deeper
                break
        else:
            break
    return Notes()


def remember(function: Any, notes: Notes) -> None:
    """Keep what was said of a callable for as long as that lives.

    Raises:
        TypeError: If it can neither be referred to weakly nor take an attribute.
    """
    if isinstance(function, (staticmethod, classmethod)):  # a class hands out what is inside
        function = function.__func__
    if notes == Notes():
        return
    number = id(function)

    def forget(gone: weakref.ref[Any]) -> None:
        with guarded():
            entry = _remembered.get(number)
            if entry is not None and entry[0] is gone:
                del _remembered[number]

    try:
        reference = weakref.ref(function, forget)
    except TypeError:
        try:
            setattr(function, _ATTRIBUTE, notes)
        except AttributeError:
            raise TypeError(
                f"a {type(function).__name__} takes no description: wrap it in a function"
            ) from None
        return
    with guarded():
        _remembered[number] = (reference, notes)


def _recall(function: Any) -> Notes | None:
    entry = _remembered.get(id(function))
    if entry is not None and entry[0]() is function:
        return entry[1]
    notes = getattr(function, _ATTRIBUTE, None)
    return notes if isinstance(notes, Notes) else None


def _require_callable(function: Any) -> None:
    if not (callable(function) or isinstance(function, (staticmethod, classmethod))):
        raise TypeError(f"a tool has to be callable, and a {type(function).__name__} is not")


def _is_partial(function: Any) -> bool:
    return isinstance(function, (functools.partial, functools.partialmethod))


def _inner(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _docstring(function: Any) -> str | None:
    inner = _inner(function)
    text = getattr(inner, "__doc__", None)
    if not isinstance(text, str) and not hasattr(inner, "__name__"):
        text = getattr(getattr(type(inner), "__call__", None), "__doc__", None)  # noqa: B004 - the method is wanted
    return text if isinstance(text, str) and text.strip() else None


def _clean(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_-]", "_", name.strip("<> ")) or "tool"
