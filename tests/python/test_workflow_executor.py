"""`Executor`: limits, timeouts, numbers, sharing, Ctrl-C, and how much of a run happens at once."""

from __future__ import annotations

import asyncio
import copy
import multiprocessing
import pickle
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import pytest
from graphbit import (
    Executor,
    GuardRailPolicyConfig,
    LlmConfig,
    Node,
    WorkflowResult,
    exceptions,
)
from llm_setup import wait_until
from simulator import Server
from workflow_setup import (
    agent,
    asked,
    bodies,
    calls,
    chain,
    executor,
    model,
    says,
    tool_messages,
    workflow,
)

STATS = [
    *("total_executions", "successful_executions", "failed_executions", "success_rate"),
    *("average_duration_ms", "total_duration_ms", "uptime_seconds", "execution_mode"),
    *("timeout_seconds", "max_retries", "metrics_enabled"),
]


# --- arguments


@pytest.mark.parametrize("seconds", [0, 3601])
def test_timeouts_have_bounds(seconds: int, server: Server) -> None:
    text = (
        f"Validation error for field 'timeout_seconds' with value '{seconds}': "
        "Timeout must be between 1 and 3600 seconds"
    )
    with pytest.raises(ValueError) as caught:
        executor(server, timeout_seconds=seconds)
    assert str(caught.value) == text
    run = executor(server, timeout_seconds=7)
    with pytest.raises(ValueError) as caught:
        run.configure(timeout_seconds=seconds)
    assert str(caught.value) == text
    assert run.get_stats()["timeout_seconds"] == 7


@pytest.mark.parametrize("retries", [0, 11])
def test_retries_have_bounds(retries: int, server: Server) -> None:
    with pytest.raises(ValueError) as caught:
        executor(server).configure(max_retries=retries)
    assert str(caught.value) == (
        f"Validation error for field 'max_retries' with value '{retries}': "
        "Maximum retries must be between 1 and 10"
    )


def test_other_arguments(server: Server) -> None:
    config = model(server)
    Executor(config, True, 1, False)
    for wrong in (-1, "3"):
        with pytest.raises((OverflowError, TypeError)):
            Executor(config, timeout_seconds=wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="max_concurrency"):
        Executor(config, max_concurrency=0)
    with pytest.raises(TypeError):
        Executor("model")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Executor(config, max_concurrencies=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        WorkflowResult()
    run = executor(server)
    assert run.is_lightweight_mode() is False
    run.set_lightweight_mode(True)
    assert run.is_lightweight_mode() is True and run.get_execution_mode() == "Balanced"
    with pytest.raises(TypeError, match="policy"):
        run.execute(workflow([agent("a")]), "strict")  # type: ignore[arg-type]


# --- numbers


def test_the_numbers_of_all_three_doors(server: Server) -> None:
    """D47."""
    run = executor(server)
    assert list(run.get_stats()) == STATS
    fresh = run.get_stats()
    assert (fresh["success_rate"], fresh["average_duration_ms"]) == (0.0, 0.0)
    assert (fresh["timeout_seconds"], fresh["max_retries"]) == (300, 3)
    assert (fresh["execution_mode"], fresh["metrics_enabled"]) == ("Balanced", True)
    server.behaviour(replies=[says("bad", status=400), says("a", "A", latency_ms=50)])
    good, bad = workflow([agent("a")]), workflow([agent("bad")])

    async def later() -> None:
        await run.run_async(good)
        assert [event async for event in run.execute_streaming(good)]

    run.execute(good)
    asyncio.run(later())
    run.execute(bad)
    list(run.execute_streaming(bad))
    stats = run.get_stats()
    counts = ("total_executions", "successful_executions", "failed_executions")
    assert [stats[name] for name in counts] == [5, 3, 2]
    assert stats["success_rate"] == pytest.approx(0.6)
    assert stats["total_duration_ms"] >= 150 and isinstance(stats["total_duration_ms"], int)
    assert stats["average_duration_ms"] == pytest.approx(stats["total_duration_ms"] / 5, abs=1)
    run.configure(enable_metrics=False)
    run.execute(good)
    assert run.get_stats()["total_executions"] == 5
    assert run.get_stats()["metrics_enabled"] is False
    run.reset_stats()
    assert run.get_stats()["total_executions"] == run.get_stats()["uptime_seconds"] == 0


def test_a_run_that_times_out_or_is_refused_counts_rightly(server: Server) -> None:
    """D47: a timeout is no success; what did not begin is no run."""
    server.behaviour(hang=True)
    run = executor(server, timeout_seconds=1)
    with pytest.raises(TimeoutError):
        run.execute(workflow([agent("a")]))
    with pytest.raises(ValueError):
        run.execute(workflow([agent("a")], ("a", "a")))
    with pytest.raises(RuntimeError, match="no running event loop"):
        run.run_async(workflow([agent("a")]))
    stats = run.get_stats()
    assert (stats["total_executions"], stats["failed_executions"]) == (1, 1)


def test_numbers_can_be_read_during_a_run(server: Server) -> None:
    """D10."""
    server.behaviour(latency_ms=200)
    run = executor(server)
    thread = threading.Thread(target=run.execute, args=(workflow([agent("a")]),))
    thread.start()
    wait_until(lambda: server.stats()["in_flight"] == 1)
    assert run.get_stats()["total_executions"] == 0
    run.configure(timeout_seconds=9)
    thread.join()
    assert run.get_stats()["total_executions"] == 1


# --- timeouts


def test_execute_times_out_in_0_6_8_s_words_and_keeps_what_was_done(server: Server) -> None:
    server.behaviour(replies=[says("a", "A"), says("slow", latency_ms=5000), says("b", "B")])
    made = workflow([agent("a"), agent("slow"), agent("b")], ("a", "b"), ("slow", "b"))
    started = time.monotonic()
    with pytest.raises(TimeoutError) as caught:
        executor(server, timeout_seconds=1).execute(made)
    assert 0.98 <= time.monotonic() - started < 3
    assert str(caught.value) == (
        "Timeout in 'workflow_execution' after 1000ms: Workflow execution timed out after 1s"
    )
    partial = caught.value.partial_result  # type: ignore[attr-defined]
    assert isinstance(partial, WorkflowResult)
    assert partial.get_node_output("a") == "A" and partial.get_node_output("slow") is None
    assert not partial.is_success() and partial.state() == "Cancelled"
    # D48: the request is cancelled, and none follows.
    wait_until(lambda: server.stats()["disconnects"] == 1)
    time.sleep(0.3)
    assert asked(server, "b") == [] and len(bodies(server)) == 2


def test_a_time_limit_copies_and_pickles_with_what_was_done(server: Server) -> None:
    server.behaviour(
        replies=[says("json", '{"n": [1.1, null, "ü"]}'), says("slow", latency_ms=5000)]
    )
    policy = GuardRailPolicyConfig.from_json(
        '{"guardrail_policy": {"pii_rules": [{"type": "regex", "name": "N", "pattern": "ü"}]}}'
    )
    made = workflow([agent("json"), agent("slow")])
    with pytest.raises(exceptions.RequestTimeoutError) as caught:
        executor(server, timeout_seconds=1).execute(made, policy)
    error = caught.value
    for again in (
        pickle.loads(pickle.dumps(error)),
        copy.copy(error),
        copy.deepcopy(error),
    ):
        assert type(again) is type(error) and str(again) == str(error)
        assert again.kind == "timeout" and again.operation == "workflow_execution"
        one, other = again.partial_result, error.partial_result
        assert one is not None and other is not None
        assert one.get_node_output("json") == '{"n":[1.1,null,"ü"]}'
        assert repr(one) == repr(other) and one.state() == other.state() == "Cancelled"
        assert one.execution_time_ms() == other.execution_time_ms()
        assert one.variables() == other.variables() and one.output() == other.output()
        told = one.get_all_node_response_metadata()
        assert told == other.get_all_node_response_metadata()
        assert "ü" not in str(told)


def timed_out() -> None:
    """Runs in another process, so it imports and asks by itself."""

    def slow(messages: list[dict[str, Any]], **_: Any) -> str:
        if messages[-1]["content"].endswith("slow"):
            time.sleep(5)
        return "done"

    made = workflow([Node.agent("a", "quick"), Node.agent("b", "slow")])
    Executor(LlmConfig.from_callable(slow), timeout_seconds=1).execute(made)


def test_a_time_limit_crosses_process_pools() -> None:
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(1, mp_context=context) as pool,
        pytest.raises(exceptions.RequestTimeoutError, match="timed out after 1s") as caught,
    ):
        pool.submit(timed_out).result(timeout=60)
    partial = caught.value.partial_result
    assert partial is not None and partial.get_node_output("a") == "done"


def test_run_async_times_out_in_0_6_8_s_words(server: Server) -> None:
    server.behaviour(replies=[says("a", "A"), says("slow", latency_ms=5000)])
    made = workflow([agent("a"), agent("slow")])

    async def main() -> None:
        with pytest.raises(TimeoutError) as caught:
            await executor(server, timeout_seconds=1).run_async(made)
        assert str(caught.value) == (
            "Timeout in 'async_workflow_execution' after 1000ms: "
            "Async workflow execution timed out after 1s"
        )
        assert caught.value.partial_result.get_node_output("a") == "A"  # type: ignore[attr-defined]

    asyncio.run(main())
    wait_until(lambda: server.stats()["disconnects"] == 1)


def test_a_stream_times_out_with_its_terminal_event(server: Server) -> None:
    server.behaviour(hang=True)
    *_, last = executor(server, timeout_seconds=1).execute_streaming(workflow([agent("a")]))
    assert (last["event"], last["error_type"]) == ("workflow_failed", "timeout_error")
    assert last["error"] == "Workflow execution timed out after 1s"
    wait_until(lambda: server.stats()["disconnects"] == 1)


def test_retries_end_with_the_run(server: Server) -> None:
    """D48: 0.6.8 went on asking after the error was raised."""
    server.behaviour(fail_every=1, fail_status=503)
    with pytest.raises(TimeoutError):
        executor(server, timeout_seconds=2).execute(workflow([agent("a")]))
    before = len(server.log())
    time.sleep(2.5)
    assert len(server.log()) == before == 2


def test_a_timeout_does_not_wait_for_a_tool(server: Server) -> None:
    started, ended = threading.Event(), threading.Event()

    def nap() -> str:
        started.set()
        time.sleep(2)
        ended.set()
        return "rested"

    server.behaviour(replies=[calls("a", ("c", "nap", {})), says("a", "done")])
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        executor(server, timeout_seconds=1).execute(workflow([agent("a", tools=[nap])]))
    assert time.monotonic() - begun < 1.5 and started.is_set() and not ended.is_set()
    assert ended.wait(5)
    time.sleep(0.1)
    assert len(bodies(server)) == 1


# --- sharing


def test_one_executor_serves_eight_threads(server: Server) -> None:
    """D10, with tools that sleep and workflows built on another thread."""

    def nap(name: str) -> str:
        time.sleep(0.05)
        return f"rested {name}"

    names = [f"n{number}" for number in range(8)]
    replies = [calls(name, ("c", "nap", {"name": name})) for name in names]
    server.behaviour(replies=[*replies, *(says(name, f"out {name}") for name in names)])
    run = executor(server)
    made = {name: workflow([agent(name, tools=[nap])]) for name in names}

    def work(name: str) -> list[str | None]:
        results = [run.execute(made[name]) for _ in range(5)]
        return [result.get_node_output(name) for result in results]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, names)) == [[f"out {name}"] * 5 for name in names]
    for name in names:
        follow_ups = [body for body in asked(server, name) if len(body["messages"]) > 1]
        assert [tool_messages(body) for body in follow_ups] == [[("c", f"rested {name}")]] * 5
    assert run.get_stats()["successful_executions"] == 40


def test_eight_runs_at_once_on_one_loop(server: Server) -> None:
    async def nap() -> str:
        await asyncio.sleep(0.2)
        return "rested"

    def snore() -> str:
        time.sleep(0.2)
        return "snored"

    server.behaviour(
        replies=[calls("a", ("1", "nap", {}), ("2", "snore", {})), says("a", "done", latency_ms=50)]
    )
    run, made = executor(server), workflow([agent("a", tools=[nap, snore])])
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    async def main() -> list[Any]:
        ticking = asyncio.create_task(tick())
        started = time.monotonic()
        results = await asyncio.gather(*(run.run_async(made) for _ in range(8)))
        assert time.monotonic() - started < 1.2
        ticking.cancel()
        return results

    results = asyncio.run(main())
    assert [result.get_node_output("a") for result in results] == ["done"] * 8
    assert ticks >= 10


def test_a_cancelled_future_ends_the_run(server: Server) -> None:
    """D48."""
    server.behaviour(hang=True)

    async def main() -> None:
        future = executor(server).run_async(chain([agent("a"), agent("b")]))
        while server.stats()["in_flight"] == 0:
            await asyncio.sleep(0.01)
        future.cancel()
        with pytest.raises(asyncio.CancelledError):
            await future

    asyncio.run(main())
    wait_until(lambda: server.stats()["disconnects"] == 1)
    assert len(bodies(server)) == 1


# --- at once


def test_eight_roots_are_asked_at_once(server: Server) -> None:
    """D51: 0.6.8 asked four at a time."""
    server.behaviour(latency_ms=1000)
    run = executor(server)
    started = time.monotonic()
    assert run.execute(workflow([agent(f"n{number}") for number in range(8)])).is_success()
    assert time.monotonic() - started < 1.9
    assert server.stats()["max_in_flight"] == 8


def test_no_more_are_asked_at_once_than_is_allowed(server: Server) -> None:
    server.behaviour(latency_ms=40)
    run = executor(server, max_concurrency=3)
    run.execute(workflow([agent(f"n{number}") for number in range(10)]))
    assert server.stats()["max_in_flight"] == 3


def test_a_fast_branch_does_not_wait_for_a_slow_one(server: Server) -> None:
    """D51."""
    server.behaviour(replies=[says("slow", "S", latency_ms=600), says("fast", "F")])
    made = workflow(
        [agent(name) for name in ("slow", "fast", "child", "join")],
        *(("fast", "child"), ("slow", "join"), ("child", "join")),
    )
    assert executor(server).execute(made).is_success()
    (slow,) = [entry for entry in server.log() if '"ask slow"' in entry["body"]]
    (child,) = [
        entry
        for entry in server.log()
        if "ask child" in entry["body"] and "join" not in entry["body"]
    ]
    assert child["started"] < slow["finished"] - 0.3


def test_connections_are_kept_between_nodes_and_runs(server: Server) -> None:
    """D50."""
    run = executor(server)
    made = chain([agent(f"n{number}") for number in range(10)])
    for _ in range(3):
        run.execute(made)
    # A second one is opened where an answer is there before its connection is free again.
    assert server.stats()["connections_total"] <= 2 and len(bodies(server)) == 30


# --- Ctrl-C

INTERRUPTED = """
import os, signal, sys, threading, time
import graphbit
from graphbit import Executor, LlmConfig, Node, Workflow

url = os.environ["GRAPHBIT_SIMULATOR_URL"] + "/v1"
door = sys.argv[1]
workflow = Workflow("w")
def nap():
    time.sleep(30)
workflow.add_node(Node.agent("first", "ask first"))
workflow.add_node(Node.agent("a", "ask a", tools=[nap]))
workflow.connect("first", "a")
executor = Executor(LlmConfig.openai("sk-0123456789abcdef0123", "m", base_url=url))
sent = []
def press():
    time.sleep(1.0)
    sent.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=press, daemon=True).start()
try:
    if door == "execute":
        executor.execute(workflow)
    else:
        list(executor.execute_streaming(workflow))
except KeyboardInterrupt as interrupt:
    took = time.monotonic() - sent[0]
    partial = getattr(interrupt, "partial_result", None)
    print(round(took, 3), partial and partial.get_node_output("first"))
    sys.stdout.flush()
    os._exit(0 if took < 0.2 else 1)
os._exit(2)
"""


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="sends a signal to itself")
@pytest.mark.parametrize("door", ["execute", "execute_streaming"])
@pytest.mark.parametrize("where", ["model", "tool"])
def test_ctrl_c_is_heeded_within_200_ms(
    door: str, where: str, server: Server, run_child: Any
) -> None:
    """D9: while the model works, and while a tool does."""
    slow = says("a", latency_ms=60_000) if where == "model" else calls("a", ("c", "nap", {}))
    server.behaviour(replies=[slow])
    child = run_child(INTERRUPTED, arguments=(door,), timeout=20)
    assert child.returncode == 0, child
    if door == "execute":
        assert child.stdout.split(" ", 1)[1] == "echo: ask first\n"
    assert len(bodies(server)) == 2
