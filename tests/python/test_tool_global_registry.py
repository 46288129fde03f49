"""The global registry: what registers in it, the functions that run its tools, and how all of it is exported."""

from __future__ import annotations

import json
import time
from typing import Any

import graphbit
import pytest
from graphbit import (
    ToolDecorator,
    ToolRegistry,
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
from tool_setup import on_another_thread


@pytest.fixture(autouse=True)
def _nothing_global() -> Any:
    clear_tools()
    yield
    clear_tools()


def test_global_proxies_share_everything() -> None:
    one, other = ToolRegistry.new_global_proxy(), get_tool_registry()
    one.register_tool("shared", "d", lambda: 5, {}, None)
    assert other.execute_tool("shared", {}).output == "5"
    assert len(one.get_execution_history()) == 1
    assert not ToolRegistry().has_tool("shared")


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
    found = on_another_thread(lambda: (get_registered_tools(), execute_tool("add", (1, 2))))
    assert found == (["add"], 3)
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
