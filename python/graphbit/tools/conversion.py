"""Converts one value of JSON to one hint; `arguments` applies it to a whole call.

Refuses with `UnfitError`, which knows the place, the value and what would be right. Never changes a value that
fits already, containers included: they are copied only when something in them had to change.

>>> import datetime
>>> converted(["2026-01-02"], list[datetime.date])
[datetime.date(2026, 1, 2)]
>>> converted("[1, 2]", set[int])
{1, 2}
"""

# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# Classes are values here, and what a class is generic over is not known.

from __future__ import annotations

import collections
import collections.abc
import datetime as dt
import decimal
import enum
import json
import math
import pathlib
import typing
import uuid
from typing import Any

from graphbit.tools import hints
from graphbit.tools.bounds import bounds_among
from graphbit.tools.rendering import compact, json_value

if typing.TYPE_CHECKING:
    from collections.abc import Callable

_TRUE, _FALSE = {"true", "yes", "1", "on"}, {"false", "no", "0", "off"}
_NULL = {"", "null", "none"}
_LONGEST = 80  # characters of a value that a sentence shows

_CALLED: dict[type, str] = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a string",
    bytes: "a string",
    dt.datetime: "a date and time like 2026-01-31T12:00:00Z",
    dt.date: "a date like 2026-01-31",
    dt.time: "a time like 12:00:00",
    dt.timedelta: "a number of seconds",
    uuid.UUID: "a UUID",
    decimal.Decimal: "a number",
    pathlib.PurePath: "a path",
}


class UnfitError(ValueError):
    """A value that can not become what is asked for; ``place`` leads to it inside of the argument."""

    def __init__(self, value: Any, wanted: str, place: str = "") -> None:
        self.value = value if place else shown(value)
        self.wanted = wanted
        self.place = place
        super().__init__(f"{self.value} is not {wanted}")

    def inside(self, step: str) -> UnfitError:
        """The same, seen from the container."""
        outer = UnfitError("", self.wanted, step + self.place)
        outer.value = self.value
        return outer


def shown(value: Any) -> str:
    """A value in a sentence: as JSON, cut short."""
    text = compact(json_value(value))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def article(noun: str) -> str:
    """The noun with "a" or "an"."""
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def expected(hint: Any) -> str:
    """What a hint asks for, in words that stand behind "should be"."""
    hint, beside = hints.annotated(hint)
    words = _expected(hint)
    bounds = bounds_among(beside)
    if not bounds:
        return words
    noun = words.split(",")[0].rsplit(" ", 1)[-1]  # of "a list, each a string" the list
    return f"{words}, {' and '.join(bound.words(noun) for bound in bounds)}"


def _expected(hint: Any) -> str:  # noqa: PLR0911 - a line for each sort of hint
    if hint is None or hint is type(None):
        return "null"
    members = hints.union_members(hint)
    if members is not None:
        return " or ".join(dict.fromkeys(expected(member) for member in members))
    if _is_literal(hint):
        return _one_of([_plain_choice(choice) for choice in typing.get_args(hint)])
    origin, inner = typing.get_origin(hint), hints.type_arguments(hint)
    kind = origin if origin is not None else hint
    if not isinstance(kind, type) or kind is object:
        return "a value"
    if issubclass(kind, enum.Enum):
        return _one_of([_plain_choice(choice) for choice in kind])
    fields = hints.fields_of(kind)
    if fields is not None or hints.is_pydantic_model(kind):
        names = ", ".join(each.name for each in fields or ())
        return f"an object for {kind.__name__}" + (f" with {names}" if names else "")
    for each, name in _CALLED.items():
        if issubclass(kind, each):
            return name
    if issubclass(kind, collections.abc.Mapping):
        return "an object"
    if issubclass(kind, collections.abc.Iterable):
        return "a list" + (f", each {expected(inner[0])}" if inner and inner[0] != () else "")
    return article(kind.__name__)


def converted(value: Any, hint: Any) -> Any:
    """The value as its hint asks for it, the same object if it fits.

    Raises:
        UnfitError: If there is no plain way to it.
    """
    bare, beside = hints.annotated(hint)
    result = _converted(value, bare)
    # None is one of the choices of a union, and no number.
    if result is not None and not all(bound.kept_by(result) for bound in bounds_among(beside)):
        raise UnfitError(value, expected(hint))
    return result


def _converted(value: Any, hint: Any) -> Any:
    if hint is hints.EMPTY or hint is Any or hint is object or isinstance(hint, str):
        return value
    if hint is None or hint is type(None):
        if value is None or (isinstance(value, str) and value.strip().lower() in _NULL):
            return None
        raise UnfitError(value, "null")
    members = hints.union_members(hint)
    if members is not None:
        return _of_union(value, hint, members)
    if _is_literal(hint):
        return _chosen(value, list(typing.get_args(hint)))
    origin, inner = typing.get_origin(hint), hints.type_arguments(hint)
    kind = origin if origin is not None else hint
    if not isinstance(kind, type):
        return value
    return _of_class(value, hint, kind, inner)


def _of_class(  # noqa: PLR0911 - a line for each sort of class
    value: Any, hint: Any, kind: type, inner: tuple[Any, ...]
) -> Any:
    if issubclass(kind, enum.Enum):
        return value if isinstance(value, kind) else _chosen(value, list(kind))
    if hints.is_pydantic_model(kind):
        return value if isinstance(value, kind) else _pydantic(value, kind)
    fields = hints.fields_of(kind)
    if fields is not None:
        return _structure(value, kind, fields)
    for each, convert in _SCALARS.items():
        if issubclass(kind, each):
            if isinstance(value, kind) and not _wrong_kind(value, kind):
                return value
            result = convert(value)
            made: Callable[[Any], Any] = (
                kind  # a class of the author's own, made from the plain value
            )
            return result if isinstance(result, kind) or kind in _SCALARS else made(result)
    if issubclass(kind, collections.abc.Mapping):
        return _mapping(value, hint, kind, inner)
    if issubclass(kind, tuple):
        return _tuple(value, hint, inner)
    if issubclass(kind, collections.abc.Set) or issubclass(kind, collections.abc.Sequence):
        return _collection(value, hint, kind, inner)
    if kind in (collections.abc.Iterable, collections.abc.Collection):
        return _collection(value, hint, kind, inner)
    return value  # a class that JSON knows nothing of: the tool gets what the model wrote


def _is_literal(hint: Any) -> bool:
    origin = typing.get_origin(hint)
    return origin is typing.Literal or getattr(origin, "_name", None) == "Literal"


def _one_of(choices: list[Any]) -> str:
    texts = [shown(choice) for choice in choices]
    return texts[0] if len(texts) == 1 else "one of " + ", ".join(texts)


def _plain_choice(choice: Any) -> Any:
    inner = choice.value if isinstance(choice, enum.Enum) else choice
    if isinstance(inner, bytes):
        return inner.decode(errors="replace")
    if inner is None or isinstance(inner, (str, int, float)):
        return inner
    return choice.name if isinstance(choice, enum.Enum) else str(choice)


def _chosen(value: Any, choices: list[Any]) -> Any:
    """The choice that is the value; else the only one that is written like it."""
    for choice in choices:
        if choice is value or (type(choice) is type(value) and choice == value):
            return choice
    plain = [_plain_choice(choice) for choice in choices]
    for choice, inner in zip(choices, plain, strict=True):
        if inner == value and isinstance(inner, bool) == isinstance(value, bool):
            return choice
    written = _written(value)
    for fold in (str.strip, _folded):
        near = [
            choice
            for choice, inner in zip(choices, plain, strict=True)
            if fold(_written(inner)) == fold(written)
        ]
        near += [
            choice
            for choice in choices
            if isinstance(choice, enum.Enum)
            and fold(choice.name) == fold(written)
            and choice not in near
        ]
        if len(near) == 1:
            return near[0]
    raise UnfitError(value, _one_of(plain))


def _folded(text: str) -> str:
    return text.strip().casefold()


def _written(value: Any) -> str:
    return value if isinstance(value, str) else shown(value)


def _of_union(value: Any, hint: Any, members: tuple[Any, ...]) -> Any:
    # A member that takes the value as it is goes first: "3" stays a string for `int | str`.
    found: list[Any] = []
    for member in members:
        try:
            result = converted(value, member)
        except Exception:  # noqa: BLE001, S112 - the next member may take it
            continue
        if result is value:
            return value
        found.append(result)
    if not found:
        raise UnfitError(value, expected(hint))
    return found[0]


def _wrong_kind(value: Any, kind: type) -> bool:
    """A datetime is a date to Python, but not to the one who asked for a date."""
    return kind is dt.date and isinstance(value, dt.datetime)


def _boolean(value: Any) -> bool:
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
    elif isinstance(value, (int, float)) and value in (0, 1):
        return bool(value)
    raise UnfitError(value, _CALLED[bool])


def _integer(value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        text = value.strip()
        try:
            return int(text)
        except ValueError:
            pass
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if number.is_integer() and abs(number) < 2**53:  # beyond, it would be another number
            return int(number)
    raise UnfitError(value, _CALLED[int])


def _number(value: Any) -> float | int:
    if isinstance(value, int):
        return value  # every `int` is a `float` to the hints
    if isinstance(value, str):
        try:
            number = float(value.strip())
        except ValueError:
            number = math.nan
        if math.isfinite(number):
            return number
    raise UnfitError(value, _CALLED[float])


def _text(value: Any) -> str:
    if value is None:
        raise UnfitError(value, _CALLED[str])
    return value if isinstance(value, str) else compact(json_value(value))


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode(errors="replace")
    raise UnfitError(value, _CALLED[bytes])


def _moment(value: Any) -> dt.datetime:
    if isinstance(value, str):
        text = value.strip()
        if text[-1:] in ("Z", "z"):  # Python 3.10 does not read it
            text = text[:-1] + "+00:00"
        try:
            return dt.datetime.fromisoformat(text)
        except ValueError:
            raise UnfitError(value, _CALLED[dt.datetime]) from None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return dt.datetime.fromtimestamp(value, dt.timezone.utc)
        except (ValueError, OverflowError, OSError):
            pass
    raise UnfitError(value, _CALLED[dt.datetime])


def _day(value: Any) -> dt.date:
    if isinstance(value, (str, dt.datetime)):
        try:
            return (_moment(value) if isinstance(value, str) else value).date()
        except UnfitError:
            pass
    raise UnfitError(value, _CALLED[dt.date])


def _time(value: Any) -> dt.time:
    if isinstance(value, str):
        text = value.strip()
        try:
            return dt.time.fromisoformat(text[:-1] + "+00:00" if text[-1:] in ("Z", "z") else text)
        except ValueError:
            pass
    raise UnfitError(value, _CALLED[dt.time])


def _duration(value: Any) -> dt.timedelta:
    try:
        if not isinstance(value, bool):
            return dt.timedelta(seconds=float(value))
    except (TypeError, ValueError, OverflowError):
        pass
    raise UnfitError(value, _CALLED[dt.timedelta])


def _uuid(value: Any) -> uuid.UUID:
    try:
        return uuid.UUID(value.strip() if isinstance(value, str) else "")
    except ValueError:
        raise UnfitError(value, _CALLED[uuid.UUID]) from None


def _decimal(value: Any) -> decimal.Decimal:
    try:
        number = decimal.Decimal(str(value).strip())
    except decimal.InvalidOperation:
        number = decimal.Decimal("NaN")
    if isinstance(value, bool) or not number.is_finite():
        raise UnfitError(value, _CALLED[decimal.Decimal])
    return number


def _path(value: Any) -> pathlib.Path:
    if isinstance(value, str):
        return pathlib.Path(value)
    raise UnfitError(value, _CALLED[pathlib.PurePath])


#: In the order in which a class is looked for: `bool` is an `int`, a datetime a date.
_SCALARS: dict[type, Callable[[Any], Any]] = {
    bool: _boolean,
    int: _integer,
    float: _number,
    str: _text,
    bytes: _bytes,
    dt.datetime: _moment,
    dt.date: _day,
    dt.time: _time,
    dt.timedelta: _duration,
    uuid.UUID: _uuid,
    decimal.Decimal: _decimal,
    pathlib.PurePath: _path,
}


def _unpacked(value: Any, kinds: type | tuple[type, ...]) -> Any:
    """The value, or what it says if it is the JSON text of one of these kinds."""
    if isinstance(value, str):
        try:
            parsed = json.loads(value)
        except (ValueError, RecursionError):
            return value
        if isinstance(parsed, kinds):
            return parsed
    return value


def _collection(value: Any, hint: Any, kind: type, inner: tuple[Any, ...]) -> Any:
    items = _unpacked(value, list)
    if not isinstance(items, (list, tuple, set, frozenset)):
        if isinstance(value, kind) and not isinstance(value, str):
            return value
        raise UnfitError(value, expected(hint))
    fitting = _items(typing.cast("list[Any]", items), inner[0] if inner else Any)
    wanted = _concrete(kind)
    try:
        return fitting if isinstance(fitting, kind) else wanted(fitting)
    except TypeError:  # a set of what can not be in a set
        raise UnfitError(value, expected(hint)) from None


def _concrete(kind: type) -> Callable[[Any], Any]:
    if issubclass(kind, (list, set, frozenset, collections.deque)):
        return kind
    return set if issubclass(kind, collections.abc.Set) else list


def _inside(item: Any, hint: Any, step: str) -> Any:
    """Convert what is inside of something; a refusal knows the way to it."""
    try:
        return converted(item, hint)
    except UnfitError as problem:
        raise problem.inside(step) from None


def _same(found: Any, items: Any) -> bool:
    return all(one is other for one, other in zip(found, items, strict=True))


def _items(items: Any, hint: Any) -> Any:
    found = [_inside(item, hint, f"[{place}]") for place, item in enumerate(items)]
    return items if _same(found, items) else found


def _tuple(value: Any, hint: Any, inner: tuple[Any, ...]) -> Any:
    items = _unpacked(value, list)
    if not isinstance(items, (list, tuple)):
        raise UnfitError(value, expected(hint))
    every = typing.cast("list[Any]", items)
    fitting: Any = every
    if not inner or (len(inner) == 2 and inner[1] is Ellipsis):  # noqa: PLR2004 - `tuple[x, ...]`
        fitting = _items(every, inner[0] if inner else Any)
    else:
        places = () if inner == ((),) else inner
        if len(places) != len(every):
            raise UnfitError(value, f"a list of {len(places)}")
        pairs = zip(every, places, strict=True)
        found = [_inside(item, part, f"[{place}]") for place, (item, part) in enumerate(pairs)]
        if not _same(found, every):
            fitting = found
    return fitting if isinstance(fitting, tuple) else tuple(fitting)


def _mapping(value: Any, hint: Any, kind: type, inner: tuple[Any, ...]) -> Any:
    entries = _unpacked(value, dict)
    if not isinstance(entries, collections.abc.Mapping):
        raise UnfitError(value, expected(hint))
    pairs = typing.cast("dict[Any, Any]", entries)
    if len(inner) > 1:
        steps = [f"[{shown(key)}]" for key in pairs]
        keys = [_inside(key, inner[0], step) for key, step in zip(pairs, steps, strict=True)]
        items = zip(pairs.values(), steps, strict=True)
        values = [_inside(item, inner[1], step) for item, step in items]
        if not (_same(keys, pairs) and _same(values, pairs.values())):
            pairs = dict(zip(keys, values, strict=True))
    if isinstance(pairs, kind) or not issubclass(kind, dict):
        return pairs
    return kind(None, pairs) if issubclass(kind, collections.defaultdict) else kind(pairs)


def _structure(value: Any, kind: Any, fields: list[hints.Parameter]) -> Any:
    typed_dict = hints.is_typed_dict(kind)
    if not typed_dict and isinstance(value, kind):
        return value
    entries = _unpacked(value, (dict, list))
    if isinstance(entries, (list, tuple)) and hints.is_named_tuple(kind):
        every = typing.cast("list[Any]", entries)
        if len(every) <= len(fields):
            entries = {each.name: item for each, item in zip(fields, every, strict=False)}
    if not isinstance(entries, dict):
        raise UnfitError(value, expected(kind))
    pairs = typing.cast("dict[str, Any]", entries)
    known = {each.name: each for each in fields}
    found: dict[str, Any] = {}
    for name, item in pairs.items():
        each = known.get(name)
        if each is None and not typed_dict:  # a TypedDict with more is still one
            raise UnfitError(value, f"{expected(kind)}, without {shown(name)}")
        if each is None or (item is None and each.default is None):
            found[name] = item
        elif item is not None or each.required or hints.accepts_none(each.hint):
            found[name] = _inside(item, each.hint, f".{name}")
    missing = [each.name for each in fields if each.required and each.name not in found]
    if missing:
        raise UnfitError(value, f"{expected(kind)}; {', '.join(missing)} missing")
    if not typed_dict:
        return kind(**found)
    return pairs if len(found) == len(pairs) and _same(found.values(), pairs.values()) else found


def _pydantic(value: Any, model: Any) -> Any:
    entries = _unpacked(value, dict)
    try:
        return model.model_validate(entries)
    except Exception as error:
        listed = getattr(error, "errors", None)
        if not callable(listed):
            raise
        problems = typing.cast("list[dict[str, Any]]", listed())
        texts = [
            f"{'.'.join(str(step) for step in each['loc']) or 'it'}: {each['msg']}"
            for each in problems
        ]
        raise UnfitError(value, f"{expected(model)} ({'; '.join(texts)})") from None
