"""The parameters of a callable and the fields of a structure, with their hints as real types.

Postponed and quoted annotations are evaluated one by one, so that one name that cannot be found costs
one hint and not all of them: that one stays a ``str``. Nothing here runs a tool; evaluating an
annotation runs what the author wrote in it, as ``typing.get_type_hints`` does.

>>> def look_up(word: "str", limit: int = 3): ...
>>> [(each.name, each.hint, each.required) for each in parameters_of(look_up) or ()]
[('word', <class 'str'>, True), ('limit', <class 'int'>, False)]
"""

# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# Classes are values here, and what a class is generic over is not known.

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import sys
import types
import typing
from typing import Any, NamedTuple

#: Stands for "no annotation" and "no default"; it is what `inspect` uses.
EMPTY: Any = inspect.Parameter.empty

#: Wrappers that say something about a field and nothing about its type.
_QUALIFIERS = {"Required", "NotRequired", "ReadOnly", "Final", "ClassVar", "InitVar"}
_UNIONS: tuple[Any, ...] = (typing.Union, types.UnionType)
_NONE_TYPE: Any = type(None)


class Parameter(NamedTuple):
    """One parameter of a callable or field of a structure.

    ``hint`` is `EMPTY` when there is none, and a ``str`` when it could not be evaluated; ``default`` is
    `EMPTY` when there is none or when only the structure knows it.
    """

    name: str
    hint: Any
    required: bool
    default: Any
    kind: Any = inspect.Parameter.POSITIONAL_OR_KEYWORD


def parameters_of(function: Any) -> list[Parameter] | None:
    """The parameters of a callable in their order, ``None`` when it does not tell them.

    Parameters named ``self`` and ``cls`` are left out.
    """
    try:
        signature = _signature(function)
    except Exception:  # noqa: BLE001 - a callable may compute its signature, in any way
        return None
    module_names, local_names = _scope(function)
    class_hints = _class_hints(function) if _is_declared(function) else {}
    found: list[Parameter] = []
    for each in signature.parameters.values():
        if each.name in ("self", "cls"):
            continue
        hint = class_hints.get(each.name, EMPTY)
        if hint is EMPTY:
            hint = _evaluated(each.name, each.annotation, module_names, local_names)
        variable = each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
        required = each.default is EMPTY and not variable
        found.append(Parameter(each.name, hint, required, each.default, each.kind))
    return found


def fields_of(structure: type) -> list[Parameter] | None:
    """The fields of a TypedDict, a NamedTuple, a dataclass or an attrs class; ``None`` for others."""
    if is_typed_dict(structure):
        return _typed_dict_fields(structure)
    if is_named_tuple(structure):
        hints = _class_hints(structure)
        defaults: dict[str, Any] = getattr(structure, "_field_defaults", {})
        names: tuple[str, ...] = getattr(structure, "_fields", ())
        return [
            Parameter(name, hints.get(name, EMPTY), name not in defaults, defaults.get(name, EMPTY))
            for name in names
        ]
    return parameters_of(structure) if _is_declared(structure) else None


def _is_declared(structure: Any) -> bool:
    """Whether the annotations of this class are the parameters of its constructor."""
    declared = dataclasses.is_dataclass(structure) or hasattr(structure, "__attrs_attrs__")
    return declared and isinstance(structure, type)


def is_typed_dict(hint: Any) -> bool:
    """Whether this is a TypedDict, of `typing` or of typing_extensions."""
    return isinstance(hint, type) and issubclass(hint, dict) and hasattr(hint, "__required_keys__")


def is_named_tuple(hint: Any) -> bool:
    """Whether this is a class made by `typing.NamedTuple` or `collections.namedtuple`."""
    return isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields")


def is_pydantic_model(hint: Any) -> bool:
    """Whether this is a pydantic model, told without importing pydantic."""
    return (
        isinstance(hint, type)
        and hasattr(hint, "model_json_schema")
        and hasattr(hint, "model_validate")
    )


def annotated(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """A hint without `Annotated`, `NewType`, type aliases and qualifiers, and what stands beside it.

    That is what `Annotated` holds behind the type, the outermost first.
    """
    beside: tuple[Any, ...] = ()
    for _ in range(32):  # an alias may name itself
        origin = typing.get_origin(hint)
        if hasattr(hint, "__metadata__"):
            beside += hint.__metadata__
            hint = hint.__origin__
        elif hasattr(hint, "__supertype__"):
            hint = hint.__supertype__
        elif isinstance(hint, dataclasses.InitVar):
            hint = hint.type
        elif _qualifier(origin) and typing.get_args(hint):
            hint = typing.get_args(hint)[0]
        elif hasattr(hint, "__value__") and type(hint).__name__ == "TypeAliasType":
            hint = hint.__value__
        elif hasattr(origin, "__value__") and type(origin).__name__ == "TypeAliasType":
            hint = origin.__value__
        elif isinstance(hint, typing.TypeVar):
            hint = _bound(hint)
        else:
            break
    return hint, beside


def described(metadata: tuple[Any, ...]) -> str | None:
    """The first description in what stands beside a hint in `Annotated`."""
    for item in metadata:
        if isinstance(item, str):
            return item
        for attribute in ("description", "documentation"):
            text = getattr(item, attribute, None)
            if isinstance(text, str) and text:
                return text
    return None


def type_arguments(hint: Any) -> tuple[Any, ...]:
    """What stands in the brackets; ``((),)`` for ``tuple[()]``, which is not the bare ``tuple``."""
    if hint == tuple[()] or str(hint) == "typing.Tuple[()]":
        return ((),)
    return typing.get_args(hint)


def union_members(hint: Any) -> tuple[Any, ...] | None:
    """The members of a `Union` or ``X | Y``, ``None`` for any other hint."""
    return typing.get_args(hint) if typing.get_origin(hint) in _UNIONS else None


def accepts_none(hint: Any) -> bool:
    """Whether ``None`` is a value of this hint."""
    hint, _ = annotated(hint)
    if hint is None or hint is _NONE_TYPE or hint is Any or hint is object or hint is EMPTY:
        return True
    if isinstance(hint, str):
        return True
    if typing.get_origin(hint) is typing.Literal:
        return None in typing.get_args(hint)
    return any(accepts_none(member) for member in union_members(hint) or ())


def _bound(variable: typing.TypeVar) -> Any:
    if variable.__constraints__:
        return functools.reduce(lambda one, other: one | other, variable.__constraints__)
    return Any if variable.__bound__ is None else variable.__bound__


def _qualifier(origin: Any) -> str | None:
    name = getattr(origin, "_name", None) or getattr(origin, "__name__", None)
    module = getattr(origin, "__module__", "")
    known = name in _QUALIFIERS and module in ("typing", "typing_extensions", "dataclasses")
    return name if known else None


def _signature(function: Any) -> inspect.Signature:
    if sys.version_info >= (3, 14):
        import annotationlib  # noqa: PLC0415 - does not exist before

        return inspect.signature(function, annotation_format=annotationlib.Format.FORWARDREF)
    return inspect.signature(function)


def _scope(function: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The names of the module in which the annotations were written, and those of its closure."""
    while isinstance(function, functools.partial):
        function = function.func
    if isinstance(function, type):
        module = sys.modules.get(function.__module__)
        return dict(vars(module)) if module else {}, {}
    if not hasattr(function, "__globals__") and not hasattr(function, "__func__"):
        function = getattr(type(function), "__call__", function)  # noqa: B004 - the method is wanted
    with contextlib.suppress(ValueError):  # it wraps itself
        function = inspect.unwrap(function)
    function = getattr(function, "__func__", function)
    local_names: dict[str, Any] = {}
    code = getattr(function, "__code__", None)
    cells: tuple[Any, ...] = getattr(function, "__closure__", None) or ()
    for name, cell in zip(getattr(code, "co_freevars", ()), cells, strict=False):
        with contextlib.suppress(ValueError):  # assigned later
            local_names[name] = cell.cell_contents
    return getattr(function, "__globals__", {}), local_names


def _evaluated(name: str, annotation: Any, module_names: Any, local_names: Any) -> Any:
    if annotation is EMPTY:
        return EMPTY
    carrier = types.SimpleNamespace(__annotations__={name: annotation})
    try:
        return typing.get_type_hints(carrier, module_names, local_names, include_extras=True)[name]
    except Exception:  # noqa: BLE001 - the text of an annotation may raise anything
        return annotation if isinstance(annotation, type) else _written(annotation)


def _written(annotation: Any) -> str:
    forward = getattr(annotation, "__forward_arg__", None)
    return forward if isinstance(forward, str) else str(annotation)


def _class_hints(structure: type) -> dict[str, Any]:
    """The hints of a class, each evaluated in the module of the class that declares it."""
    with contextlib.suppress(Exception):  # as above
        return typing.get_type_hints(structure, include_extras=True)
    found: dict[str, Any] = {}
    for each in reversed(structure.__mro__):
        module_names, _ = _scope(each)
        # The class may refer to itself though it was defined inside a function.
        local_names = {each.__name__: each, structure.__name__: structure}
        annotations: dict[str, Any] = {}
        with contextlib.suppress(Exception):  # as above
            annotations = inspect.get_annotations(each)
        for name, annotation in annotations.items():
            found[name] = _evaluated(name, annotation, module_names, local_names)
    return found


def _typed_dict_fields(structure: Any) -> list[Parameter]:
    found: list[Parameter] = []
    for name, hint in _class_hints(structure).items():
        required = name in structure.__required_keys__
        # Under postponed annotations the class itself could not see these.
        inner = hint
        while inner is not EMPTY and typing.get_args(inner):
            qualifier = _qualifier(typing.get_origin(inner))
            if qualifier in ("Required", "NotRequired"):
                required = qualifier == "Required"
            if qualifier is None and not hasattr(inner, "__metadata__"):
                break
            inner = typing.get_args(inner)[0]
        found.append(Parameter(name, hint, required, EMPTY))
    return found
