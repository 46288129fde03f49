"""The executor of calls: its limits, what it makes of each sort of call, and what it keeps."""

from __future__ import annotations

import copy
import json
import pickle
import time
import uuid
from typing import Any

import pytest
from graphbit import ExecutorConfig, LlmToolCall, ToolExecutor
from hypothesis import given
from hypothesis import strategies as st
from tool_setup import on_threads, registry_of


def executor(config: ExecutorConfig | None = None, **functions: Any) -> ToolExecutor:
    functions = {"echo": lambda **given: given, "bad": lambda: 1 / 0} | functions
    return ToolExecutor(registry_of(**functions), config)


# Configuration


def test_configurations() -> None:
    config = ExecutorConfig()
    assert (config.max_execution_time_ms, config.max_tool_calls) == (30000, 10)
    assert (config.continue_on_error, config.store_results, config.enable_logging) == (
        False,
        True,
        True,
    )
    assert repr(config) == str(config)
    assert repr(config) == "ExecutorConfig(max_time=30000ms, max_calls=10, continue_on_error=false)"
    assert ExecutorConfig.production() == ExecutorConfig(60000, 20, False, True, True)
    assert ExecutorConfig.development() == ExecutorConfig(10000, 5, True, True, True)
    config.max_tool_calls = 3
    config.continue_on_error = True
    assert repr(config) == "ExecutorConfig(max_time=30000ms, max_calls=3, continue_on_error=true)"
    assert ExecutorConfig(0, 0).max_tool_calls == 0


def test_values_of_configurations_are_checked() -> None:
    for name in ("max_execution_time_ms", "max_tool_calls"):
        for value, error in ((-1, OverflowError), (2**64, OverflowError), ("x", TypeError), (1.5, TypeError)):  # fmt: skip
            with pytest.raises(error):
                ExecutorConfig(**{name: value})
            with pytest.raises(error):
                setattr(ExecutorConfig(), name, value)
    for name in ("continue_on_error", "store_results", "enable_logging"):
        with pytest.raises(TypeError):
            ExecutorConfig(**{name: 1})
        with pytest.raises(TypeError):
            setattr(ExecutorConfig(), name, None)


def test_configurations_are_values() -> None:
    config = ExecutorConfig(1, 2, True, False, False)
    for again in (copy.copy(config), copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert again == config and again is not config
    assert config != ExecutorConfig() and config != 3
    made = ToolExecutor(None, config)
    config.max_tool_calls = 9
    assert "max_calls=2" in repr(made)


# Executing


def test_executors() -> None:
    made = ToolExecutor()
    assert (
        repr(made)
        == str(made)
        == "ToolExecutor(config=ExecutorConfig(max_time=30000ms, max_calls=10, continue_on_error=false))"
    )
    assert made.execute_tools([{"name": "any"}])[0].error == "Tool 'any' not found"
    with pytest.raises(TypeError):
        made.execute_tools(({"name": "any"},))  # type: ignore[arg-type]
    for arguments in ((3,), (None, 3)):
        with pytest.raises(TypeError):
            ToolExecutor(*arguments)
    with pytest.raises(TypeError):
        copy.copy(made)


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (ExecutorConfig(0), "Max execution time must be greater than 0"),
        (ExecutorConfig(1, 0), "Max tool calls must be greater than 0"),
    ],
)
def test_limits_of_zero_are_refused(config: ExecutorConfig, text: str) -> None:
    with pytest.raises(ValueError, match=f"^{text}$"):
        executor(config).execute_tools([])


def test_the_registry_is_shared() -> None:
    registry = registry_of(a=lambda: 1)
    ToolExecutor(registry).execute_tools([{"name": "a"}])
    assert len(registry.get_execution_history()) == 1


PARSED = [
    ({"name": "echo"}, "{}"),
    ({"name": "echo", "id": "7", "parameters": None}, "{}"),
    ({"name": "echo", "parameters": {"z": 1, "b": True, "s": "é", "d": {"y": 1, "x": 2}}},
     "{'b': True, 'd': {'x': 2, 'y': 1}, 's': 'é', 'z': 1}"),
    ('{"name":"echo","id":"1","parameters":{"a":[1]}}', "{'a': [1]}"),
    ('{"name":"echo","id":"1","parameters":null}', "{}"),
    (LlmToolCall("1", "echo", '{"a": 2}'), "{'a': 2}"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "output"), PARSED, ids=repr)
def test_calls_that_are_run(call: Any, output: str) -> None:
    [result] = executor().execute_tools([call])
    assert (result.success, result.tool_name) == (True, "echo")
    assert result.output == result.input_params == output


UNPARSED = [
    (1, "TypeError: Tool call must be a dictionary or JSON string"),
    (None, "TypeError: Tool call must be a dictionary or JSON string"),
    ({"id": "x"}, "KeyError: \"Missing 'name' in tool call\""),
    ({"name": 3}, "TypeError: "), ({"name": "echo", "id": 3}, "TypeError: "),
    ({"name": "echo", "parameters": {"x": (1,)}}, "TypeError: Unsupported type for JSON conversion"),
    ({"name": "echo", "parameters": {"x": object}}, "TypeError: Unsupported type for JSON conversion"),
    ({"name": "echo", "parameters": {"x": float("nan")}}, "ValueError: Invalid floating point number"),
    ({"name": "echo", "parameters": {1: 2}}, "TypeError: "),
    ("{", "ValueError: Failed to parse tool call JSON: "),
    ("[1]", "ValueError: Failed to parse tool call JSON: "),
    ('{"name":"echo"}', "ValueError: Failed to parse tool call JSON: missing field `id`"),
    ('{"name":"echo","id":"1"}', "ValueError: Failed to parse tool call JSON: missing field `parameters`"),
    ('{"name":1,"id":"1","parameters":{}}', "ValueError: Failed to parse tool call JSON: "),
]  # fmt: skip


@pytest.mark.parametrize(("call", "reason"), UNPARSED, ids=repr)
def test_calls_that_are_not_understood(call: Any, reason: str) -> None:
    made = executor()
    [result] = made.execute_tools([call, {"name": "echo"}])
    assert (result.tool_name, result.input_params) == ("unknown_tool", "invalid_params")
    assert (result.error or "").startswith(f"Failed to parse tool call: {reason}")
    assert made.get_results().count() == 0


@pytest.mark.parametrize(
    ("call", "params", "reason"),
    [
        ({"name": " "}, "{}", "Tool name cannot be empty"),
        ({"name": "echo", "id": ""}, "{}", "Tool call ID cannot be empty"),
        (
            {"name": "echo", "parameters": [1, "é"]},
            '[1,"é"]',
            "Tool parameters must be a JSON object or null",
        ),
        ({"name": "echo", "parameters": 3}, "3", "Tool parameters must be a JSON object or null"),
    ],
)
def test_calls_that_are_not_valid(call: Any, params: str, reason: str) -> None:
    [result] = executor().execute_tools([call])
    assert (result.tool_name, result.input_params) == (call["name"], params)
    assert result.error == f"Tool call validation failed: Validation error: {reason}"


def test_a_failure_ends_the_run_or_not() -> None:
    calls = [{"name": "bad"}, 3, {"name": "none"}, {"name": "echo"}]
    stopping = executor().execute_tools(calls)
    assert [each.tool_name for each in stopping] == ["bad"]
    made = executor(ExecutorConfig(continue_on_error=True))
    going = made.execute_tools(calls)
    assert [each.tool_name for each in going] == ["bad", "unknown_tool", "none", "echo"]
    assert [each.tool_name for each in made.get_results()] == ["bad", "none", "echo"]
    assert json.loads(made.get_variables()) == {
        "tool_result_1": "",
        "tool_result_2": "",
        "tool_result_3": "{}",
    }


def test_the_number_of_calls_is_limited() -> None:
    result = executor(ExecutorConfig(max_tool_calls=3)).execute_tools([{"name": "echo"}] * 9)
    assert result.count() == 3
    assert executor().execute_tools([{"name": "echo"}] * 14).count() == 10


def test_the_time_is_limited_between_calls() -> None:
    made = executor(ExecutorConfig(50), sleepy=lambda: time.sleep(0.08))
    assert made.execute_tools([{"name": "sleepy"}] * 5).count() == 1


def test_without_storing_results_are_still_returned() -> None:
    made = executor(ExecutorConfig(store_results=False, continue_on_error=True))
    assert [each.success for each in made.execute_tools([{"name": "echo"}, {"name": "bad"}])] == [
        True,
        False,
    ]
    assert (made.get_results().count(), made.get_variables()) == (0, "{}")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_stops_a_program_stops_the_run(error: type[BaseException]) -> None:
    def stopping() -> None:
        raise error

    with pytest.raises(error):
        executor(stopping=stopping).execute_tools([{"name": "stopping"}])


# The context


def test_variables() -> None:
    made = executor()
    made.set_variable("k", {"b": [1, True, None, 1.5], "a": "é"})
    assert made.get_variables() == '{"k":{"a":"é","b":[1,true,null,1.5]}}'
    assert made.get_variable("k") == '{"a":"é","b":[1,true,null,1.5]}'
    assert made.get_variable("none") is None
    for value in ((1,), {1}, b"x", object(), {1: 2}, [object()]):
        with pytest.raises(TypeError):
            made.set_variable("v", value)
    for number in (float("nan"), [float("inf")]):
        with pytest.raises(ValueError, match="^Invalid floating point number$"):
            made.set_variable("v", number)
    made.execute_tools([])
    assert made.get_variable("k") is not None
    made.execute_tools([{"name": "echo"}])
    assert made.get_variables() == '{"tool_result_1":"{}"}'
    assert made.get_variable("tool_result_1") == '"{}"'
    made.clear_context()
    assert (made.get_variables(), made.get_results().count()) == ("{}", 0)


def test_statistics_are_those_of_the_last_run() -> None:
    made = executor(ExecutorConfig(continue_on_error=True))
    made.execute_tools([{"name": "echo"}, {"name": "bad"}, 3, {"name": "echo"}])
    text = made.get_execution_stats()
    stats = json.loads(text)
    assert text == json.dumps(stats, indent=2, sort_keys=True)
    assert stats.pop("elapsed_ms") >= 0
    first = stats.pop("execution_id")
    assert str(uuid.UUID(first)) == first
    assert stats == {
        "failed_results": 1,
        "success_rate": pytest.approx(200 / 3),
        "successful_results": 2,
        "tool_calls": 3,
        "total_results": 3,
    }
    made.execute_tools([{"name": "echo"}])
    assert json.loads(made.get_execution_stats())["execution_id"] != first


def test_results_are_a_copy() -> None:
    made = executor()
    made.execute_tools([{"name": "echo"}])
    made.get_results().clear()
    assert made.get_results().count() == 1


# From inside and from beside


def test_a_tool_may_use_the_executor_that_runs_it() -> None:
    made: ToolExecutor

    def nested(depth: int) -> str:
        if depth == 0:
            return "."
        [result] = made.execute_tools([{"name": "nested", "parameters": {"depth": depth - 1}}])
        made.get_execution_stats()
        return result.output + "."

    made = executor(nested=nested)
    [result] = made.execute_tools([{"name": "nested", "parameters": {"depth": 10}}])
    assert result.output == "." * 11
    assert [each.output for each in made.get_results()] == [result.output]


def test_eight_threads_share_an_executor() -> None:
    def sleepy(number: int) -> int:
        time.sleep(0.1)
        return number

    made = executor(sleepy=sleepy)
    answers: dict[int, list[str]] = {}

    def work(number: int) -> None:
        call = {"name": "sleepy", "parameters": {"number": number}}
        answers[number] = [each.output for each in made.execute_tools([call, call])]
        made.get_results()
        made.get_execution_stats()

    began = time.monotonic()
    on_threads(8, work)
    assert answers == {number: [str(number)] * 2 for number in range(8)}
    assert time.monotonic() - began < 1.0


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3)
    | st.tuples(inner)
    | st.dictionaries(st.sampled_from(["name", "id", "parameters", 1, "echo"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(st.lists(ANYTHING, max_size=4))
def test_no_list_of_calls_raises(calls: list[Any]) -> None:
    made = executor(ExecutorConfig(continue_on_error=True))
    results = made.execute_tools(calls)
    assert len(results) == len(calls)
    for result in results:
        json.loads(result.to_json())
