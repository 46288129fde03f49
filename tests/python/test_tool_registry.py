"""Registries, results and their collections, the decorator that registers, and the functions of the module."""

from __future__ import annotations

import copy
import gc
import json
import os
import pickle
import threading
import time
from typing import Any

import graphbit
import pytest
from graphbit import (
    ToolDecorator,
    ToolRegistry,
    ToolResult,
    ToolResultCollection,
    clear_tools,
    execute_production_tool_calls,
    execute_tool,
    execute_workflow_tool_calls,
    get_registered_tools,
    get_tool_registry,
    sync_global_tools_to_workflow,
    tool,
)
from graphbit.tools import bind_tools


@pytest.fixture(autouse=True)
def _nothing_global() -> Any:
    clear_tools()
    yield
    clear_tools()


def registry_of(**functions: Any) -> ToolRegistry:
    registry = ToolRegistry()
    for name, function in functions.items():
        registry.register_tool(name, "Described.", function, {}, None)
    return registry


def test_registering_and_removing() -> None:
    registry = ToolRegistry()
    assert repr(registry) == str(registry) == "ToolRegistry(tools=0)"
    registry.register_tool("a", "First.", lambda: 1, {"type": "object"}, "int")
    registry.register_tool("b", "Second.", 5, {}, None)
    assert repr(registry) == "ToolRegistry(tools=2)"
    assert registry.list_tools() == ["a", "b"]
    assert (registry.has_tool("a"), registry.has_tool("c")) == (True, False)
    assert registry.get_llm_tools() == [
        '{"name":"a","description":"First.","parameters":{"type":"object"}}',
        '{"name":"b","description":"Second.","parameters":{}}',
    ]
    assert (registry.unregister_tool("a"), registry.unregister_tool("a")) == (True, False)
    result = registry.execute_tool("b", {})
    assert result.error == "Tool execution failed: TypeError: 'int' object is not callable"


def test_what_may_not_be_registered() -> None:
    registry = ToolRegistry()
    for name, description, text in (
        ("", "d", "Tool name cannot be empty"),
        (" \t", "", "Tool name cannot be empty"),
        ("n", " ", "Tool description cannot be empty"),
    ):
        with pytest.raises(ValueError, match=text):
            registry.register_tool(name, description, print, {}, None)
    for arguments in (
        (1, "d", print, {}, None),
        ("n", "d", print, [], None),
        ("n", "d", print, {}, 3),
    ):
        with pytest.raises(TypeError):
            registry.register_tool(*arguments)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        registry.register_tool("n", "d", print)  # type: ignore[call-arg]


def test_metadata_counts_calls_that_succeed() -> None:
    registry = registry_of(sleepy=lambda: time.sleep(0.02), failing=lambda: 1 / 0)
    known = json.loads(registry.get_tool_metadata("sleepy") or "")
    assert list(known) == [
        "name", "description", "parameters_schema", "return_type", "created_at", "call_count",
        "total_duration_ms", "last_called_at",
    ]  # fmt: skip
    assert (known["return_type"], known["call_count"], known["last_called_at"]) == ("Any", 0, None)
    assert abs(known["created_at"] - time.time() * 1000) < 10_000
    registry.execute_tool("sleepy", {})
    known = json.loads(registry.get_tool_metadata("sleepy") or "")
    assert known["call_count"] == 1
    assert known["total_duration_ms"] >= 20
    assert known["last_called_at"] >= known["created_at"]
    assert registry.execute_tool("failing", {}).is_failure()
    known = json.loads(registry.get_tool_metadata("failing") or "")
    assert (known["call_count"], known["last_called_at"]) == (0, None)
    registry.register_tool("sleepy", "Again.", lambda: None, {}, None)
    assert json.loads(registry.get_tool_metadata("sleepy") or "")["call_count"] == 0
    assert registry.get_tool_metadata("none") is None


def test_schemas_are_kept_as_json() -> None:
    registry = ToolRegistry()
    schema = {"z": True, "a": [1, {"y": False, "b": (2,)}], 3: float("nan"), "o": {1: None}}
    registry.register_tool("a", "d", print, schema, None)
    text = registry.get_tool_metadata("a") or ""
    assert (
        '"parameters_schema":{"3":null,"a":[1,{"b":[2],"y":false}],"o":{"1":null},"z":true}' in text
    )


def test_results_of_calls() -> None:
    registry = registry_of(echo=lambda **given: given, failing=lambda: {}["x"])
    result = registry.execute_tool("echo", {"b": True, "a": "é"})
    assert (result.output, result.input_params) == ("{'b': True, 'a': 'é'}",) * 2
    assert result.is_success() and result.tool_name == "echo"
    failed = registry.execute_tool("failing", {})
    assert (failed.error, failed.output) == ("Tool execution failed: KeyError: 'x'", "")
    with pytest.raises(KeyError) as raised:
        registry.execute_tool("none", {})
    assert raised.value.args == ("Tool 'none' not found",)
    with pytest.raises(TypeError):
        registry.execute_tool("echo", [])  # type: ignore[arg-type]
    assert [each.success for each in registry.get_execution_history()] == [True, False]
    registry.clear_history()
    assert registry.get_execution_history() == []


def test_coroutines_are_awaited() -> None:
    async def coroutine(x: Any) -> Any:
        return [x]

    assert registry_of(c=coroutine).execute_tool("c", {"x": 1}).output == "[1]"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_stops_a_program_is_no_result(error: type[BaseException]) -> None:
    def function() -> None:
        raise error

    with pytest.raises(error):
        registry_of(f=function).execute_tool("f", {})


def test_the_history_keeps_the_newest_thousand() -> None:
    registry = registry_of(echo=lambda number: number)
    for number in range(1003):
        registry.execute_tool("echo", {"number": number})
    history = registry.get_execution_history()
    assert [len(history), history[0].output, history[-1].output] == [1000, "3", "1002"]
    assert json.loads(registry.get_stats())["total_executions"] == 1000
    assert json.loads(registry.get_tool_metadata("echo") or "")["call_count"] == 1003


def test_statistics() -> None:
    registry = registry_of(good=lambda: 1, bad=lambda: 1 / 0)
    assert json.loads(registry.get_stats())["success_rate"] == 0.0
    for name in ("good", "good", "good", "bad"):
        registry.execute_tool(name, {})
    text = registry.get_stats()
    stats = json.loads(text)
    assert text == json.dumps(stats, indent=2, sort_keys=True)
    tools = stats.pop("tools")
    assert [each["name"] for each in tools] == ["good", "bad"]
    assert stats == {
        "total_tools": 2,
        "total_executions": 4,
        "successful_executions": 3,
        "success_rate": 75.0,
    }


def test_global_proxies_share_everything() -> None:
    one, other = ToolRegistry.new_global_proxy(), get_tool_registry()
    one.register_tool("shared", "d", lambda: 5, {}, None)
    assert other.execute_tool("shared", {}).output == "5"
    assert len(one.get_execution_history()) == 1
    assert not ToolRegistry().has_tool("shared")


def test_registries_are_not_copied() -> None:
    for operation in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            operation(ToolRegistry())


def test_a_tool_may_use_the_registry_that_runs_it() -> None:
    registry = ToolRegistry()

    def function(depth: int) -> str:
        registry.register_tool(f"made_{depth}", "d", print, {}, None)
        registry.get_stats()
        return registry.execute_tool("f", {"depth": depth - 1}).output + "." if depth else ""

    registry.register_tool("f", "d", function, {}, None)
    assert registry.execute_tool("f", {"depth": 20}).output == "." * 20
    assert repr(registry) == "ToolRegistry(tools=22)"


def test_a_replaced_tool_may_use_the_registry_at_its_end() -> None:
    registry = ToolRegistry()
    seen: list[Any] = []

    class Ending:
        def __call__(self) -> None: ...

        def __del__(self) -> None:
            def look() -> None:
                seen.append(registry.list_tools())

            thread = threading.Thread(target=look)
            thread.start()
            thread.join(5)

    for remove in (
        lambda: registry.register_tool("f", "d", print, {}, None),
        lambda: registry.unregister_tool("f"),
    ):
        registry.register_tool("f", "d", Ending(), {}, None)
        remove()
        gc.collect()
    assert len(seen) == 2


def test_many_threads_share_a_registry() -> None:
    registry = registry_of(sleepy=lambda: time.sleep(0.05))
    began = time.monotonic()

    def work() -> None:
        for number in range(4):
            registry.execute_tool("sleepy", {})
            registry.register_tool(f"t{threading.get_ident()}-{number}", "d", print, {}, None)
            registry.get_stats()
            get_tool_registry()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began < 1.2
    assert json.loads(registry.get_tool_metadata("sleepy") or "")["call_count"] == 32
    assert len(registry.get_execution_history()) == 32
    assert len(registry.list_tools()) == 33


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_is_not_kept_waiting(run_child: Any) -> None:
    child = run_child(
        """
        import os, threading
        from graphbit.tools.guard import guarded
        from graphbit import get_tool_registry
        held, release = threading.Event(), threading.Event()
        def hold():
            with guarded():
                held.set()
                release.wait(20)
        thread = threading.Thread(target=hold)
        thread.start()
        held.wait()
        pid = os.fork()
        if pid == 0:
            get_tool_registry().register_tool("a", "d", lambda: 1, {}, None)
            os._exit(7 if get_tool_registry().execute_tool("a", {}).output == "1" else 1)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        release.set()
        thread.join()
        print(code)
        """,
        timeout=15,
    )
    assert child.stdout == "7\n", child


# Results


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


# The decorator that registers


def test_the_decorator_registers_in_the_registry_it_is_given() -> None:
    registry = ToolRegistry()
    decorator = ToolDecorator(registry)
    assert repr(decorator) == str(decorator) == "ToolDecorator(registry=<ToolRegistry>)"

    @decorator(description="Adds.", name="plus", return_type="int")
    def add(one: int, other: int = 1) -> int:
        return one + other

    @decorator
    def bare() -> str:
        """Bare."""
        return "x"

    @decorator()
    def empty() -> None: ...

    assert add(1) == 2
    assert decorator.get_registry() is registry
    assert decorator.list_tools() == registry.list_tools() == ["plus", "bare", "empty"]
    known = json.loads(decorator.get_tool_info("plus") or "")
    assert (known["description"], known["return_type"]) == ("Adds.", "int")
    assert known["parameters_schema"]["required"] == ["one"]
    assert json.loads(decorator.get_tool_info("bare") or "")["description"] == "Bare."
    assert decorator.get_tool_info("none") is None
    assert registry.execute_tool("plus", {"one": "2"}).output == "3"
    assert get_registered_tools() == []


def test_registering_through_the_decorator() -> None:
    decorator = ToolDecorator()

    def add(one: int) -> int:
        return one

    assert decorator.register(add, None, None, None) is None
    decorator.register(add, "second", "Described.", "int")
    first, second = (json.loads(decorator.get_tool_info(name) or "") for name in ("add", "second"))
    assert (first["description"], first["return_type"]) == ("Manually registered tool", "Any")
    assert (second["description"], second["return_type"]) == ("Described.", "int")
    assert first["parameters_schema"]["properties"]["one"]["type"] == "integer"
    assert get_registered_tools() == ["add", "second"]
    with pytest.raises(TypeError):
        decorator.register(add)  # type: ignore[call-arg]
    for bad in ((3, None, None, None), (add, 3, None, None), (add, None, None, 3)):
        with pytest.raises(TypeError):
            decorator.register(*bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        decorator.register(add, " ", None, None)
    with pytest.raises(TypeError):
        ToolDecorator(3)  # type: ignore[arg-type]


# The functions


def add(one: int, other: int) -> int:
    """Adds."""
    return one + other


def test_tools_of_nodes_are_found_on_every_thread() -> None:
    bind_tools([add])
    found: list[Any] = []
    thread = threading.Thread(
        target=lambda: found.extend([get_registered_tools(), execute_tool("add", (1, 2))])
    )
    thread.start()
    thread.join()
    assert found == [["add"], 3]
    sync_global_tools_to_workflow()
    assert execute_tool("add", [1, 2]) == 3
    get_tool_registry().execute_tool("add", {"one": 1, "other": 2})
    clear_tools()
    assert get_registered_tools() == []
    assert get_tool_registry().get_execution_history() == []
    assert get_tool_registry().get_tool_metadata("add") is None


def test_execute_tool_gives_the_object_itself() -> None:
    thing = object()
    get_tool_registry().register_tool("thing", "d", lambda: thing, {}, None)
    get_tool_registry().register_tool("failing", "d", lambda: {}["x"], {}, None)
    assert execute_tool("thing", []) is thing
    with pytest.raises(KeyError):
        execute_tool("failing", ())
    with pytest.raises(ValueError, match="^Tool 'none' not found in registry$"):
        execute_tool("none", [])
    for bad in ({}, 3, "text"):
        with pytest.raises(TypeError):
            execute_tool("thing", bad)  # type: ignore[arg-type]


def calls(*each: Any) -> str:
    return json.dumps(list(each))


def call(name: str, **parameters: Any) -> dict[str, Any]:
    return {"tool_name": name, "parameters": parameters}


def failing() -> None:
    """Fails."""
    raise ValueError("no")


def test_workflow_calls_are_lines() -> None:
    bind_tools([add, failing])
    offered = ["add", "failing", "gone"]
    text = execute_workflow_tool_calls(
        calls(call("add", one=1, other="2"), call("failing"), call("gone"), call("other"), 3, {"tool_name": "add"}),
        offered,
    )  # fmt: skip
    assert text.splitlines() == [
        "add: 3",
        "failing: Error - Tool execution failed: ValueError: no",
        "gone: Error - Tool 'gone' not found in any registry: ValueError: Tool 'gone' not found in global registry",
        "other: Error - Tool 'other' not available for this node",
        "Error: Invalid tool call format - missing tool_name or parameters",
        "Error: Invalid tool call format - missing tool_name or parameters",
    ]
    assert execute_workflow_tool_calls("[]", []) == "No tool calls were executed"


def test_production_calls_are_rows() -> None:
    def sleepy() -> str:
        """Sleeps."""
        time.sleep(0.05)
        return "Error - the word was not found"

    bind_tools([add, failing, sleepy])
    rows = json.loads(
        execute_production_tool_calls(
            calls(call("sleepy"), call("failing"), call("gone"), 3, call("add", one=1, other=2)),
            ["sleepy", "failing", "gone"],
        )
    )
    assert [list(row) for row in rows] == [
        ["end_time", "error", "latency_ms", "output", "start_time", "success", "tool_name"]
    ] * 5
    assert [(row["tool_name"], row["output"], row["success"], row["error"]) for row in rows] == [
        ("sleepy", "Error - the word was not found", True, None),
        ("failing", "", False, "Tool execution failed: ValueError: no"),
        ("gone", "", False, "ValueError: Tool 'gone' not found in global registry"),
        ("unknown", "", False, "Invalid tool call format"),
        ("add", "", False, "Tool 'add' not available for this node"),
    ]
    assert 50 <= rows[0]["latency_ms"] < 1000
    assert all(row["start_time"].endswith("+00:00") for row in rows)
    assert rows[0]["start_time"] < rows[0]["end_time"]


@pytest.mark.parametrize("function", [execute_workflow_tool_calls, execute_production_tool_calls])
def test_calls_that_are_no_array(function: Any) -> None:
    for text in ("{", "{}", "3", "", "null", "[" * 100_000):
        with pytest.raises(ValueError, match=r"^Failed to parse tool calls JSON: "):
            function(text, [])
    for names in ("add", 3, [1], None):
        with pytest.raises(TypeError):
            function("[]", names)
    with pytest.raises(TypeError):
        function([], [])


def test_what_stops_a_program_stops_calls() -> None:
    def stopping() -> None:
        """Stops."""
        raise KeyboardInterrupt

    bind_tools([stopping])
    for function in (execute_workflow_tool_calls, execute_production_tool_calls):
        with pytest.raises(KeyboardInterrupt):
            function(calls(call("stopping")), ["stopping"])


def test_tools_are_loaded_when_they_are_asked_for(run_child: Any) -> None:
    child = run_child(
        """
        import sys
        import graphbit, graphbit.graphbit
        slow = {"inspect", "asyncio", "dataclasses", "uuid", "graphbit.tools"}
        assert not slow & set(sys.modules), slow & set(sys.modules)
        assert "tool" in dir(graphbit) and "ToolResult" in dir(graphbit.graphbit)
        from graphbit import tool
        from graphbit.graphbit import ToolRegistry
        assert graphbit.ToolRegistry is ToolRegistry and "graphbit.tools" in sys.modules
        try:
            graphbit.nothing
        except AttributeError as error:
            print(error)
        """
    )
    assert (child.stdout, child.stderr) == ("module 'graphbit' has no attribute 'nothing'\n", "")


def test_the_package_exports_them() -> None:
    import graphbit.graphbit as old
    from graphbit import _lazy

    assert len(_lazy.NAMES) >= 14
    for name in _lazy.NAMES:
        assert name in graphbit.__all__
        assert getattr(old, name) is getattr(graphbit, name)
    assert tool is graphbit.tool
