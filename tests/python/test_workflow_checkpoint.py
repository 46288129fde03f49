"""Checkpoints: what was finished is not asked again, whatever happened to the process or the file."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from graphbit import Executor, Node, Workflow
from llm_setup import wait_until
from simulator import Server
from workflow_setup import agent, asked, bodies, calls, chain, executor, message, says, workflow

CHILD = Path(__file__).parent / "children" / "checkpoint.py"
DOORS = ["execute", "run_async", "execute_streaming"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.checkpoint"


def run(server: Server, made: Workflow, path: Path, door: str = "execute") -> Any:
    """The result of a run of an executor of its own."""
    with_file: Executor = executor(server)
    if door == "execute":
        return with_file.execute(made, checkpoint=path)
    if door == "execute_streaming":
        return list(with_file.execute_streaming(made, checkpoint=str(path)))[-1]["result"]

    async def later() -> Any:
        return await with_file.run_async(made, checkpoint=path)

    return asyncio.run(later())


def start(server: Server, door: str, path: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(CHILD), door, str(path), *arguments],
        env=os.environ | {"GRAPHBIT_SIMULATOR_URL": server.base_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def prompts(server: Server, since: int = 0) -> list[str]:
    """The names of the nodes that asked, in order."""
    texts = [body["messages"][-1]["content"] for body in bodies(server)[since:]]
    return [text.rpartition("ask ")[2] for text in texts]


def above(name: str) -> str:
    column, place = name.split("-")
    return f"{column}-{int(place) - 1}"


@pytest.mark.parametrize("door", DOORS)
def test_after_kill_9_no_finished_node_is_asked_again(
    door: str, server: Server, path: Path, tmp_path: Path
) -> None:
    """A node whose child was asked had finished; the server's log tells which those are."""
    server.behaviour(latency_ms={"uniform": [2, 12]})
    chance = random.Random(door)
    finished: set[str] = set()
    seen = 0
    for _ in range(4):
        # Somewhere in what is left, at no moment in particular.
        limit = seen + chance.randrange(2, max(3, (200 - len(finished)) // 2))
        child = start(server, door, path)
        wait_until(
            lambda limit=limit: server.stats()["requests"] >= limit,
            20,
        )
        time.sleep(chance.random() * 0.01)
        child.send_signal(signal.SIGKILL)
        assert child.communicate()[0] == "" and child.returncode == -signal.SIGKILL
        wait_until(lambda: server.stats()["in_flight"] == 0)
        names = prompts(server, seen)
        seen += len(names)
        assert len(names) == len(set(names)) and not finished & set(names)
        finished |= {above(name) for name in names if not name.endswith("-0")}
        assert finished
    child = start(server, door, path)
    out, errors = child.communicate(timeout=40)
    assert child.returncode == 0, errors
    names = prompts(server, seen)
    assert not finished & set(names) and len(names) == len(set(names))
    # At most what was under way is asked twice: a node of each of the ten chains for each kill.
    assert 200 <= seen + len(names) <= 240
    # The outputs are those of a run that nobody killed.
    plain = start(server, door, tmp_path / "other")
    assert plain.communicate(timeout=40)[0] == out
    state, outputs = json.loads(out)
    assert state == "Completed" and len(outputs) == 200


@pytest.mark.parametrize("door", DOORS)
def test_a_run_that_is_repeated_asks_nothing(door: str, server: Server, path: Path) -> None:
    ran: list[str] = []

    def count() -> int:
        ran.append("tool")
        return 1

    def choose(situation: dict[str, Any]) -> str:
        ran.append("handler")
        return "yes"

    def build() -> Workflow:
        nodes = [
            agent("a", tools=[count], output_name="published"),
            Node.transform("up", "uppercase"),
            Node.condition("c", choose),
            *(agent(name) for name in ("yes", "no", "join")),
        ]
        edges = [
            *(("a", "up"), ("a", "c"), ("c", "yes"), ("c", "no")),
            *(("yes", "join"), ("no", "join"), ("up", "join")),
        ]
        return workflow(nodes, *edges)

    server.behaviour(
        replies=[calls("a", ("c", "count", {})), says("a", "counted"), says("yes", '{"y": 1}')]
    )
    first = run(server, build(), path, door)
    before = len(bodies(server))
    # Made anew, as in another process: the ids are different.
    again = run(server, build(), path, door)
    assert len(bodies(server)) == before == 4 and ran == ["tool", "handler"]
    named = [
        {name: text for name, text in result.get_all_node_outputs().items() if len(name) < 10}
        for result in (first, again)
    ]
    assert named[0] == named[1] and {*named[1]} == {"a", "published", "up", "c", "yes", "join"}
    one, other = (result.get_node_response_metadata("a") for result in (first, again))
    assert one["node_id"] != other["node_id"]
    assert {**one, "node_id": 0} == {**other, "node_id": 0}
    usage = [result.get_all_node_response_metadata()["total_usage"] for result in (first, again)]
    assert usage[0] == usage[1]


def test_a_resumed_stream_tells_the_nodes_and_no_calls(server: Server, path: Path) -> None:
    made = chain([agent("a"), agent("b")])
    run(server, made, path)
    events = list(executor(server).execute_streaming(made, None, "all", checkpoint=path))
    assert [event["event"] for event in events] == [
        "workflow_started",
        *("node_started", "node_completed") * 2,
        "workflow_completed",
    ]
    assert len(bodies(server)) == 2


def test_a_changed_prompt_runs_again_with_all_below_it(server: Server, path: Path) -> None:
    def build(word: str) -> Workflow:
        changed = Node.agent("b", f"{word} ask b")
        nodes = [agent("a"), changed, agent("c"), agent("d"), Node.agent("e", "{b} ask e")]
        return workflow(nodes, ("a", "b"), ("b", "c"), ("a", "d"))

    run(server, build("please"), path)
    before = len(bodies(server))
    run(server, build("now"), path)
    assert sorted(prompts(server, before)) == ["b", "c", "e"]
    # What was answered first is still there.
    before = len(bodies(server))
    run(server, build("please"), path)
    assert prompts(server, before) == []


@pytest.mark.parametrize(
    "change",
    [
        {"context": "x"},
        {"system_prompt": "x"},
        {"temperature": 0.5},
        {"max_tokens": 5},
        {"tools": [len]},
        {"max_iterations": 3},
    ],
)
def test_whatever_shapes_the_answer_counts(
    change: dict[str, Any], server: Server, path: Path
) -> None:
    run(server, chain([agent("a"), agent("b")]), path)
    run(server, chain([agent("a", **change), agent("b")]), path)
    assert prompts(server) == ["a", "b", "a", "b"]


def test_nodes_that_are_alike_are_kept_apart(server: Server, path: Path) -> None:
    server.behaviour(replies=[says("a", "first", times=1), says("a", "second")])

    def build() -> Workflow:
        return workflow([agent("a"), agent("a")])

    def outputs() -> list[str]:
        found = run(server, build(), path).get_all_node_outputs()
        return sorted(text for name, text in found.items() if len(name) > 30)

    assert outputs() == outputs() == ["first", "second"]
    assert len(bodies(server)) == 2


def test_failures_are_not_kept(server: Server, path: Path) -> None:
    server.behaviour(replies=[says("b", status=400, times=1)])
    made = workflow([agent(name) for name in "abcd"], ("a", "b"), ("b", "c"), ("a", "d"))
    assert run(server, made, path).is_failed()
    before = len(bodies(server))
    result = run(server, made, path)
    assert result.is_success() and prompts(server, before) == ["b", "c"]


def test_what_was_answered_without_a_failed_node_is_asked_again_with_it(
    server: Server, path: Path
) -> None:
    """Else the placeholder, left as it was written, would be answered for good."""
    server.behaviour(replies=[says("a", status=400, times=1), says("a", "A")])
    made = workflow(
        [agent("a"), Node.agent("b", "{{node.a}} ask b"), agent("c")],
        ("b", "c"),
    )
    assert run(server, made, path).is_failed()
    assert message(server, "b") == "{{node.a}} ask b"
    before = len(bodies(server))
    assert run(server, made, path).is_success()
    texts = [body["messages"][0]["content"] for body in bodies(server)[before:]]
    assert texts == ["ask a", "A ask b", "echo: A ask b\n\nask c"]
    before = len(bodies(server))
    run(server, made, path)
    assert prompts(server, before) == []


def test_a_condition_that_was_decided_stays_decided(server: Server, path: Path) -> None:
    """And what joins behind it is asked once."""
    choices = ["left", "right"]

    def choose(situation: dict[str, Any]) -> str:
        return choices.pop(0)

    server.behaviour(replies=[says("join", status=400, times=1)])
    nodes = [
        agent("a"),
        Node.condition("c", choose),
        *(agent(name) for name in ("left", "right", "join")),
    ]
    edges = [("a", "c"), ("c", "left"), ("c", "right"), ("left", "join"), ("right", "join")]
    made = workflow(nodes, *edges)
    assert run(server, made, path).is_failed()
    before = len(bodies(server))
    assert run(server, made, path).is_success() and choices == ["right"]
    assert prompts(server, before) == ["join"]
    run(server, made, path)
    assert prompts(server, before) == ["join"]


# --- the file


@pytest.mark.parametrize("cut", [1, 7, 60])
def test_a_torn_last_line_costs_its_node_and_no_other(cut: int, server: Server, path: Path) -> None:
    made = chain([agent(name) for name in "abc"])
    run(server, made, path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    run(server, made, path)
    assert prompts(server) == ["a", "b", "c", "c"]
    assert len(path.read_bytes().splitlines()) == len(whole.splitlines())
    run(server, made, path)
    assert prompts(server) == ["a", "b", "c", "c"]


def test_a_damaged_line_is_not_believed(server: Server, path: Path) -> None:
    made = chain([agent(name) for name in "abc"])
    run(server, made, path)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[-1] = lines[-1].replace(b"echo", b"ecko")
    path.write_bytes(b"".join(lines))
    result = run(server, made, path)
    assert prompts(server) == ["a", "b", "c", "c"]
    assert "ecko" not in "".join(result.get_all_node_outputs().values())


def test_half_a_first_line_and_an_empty_file_are_a_beginning(server: Server, path: Path) -> None:
    made = workflow([agent("a")])
    run(server, made, path)
    header = path.read_bytes().splitlines()[0]
    for content in (b"", header[:5], header):
        path.write_bytes(content)
        assert run(server, made, path).is_success()
    assert prompts(server) == ["a"] * 4


@pytest.mark.parametrize("door", DOORS)
def test_another_file_is_left_as_it_is(door: str, server: Server, path: Path) -> None:
    path.write_text("my notes\n")
    with pytest.raises(RuntimeError, match="is not a checkpoint"):
        run(server, workflow([agent("a")]), path, door)
    assert path.read_text() == "my notes\n" and server.log() == []


def test_a_path_that_cannot_be_used_is_told_before_anything_is_asked(
    server: Server, tmp_path: Path
) -> None:
    made = workflow([agent("a")])
    for wrong in (tmp_path, tmp_path / "nowhere" / "file"):
        with pytest.raises(RuntimeError, match="cannot open the checkpoint"):
            run(server, made, wrong)
    with pytest.raises(TypeError):
        executor(server).execute(made, checkpoint=3)  # type: ignore[arg-type]
    assert server.log() == []


def test_two_runs_cannot_have_one_file(server: Server, path: Path) -> None:
    server.behaviour(replies=[says("slow", latency_ms=4000)])
    made = workflow([agent("slow")])
    outcomes: list[Any] = []
    thread = threading.Thread(target=lambda: outcomes.append(run(server, made, path)))
    thread.start()
    wait_until(lambda: len(server.log()) == 1)
    # From another process as well.
    child = start(server, "execute", path)
    with pytest.raises(RuntimeError, match="is held by another run"):
        run(server, workflow([agent("a")]), path)
    _, errors = child.communicate(timeout=30)
    assert child.returncode == 1 and "is held by another run" in errors
    thread.join()
    assert outcomes[0].is_success() and prompts(server) == ["slow"]
    assert run(server, workflow([agent("a")]), path).is_success()


def test_the_file_is_free_after_a_timeout(server: Server, path: Path) -> None:
    server.behaviour(replies=[says("b", "B", latency_ms=5000, times=1)])
    made = chain([agent("a"), agent("b")])
    with pytest.raises(TimeoutError):
        executor(server, timeout_seconds=1).execute(made, checkpoint=path)
    assert run(server, made, path).is_success()
    assert prompts(server) == ["a", "b", "b"]


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files")
def test_a_disk_that_is_full_is_warned_of_and_the_run_goes_on(server: Server, path: Path) -> None:
    child = start(server, "full", path, "40")
    out, errors = child.communicate(timeout=40)
    assert child.returncode == 0, errors
    state, outputs = json.loads(out.splitlines()[-1])
    assert state == "Completed" and len(outputs) == 40
    assert "a finished node could not be saved" in errors
    # What did find room is whole: the next run does not ask for it again.
    saved = len(path.read_bytes().splitlines()) - 1
    assert 0 < saved < 40 and len(path.read_bytes()) <= 4000
    child = start(server, "execute", path, "40")
    assert json.loads(child.communicate(timeout=40)[0])[1] == outputs
    assert len(asked(server, "n0-0")) <= 2
    assert server.stats()["requests"] == 80 - saved
