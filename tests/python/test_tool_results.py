"""Results of tools and their collections: their forms, their JSON, and what they compare to."""

from __future__ import annotations

import copy
import json
import pickle
import time
from typing import Any

import pytest
from graphbit import ToolResult, ToolResultCollection


def test_a_result_and_its_forms() -> None:
    result = ToolResult("add", "{}", "3", 1500)
    assert (result.success, result.error, result.duration_ms) == (True, None, 1500)
    assert (result.is_success(), result.is_failure(), result.get_error()) == (True, False, None)
    assert result.get_duration() == 1.5
    assert abs(result.timestamp - time.time() * 1000) < 10_000
    assert repr(result) == "ToolResult(tool_name='add', success=true, duration_ms=1500)"
    assert str(result) == "✓ add -> 3"
    failed = ToolResult.failure("add", "{}", "boom")
    assert (failed.output, failed.success, failed.error, failed.duration_ms) == (
        "",
        False,
        "boom",
        0,
    )
    assert str(failed) == "✗ add -> Error: boom"
    assert repr(failed) == "ToolResult(tool_name='add', success=false, duration_ms=0)"
    with pytest.raises(AttributeError):
        result.output = "x"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        ("x" * 50, "x" * 50),
        ("x" * 51, "x" * 50 + "..."),
        ("é" * 25, "é" * 25),
        ("x" + "é" * 25, "x" + "é" * 24 + "..."),
        ("€" * 20, "€" * 16 + "..."),
        ("😀" * 13, "😀" * 12 + "..."),
    ],
)
def test_long_outputs_are_cut_between_characters(output: str, shown: str) -> None:
    assert str(ToolResult("t", "", output)) == f"✓ t -> {shown}"


def test_arguments_of_results_are_checked() -> None:
    for arguments in ((1, "b", "c"), ("a", 1, "c"), ("a", "b", 1), ("a", "b", "c", 1.5)):
        with pytest.raises(TypeError):
            ToolResult(*arguments)  # type: ignore[arg-type]
    for duration in (-1, 2**64):
        with pytest.raises(OverflowError):
            ToolResult("a", "b", "c", duration)
    with pytest.raises(TypeError):
        ToolResult.failure("a", "b", None)  # type: ignore[arg-type]


def test_metadata_is_json() -> None:
    result = ToolResult("a", "b", "c")
    values = {
        "text": ("x", '"x"'), "true": (True, "true"), "number": (1.5, "1.5"), "none": (None, "null"),
        "nan": (float("nan"), "null"), "list": ([1, "a"], '[1,"a"]'), "dict": ({"a": True}, '{"a":true}'),
        "object": (complex(1, 2), '"(1+2j)"'),
    }  # fmt: skip
    for key, (value, _) in values.items():
        result.add_metadata(key, value)
    assert {key: result.get_metadata(key) for key in values} == {
        key: text for key, (_, text) in values.items()
    }
    assert result.get_metadata("absent") is None


def test_json_of_results() -> None:
    result = ToolResult("a", "b", "é", 5)
    result.add_metadata("k", [True])
    assert result.to_json() == (
        '{"tool_name":"a","input_params":"b","output":"é","success":true,"error":null,"duration_ms":5,'
        f'"timestamp":{result.timestamp},"metadata":{{"k":[true]}}}}'
    )
    for each in (result, ToolResult.failure("a", "b", "c")):
        again = ToolResult.from_json(each.to_json())
        assert again == each and again.to_json() == each.to_json()
    fields = json.loads(result.to_json())
    del fields["error"]
    assert ToolResult.from_json(json.dumps(fields | {"more": 1})) == result


@pytest.mark.parametrize(
    "change",
    [
        {"tool_name": 3}, {"success": 1}, {"duration_ms": -1}, {"duration_ms": True}, {"duration_ms": 2**64},
        {"timestamp": 1.5}, {"metadata": []}, {"error": 3}, *[{name: None} for name in ("output", "input_params")],
    ],
    ids=str,
)  # fmt: skip
def test_json_that_is_no_result(change: dict[str, Any]) -> None:
    fields = json.loads(ToolResult("a", "b", "c").to_json()) | change
    with pytest.raises(ValueError, match=r"^Failed to deserialize tool result: "):
        ToolResult.from_json(json.dumps(fields))
    [name] = change
    if name != "error":
        del fields[name]
        with pytest.raises(ValueError, match=f"missing field `{name}`"):
            ToolResult.from_json(json.dumps(fields))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null"])
def test_text_that_is_no_result(text: str) -> None:
    with pytest.raises(ValueError, match=r"^Failed to deserialize tool result: "):
        ToolResult.from_json(text)


def collection() -> ToolResultCollection:
    made = ToolResultCollection()
    made.add(ToolResult("a", "", "1", 3))
    made.add(ToolResult.failure("b", "", "no", 4))
    made.add(ToolResult("c", "", "2", 5))
    return made


def test_collections() -> None:
    made = collection()
    assert repr(made) == str(made) == "ToolResultCollection(count=3, success_rate=66.7%)"
    assert (made.count(), made.success_count(), made.failure_count()) == (3, 2, 1)
    assert (made.success_rate(), made.total_duration_ms()) == (pytest.approx(200 / 3), 12)
    assert [each.tool_name for each in made.get_all()] == ["a", "b", "c"]
    assert [each.tool_name for each in made.get_successful()] == ["a", "c"]
    assert [each.tool_name for each in made.get_failed()] == ["b"]
    assert (len(made), [each.tool_name for each in made]) == (3, ["a", "b", "c"])
    assert (made[0].tool_name, made[-1].tool_name, len(made[1:])) == ("a", "c", 2)
    with pytest.raises(IndexError):
        made[3]
    with pytest.raises(TypeError):
        made.add("x")  # type: ignore[arg-type]
    made.clear()
    assert (repr(made), made.success_rate(), bool(made)) == (
        "ToolResultCollection(count=0, success_rate=0.0%)",
        0.0,
        True,
    )


def test_values_compare_copy_and_pickle() -> None:
    made = collection()
    made[0].add_metadata("k", True)
    for value in (made, made[0], made[1]):
        for again in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
            assert again == value
            assert again is not value
    assert made != collection() and made != 3 and made[0] != "x"
    copied = copy.copy(made)
    copied.clear()
    assert len(made) == 3
    with pytest.raises(TypeError):
        hash(made[0])
