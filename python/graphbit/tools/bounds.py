"""Bounds beside a type in `Annotated`: what a model reads of them, and whether a value keeps them.

They are known by their names alone, so the `Field` and the constrained types of pydantic, annotated_types and
msgspec all have them: ``gt``, ``ge``, ``lt``, ``le``, ``multiple_of``, ``min_length``, ``max_length``, ``pattern``.
One that says nothing about a value, such as ``gt`` about a list, is kept by it.

>>> import types
>>> [bound] = bounds_among((types.SimpleNamespace(ge=3),))
>>> bound.words("integer"), bound.kept_by(3), bound.kept_by(2)
('at least 3', True, False)
>>> schema_of([bound], {"type": "integer"})
{'minimum': 3}
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
import operator
import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: Name, its keyword in a schema, its words, how a value compares with it.
_ORDER: dict[str, tuple[str, str, Callable[[Any, Any], bool]]] = {
    "gt": ("exclusiveMinimum", "greater than", operator.gt),
    "ge": ("minimum", "at least", operator.ge),
    "lt": ("exclusiveMaximum", "less than", operator.lt),
    "le": ("maximum", "at most", operator.le),
}
_LENGTHS: dict[str, tuple[str, str, Callable[[Any, Any], bool]]] = {
    "min_length": ("min", "at least", operator.ge),
    "max_length": ("max", "at most", operator.le),
}
#: What a length counts: behind the keyword, and in a sentence.
_COUNTED = {
    "string": ("Length", "character"),
    "array": ("Items", "item"),
    "object": ("Properties", "entry"),
}
#: What integers a schema can say.
_LEAST, _GREATEST = -(2**63), 2**64 - 1
_NUMBERS = (int, float, decimal.Decimal)
_ORDERED = (*_NUMBERS, dt.date, dt.time, dt.timedelta)


class Bound(NamedTuple):
    """One bound: one of the names above, and its limit."""

    name: str
    limit: Any

    def kept_by(self, value: Any) -> bool:
        """Whether the value is within it, or is none of those that it is about."""
        try:
            if self.name in _ORDER:
                return _ORDER[self.name][2](*_comparable(value, self.limit))
            if self.name in _LENGTHS:
                return _LENGTHS[self.name][2](len(value), self.limit)
            if self.name == "pattern":
                return not isinstance(value, str) or re.search(self.limit, value) is not None
            return _exact(value) % _exact(self.limit) == 0
        except (TypeError, re.error):  # another sort of value; a pattern of another language
            return True
        except ValueError:  # an infinite number is no multiple
            return False

    def words(self, noun: str) -> str:
        """How it is said behind this noun."""
        if self.name in _ORDER:
            return f"{_ORDER[self.name][1]} {self.limit}"
        if self.name in _LENGTHS:
            _, one = _COUNTED.get(noun, _COUNTED["array"])
            many = "entries" if one == "entry" else f"{one}s"
            return f"with {_LENGTHS[self.name][1]} {self.limit} {one if self.limit == 1 else many}"
        return f"matching {self.limit}" if self.name == "pattern" else f"a multiple of {self.limit}"


def bounds_among(metadata: Iterable[Any]) -> list[Bound]:
    """The bounds in what stands behind the type in `Annotated`."""
    found: list[Bound] = []
    for item in metadata:
        inner: Any = getattr(item, "metadata", None)  # where pydantic's `Field` has them
        parts = cast("list[Any]", inner) if isinstance(inner, list) else []
        for part in (item, *parts):
            for name in (*_ORDER, *_LENGTHS, "multiple_of", "pattern"):
                bound = Bound(name, _limit(name, part))
                if bound.limit is not None and bound not in found:
                    found.append(bound)
    return found


def schema_of(bounds: Iterable[Bound], schema: dict[str, Any]) -> dict[str, Any]:
    """The keywords that say the bounds beside this schema, as far as it has some; of two, the narrower."""
    kind = schema.get("type")
    found: dict[str, Any] = {}
    for name, limit in bounds:
        if name == "pattern":
            if kind in ("string", None):
                found.setdefault("pattern", limit)
        elif name in _LENGTHS:
            if kind in _COUNTED:
                keyword = _LENGTHS[name][0] + _COUNTED[str(kind)][0]
                found[keyword] = _narrower(keyword, found.get(keyword, limit), limit)
        elif kind in ("integer", "number", None) and (plain := _plain(limit)) is not None:
            if name == "multiple_of":
                found.setdefault("multipleOf", plain)
            else:
                keyword = _ORDER[name][0]
                found[keyword] = _narrower(keyword, found.get(keyword, plain), plain)
    return found


def _limit(name: str, part: Any) -> Any:
    """The limit of that name, ``None`` without one that can be one: an array has methods called so."""
    try:
        limit = getattr(part, name, None)
    except Exception:  # noqa: BLE001 - an attribute of the author's may raise anything
        return None
    if isinstance(part, re.Pattern) or isinstance(limit, bool):
        return None
    if name == "pattern":
        limit = getattr(limit, "pattern", limit)
        return limit if isinstance(limit, str) else None
    if name in _LENGTHS:
        return limit if isinstance(limit, int) else None
    if name == "multiple_of":
        return limit if isinstance(limit, _NUMBERS) and _finite(limit) and limit else None
    return limit if isinstance(limit, _ORDERED) and limit == limit else None  # noqa: PLR0124 - NaN


def _narrower(keyword: str, one: Any, other: Any) -> Any:
    return max(one, other) if "min" in keyword.lower() else min(one, other)


def _plain(limit: Any) -> int | float | None:
    """A limit as JSON says it, if it can."""
    if isinstance(limit, dt.timedelta):
        return limit.total_seconds()
    if isinstance(limit, decimal.Decimal):
        limit = int(limit) if limit.is_finite() and limit == int(limit) else float(limit)
    if isinstance(limit, int) and not _LEAST <= limit <= _GREATEST:
        return None  # a float in its place would be another limit
    return limit if isinstance(limit, (int, float)) and _finite(limit) else None


def _comparable(value: Any, limit: Any) -> tuple[Any, Any]:
    numbers = isinstance(value, _NUMBERS) and isinstance(limit, _NUMBERS)
    if numbers and _finite(value) and _finite(limit):
        return _exact(value), _exact(limit)
    return value, limit


def _finite(number: Any) -> bool:
    # An integer may be too large to be asked.
    return isinstance(number, int) or math.isfinite(number)


def _exact(number: Any) -> Fraction:
    """A number as it is written: to the author, 0.3 is a multiple of 0.1."""
    if not isinstance(number, _NUMBERS):
        raise TypeError(type(number).__name__)
    return Fraction(number) if isinstance(number, int) else Fraction(str(number))
