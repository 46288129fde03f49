"""Conditions on metadata in LanceDB's SQL, as far as that says the same.

Beside its metadata each row has the list of its pairs of key and value. Whether a pair is in there is all that is asked
of LanceDB: numbers are compared by rules it does not know.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Alternatives that are handed over; a longer chain of them would be a danger to a parser's stack.
_MOST_ALTERNATIVES = 100
_EVERY = "true"
_NONE = "false"


class Pushed(NamedTuple):
    """A condition in SQL that every entry that is meant fulfils; if it is `exact`, no other does."""

    sql: str
    exact: bool


def quoted(text: str) -> str:
    """Return a text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def listed(texts: Iterable[str]) -> str:
    """Return literals of SQL with commas between them."""
    return ", ".join(map(quoted, texts))


def pair(key: str, value: str) -> str:
    """Return a key with its value as one text that no other key and value make."""
    return json.dumps([key, value], ensure_ascii=False)


def all_of(*conditions: str) -> str:
    """Return the condition that all of these hold."""
    kept = [condition for condition in conditions if condition != _EVERY]
    return " AND ".join(f"({condition})" for condition in kept) or _EVERY


def pushed(where: Mapping[str, Any] | None) -> Pushed:
    """Return what LanceDB can check of conditions that have been understood by `Filter`."""
    parts: list[Pushed] = []
    for key, value in (where or {}).items():
        if key == "all":
            parts += [pushed(one) for one in value]
        elif key == "any":
            parts.append(_any([pushed(one) for one in value]))
        elif key == "not":
            parts.append(_negated(pushed(value)))
        elif isinstance(value, dict):
            tests = cast("dict[str, Any]", value)
            parts += [_test(key, name, operand) for name, operand in tests.items()]
        else:
            parts.append(_among(key, [value]))
    return Pushed(all_of(*(part.sql for part in parts)), all(part.exact for part in parts))


def _any(parts: list[Pushed]) -> Pushed:
    exact = all(part.exact for part in parts)
    if not parts:
        return Pushed(_NONE, exact=True)
    if len(parts) > _MOST_ALTERNATIVES:
        return Pushed(_EVERY, exact=False)
    if any(part.sql == _EVERY for part in parts):
        return Pushed(_EVERY, exact)
    return Pushed(" OR ".join(f"({part.sql})" for part in parts), exact)


def _negated(part: Pushed) -> Pushed:
    # More than what is meant has been let through: its opposite would let through too little.
    return Pushed(f"NOT ({part.sql})", exact=True) if part.exact else Pushed(_EVERY, exact=False)


def _test(key: str, name: str, operand: Any) -> Pushed:
    if name == "eq":
        return _among(key, [operand])
    if name == "ne":
        return _negated(_among(key, [operand]))
    if name == "in":
        return _among(key, operand)
    return Pushed(_EVERY, exact=False)


def _among(key: str, operands: list[Any]) -> Pushed:
    texts: list[str] = []
    for operand in operands:
        if isinstance(operand, bool):
            texts.append("true" if operand else "false")
        elif isinstance(operand, str):
            texts.append(operand)
        else:
            return Pushed(_EVERY, exact=False)
    if not texts:
        return Pushed(_NONE, exact=True)
    return Pushed(
        f"array_has_any(pairs, [{listed(pair(key, text) for text in texts)}])", exact=True
    )
