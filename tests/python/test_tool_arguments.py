"""What a model wrote becomes what the hints ask for, or one sentence that says what is wrong."""

# ruff: noqa: DTZ001, N806, PYI061, UP007, UP045 - hints of every spelling

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import json
import pathlib
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Optional, TypedDict, Union

import pytest
from graphbit.tools import ArgumentError, bind_tools, parameters_schema
from graphbit.tools.arguments import fitted, parameters_of
from graphbit.tools.conversion import UnfitError, converted
from hypothesis import given, settings
from hypothesis import strategies as st
from tool_setup import Color, Level, Pair, Place, Tree


class Address(TypedDict, total=False):
    street: str
    number: int


class Name(str):
    __slots__ = ()


UTC = datetime.timezone.utc
CONVERSIONS = [
    ("3", int, 3), (" 3 ", int, 3), (3.0, int, 3), ("3.0", int, 3), ("1e3", int, 1000),
    ("12345678901234567890123", int, 12345678901234567890123),
    ("2.5", float, 2.5), ("3", float, 3.0),
    ("true", bool, True), ("False", bool, False), (1, bool, True), (0.0, bool, False),
    (5, str, "5"), (2.5, str, "2.5"), (True, str, "true"), ({"a": [1]}, str, '{"a":[1]}'),
    ("x", bytes, b"x"), ("x", Name, Name("x")),
    ("[1, 2]", list, [1, 2]), ('["1"]', list[int], [1]), (["1", 2], list[int], [1, 2]),
    ([1], Sequence[str], ["1"]), (["1"], Iterable[int], [1]), ([1, 1], set[int], {1}),
    ([1], frozenset, frozenset({1})), ([1], tuple[int, ...], (1,)),
    (["1", 2], tuple[int, str], (1, "2")), ([], tuple[()], ()), ([1], collections.deque, collections.deque([1])),
    ('{"a": 1}', dict, {"a": 1}), ({"1": "2"}, dict[int, float], {1: 2.0}),
    ('{"a": ["1"]}', Mapping[str, list[int]], {"a": [1]}),
    ("null", Optional[int], None), ("3", Optional[int], 3), ("3", int | None, 3),
    ("3", Union[int, bool], 3), ("x", Union[int, str], "x"),
    ("red", Color, Color.RED), ("RED", Color, Color.RED), (" Blue ", Color, Color.BLUE) ,
    (2, Level, Level.HIGH), ("2", Level, Level.HIGH), ("low", Level, Level.LOW),
    ("3", Literal[3, "a"], 3), ("A", Literal["a", "b"], "a"),
    ("2026-01-02T03:04:05Z", datetime.datetime, datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
    (0, datetime.datetime, datetime.datetime(1970, 1, 1, tzinfo=UTC)),
    ("2026-01-02", datetime.date, datetime.date(2026, 1, 2)),
    ("2026-01-02T03:04:05", datetime.date, datetime.date(2026, 1, 2)),
    ("03:04", datetime.time, datetime.time(3, 4)),
    (1.5, datetime.timedelta, datetime.timedelta(seconds=1.5)),
    ("1.10", decimal.Decimal, decimal.Decimal("1.10")), (1.1, decimal.Decimal, decimal.Decimal("1.1")),
    ("/tmp", pathlib.Path, pathlib.Path("/tmp")),
    (str(uuid.UUID(int=5)), uuid.UUID, uuid.UUID(int=5)),
    ({"name": "Oslo", "height": "3"}, Place, Place("Oslo", 3.0)),
    ('{"name": "Oslo"}', Place, Place("Oslo")), ({"name": "Oslo", "tags": None}, Place, Place("Oslo")),
    ([{"name": "Oslo"}], list[Place], [Place("Oslo")]),
    ({"value": 1, "children": [{"value": "2"}]}, Tree, Tree(1, [Tree(2)])),
    ({"street": "Main", "number": "3"}, Address, {"street": "Main", "number": 3}),
    ({"one": "1"}, Pair, Pair(1)), ([1, "x"], Pair, Pair(1, "x")),
    ("3", Annotated[int, "text"], 3),
]  # fmt: skip


@pytest.mark.parametrize(("value", "hint", "wanted"), CONVERSIONS, ids=repr)
def test_it_becomes_what_the_hint_asks_for(value: Any, hint: Any, wanted: Any) -> None:
    result = converted(value, hint)
    assert result == wanted
    assert type(result) is type(wanted)


FITTING = [
    (3, int), (3, float), (2.5, float), (True, bool), (True, int), ("3", str), ("x", Any), ("x", object),
    ("3", Union[int, str]), (3, Union[str, int]), ([1], list[int]), ((1, 2), tuple[int, ...]),
    ({"a": {"b": [1]}}, dict[str, dict[str, list[int]]]), (Color.RED, Color), (Place("x"), Place),
    ({"street": "x", "more": 1}, Address), (None, Optional[int]), (datetime.datetime(2026, 1, 2), datetime.datetime),
    ("a", Literal["a"]), ([1, "a"], list), ({1, 2}, set[int]), ("as it is", "NotEvaluated"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "hint"), FITTING, ids=repr)
def test_what_fits_is_not_touched(value: Any, hint: Any) -> None:
    assert converted(value, hint) is value


UNFIT = [
    ("three", int, "should be an integer"), (3.5, int, "an integer"), ("nan", float, "a number"),
    ("inf", int, "an integer"), ("9" * 5000, int, "an integer"), ("maybe", bool, "true or false"),
    (2, bool, "true or false"), (None, str, "a string"), ("x", list, "a list"), ({}, list, "a list"),
    ([], dict, "an object"), ([[1]], set[list], "a list"), ([1], tuple[int, int], "a list of 2"),
    ("pink", Color, '"red", "blue"'), ("c", Literal["a", "b"], 'one of "a", "b"'),
    ("soon", datetime.datetime, "like 2026-01-31T12:00:00Z"), ("soon", datetime.date, "a date like"),
    ("x", uuid.UUID, "a UUID"), ("x", decimal.Decimal, "a number"), (3, pathlib.Path, "a path"),
    ({"height": 1}, Place, "name missing"), ({"name": "x", "z": 1}, Place, 'without "z"'),
    ("x", Union[int, list[int]], "an integer or a list, each an integer"), ([1, 2, 3], Pair, "an object for Pair"),
    ({"name": "Atlantis"}, Place, "ValueError: it is gone"),
    ([1, [2]], list[int], "Argument 'value', at [1], is [2], but should be an integer."),
    ({"value": 1, "children": [{"value": "x"}]}, Tree, 'at .children[0].value, is "x"'),
    ({"a": "x"}, dict[str, int], 'at ["a"], is "x"'),
]  # fmt: skip


@pytest.mark.parametrize(("value", "hint", "words"), UNFIT, ids=lambda each: repr(each)[:60])
def test_what_can_not_be_is_one_sentence(value: Any, hint: Any, words: str) -> None:
    def function(value):
        raise AssertionError("it is not called")

    function.__annotations__ = {"value": hint}
    succeeded, text = bind_tools([function])[0].run(json.dumps({"value": value}))
    assert not succeeded
    assert words in text
    assert text.startswith("Argument 'value'") and text.endswith(".")
    assert len(text) < 300 and "\n" not in text


def forecast(city: str, days: int = 3, *, unit: Literal["C", "F"] = "C", note=None) -> str:
    """A forecast."""
    return json.dumps([city, days, unit, note])


def run(arguments: Any) -> tuple[bool, str]:
    return bind_tools([forecast])[0].run(json.dumps(arguments))


def test_missing_and_unknown_names() -> None:
    assert run({}) == (False, "Argument 'city' is missing: give a string.")
    assert run({"city": "Oslo", "dayz": 1}) == (
        False,
        "Argument 'dayz' is unknown: did you mean 'days'? It takes city, days, unit, note.",
    )
    assert run({"city": "Oslo", "zz top": 1})[1].startswith('Argument "zz top" is unknown: this')

    def nothing(): ...

    assert bind_tools([nothing])[0].run('{"x": 1}') == (
        False,
        "Argument 'x' is unknown: this tool takes none.",
    )


def test_null_means_left_out() -> None:
    assert run({"city": "Oslo", "days": None, "note": None}) == (True, '["Oslo", 3, "C", null]')
    assert run({"city": None})[0] is False


def test_without_a_hint_everything_passes() -> None:
    assert run({"city": "Oslo", "note": {"a": [1, None, "x"]}}) == (
        True,
        '["Oslo", 3, "C", {"a": [1, null, "x"]}]',
    )


def test_unknown_names_go_to_keyword_parameters() -> None:
    def function(a, **more: int):
        return [a, more]

    bound = bind_tools([function])[0]
    assert bound.run('{"a": 1, "b": "2", "c": 3}') == (True, '[1,{"b":2,"c":3}]')
    assert "at" not in bound.run('{"a": 1, "b": "x"}')[1].split("'b'")[0]


def test_positional_parameters_get_their_places() -> None:
    def function(a, b=2, c=3, /, d=4):
        return [a, b, c, d]

    bound = bind_tools([function])[0]
    assert bound.run('{"a": 1}') == (True, "[1,2,3,4]")
    assert bound.run('{"a": 1, "c": 7, "d": 9}') == (True, "[1,2,7,9]")


def test_pydantic_models_are_built() -> None:
    pydantic = pytest.importorskip("pydantic")
    Model = pydantic.create_model("Model", amount=(int, ...))

    def function(model):
        return type(model).__name__, model.amount

    function.__annotations__ = {"model": Model}
    bound = bind_tools([function])[0]
    assert bound.run('{"model": {"amount": "3"}}') == (True, '["Model",3]')
    assert bound.run('{"model": "{\\"amount\\": 4}"}') == (True, '["Model",4]')
    succeeded, text = bound.run('{"model": {}}')
    assert not succeeded
    assert "should be an object for Model (amount: Field required)" in text
    assert "http" not in text


def test_the_parameters_may_be_unknown() -> None:
    assert fitted(None, {"a": 1}) == ([], {"a": 1})
    assert parameters_of(3) is None
    with pytest.raises(ArgumentError):
        fitted(parameters_of(forecast), {})


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(["1", "true", "null", "[1]", '{"value": 1}', "red", "2026-01-02"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=4) | st.sampled_from(["name", "value", "children", "one"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
HINTS = [
    int, float, bool, str, bytes, list, dict, set, tuple, Color, Level, Place, Tree, Address, Pair,
    datetime.datetime, datetime.date, datetime.time, datetime.timedelta, uuid.UUID, decimal.Decimal,
    pathlib.Path, Literal["a", 1, None], Optional[int], Union[int, list[Place], None], list[Tree],
    dict[int, Pair | None], set[int | str], tuple[int, str], tuple[Color, ...], None, Any,
]  # fmt: skip


@given(JSON, st.sampled_from(HINTS))
@settings(max_examples=400)
def test_no_value_of_json_raises_anything_else(value: Any, hint: Any) -> None:
    try:
        result = converted(value, hint)
    except (UnfitError, ValueError):
        return
    assert converted(result, hint) == result  # what fits, fits


def everything(
    a: int = 0, b: str | None = None, c: Place | None = None, d: list[Tree] | None = None,
    e: dict[str, Pair] | None = None, f: int | Color | None = None, **g: float,
) -> Any:  # fmt: skip
    return [a, b, c, d, e, f, g]


@given(st.dictionaries(st.sampled_from(list("abcdefg")), JSON) | JSON)
@settings(max_examples=300)
def test_no_arguments_make_a_call_raise(arguments: Any) -> None:
    succeeded, text = bind_tools([everything])[0].run(json.dumps(arguments))
    assert isinstance(text, str) and text.encode()
    if succeeded:
        json.loads(text)


@given(st.text(max_size=60))
def test_no_text_makes_a_call_raise(text: str) -> None:
    assert bind_tools([everything])[0].run(text)[0] in (True, False)


def test_json_too_deep_is_malformed() -> None:
    deep = "[" * 100_000 + "]" * 100_000
    bound = bind_tools([everything])[0]
    assert bound.run(f'{{"b": {deep}}}') == (False, "Invalid tool call format")
    half = "[" * 400 + "]" * 400
    assert bound.run(f'{{"b": {half}}}')[0] in (True, False)


@dataclasses.dataclass
class Beside:
    """As `annotated_types`, pydantic and msgspec write their bounds: known by name alone."""

    gt: Any = None
    ge: Any = None
    lt: Any = None
    le: Any = None
    multiple_of: Any = None
    min_length: Any = None
    max_length: Any = None
    pattern: Any = None
    metadata: Any = None


BOUNDS: list[tuple[Any, dict[str, Any], list[Any], list[Any], str]] = [
    (
        Annotated[int, Beside(gt=3, le=10**400)],
        {"type": "integer", "exclusiveMinimum": 3},
        [4, "5", 10**400],
        [3, "-1", 10**400 + 1],
        f"an integer, greater than 3 and at most {10**400}",
    ),
    (
        Annotated[float, Beside(ge=0, lt=1.5), Beside(ge=-1)],
        {"type": "number", "minimum": 0, "exclusiveMaximum": 1.5},
        [0, 1.4],
        [-0.5, 1.5, 10**400],
        "a number, at least 0 and less than 1.5 and at least -1",
    ),
    (
        Annotated[float, Beside(multiple_of=0.1)],
        {"type": "number", "multipleOf": 0.1},
        [0.3, 7, "1.1"],
        [0.35, float("inf")],
        "a number, a multiple of 0.1",
    ),
    (
        Annotated[decimal.Decimal, Beside(le=1.1)],
        {"type": "number", "maximum": 1.1},
        ["1.1"],
        ["1.11"],
        "a number, at most 1.1",
    ),
    (
        Annotated[str, Beside(min_length=2, max_length=3, pattern="^a")],
        {"type": "string", "minLength": 2, "maxLength": 3, "pattern": "^a"},
        ["ab", "abc"],
        ["a", "abcd", "bab"],
        "a string, with at least 2 characters and with at most 3 characters and matching ^a",
    ),
    (
        Annotated[list[Annotated[int, Beside(lt=5)]], Beside(min_length=1)],
        {"type": "array", "items": {"type": "integer", "exclusiveMaximum": 5}, "minItems": 1},
        [[1], "[4]"],
        [[]],
        "a list, each an integer, less than 5, with at least 1 item",
    ),
    (
        Annotated[dict[str, int], Beside(max_length=1)],
        {"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 1},
        [{}, {"a": 1}],
        [{"a": 1, "b": 2}],
        "an object, with at most 1 entry",
    ),
    (
        Annotated[Optional[int], Beside(metadata=[Beside(ge=2)])],
        {"type": "integer", "minimum": 2},
        [2, None],
        [1],
        "an integer or null, at least 2",
    ),
    (
        Annotated[datetime.date, Beside(gt=datetime.date(2026, 1, 1))],
        {"type": "string", "format": "date"},
        ["2026-01-02"],
        ["2026-01-01"],
        "a date like 2026-01-31, greater than 2026-01-01",
    ),
    # What says nothing about a value, in a language of its own, or is no limit, is no bound.
    (Annotated[str, Beside(gt=3)], {"type": "string"}, ["1"], [], "a string, greater than 3"),
    (
        Annotated[str, Beside(pattern=r"\p{L}")],
        {"type": "string", "pattern": r"\p{L}"},
        ["1"],
        [],
        r"a string, matching \p{L}",
    ),
    (
        Annotated[int, Beside(gt=len, multiple_of=0, min_length="x"), re.compile("y")],
        {"type": "integer"},
        [3],
        [],
        "an integer",
    ),
]


@pytest.mark.parametrize(("hint", "schema", "within", "outside", "words"), BOUNDS)
def test_bounds_are_shown_and_kept(
    hint: Any, schema: dict[str, Any], within: list[Any], outside: list[Any], words: str
) -> None:
    called: list[Any] = []

    def tool(value):  # type: ignore[no-untyped-def]
        called.append(value)

    tool.__annotations__["value"] = hint
    shown = parameters_schema(tool)["properties"]["value"]
    assert shown.pop("description") == "Parameter value"
    assert shown == schema
    for value in within:
        fitted(parameters_of(tool), {"value": value})
    for value in outside:
        with pytest.raises(ArgumentError) as refused:
            fitted(parameters_of(tool), {"value": value})
        assert str(refused.value).endswith(f", but should be {words}.")
    with pytest.raises(ArgumentError, match=f"give {re.escape(words)}\\."):
        fitted(parameters_of(tool), {})


def test_pydantic_s_bounds_are_shown_and_kept() -> None:
    pydantic = pytest.importorskip("pydantic")
    for hint in (
        Annotated[int, pydantic.Field(gt=0)],
        pydantic.PositiveInt,
        pydantic.conint(gt=0),
    ):

        def tool(count):  # type: ignore[no-untyped-def]
            return count

        tool.__annotations__["count"] = hint
        [bound] = bind_tools([tool])
        assert bound.parameters["properties"]["count"]["exclusiveMinimum"] == 0
        assert bound.run('{"count": 1}') == (True, "1")
        sentence = "Argument 'count' is 0, but should be an integer, greater than 0."
        assert bound.run('{"count": 0}') == (False, sentence)
