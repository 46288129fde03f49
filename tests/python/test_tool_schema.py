"""The JSON Schema of a tool's parameters: of every sort of hint, and of what else a signature says."""

# ruff: noqa: B006, B008, E741, N806, PIE796, UP006, UP007, UP045 - hints of every spelling

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import pathlib
import sys
import typing
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import (
    Annotated,
    Any,
    Literal,
    Optional,
    TypedDict,
    Union,
)

import pytest
from graphbit.tools import parameters_schema
from hypothesis import given, settings
from hypothesis import strategies as st
from tool_setup import Color, Described, Level, Pair, Place, Tree

if typing.TYPE_CHECKING:
    from nowhere import Absent


class Opaque(enum.Enum):
    ONE = object()
    TWO = object()


class Point:
    """Its name has "int" in it."""


class Address(TypedDict, total=False):
    street: str
    place: Place


def of(hint: Any) -> dict[str, Any]:
    """The schema of one parameter with this hint, without its description."""

    def function(value): ...

    function.__annotations__["value"] = hint
    schema = parameters_schema(function)
    assert schema["required"] == ["value"]
    assert schema.pop("type") == "object"
    assert schema["properties"]["value"].pop("description")
    return schema["properties"]["value"]


PLAIN = [
    (int, "integer"), (float, "number"), (bool, "boolean"), (str, "string"), (list, "array"),
    (dict, "object"), (Optional[int], "integer"), (Optional[float], "number"),
    (Optional[bool], "boolean"), (Optional[str], "string"), (Optional[list], "array"),
    (Optional[dict], "object"), (int | None, "integer"), (float | None, "number"), (list | None, "array"),
    (None, "string"), (typing.List, "array"), (typing.Dict, "object"),
]  # fmt: skip


@pytest.mark.parametrize(("hint", "name"), PLAIN, ids=str)
def test_plain_types_are_0_6_8_s(hint: Any, name: str) -> None:
    def function(value): ...

    if hint is not None:
        function.__annotations__["value"] = hint
    assert json.dumps(parameters_schema(function)) == json.dumps(
        {
            "type": "object",
            "properties": {"value": {"type": name, "description": "Parameter value"}},
            "required": ["value"],
        }
    )


REAL = [
    (list[int], {"type": "array", "items": {"type": "integer"}}),
    (typing.List[str], {"type": "array", "items": {"type": "string"}}),
    (typing.Tuple, {"type": "array"}),
    (typing.Tuple[()], {"type": "array", "minItems": 0, "maxItems": 0}),
    (typing.Dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
    (typing.Set[int], {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}),
    (frozenset, {"type": "array", "uniqueItems": True}),
    (typing.Mapping[str, bool], {"type": "object", "additionalProperties": {"type": "boolean"}}),
    (list[float], {"type": "array", "items": {"type": "number"}}),
    (Sequence[bool], {"type": "array", "items": {"type": "boolean"}}),
    (Iterable[int], {"type": "array", "items": {"type": "integer"}}),
    (set[str], {"type": "array", "items": {"type": "string"}, "uniqueItems": True}),
    (dict[str, Any], {"type": "object"}),
    (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
    (
        Mapping[str, list[int]],
        {
            "type": "object",
            "additionalProperties": {"type": "array", "items": {"type": "integer"}},
        },
    ),
    (list[dict], {"type": "array", "items": {"type": "object"}}),
    (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
    (
        tuple[int, int],
        {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
    ),
    (
        tuple[int, str],
        {
            "type": "array",
            "items": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
            "minItems": 2,
            "maxItems": 2,
            "prefixItems": [{"type": "integer"}, {"type": "string"}],
        },
    ),
    (tuple[()], {"type": "array", "minItems": 0, "maxItems": 0}),
    (Union[int, str], {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
    (
        Union[int, str, None],
        {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]},
    ),
    (
        Optional[list[int]],
        {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "null"}]},
    ),
    (
        list[int | None],
        {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
    ),
    (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
    (Literal["a", 3], {"enum": ["a", 3]}),
    (Literal[True], {"type": "boolean", "enum": [True]}),
    (Color, {"type": "string", "enum": ["red", "blue"]}),
    (Level, {"type": "integer", "enum": [1, 2]}),
    (Opaque, {"type": "string", "enum": ["ONE", "TWO"]}),
    pytest.param(
        Annotated[float, Described()], {"type": "number"}, id="Annotated[float, Described()]"
    ),
    (datetime.datetime, {"type": "string", "format": "date-time"}),
    (datetime.date, {"type": "string", "format": "date"}),
    (datetime.time, {"type": "string", "format": "time"}),
    (datetime.timedelta, {"type": "number"}),
    (uuid.UUID, {"type": "string", "format": "uuid"}),
    (decimal.Decimal, {"type": "number"}),
    (pathlib.Path, {"type": "string"}),
    (Any, {}),
    (object, {}),
    (typing.NewType("Number", int), {"type": "integer"}),
    (typing.TypeVar("T", bound=int), {"type": "integer"}),
    (Point, {"type": "string"}),
    (typing.Callable[[int], int], {"type": "string"}),
    (
        Pair,
        {
            "type": "object",
            "properties": {"one": {"type": "integer"}, "other": {"type": "string", "default": "z"}},
            "required": ["one"],
        },
    ),
]


@pytest.mark.parametrize(("hint", "schema"), REAL, ids=str)
def test_other_types_have_their_real_schema(hint: Any, schema: dict[str, Any]) -> None:
    assert of(hint) == schema


def test_nested_structures_are_referred_to() -> None:
    def function(address: Address, places: list[Place]): ...

    schema = parameters_schema(function)
    place = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "height": {"type": "number", "default": 0.0},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["name"],
    }
    reference = {"$ref": "#/$defs/Place"}
    assert schema["properties"] == {
        "address": {
            "type": "object",
            "properties": {"street": {"type": "string"}, "place": reference},
            "required": [],
            "description": "Parameter address",
        },
        "places": {"type": "array", "items": reference, "description": "Parameter places"},
    }
    assert schema["$defs"] == {"Place": place}
    assert list(schema) == ["type", "properties", "required", "$defs"]


def test_recursive_types_refer_to_themselves() -> None:
    def function(tree: Tree, other: Tree | None = None): ...

    schema = parameters_schema(function)
    assert schema["properties"]["tree"] == {
        "$ref": "#/$defs/Tree",
        "description": "Parameter tree",
    }
    children = schema["$defs"]["Tree"]["properties"]["children"]
    assert children == {"type": "array", "items": {"$ref": "#/$defs/Tree"}}


def test_two_classes_of_one_name_stay_apart() -> None:
    def made(kind: type) -> type:
        return dataclasses.make_dataclass("Same", [("value", kind)])

    def function(one, other): ...

    function.__annotations__ = {"one": list[made(int)], "other": list[made(str)]}
    schema = parameters_schema(function)
    references = [schema["properties"][name]["items"]["$ref"] for name in ("one", "other")]
    assert references == ["#/$defs/Same", "#/$defs/Same_2"]
    assert schema["$defs"]["Same_2"]["properties"]["value"] == {"type": "string"}


def test_typed_dicts_know_their_required_keys() -> None:
    extensions = pytest.importorskip("typing_extensions")

    class Request(extensions.TypedDict):
        query: str
        limit: extensions.NotRequired[int]

    Request.__annotations__["limit"] = extensions.NotRequired[int]
    assert of(Request)["required"] == ["query"]


def test_pydantic_models_give_their_own_schema() -> None:
    pydantic = pytest.importorskip("pydantic")
    Inner = pydantic.create_model("Inner", amount=(int, ...))
    Outer = pydantic.create_model(
        "Outer", inner=(Inner, ...), note=(str, pydantic.Field("", description="A note."))
    )

    def function(outer): ...

    function.__annotations__ = {"outer": Outer}
    schema = parameters_schema(function)
    outer = schema["properties"]["outer"]
    assert outer["type"] == "object"
    assert outer["properties"]["inner"] == {"$ref": "#/$defs/Inner"}
    assert outer["properties"]["note"]["description"] == "A note."
    assert list(schema["$defs"]) == ["Inner"]


def test_pydantic_is_not_imported_for_it(run_child: Any) -> None:
    child = run_child(
        """
        import sys
        from graphbit.tools import bind_tools
        def f(x: int): "d"
        bind_tools([f])[0].run('{"x": 1}')
        print("pydantic" in sys.modules)
        """
    )
    assert (child.stdout, child.stderr) == ("False\n", "")


def unevaluated(count: Absent[int], name: Absent, table: dict[str, Absent]) -> None: ...


def test_annotations_that_cannot_be_evaluated_are_read_by_their_words() -> None:
    properties = parameters_schema(unevaluated)["properties"]
    assert [properties[name]["type"] for name in ("count", "name", "table")] == [
        "integer",
        "string",
        "string",
    ]


def test_postponed_annotations_are_evaluated() -> None:
    local = Color

    def function(value: int | None, other: local = local.RED):
        return local

    properties = parameters_schema(function)["properties"]
    assert properties["value"] == {"type": "integer", "description": "Parameter value"}
    assert properties["other"]["enum"] == ["red", "blue"]


def test_defaults_and_required() -> None:
    def function(
        a, b: str = "x", c: int = 3, d: float = 1.5, e: bool = True, f: bool = False, g=None,
        h: float = float("nan"), i: float = float("inf"), j: list = [1], k: dict = {},
        l: tuple = (1,), m: bytes = b"x", n: Any = object(), o: int = 2**70, p: Color = Color.RED,
        *, q, r: Level = Level.LOW,
    ): ...  # fmt: skip

    schema = parameters_schema(function)
    assert schema["required"] == ["a", "q"]
    defaults = {
        name: each["default"] for name, each in schema["properties"].items() if "default" in each
    }
    expected = {"b": "x", "c": 3, "d": 1.5, "e": True, "f": False, "o": 2.0**70, "p": "red", "r": 1}
    assert json.dumps(defaults) == json.dumps(expected)  # so that True is not 1


def test_variable_parameters_are_left_out() -> None:
    def positional(a: int, *args: int): ...

    def keywords(a: int, **kwargs): ...

    def typed(a: int, **kwargs: int): ...

    assert "additionalProperties" not in parameters_schema(positional)
    assert list(parameters_schema(positional)["properties"]) == ["a"]
    assert parameters_schema(positional)["required"] == ["a"]
    assert parameters_schema(keywords)["additionalProperties"] is True
    assert parameters_schema(typed)["additionalProperties"] == {"type": "integer"}


def test_self_and_cls_are_skipped() -> None:
    def function(self, cls, value: int): ...

    assert list(parameters_schema(function)["properties"]) == ["value"]


EMPTY = {"type": "object", "properties": {}, "required": []}


@pytest.mark.parametrize("thing", [int, 5, None, "text"], ids=repr)
def test_what_tells_no_parameters_has_an_empty_schema(thing: Any, capfd: Any) -> None:
    assert parameters_schema(thing) == EMPTY
    assert capfd.readouterr() == ("", "")


HINTS = st.recursive(
    st.sampled_from(
        [int, float, bool, str, None, list, dict, Any, Color, Level, Place, Tree, Address, Pair,
         datetime.date, uuid.UUID, Literal["a", 1], Point, "Absent"]
    ),
    lambda inner: st.one_of(
        inner.map(lambda hint: list[hint]),
        inner.map(lambda hint: dict[str, hint]),
        inner.map(lambda hint: Optional[hint]),
        inner.map(lambda hint: set[hint]),
        st.tuples(inner, inner).map(lambda pair: tuple[pair]),
        st.tuples(inner, inner).map(lambda pair: Union[pair]),
    ),
    max_leaves=5,
)  # fmt: skip
TYPES = {"string", "integer", "number", "boolean", "array", "object", "null"}


def check(schema: Any, definitions: dict[str, Any]) -> None:
    """It is a schema of the draft that the package writes, and refers to nothing that is missing."""
    assert isinstance(schema, dict)
    known = {
        "type", "description", "default", "enum", "items", "prefixItems", "minItems", "maxItems",
        "uniqueItems", "anyOf", "properties", "required", "additionalProperties", "$ref", "format",
    }  # fmt: skip
    assert schema.keys() <= known
    assert schema.get("type", "null") in TYPES
    if "$ref" in schema:
        assert schema["$ref"].removeprefix("#/$defs/") in definitions
    assert set(schema.get("required", ())) <= set(schema.get("properties", ()))
    for each in (
        *schema.get("anyOf", ()),
        *schema.get("prefixItems", ()),
        *schema.get("properties", {}).values(),
    ):
        check(each, definitions)
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            check(schema[name], definitions)


@given(st.lists(st.tuples(HINTS, st.booleans()), max_size=4))
@settings(max_examples=150)
def test_every_signature_has_a_schema(parameters: list[tuple[Any, bool]]) -> None:
    names = [f"p{number}" for number in range(len(parameters))]
    listed = ", ".join(
        name + ("=None" if optional else "")
        for name, (_, optional) in zip(names, parameters, strict=True)
    )
    space: dict[str, Any] = {}
    exec(f"def function(*, {listed}): pass" if names else "def function(): pass", space)
    function = space["function"]
    function.__annotations__ = dict(zip(names, (hint for hint, _ in parameters), strict=True))
    schema = parameters_schema(function)
    assert json.loads(json.dumps(schema)) == schema
    definitions = schema.pop("$defs", {})
    check(schema, definitions)
    for definition in definitions.values():
        check(definition, definitions)
    assert schema["required"] == [
        name for name, (_, optional) in zip(names, parameters, strict=True) if not optional
    ]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type statements are of Python 3.12")
def test_type_statements_are_followed() -> None:
    space: dict[str, Any] = {}
    exec("type Numbers = list[int]\ndef function(x: Numbers): ...", space)
    schema = parameters_schema(space["function"])
    assert schema["properties"]["x"]["items"] == {"type": "integer"}
