"""Condition nodes: what a handler is told, where a run goes on, what is skipped, and what goes wrong."""

from __future__ import annotations

import asyncio
import gc
import re
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from graphbit import Node, Workflow, clear_tools
from simulator import Server
from test_workflow_tools import DOORS, through
from workflow_setup import agent, asked, bodies, calls, executor, message, says, workflow

UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def always(choice: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda situation: choice


def ran(server: Server) -> set[str]:
    """The names of the agents that asked anything."""
    users = [body["messages"][-1]["content"] for body in bodies(server)]
    return {text.rsplit("ask ", 1)[1] for text in users}


def forked(handler: Callable[[dict[str, Any]], Any]) -> Workflow:
    """a -> c -> left or right."""
    nodes = [agent("a"), Node.condition("c", handler), agent("left"), agent("right")]
    return workflow(nodes, ("a", "c"), ("c", "left"), ("c", "right"))


def test_a_handler_is_told_everything(server: Server) -> None:
    seen: list[dict[str, Any]] = []

    def handler(situation: dict[str, Any]) -> str:
        seen.append(situation)
        return "end"

    server.behaviour(
        replies=[says("x", "X"), says("a", '{"k": [1, null, true]}'), says("end", "E")]
    )
    x, a, end = agent("x"), agent("a", output_name="published"), agent("end")
    condition = Node.condition("c", handler)
    made = workflow([x, a, condition, end], ("x", "a"), ("a", "c"), ("c", "end"))
    result = executor(server).execute(made)
    (told,) = seen
    assert told.keys() == {
        *("parent_node_id", "parent_output", "variables", "node_outputs", "metadata"),
    }
    assert told["parent_node_id"] == a.id()
    value = {"k": [1, None, True]}
    assert told["parent_output"] == value
    names = {x.id(), "x", a.id(), "a", "published"}
    assert told["node_outputs"].keys() == told["variables"].keys() == names
    assert told["node_outputs"]["a"] == told["node_outputs"][a.id()] == value
    assert told["node_outputs"]["x"] == told["variables"]["x"] == "X"
    # D53: raw text.
    assert told["variables"]["a"] == '{"k":[1,null,true]}'
    metadata = told["metadata"]
    assert {*metadata} == {
        *(f"node_response_{name}" for name in names),
        *("node_dependencies", "node_id_to_name", "workflow_llm_configs_validated"),
    }
    assert metadata["node_response_a"] == result.get_node_response_metadata("a")
    assert metadata["node_dependencies"] == {
        x.id(): [],
        a.id(): [x.id()],
        condition.id(): [a.id()],
        end.id(): [condition.id()],
    }
    ids = {node.id(): node.name() for node in (x, a, condition, end)}
    assert metadata["node_id_to_name"] == ids


def test_what_a_handler_does_to_its_dict_stays_with_it(server: Server) -> None:
    def handler(situation: dict[str, Any]) -> str:
        situation["node_outputs"]["a"] = "changed"
        situation["metadata"].clear()
        return "left"

    result = executor(server).execute(forked(handler))
    assert result.get_node_output("a") == "echo: ask a"
    assert result.get_node_response_metadata("a") is not None


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("choice", ["left", "  right\n"])
def test_the_chosen_branch_runs_and_is_told_its_name(
    choice: str, door: str, server: Server
) -> None:
    result = through(door, executor(server), forked(always(choice)))
    chosen = choice.strip()
    assert result.is_success() and ran(server) == {"a", chosen}
    # The choice is an output like any other, in front of the prompt.
    assert message(server, chosen) == f"{chosen}\n\nask {chosen}"
    assert result.get_node_output("c") == chosen
    assert result.get_node_response_metadata("c") is None
    skipped = ({"left", "right"} - {chosen}).pop()
    assert result.get_node_output(skipped) is None
    assert result.get_node_response_metadata(skipped) is None


def test_a_diamond_joins_and_a_skipped_parent_has_nothing_to_say(server: Server) -> None:
    server.behaviour(replies=[says("left", "L"), says("right", "R")])
    made = forked(always("right"))
    made.add_node(agent("join"))
    for side in ("left", "right"):
        made.connect(side, "join")
    result = executor(server).execute(made)
    assert result.is_success() and ran(server) == {"a", "right", "join"}
    assert message(server, "join") == "R\n\nask join"


def test_the_chosen_branch_may_be_the_join_itself(server: Server) -> None:
    made = forked(always("left"))
    made.connect("right", "left")
    assert executor(server).execute(made).is_success()
    assert ran(server) == {"a", "left"}


def test_below_a_rejected_branch_nothing_runs_even_with_another_parent(server: Server) -> None:
    made = forked(always("left"))
    for name in ("live", "below", "far"):
        made.add_node(agent(name))
    for source, target in (("right", "below"), ("live", "below"), ("below", "far")):
        made.connect(source, target)
    assert executor(server).execute(made).is_success()
    assert ran(server) == {"a", "live", "left"}


def test_conditions_may_be_nested(server: Server) -> None:
    nodes = [
        agent("a"),
        Node.condition("outer", always("inner")),
        Node.condition("inner", always("yes")),
        *(agent(name) for name in ("no", "yes", "other", "join")),
    ]
    edges = [
        *(("a", "outer"), ("outer", "inner"), ("outer", "other"), ("inner", "yes")),
        *(("inner", "no"), ("yes", "join"), ("no", "join"), ("other", "join")),
    ]
    result = executor(server).execute(workflow(nodes, *edges))
    assert result.is_success() and ran(server) == {"a", "yes", "join"}
    assert message(server, "yes") == "yes\n\nask yes"
    assert result.get_node_output("outer") == "inner"


def test_a_rejected_condition_is_not_asked(server: Server) -> None:
    asked_for: list[str] = []

    def handler(situation: dict[str, Any]) -> str:
        asked_for.append("inner")
        return "x"

    nodes = [
        agent("a"),
        Node.condition("outer", always("left")),
        agent("left"),
        Node.condition("inner", handler),
        agent("x"),
    ]
    edges = [("a", "outer"), ("outer", "left"), ("outer", "inner"), ("inner", "x")]
    assert executor(server).execute(workflow(nodes, *edges)).is_success()
    assert asked_for == [] and ran(server) == {"a", "left"}


@pytest.mark.parametrize("door", DOORS)
def test_a_handler_below_a_tool_node_is_called_once_and_sees_its_answer(
    door: str, server: Server
) -> None:
    """D11."""
    seen: list[Any] = []

    def count() -> int:
        return 1

    def handler(situation: dict[str, Any]) -> str:
        seen.append(situation["parent_output"])
        return "left"

    server.behaviour(replies=[calls("a", ("c", "count", {})), says("a", "counted")])
    nodes = [
        agent("a", tools=[count]),
        Node.condition("c", handler),
        agent("left"),
        agent("right"),
    ]
    made = workflow(nodes, ("a", "c"), ("c", "left"), ("c", "right"))
    result = through(door, executor(server), made)
    assert result.is_success() and seen == ["counted"]
    assert len(asked(server, "left")) == 1 and asked(server, "right") == []


def raising(error: BaseException) -> Callable[[dict[str, Any]], str]:
    def handler(situation: dict[str, Any]) -> str:
        raise error

    return handler


@pytest.mark.parametrize(
    ("handler", "pattern"),
    [
        (
            always("nowhere"),
            r"Condition routing: no direct successor named 'nowhere'.*left, right.*",
        ),
        (always("a"), r"Condition routing: no direct successor named 'a'.*"),
        (always(" \n"), r"Condition routing: .*empty.*"),
        (always(3), rf"{UUID}: TypeError: .*str, not int"),
        (always(None), rf"{UUID}: TypeError: .*str, not NoneType"),
        (
            raising(ValueError("not found 500 timeout")),
            rf"{UUID}: ValueError: not found 500 timeout",
        ),
        (raising(KeyError("k")), rf"{UUID}: KeyError: 'k'"),
    ],
)
def test_what_goes_wrong_fails_the_run_and_is_not_tried_again(
    handler: Any, pattern: str, server: Server
) -> None:
    times: list[int] = []

    def counting(situation: dict[str, Any]) -> Any:
        times.append(1)
        return handler(situation)

    started = time.monotonic()
    result = executor(server).execute(forked(counting))
    assert time.monotonic() - started < 1 and times == [1]
    assert result.is_failed() and ran(server) == {"a"}
    assert re.fullmatch(f"Workflow execution error: {pattern}", result.error() or "")
    assert result.state().startswith('Failed { error: "Workflow execution error: ')
    assert result.get_node_output("a") == "echo: ask a"


@pytest.mark.parametrize("parents", [0, 2])
def test_exactly_one_parent(parents: int, server: Server) -> None:
    nodes = [agent("a"), agent("b"), Node.condition("c", always("d")), agent("d")]
    edges = [("a", "c"), ("b", "c")][:parents]
    result = executor(server).execute(workflow(nodes, *edges, ("c", "d")))
    assert result.error() == (
        "Workflow execution error: Condition node 'c' must have exactly one incoming dependency, "
        f"found {parents}"
    )
    assert ran(server) == {"a", "b"}


def test_a_doubled_edge_is_one_parent(server: Server) -> None:
    made = forked(always("left"))
    made.connect("a", "c")
    assert executor(server).execute(made).is_success()


def test_without_successors_there_is_nowhere_to_go(server: Server) -> None:
    made = workflow([agent("a"), Node.condition("c", always("x"))], ("a", "c"))
    result = executor(server).execute(made)
    assert result.is_failed() and "has no direct successors" in (result.error() or "")


def test_a_handler_below_a_failed_node_is_not_called(server: Server) -> None:
    """D3."""
    server.behaviour(replies=[says("a", status=400)])
    times: list[int] = []

    def handler(situation: dict[str, Any]) -> str:
        times.append(1)
        return "left"

    result = executor(server).execute(forked(handler))
    assert result.is_failed() and times == [] and ran(server) == {"a"}
    assert "Node 'a' failed" in (result.error() or "")


@pytest.mark.parametrize("door", DOORS)
def test_coroutine_handlers_are_awaited(door: str, server: Server) -> None:
    """D7."""

    async def handler(situation: dict[str, Any]) -> str:
        await asyncio.sleep(0.01)
        return "right"

    result = through(door, executor(server), forked(handler))
    assert result.get_node_output("c") == "right" and ran(server) == {"a", "right"}


def test_a_coroutine_handler_runs_on_the_caller_s_loop(server: Server) -> None:
    threads: list[threading.Thread] = []

    async def handler(situation: dict[str, Any]) -> str:
        threads.append(threading.current_thread())
        return "left"

    async def main() -> None:
        await executor(server).run_async(forked(handler))

    asyncio.run(main())
    assert threads == [threading.current_thread()]


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit])
def test_what_stops_a_program_comes_out(raised: type[BaseException], server: Server) -> None:
    """D8."""
    with pytest.raises(raised) as caught:
        executor(server).execute(forked(raising(raised("enough"))))
    assert caught.value.args == ("enough",) and ran(server) == {"a"}


def test_a_sleeping_handler_holds_nobody_up(server: Server) -> None:
    """Handlers have threads of their own, so that other nodes and other handlers go on."""

    def handler(situation: dict[str, Any]) -> str:
        time.sleep(0.3)
        return "end"

    nodes = [agent("a"), *(Node.condition(f"c{number}", handler) for number in range(8))]
    nodes.append(agent("end"))
    edges = [("a", f"c{number}") for number in range(8)]
    edges += [(f"c{number}", "end") for number in range(8)]
    started = time.monotonic()
    assert executor(server).execute(workflow(nodes, *edges)).is_success()
    assert time.monotonic() - started < 1.2


def test_a_handler_goes_when_its_node_goes(server: Server) -> None:
    """D44."""

    class Handler:
        def __call__(self, situation: dict[str, Any]) -> str:
            return "left"

    handler = Handler()
    gone = weakref.ref(handler)
    made = forked(handler)
    executor(server).execute(made)
    del handler, made
    deadline = time.monotonic() + 5
    while gone() is not None and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    assert gone() is None


def test_a_program_whose_handler_or_tool_holds_its_own_workflow_is_collected() -> None:
    class Program:
        def __init__(self) -> None:
            self.workflow = Workflow("circle")
            self.workflow.add_node(Node.agent("a", "x", tools=[self.look_up]))
            self.workflow.add_node(Node.condition("c", self.route))
            self.node = Node.condition("alone", self.route)

        def route(self, situation: dict[str, Any]) -> str:
            return str(situation)

        def look_up(self) -> str:
            return "found"

    gone = [weakref.ref(Program()) for _ in range(3)]
    # The registry shows the last tool of a name.
    clear_tools()
    gc.collect()
    assert [reference() for reference in gone] == [None] * 3
    kept = Program()
    gc.collect()
    assert kept.workflow.node_count() == 2
    assert kept.node.name() == "alone"
    clear_tools()
