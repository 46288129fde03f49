"""Values as the JSON and the text that a model reads.

Nothing fails here: what JSON has no form for is given by the nearest one, at last by ``str()``.

>>> import datetime
>>> rendered({"when": datetime.date(2026, 1, 2), "at": (1, None)})
'{"at":[1,null],"when":"2026-01-02"}'
>>> rendered("as it is"), rendered(None), rendered(True)
('as it is', 'null', 'true')
"""

# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# Classes are values here, and what a class is generic over is not known.

from __future__ import annotations

import base64
import collections
import collections.abc
import dataclasses
import datetime as dt
import enum
import json
import math
import typing
from typing import Any

_DEEPEST = 100


def rendered(value: Any) -> str:
    """Text for a model: a string as it is, anything else as compact JSON with sorted keys.

    Dataclasses, pydantic models and mappings become objects; sequences, sets and arrays become
    lists; enumerations become their value and dates ISO text. An object that is none of these
    is its ``str()``.
    """
    plain = json_value(value)
    return sendable(plain if isinstance(plain, str) else compact(plain, sort_keys=True))


def compact(plain: Any, *, sort_keys: bool = False) -> str:
    """JSON without spaces, text as it is rather than escaped."""
    return json.dumps(plain, separators=(",", ":"), ensure_ascii=False, sort_keys=sort_keys)


def pretty(plain: Any) -> str:
    """JSON with two spaces of indentation and sorted keys."""
    return json.dumps(plain, indent=2, ensure_ascii=False, sort_keys=True)


def sorted_keys(plain: Any) -> Any:
    """A copy of a value of JSON in which the keys of every object are sorted."""
    if isinstance(plain, dict):
        return {key: sorted_keys(item) for key, item in sorted(plain.items())}
    return [sorted_keys(item) for item in plain] if isinstance(plain, list) else plain


def sendable(text: str) -> str:
    """The text with what UTF-8 cannot carry, halves of surrogate pairs, replaced by ``?``."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text


def failure_text(error: BaseException) -> str:
    """``Tool execution failed: <class>: <text>``, also for an error whose text cannot be had."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - the class belongs to the tool's author
        text = "<no text>"
    return sendable(f"Tool execution failed: {type(error).__qualname__}: {text}")


def text_of(value: Any) -> str:
    """``str(value)`` that can be sent."""
    return sendable(str(value))


def json_value(value: Any) -> Any:
    """The value made of ``None``, booleans, numbers, strings, lists and dicts with string keys.

    Infinite numbers and NaN, which JSON does not have, become text when they stand alone and ``None``
    inside of something. What contains itself ends in its text.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return _plain(value, frozenset())


def _plain(value: Any, above: frozenset[int]) -> Any:  # noqa: PLR0911 - a line for each type
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, enum.Enum):
        return _plain(value.value, above)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if id(value) in above or len(above) >= _DEEPEST:
        return _last_resort(value)
    try:
        return _container(value, above | {id(value)})
    except Exception:  # noqa: BLE001 - methods of the tool's own objects are called
        return _last_resort(value)


def _container(value: Any, above: frozenset[int]) -> Any:  # noqa: PLR0911 - as above
    if isinstance(value, collections.abc.Mapping):
        entries = typing.cast("collections.abc.Mapping[Any, Any]", value)
        return {_key(key): _plain(item, above) for key, item in entries.items()}
    if isinstance(value, (set, frozenset)):
        items = [_plain(item, above) for item in typing.cast("set[Any]", value)]
        return sorted(items, key=lambda item: (type(item).__name__, compact(item, sort_keys=True)))
    if isinstance(value, (list, tuple, range, collections.deque, collections.abc.MappingView)):
        return [_plain(item, above) for item in typing.cast("list[Any]", value)]
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return _plain(value.total_seconds(), above)
    if isinstance(value, (bytes, bytearray, memoryview)):
        raw = bytes(typing.cast("bytes", value))
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return base64.b64encode(raw).decode()
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}"
    if isinstance(value, type):
        return str(value)
    return _object(value, above)


def _object(value: Any, above: frozenset[int]) -> Any:
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: _plain(getattr(value, name), above) for name in names}
    if hasattr(type(value), "model_dump"):  # pydantic
        return _plain(value.model_dump(mode="json"), above)
    attributes = getattr(type(value), "__attrs_attrs__", None)
    if attributes is not None:
        return {each.name: _plain(getattr(value, each.name), above) for each in attributes}
    for converter in ("tolist", "to_dict"):  # arrays and scalars of numpy; tables
        if callable(getattr(type(value), converter, None)):
            return _plain(getattr(value, converter)(), above)
    return str(value)


def _key(key: Any) -> str:
    plain = _plain(key, frozenset())
    return plain if isinstance(plain, str) else compact(plain, sort_keys=True)


def _last_resort(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - nothing else is left
        return object.__repr__(value)
