"""Makes what a model wrote into what a tool's hints ask for, or says in one sentence what is wrong.

Lenient where the meaning is plain: ``"3"`` for an `int`, ``3.0`` for an `int`, ``"true"`` for a `bool`, JSON text for
a list or an object. Dataclasses, TypedDicts, NamedTuples, pydantic models, enumerations, dates and the like are built.
A value that fits is passed on untouched, an `int` for a `float` too; so is one for a parameter without a hint.

>>> def forecast(city: str, days: int = 3): ...
>>> fitted(parameters_of(forecast), {"city": "Oslo", "days": "5"})
([], {'city': 'Oslo', 'days': 5})
>>> fitted(parameters_of(forecast), {"city": "Oslo", "days": "a few"})  # doctest: +IGNORE_EXCEPTION_DETAIL
Traceback (most recent call last):
    ...
ArgumentError: Argument 'days' is "a few", but should be an integer.
"""

from __future__ import annotations

import difflib
import inspect
from typing import TYPE_CHECKING, Any

from graphbit.tools.conversion import UnfitError, article, converted, expected, shown
from graphbit.tools.hints import EMPTY, Parameter, accepts_none, parameters_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ArgumentError", "fitted", "parameters_of"]


class ArgumentError(TypeError):
    """The arguments of a call do not fit its tool; the text is a sentence for the model."""


def fitted(
    parameters: list[Parameter] | None, given: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Positional and keyword arguments for the call.

    Args:
        parameters: Of the tool, from `parameters_of`; ``None`` passes everything on by name.
        given: The model's arguments by name.

    Raises:
        ArgumentError: If a name is missing or unknown, or a value can not become what the hint asks for.
    """
    if parameters is None:
        return [], dict(given)
    named = {each.name: each for each in parameters if not _variable(each)}
    more = next((each for each in parameters if each.kind is inspect.Parameter.VAR_KEYWORD), None)
    for name in given:
        if name not in named and more is None:
            raise ArgumentError(_unknown(name, list(named)))
    positional: list[Any] = []
    written = 0  # how many of them the model gave: what follows may be left to the tool
    keywords: dict[str, Any] = {}
    for name, each in named.items():
        by_place = each.kind is inspect.Parameter.POSITIONAL_ONLY
        if name not in given or _means_default(each, given[name]):
            if each.required:
                raise ArgumentError(f"Argument '{name}' is missing: give {_wanted(each)}.")
            if by_place:
                positional.append(each.default)
            continue
        value = _value(name, given[name], each)
        if by_place:
            positional.append(value)
            written = len(positional)
        else:
            keywords[name] = value
    if more is not None:
        for name, value in given.items():
            if name not in named:
                keywords[name] = _value(name, value, more)
    return positional[:written], keywords


def _variable(each: Parameter) -> bool:
    return each.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _means_default(each: Parameter, value: Any) -> bool:
    """Models write null for what they leave out."""
    return value is None and not each.required and not accepts_none(each.hint)


def _value(name: str, value: Any, each: Parameter) -> Any:
    if each.hint is EMPTY or (value is None and each.default is None):
        return value
    try:
        return converted(value, each.hint)
    except UnfitError as problem:
        place = f"Argument '{name}'" + (f", at {problem.place}," if problem.place else "")
        raise ArgumentError(
            f"{place} is {problem.value}, but should be {problem.wanted}."
        ) from None
    except Exception as error:  # constructors of the tool's own types are called
        raise ArgumentError(
            f"Argument '{name}' is {shown(value)}, but should be {_wanted(each)} "
            f"({type(error).__name__}: {error})."
        ) from error


def _wanted(each: Parameter) -> str:
    return expected(each.hint) if each.hint is not EMPTY else article("value")


def _unknown(name: str, known: list[str]) -> str:
    quoted = f"'{name}'" if name.isidentifier() else shown(name)
    if not known:
        return f"Argument {quoted} is unknown: this tool takes none."
    near = difflib.get_close_matches(name, known, n=1)
    guess = f"did you mean '{near[0]}'? It takes" if near else "this tool takes"
    return f"Argument {quoted} is unknown: {guess} {', '.join(known)}."
