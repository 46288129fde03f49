"""The events of a run: their keys, their order, the three modes, and letting go early."""

from __future__ import annotations

import asyncio
import datetime
import gc
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from graphbit import Executor, LlmConfig, Node, WorkflowResult, WorkflowStreamIterator
from llm_setup import KEY, wait_until
from simulator import Server
from workflow_setup import (
    agent,
    bodies,
    calls,
    chain,
    executor,
    says,
    workflow,
)

NODE = {"node_id", "node_name"}
CALL = NODE | {"llm_call_id"}
TOOL = NODE | {"tool_name", "tool_call_id"}
# Event: category, phase, keys beside `time`, `category`, `phase`, `event`.
EVENTS: dict[str, tuple[str, str, set[str]]] = {
    "workflow_started": ("workflow", "started", {"workflow_id", "workflow_name", "total_nodes"}),
    "node_started": ("node", "started", NODE),
    "node_completed": ("node", "completed", NODE | {"output"}),
    "node_failed": ("node", "failed", NODE | {"error", "error_type"}),
    "token": ("llm", "token", CALL | {"content"}),
    "llm_call_started": ("llm", "started", CALL | {"iteration", "model"}),
    "llm_call_completed": (
        "llm",
        "completed",
        CALL | {"iteration", "finish_reason", "output", "duration_ms"},
    ),
    "tool_call_started": ("tool", "started", TOOL | {"parameters"}),
    "tool_call_completed": ("tool", "completed", TOOL | {"output", "duration_ms"}),
    "tool_call_failed": ("tool", "failed", TOOL | {"error", "error_type"}),
    "workflow_completed": ("workflow", "completed", {"result", "outputs"}),
    "workflow_failed": ("workflow", "failed", {"error", "error_type"}),
}
Events = list[dict[str, Any]]


def by_for(run: Executor, made: Any, **options: Any) -> Events:
    return list(run.execute_streaming(made, **options))


def by_async_for(run: Executor, made: Any, **options: Any) -> Events:
    async def collect() -> Events:
        return [event async for event in run.execute_streaming(made, **options)]

    return asyncio.run(collect())


WAYS = [by_for, by_async_for]


def names(events: Events) -> list[str]:
    return [event["event"] for event in events]


def add(one: int, other: int) -> int:
    return one + other


def explode() -> str:
    raise TimeoutError("too late")


TOOLS_REPLIES = [
    calls("a", ("c1", "add", {"other": 2, "one": 1}), content="let me see"),
    calls("a", ("c2", "explode", {}), turn=1),
    says("a", "one two three"),
]


@pytest.mark.parametrize("way", WAYS)
def test_the_events_of_a_node_with_tools(way: Callable[..., Events], server: Server) -> None:
    server.behaviour(replies=TOOLS_REPLIES)
    node = agent("a", tools=[add, explode])
    made = workflow([node], name="whole")
    events = way(executor(server), made, stream_mode="all")
    assert names(events) == [
        "workflow_started",
        "node_started",
        *("llm_call_started", "token", "token", "token", "llm_call_completed"),
        *("tool_call_started", "tool_call_completed"),
        *("llm_call_started", "llm_call_completed", "tool_call_started", "tool_call_failed"),
        *("llm_call_started", "token", "token", "token", "llm_call_completed"),
        "node_completed",
        "workflow_completed",
    ]
    times = [datetime.datetime.fromisoformat(event["time"]) for event in events]
    assert times == sorted(times)
    assert all(one.utcoffset() == datetime.timedelta(0) for one in times)
    for event in events:
        category, phase, keys = EVENTS[event["event"]]
        assert (event["category"], event["phase"]) == (category, phase)
        assert event.keys() == {"time", "category", "phase", "event"} | keys
        if "node_id" in event:
            assert (event["node_id"], event["node_name"]) == (node.id(), "a")
    first = events[0]
    assert (first["workflow_name"], first["total_nodes"]) == ("whole", 1)
    of = {name: [event for event in events if event["event"] == name] for name in EVENTS}
    # D56: what belongs together has one id.
    ids = [f"{node.id()}-llm-{iteration}" for iteration in (1, 2, 3)]
    for name in ("llm_call_started", "llm_call_completed"):
        assert [event["llm_call_id"] for event in of[name]] == ids
        assert [event["iteration"] for event in of[name]] == [1, 2, 3]
    tokens = [(event["llm_call_id"], event["content"]) for event in of["token"]]
    texts = ["let ", "me ", "see", "one ", "two ", "three"]
    assert tokens == list(zip([ids[0]] * 3 + [ids[2]] * 3, texts, strict=True))
    assert [event["finish_reason"] for event in of["llm_call_completed"]] == [
        *("tool_calls", "tool_calls", "stop")
    ]
    outputs = [event["output"] for event in of["llm_call_completed"]]
    text, _, asked_for = outputs[0].partition("\n[tool_calls] ")
    assert text == "let me see"
    call = {"id": "c1", "name": "add", "parameters": {"one": 1, "other": 2}}
    assert json.loads(asked_for) == [call]
    assert outputs[1].startswith("[tool_calls] [") and outputs[2] == "one two three"
    assert all(event["duration_ms"] > 0 for event in of["llm_call_completed"])
    assert {event["model"] for event in of["llm_call_started"]} == {"m"}
    added = of["tool_call_completed"][0]
    assert (added["tool_name"], added["tool_call_id"], added["output"]) == ("add", "c1", '"3"')
    started = [(event["tool_call_id"], event["parameters"]) for event in of["tool_call_started"]]
    assert started == [("c1", '{"one":1,"other":2}'), ("c2", "{}")]
    failed = of["tool_call_failed"][0]
    assert (failed["tool_call_id"], failed["error_type"]) == ("c2", "timeout_error")
    assert failed["error"] == "Tool execution failed: TimeoutError: too late"
    assert of["node_completed"][0]["output"] == "one two three"
    result = events[-1]["result"]
    assert isinstance(result, WorkflowResult) and result.is_success()
    assert json.loads(events[-1]["outputs"]) == result.get_all_node_outputs()
    # D56: no request is sent twice.
    assert len(bodies(server)) == 3


def test_the_three_modes(server: Server) -> None:
    """D55: `messages` is tokens and the end, and nothing leaks into it."""
    server.behaviour(replies=TOOLS_REPLIES)
    run, made = executor(server), workflow([agent("a", tools=[add, explode])])
    everything = names(by_for(run, made, stream_mode="all"))
    without_tokens = [name for name in everything if name != "token"]
    for mode, wanted in (
        ("ALL", everything),
        ("updates", without_tokens),
        ("Updates", without_tokens),
        (None, without_tokens),
        ("messages", ["token"] * 6 + ["workflow_completed"]),
        ("Messages", ["token"] * 6 + ["workflow_completed"]),
    ):
        assert names(by_for(run, made, stream_mode=mode)) == wanted
    streamed = [body.get("stream") for body in bodies(server)]
    # Without tokens to tell, answers are asked for in one piece.
    assert streamed[:3] == [True] * 3 and not any(streamed[6:15])


def test_unknown_modes_are_refused(server: Server) -> None:
    """D55."""
    made = workflow([agent("a")])
    for mode in ("tokens", "", "update"):
        with pytest.raises(ValueError, match="stream_mode"):
            executor(server).execute_streaming(made, stream_mode=mode)
    with pytest.raises(TypeError):
        executor(server).execute_streaming(made, stream_mode=1)  # type: ignore[arg-type]
    assert server.log() == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", ["updates", "messages", "all"])
def test_result_and_outputs_are_those_of_execute(
    mode: str, way: Callable[..., Events], server: Server
) -> None:
    server.behaviour(
        replies=[
            says("x", '{"b": [1], "a": null}'),
            calls("t", ("c", "add", {"one": 1, "other": 1})),
            says("t", "{}"),
            says("yes", "Y"),
        ]
    )
    nodes = [
        agent("x", output_name="published"),
        agent("t", tools=[add]),
        Node.transform("up", "uppercase"),
        Node.condition("c", lambda situation: "yes"),
        agent("yes"),
        agent("no"),
    ]
    edges = [("x", "t"), ("t", "up"), ("t", "c"), ("c", "yes"), ("c", "no")]
    made = workflow(nodes, *edges)
    run = executor(server)
    plain = run.execute(made)
    *_, last = way(run, made, stream_mode=mode)
    streamed = last["result"]
    assert streamed.get_all_node_outputs() == plain.get_all_node_outputs()
    assert streamed.get_all_variables() == plain.get_all_variables()
    assert streamed.state() == plain.state() == "Completed"
    outputs = json.loads(last["outputs"])
    assert outputs["x"] == outputs["published"] == {"a": None, "b": [1]}
    assert outputs.keys() == plain.get_all_node_outputs().keys()
    # What is told of each node is the same, but for times; usage as well (D57).
    for name in ("x", "t", "yes"):
        one, other = (
            plain.get_node_response_metadata(name),
            streamed.get_node_response_metadata(name),
        )
        assert one is not None and other is not None and one.keys() == other.keys()
        changing = {"start_time", "end_time", "duration_ms", "executions"}
        assert {key: one[key] for key in one.keys() - changing} == {
            key: other[key] for key in other.keys() - changing
        }
        kinds = [(each["type"], sorted(each)) for each in one["executions"]]
        assert kinds == [(each["type"], sorted(each)) for each in other["executions"]]


def test_outputs_that_are_no_text_are_told_as_json(server: Server) -> None:
    server.behaviour(replies=[says("a", '{"b": 1, "a": "ü"}')])
    events = by_for(executor(server), workflow([agent("a")]))
    (completed,) = [event for event in events if event["event"] == "node_completed"]
    assert completed["output"] == '{"a":"ü","b":1}'


@pytest.mark.parametrize("way", WAYS)
def test_a_failed_node_ends_in_workflow_failed(way: Callable[..., Events], server: Server) -> None:
    """D3."""
    server.behaviour(replies=[says("bad", status=401), says("slow", "S", latency_ms=100)])
    made = workflow([agent("bad"), agent("below"), agent("slow")], ("bad", "below"))
    run = executor(server)
    stream = run.execute_streaming(made)
    events = way(run, made)
    assert list(stream)[-1]["event"] == "workflow_failed"
    assert names(events)[-1] == "workflow_failed" and "workflow_completed" not in names(events)
    (failed,) = [event for event in events if event["event"] == "node_failed"]
    assert (failed["node_name"], failed["error_type"]) == ("bad", "permission_error")
    assert events[-1]["error"] == f"Workflow execution error: {failed['error']}"
    started = [event["node_name"] for event in events if event["event"] == "node_started"]
    assert sorted(started) == ["bad", "slow"]
    assert "node_completed" in names(events)
    # What had finished can be had.
    assert stream.result is not None
    assert stream.result.get_node_output("slow") == "S" and stream.result.is_failed()
    assert stream.result.state() == run.execute(made).state()


@pytest.mark.parametrize(
    ("status", "error_type"),
    [(400, "runtime_error"), (403, "permission_error"), (404, "runtime_error")],
)
def test_error_types_go_by_cause(status: int, error_type: str, server: Server) -> None:
    server.behaviour(replies=[says("a", status=status)])
    events = by_for(executor(server), workflow([agent("a")]))
    (failed,) = [event for event in events if event["event"] == "node_failed"]
    assert failed["error_type"] == error_type


@pytest.mark.parametrize("mode", ["updates", "all"])
def test_a_repeated_request_starts_again_and_completes_once(mode: str, server: Server) -> None:
    server.behaviour(status=[503])
    events = by_for(executor(server), workflow([agent("a")]), stream_mode=mode)
    kept = [name for name in names(events) if name.startswith("llm_call")]
    assert kept == ["llm_call_started", "llm_call_started", "llm_call_completed"]
    result = events[-1]["result"]
    assert result.get_node_response_metadata("a")["total_retries"] == 1


def test_tool_events_come_when_it_happens(server: Server) -> None:
    """D56: each on its own, neither late nor batched, and with true durations."""

    def nap(seconds: float) -> str:
        time.sleep(seconds)
        return "rested"

    naps = [("slow", "nap", {"seconds": 0.4}), ("fast", "nap", {"seconds": 0.1})]
    server.behaviour(replies=[calls("a", *naps), calls("a", *naps, turn=1), says("a", "done")])
    seen: list[tuple[str, str, float, float]] = []
    for event in executor(server).execute_streaming(workflow([agent("a", tools=[nap])])):
        if event["category"] == "tool":
            duration = event.get("duration_ms", 0.0)
            seen.append((event["phase"], event["tool_call_id"], duration, time.monotonic()))
    for turn in (seen[:4], seen[4:]):
        assert [one[:2] for one in turn] == [
            *(
                ("started", "slow"),
                ("started", "fast"),
                ("completed", "fast"),
                ("completed", "slow"),
            )
        ]
        assert 100 <= turn[2][2] < 350 and 400 <= turn[3][2] < 700
        assert turn[2][3] < turn[3][3] - 0.2


def test_tokens_come_as_they_are_written(server: Server) -> None:
    server.behaviour(slow_stream={"chunks": 5, "delay_ms": 100})
    arrived = [
        time.monotonic()
        for event in executor(server).execute_streaming(workflow([agent("a")]), None, "messages")
        if event["event"] == "token"
    ]
    assert len(arrived) == 5 and arrived[-1] - arrived[0] > 0.3


def test_a_model_that_cannot_stream_has_no_tokens(server: Server) -> None:
    config = LlmConfig.azurellm(KEY, "prod-chat", server.base_url)
    run, made = Executor(config), workflow([agent("a")])
    events = by_for(run, made, stream_mode="all")
    assert events[-1]["result"].get_node_output("a") == "echo: ask a"
    assert names(events).count("llm_call_started") == names(events).count("llm_call_completed") == 1
    assert len(bodies(server)) == 1


# --- the iterator


def test_the_iterator_tells_whether_it_goes_on(server: Server) -> None:
    stream = executor(server).execute_streaming(workflow([agent("a")]))
    assert isinstance(stream, WorkflowStreamIterator) and iter(stream) is stream
    assert repr(stream) == "WorkflowStreamIterator(active)"
    assert len(list(stream)) == 6
    assert repr(stream) == "WorkflowStreamIterator(exhausted)"
    assert list(stream) == [] and next(stream, None) is None

    async def later() -> None:
        again = executor(server).execute_streaming(workflow([agent("a")]))
        assert len([event async for event in again]) == 6
        assert repr(again) == "WorkflowStreamIterator(exhausted)"
        with pytest.raises(StopAsyncIteration):
            await again.__anext__()

    asyncio.run(later())
    with pytest.raises(TypeError):
        WorkflowStreamIterator()


def test_the_run_begins_at_once(server: Server) -> None:
    stream = executor(server).execute_streaming(workflow([agent("a")]))
    wait_until(lambda: len(server.log()) == 1)
    assert len(list(stream)) == 6


def test_an_async_for_leaves_the_loop_free(server: Server) -> None:
    server.behaviour(latency_ms=200)

    async def main() -> int:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticking = asyncio.create_task(tick())
        stream = executor(server).execute_streaming(chain([agent("a"), agent("b")]))
        assert [event async for event in stream][-1]["event"] == "workflow_completed"
        ticking.cancel()
        return ticks

    assert asyncio.run(main()) > 15


def drop(stream: Any) -> Any:
    del stream
    gc.collect()


def close(stream: Any) -> Any:
    stream.close()
    assert repr(stream) == "WorkflowStreamIterator(exhausted)"
    assert list(stream) == []
    stream.close()
    return stream


def leave(stream: Any) -> Any:
    with stream:
        pass
    return stream


@pytest.mark.parametrize("end", [drop, close, leave])
@pytest.mark.parametrize("mode", ["updates", "all"])
def test_letting_go_ends_the_run(mode: str, end: Callable[[Any], Any], server: Server) -> None:
    """D48: the connection is closed and nothing more is asked."""
    server.behaviour(replies=[says("b", "B", latency_ms=60_000)])
    made = chain([agent("a"), agent("b"), agent("c")])
    run = executor(server)
    stream = run.execute_streaming(made, stream_mode=mode)
    wait_until(lambda: len(server.log()) == 2)
    assert next(stream)["event"] == "workflow_started"
    kept = end(stream)
    del stream
    wait_until(lambda: server.stats()["disconnects"] == 1, 2)
    time.sleep(0.2)
    assert len(server.log()) == 2 and server.stats()["in_flight"] == 0
    if kept is not None:
        assert kept.result is not None and kept.result.get_node_output("a") == "echo: ask a"
    del kept
    wait_until(lambda: run.get_stats()["failed_executions"] == 1)


def test_a_dropped_stream_of_tokens_closes_its_connection(server: Server) -> None:
    server.behaviour(slow_stream={"chunks": 100, "delay_ms": 100})
    for event in executor(server).execute_streaming(
        chain([agent("a"), agent("b")]), None, "messages"
    ):
        assert event["event"] == "token"
        break
    gc.collect()
    wait_until(lambda: server.stats()["disconnects"] == 1, 2)
    assert len(server.log()) == 1


def test_a_cancelled_task_ends_the_run(server: Server) -> None:
    server.behaviour(hang=True)

    async def main() -> None:
        async def listen() -> None:
            async for _ in executor(server).execute_streaming(workflow([agent("a")])):
                pass

        task = asyncio.create_task(listen())
        while server.stats()["in_flight"] == 0:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    gc.collect()
    wait_until(lambda: server.stats()["disconnects"] == 1, 2)


def test_a_slow_listener_is_waited_for(server: Server) -> None:
    """At most 256 events wait; no more is asked until there is room."""
    made = chain([agent(f"n{number}") for number in range(200)])
    stream = executor(server).execute_streaming(made)
    wait_until(lambda: len(server.log()) > 50)
    time.sleep(0.5)
    before = len(server.log())
    time.sleep(0.3)
    # Four events a node.
    assert len(server.log()) == before <= 256 // 4 + 2
    events = list(stream)
    assert len(events) == 200 * 4 + 2 and len(server.log()) == 200
    assert events[-1]["event"] == "workflow_completed"


def test_the_schema_describes_these_events() -> None:
    schema = Executor.get_stream_event_schema()
    assert schema.keys() == {
        *("description", "version", "generic_dimensions", "stream_modes", "event_groups", "events")
    }
    assert schema["version"] == 1
    assert schema["generic_dimensions"].keys() == {"event", "category", "phase"}
    assert schema["stream_modes"].keys() == {"updates", "messages", "all"}
    order = [
        *("workflow_started", "node_started", "node_completed", "node_failed", "token"),
        *("llm_call_started", "llm_call_completed", "tool_call_started", "tool_call_completed"),
        *("tool_call_failed", "workflow_completed", "workflow_failed"),
    ]
    assert [event["event"] for event in schema["events"]] == order
    types = {
        "total_nodes": "int",
        "iteration": "int",
        "duration_ms": "float",
        "result": "WorkflowResult",
    }
    for event in schema["events"]:
        assert event.keys() == {
            *("event", "description", "category_value", "phase_value", "fields")
        }
        category, phase, keys = EVENTS[event["event"]]
        assert (event["category_value"], event["phase_value"]) == (category, phase)
        fields = [field["name"] for field in event["fields"]]
        assert fields[:4] == ["time", "category", "phase", "event"] and set(fields[4:]) == keys
        for field in event["fields"]:
            assert field.keys() == {"name", "type", "description"}
            assert field["type"] == types.get(field["name"], "str")
    assert [len(schema["event_groups"][name]) for name in ("workflow", "node", "llm", "tool")] == [
        3
    ] * 4
    assert schema["event_groups"]["llm"] == ["token", "llm_call_started", "llm_call_completed"]
