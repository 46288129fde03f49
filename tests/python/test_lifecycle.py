"""Nesting, forks, Ctrl-C and interpreter exit, each in a child process on a kill timer.

The programs are in ``children/``; ``benches/lifecycle.py`` runs the same ones many more times.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lifecycle_cases import FORKS, LEAVING, NESTING
from simulator import Server, Simulator

CHILDREN = Path(__file__).parent / "children"


@pytest.fixture
def hanging(simulator: Simulator) -> Any:
    """A second scope that accepts requests and never answers."""
    scope = simulator.new_scope("hanging")
    simulator.behaviour(scope, hang=True)
    yield Server(simulator, scope)
    simulator.forget(scope)


def run_script(run_child: Callable[..., Any], name: str, *arguments: str, **options: Any) -> Any:
    """Runs ``children/<name>.py`` as a script, so that spawn and forkserver find its functions."""
    return run_child(script=CHILDREN / f"{name}.py", arguments=arguments, **options)


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_blocking_calls_return_from_every_context(run_child: Any, workers: int) -> None:
    child = run_script(run_child, "nesting", "all", "3", str(workers), timeout=50)
    assert (child.returncode, child.stderr) == (0, ""), child
    assert [line.split()[1] for line in child.stdout.splitlines()] == list(NESTING)


@pytest.mark.parametrize("case", FORKS)
def test_parent_and_child_both_work_after_a_fork(run_child: Any, case: str) -> None:
    child = run_script(run_child, "fork", case, timeout=50)
    assert (child.returncode, child.stdout.strip()) == (0, "ok"), child


def test_ctrl_c_interrupts_within_100_ms_and_closes_the_connection(
    run_child: Any, hanging: Server
) -> None:
    environment = {"GRAPHBIT_HANGING_URL": hanging.base_url}
    child = run_script(run_child, "interrupt", "20", timeout=50, env=environment)
    assert child.returncode == 0, child
    delays = json.loads(child.stdout)["delays_ms"]
    assert len(delays) == 20
    assert max(delays) < 100, delays
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        log = hanging.log()
        if len(log) == 20 and all(entry["disconnected"] for entry in log):
            break
        time.sleep(0.02)
    assert [entry["disconnected"] for entry in hanging.log()] == [True] * 20


@pytest.mark.parametrize("way", LEAVING)
def test_leaving_is_quiet_and_clean(run_child: Any, hanging: Server, way: str) -> None:
    environment = {"GRAPHBIT_HANGING_URL": hanging.base_url}
    for _ in range(3):
        child = run_script(run_child, "leave", way, timeout=30, env=environment)
        assert (child.returncode, child.stdout, child.stderr) == (0, "", ""), child


def test_a_notebook_cell_may_block(server: Server) -> None:
    """A cell runs on the thread of a running loop: a real kernel, asked over its own protocol."""
    from jupyter_client.manager import start_new_kernel

    code = f"""
import graphbit
client = graphbit.LlmClient(graphbit.LlmConfig.azurellm("key-0123456789", "chat", {server.base_url!r}))
print(client.complete("sync"), await client.complete_async("async"), client.complete("again"))
"""
    manager, client = start_new_kernel()
    try:
        printed: list[str] = []

        def collect(message: dict[str, Any]) -> None:
            content = message["content"]
            printed.append(content.get("text", "") + "".join(content.get("traceback", ())))

        client.execute_interactive(code, timeout=30, output_hook=collect)
        assert "".join(printed).split("\n")[0] == "echo: sync echo: async echo: again"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
