"""Registries of tools: what they take, count and keep, from inside their tools and beside threads."""

from __future__ import annotations

import copy
import gc
import json
import os
import pickle
import threading
import time
from typing import Any

import pytest
from graphbit import ToolRegistry, get_tool_registry
from tool_setup import on_threads, registry_of


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

    def work(thread: int) -> None:
        for number in range(4):
            registry.execute_tool("sleepy", {})
            registry.register_tool(f"t{thread}-{number}", "d", print, {}, None)
            registry.get_stats()
            get_tool_registry()

    on_threads(8, work)
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
