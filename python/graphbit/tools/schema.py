"""The JSON Schema of a callable's parameters, as language models are shown it.

A parameter without a hint is a string, and a hint that cannot be evaluated is read by the words in it.
A default that JSON has no plain form for is left out; a parameter that has one is never required.

>>> def forecast(city: str, days: int = 3): ...
>>> parameters_schema(forecast)["required"]
['city']
>>> parameters_schema(forecast)["properties"]["days"]
{'type': 'integer', 'description': 'Parameter days', 'default': 3}
"""

# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# Classes are values here, and what a class is generic over is not known.

from __future__ import annotations

import collections
import collections.abc
import copy
import datetime as dt
import decimal
import enum
import inspect
import math
import pathlib
import typing
import uuid
from typing import Any

from graphbit.tools import bounds, hints
from graphbit.tools.docstrings import parameter_descriptions

Schema = dict[str, Any]

#: Hints that are one JSON type. `bool` before `int`, which it is a kind of.
_SCALARS: dict[type, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    bytes: {"type": "string"},
    dt.datetime: {"type": "string", "format": "date-time"},
    dt.date: {"type": "string", "format": "date"},
    dt.time: {"type": "string", "format": "time"},
    dt.timedelta: {"type": "number"},
    uuid.UUID: {"type": "string", "format": "uuid"},
    decimal.Decimal: {"type": "number"},
    pathlib.PurePath: {"type": "string"},
}
#: What an annotation that could not be evaluated means: the first of these words that is in it.
_WORDS = (
    ("int", "integer"), ("float", "number"), ("bool", "boolean"), ("str", "string"),
    ("list", "array"), ("List", "array"), ("dict", "object"), ("Dict", "object"),
)  # fmt: skip
#: What an array is given for, beside every sort of sequence.
_ITERABLES = (collections.abc.Iterable, collections.abc.Iterator, collections.abc.Collection)
_DEFINITIONS = "#/$defs/"
_DEEPEST = 64
_LEAST, _GREATEST = -(2**63), 2**64 - 1


def parameters_schema(function: Any, *, docstring: str | None = None) -> Schema:
    """The schema of an object with the callable's parameters as properties.

    Its keys are ``type``, ``properties`` and ``required``; ``additionalProperties`` is there for a callable
    with ``**kwargs``, ``$defs`` when types are nested. A callable that does not tell its parameters has none.
    Descriptions come from `Annotated`, else from ``docstring`` (by default the callable's own), else they
    are ``Parameter <name>``.
    """
    text = docstring if docstring is not None else getattr(function, "__doc__", None)
    described = parameter_descriptions(text)
    builder = _Builder()
    properties: Schema = {}
    required: list[str] = []
    schema: Schema = {"type": "object", "properties": properties, "required": required}
    for each in hints.parameters_of(function) or ():
        if each.kind is inspect.Parameter.VAR_POSITIONAL:
            continue
        if each.kind is inspect.Parameter.VAR_KEYWORD:
            more = builder.of(each.hint) if each.hint is not hints.EMPTY else {}
            schema["additionalProperties"] = more or True
            continue
        properties[each.name] = _property(builder, each, described.get(each.name))
        if each.required:
            required.append(each.name)
    return _with_definitions(schema, builder.definitions)


def _property(builder: _Builder, each: hints.Parameter, described: str | None) -> Schema:
    hint, beside = hints.annotated(each.hint)
    annotated = hints.described(beside)
    members = hints.union_members(hint)
    schema: Schema | None = None
    if members is not None and hints.accepts_none(hint):
        # One that may be left out need not be null as well; neither need a plain one, as in 0.6.8.
        others = [member for member in members if member is not type(None)]
        schema = builder.any_of(others)
        if each.required and schema.keys() != {"type"}:
            schema = builder.of(hint)
    if schema is None:
        schema = builder.of(hint)
    schema.update(bounds.schema_of(bounds.bounds_among(beside), schema))
    own = schema.get("description")
    schema["description"] = annotated or described or own or f"Parameter {each.name}"
    default = _default(each.default)
    if default is not None:
        schema["default"] = default
    return schema


def _default(value: Any) -> Any:  # noqa: PLR0911 - a line for each type
    """A default that is a string, a number or a boolean, ``None`` for any other."""
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        whole = int(value)
        if _LEAST <= whole <= _GREATEST:
            return whole
        try:
            return float(whole)  # beyond 64 bits there are only floats in JSON
        except OverflowError:
            return None
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    return None


class _Builder:
    """Turns hints into schemas; the structures it meets are collected in ``definitions``."""

    def __init__(self) -> None:
        self.definitions: dict[str, Schema] = {}
        self._names: dict[Any, str] = {}
        self._depth = 0

    def of(self, hint: Any) -> Schema:
        """The schema of a hint, a new dict that the caller may change."""
        hint, beside = hints.annotated(hint)
        description = hints.described(beside)
        if self._depth >= _DEEPEST:  # an alias that contains itself
            return {}
        self._depth += 1
        try:
            schema = self._of(hint)
        finally:
            self._depth -= 1
        schema.update(bounds.schema_of(bounds.bounds_among(beside), schema))
        if description:
            schema["description"] = description
        return schema

    def any_of(self, members: typing.Sequence[Any]) -> Schema:
        """The schema of what is any of these."""
        schemas: list[Schema] = []
        for member in members:
            schema = self.of(member)
            if not schema:
                return {}
            if schema not in schemas:
                schemas.append(schema)
        return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}

    def _of(self, hint: Any) -> Schema:  # noqa: PLR0911 - a line for each sort of hint
        if hint is hints.EMPTY:
            return {"type": "string"}
        if hint is None or hint is type(None):
            return {"type": "null"}
        if hint is Any or hint is object:
            return {}
        if isinstance(hint, str):
            return _by_words(hint)
        if (members := hints.union_members(hint)) is not None:
            return self.any_of(members)
        origin, arguments = typing.get_origin(hint), hints.type_arguments(hint)
        if origin is typing.Literal or getattr(origin, "_name", None) == "Literal":
            return _enumeration(arguments)
        if hints.is_pydantic_model(hint):
            return self._pydantic(hint)
        kind = origin if origin is not None else hint
        if not isinstance(kind, type):
            return _by_words(str(hint))
        return self._of_class(kind, arguments)

    def _of_class(  # noqa: PLR0911 - a line for each sort of class
        self, kind: type, arguments: tuple[Any, ...]
    ) -> Schema:
        if issubclass(kind, enum.Enum):
            return _enumeration(list(kind))
        if hints.fields_of(kind) is not None:
            return self._structure(kind)
        for scalar, schema in _SCALARS.items():
            if issubclass(kind, scalar):
                return dict(schema)
        if issubclass(kind, tuple):
            return self._tuple(arguments)
        if issubclass(kind, collections.abc.Mapping):
            schema = {"type": "object"}
            values = self.of(arguments[1]) if len(arguments) > 1 else {}
            return schema | ({"additionalProperties": values} if values else {})
        if issubclass(kind, collections.abc.Set):
            return self._array(arguments) | {"uniqueItems": True}
        if issubclass(kind, collections.abc.Sequence) or kind in _ITERABLES:
            return self._array(arguments)
        return {"type": "string"}  # whatever its name sounds like

    def _array(self, arguments: tuple[Any, ...]) -> Schema:
        return {"type": "array"} | ({"items": self.of(arguments[0])} if arguments else {})

    def _tuple(self, arguments: tuple[Any, ...]) -> Schema:
        if not arguments:
            return {"type": "array"}
        if arguments == ((),):
            arguments = ()
        elif len(arguments) == 2 and arguments[1] is Ellipsis:  # noqa: PLR2004 - `tuple[x, ...]`
            return self._array(arguments)
        bounds = {"minItems": len(arguments), "maxItems": len(arguments)}
        if not arguments:
            return {"type": "array", **bounds}
        # `prefixItems` says it; `items` says what it can to those that do not know the other.
        places = [self.of(argument) for argument in arguments]
        items = self.any_of(arguments)
        same = all(place == places[0] for place in places)
        return {
            "type": "array",
            "items": items,
            **bounds,
            **({} if same else {"prefixItems": places}),
        }

    def _structure(self, kind: type) -> Schema:
        name = self._names.get(kind)
        if name is None:
            name = self._names[kind] = self._free(kind.__name__)
            definition: Schema = {"type": "object", "properties": {}, "required": []}
            self.definitions[name] = definition  # before its fields, which may refer to it
            described = parameter_descriptions(kind.__doc__)
            for each in hints.fields_of(kind) or ():
                if each.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
                    continue
                field = self.of(each.hint)
                if "description" not in field and each.name in described:
                    field["description"] = described[each.name]
                default = _default(each.default)
                if default is not None:
                    field["default"] = default
                definition["properties"][each.name] = field
                if each.required:
                    definition["required"].append(each.name)
        return {"$ref": _DEFINITIONS + name}

    def _pydantic(self, model: Any) -> Schema:
        if model in self._names:
            return {"$ref": _DEFINITIONS + self._names[model]}
        try:
            schema: Schema = copy.deepcopy(model.model_json_schema())
        except Exception:  # noqa: BLE001 - a model may hold what has no schema, and say so in any way
            return {"type": "object"}
        nested: dict[str, Schema] = schema.pop("$defs", {})
        renamed = {name: self._free(name) for name in nested}
        for name, definition in nested.items():
            self.definitions[renamed[name]] = _referring(definition, renamed)
        schema = _referring(schema, renamed)
        if schema.keys() == {"$ref"}:  # it contains itself, and has its place already
            self._names[model] = schema["$ref"].removeprefix(_DEFINITIONS)
            return schema
        name = self._names[model] = self._free(model.__name__)
        self.definitions[name] = schema
        return {"$ref": _DEFINITIONS + name}

    def _free(self, name: str) -> str:
        """A name for a definition: two classes may share theirs."""
        name = "".join(letter if letter.isalnum() else "_" for letter in name)
        free, number = name, 1
        while free in self.definitions:
            number += 1
            free = f"{name}_{number}"
        self.definitions[free] = {}
        return free


def _by_words(text: str) -> Schema:
    for word, kind in _WORDS:
        if word in text:
            return {"type": kind}
    return {"type": "string"}


def _enumeration(values: typing.Iterable[Any]) -> Schema:
    """The schema of one of some values; one that JSON does not have is given by its name."""
    plain: list[Any] = []
    for value in values:
        inner = value.value if isinstance(value, enum.Enum) else value
        if isinstance(inner, bytes):
            inner = inner.decode(errors="replace")
        if not (inner is None or isinstance(inner, (str, int, float))):
            inner = value.name if isinstance(value, enum.Enum) else str(value)
        if not any(inner == other and type(inner) is type(other) for other in plain):
            plain.append(inner)
    kinds = {_json_type(value) for value in plain}
    if kinds == {"integer", "number"}:
        kinds = {"number"}
    return ({"type": kinds.pop()} if len(kinds) == 1 else {}) | {"enum": plain}


def _json_type(value: Any) -> str:
    if value is None:
        return "null"
    for kind, schema in _SCALARS.items():
        if isinstance(value, kind):
            return str(schema["type"])
    return "string"


def _referring(schema: Any, renamed: dict[str, str]) -> Any:
    """A copy of a schema that refers to definitions by their new names."""
    if isinstance(schema, list):
        return [_referring(item, renamed) for item in typing.cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    changed: Schema = {}
    for key, value in typing.cast("Schema", schema).items():
        if key == "$ref" and isinstance(value, str) and value.startswith(_DEFINITIONS):
            name = value.removeprefix(_DEFINITIONS)
            changed[key] = _DEFINITIONS + renamed.get(name, name)
        else:
            changed[key] = _referring(value, renamed)
    return changed


def _references(schema: Any) -> set[str]:
    """The names of the definitions that a schema refers to itself."""
    found: set[str] = set()
    pending: list[Any] = [schema]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            entries = typing.cast("Schema", item)
            target = entries.get("$ref")
            if isinstance(target, str) and target.startswith(_DEFINITIONS):
                found.add(target.removeprefix(_DEFINITIONS))
            pending.extend(entries.values())
        elif isinstance(item, list):
            pending.extend(typing.cast("list[Any]", item))
    return found


def _reachable(schema: Any, definitions: dict[str, Schema]) -> set[str]:
    reached: set[str] = set()
    pending = _references(schema)
    while pending:
        name = pending.pop()
        if name not in reached and name in definitions:
            reached.add(name)
            pending |= _references(definitions[name])
    return reached


def _with_definitions(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """The schema with the definitions it needs.

    A structure that is a parameter's own type stands in its place, so that each property tells its
    type: not every model's server follows references. Only nested and recursive ones are referred to.
    """
    properties: Schema = schema["properties"]
    for name, each in properties.items():
        target = str(each.get("$ref", "")).removeprefix(_DEFINITIONS)
        definition = definitions.get(target)
        if definition is not None and target not in _reachable(definition, definitions):
            rest = {key: value for key, value in each.items() if key != "$ref"}
            if rest.get("description") == f"Parameter {name}" and "description" in definition:
                del rest["description"]
            properties[name] = copy.deepcopy(definition) | rest
    reached = _reachable(schema, definitions)
    if reached:
        schema["$defs"] = {name: each for name, each in definitions.items() if name in reached}
    return schema
