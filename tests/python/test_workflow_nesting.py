"""Calls of the library from inside tools and conditions: every cell of the matrix, on kill timers.

The programs are in ``children/``, the cells in ``workflow_cases.py``. ``GRAPHBIT_NESTING_REPEATS`` is how
often each cell, scenario and way to leave is tried (default 2); a hang, an abort, a wrong value and a word
on standard error are all failures.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from simulator import Server, Simulator
from workflow_cases import CALLERS, CELLS, LEAVING, TOGETHER, TOOL_CELLS

CHILDREN = Path(__file__).parent / "children"
REPEATS = int(os.environ.get("GRAPHBIT_NESTING_REPEATS", "2"))
# A run takes milliseconds; what needs longer than this hangs.
PATIENCE = 50 + 10 * REPEATS

pytestmark = pytest.mark.timeout(PATIENCE + 30)


@pytest.fixture
def tools(server: Server) -> Server:
    """A server whose model calls each tool it is offered once, and then says what it was told."""
    server.behaviour(tool_rounds=1, dimensions=8)
    return server


@pytest.fixture
def hanging(simulator: Simulator) -> Any:
    """A second scope that accepts requests and never answers."""
    scope = simulator.new_scope("hanging")
    simulator.behaviour(scope, hang=True)
    yield Server(simulator, scope)
    simulator.forget(scope)


@pytest.mark.parametrize("workers", [1, 2, 8])
@pytest.mark.parametrize("caller", CALLERS)
def test_every_call_returns_from_every_callback_by_every_door(
    run_child: Callable[..., Any], tools: Server, caller: str, workers: int
) -> None:
    script, arguments = CHILDREN / "workflow_nesting.py", (caller, str(workers), str(REPEATS))
    child = run_child(script=script, arguments=arguments, timeout=PATIENCE)
    assert (child.returncode, child.stderr) == (0, ""), (child, child.stdout[-200:])
    assert child.stdout.splitlines() == [f"{cell} {REPEATS}" for cell in CELLS]


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_every_call_returns_in_a_notebook(tools: Server, tmp_path: Path, workers: int) -> None:
    """A cell runs on the thread of a running loop: a real kernel, asked over its own protocol."""
    from jupyter_client.manager import start_new_kernel

    code = f"""
import graphbit, sys
graphbit.configure_runtime(worker_threads={workers})
sys.path.insert(0, {str(CHILDREN)!r})
import workflow_nesting
workflow_nesting.vector()
await workflow_nesting.in_coroutine({REPEATS})
"""
    printed: list[str] = []

    def collect(message: dict[str, Any]) -> None:
        content = message["content"]
        printed.append(content.get("text", "") + "".join(content.get("traceback", ())))

    with (tmp_path / "stderr").open("w+") as errors:
        manager, client = start_new_kernel(
            env=os.environ | {"GRAPHBIT_SIMULATOR_URL": tools.base_url}, stderr=errors
        )
        kernel: subprocess.Popen[bytes] = manager.provisioner.process
        try:
            client.execute_interactive(code, timeout=PATIENCE, output_hook=collect)
            assert "".join(printed).splitlines() == [f"{cell} {REPEATS}" for cell in CELLS]
            client.shutdown()
            assert kernel.wait(20) == 0
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
        errors.seek(0)
        assert "panicked" not in errors.read()


def test_every_call_returns_from_tools_the_program_runs_itself(
    run_child: Callable[..., Any], tools: Server
) -> None:
    script, arguments = CHILDREN / "tool_nesting.py", (str(REPEATS),)
    child = run_child(script=script, arguments=arguments, timeout=PATIENCE)
    assert (child.returncode, child.stderr) == (0, ""), child
    assert child.stdout.splitlines() == [f"{cell} {REPEATS}" for cell in TOOL_CELLS]


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_runs_beside_each_other_come_to_an_end(
    run_child: Callable[..., Any], tools: Server, workers: int
) -> None:
    script, arguments = CHILDREN / "workflow_together.py", ("all", str(workers), str(REPEATS))
    child = run_child(script=script, arguments=arguments, timeout=PATIENCE)
    assert (child.returncode, child.stderr) == (0, ""), child
    assert child.stdout.splitlines() == [f"{scenario} {REPEATS}" for scenario in TOGETHER]


@pytest.mark.parametrize("way", LEAVING)
def test_leaving_around_a_run_is_quiet_and_clean(
    run_child: Callable[..., Any], tools: Server, hanging: Server, way: str
) -> None:
    environment = {"GRAPHBIT_HANGING_URL": hanging.base_url}

    def leave(_: int) -> Any:
        script, arguments = CHILDREN / "workflow_leave.py", (way,)
        return run_child(script=script, arguments=arguments, env=environment, timeout=30)

    # Two at a time: the order in which threads end differs more on a busy machine.
    with ThreadPoolExecutor(2) as pool:
        for child in pool.map(leave, range(REPEATS)):
            assert (child.returncode, child.stdout, child.stderr) == (0, "", ""), child


@pytest.mark.skipif(os.name == "nt", reason="signals are sent as POSIX has them")
def test_a_killed_run_leaves_with_the_signal(run_child: Callable[..., Any], tools: Server) -> None:
    """SIGTERM ends a program whose tool sleeps, where 0.6.8 had to be killed."""
    code = """
    import os, signal, threading, time
    import graphbit

    def doze() -> str:
        "Sleeps."
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
        time.sleep(20)
        return "late"

    config = graphbit.LlmConfig.azurellm("key-0123456789", "chat", os.environ["GRAPHBIT_SIMULATOR_URL"])
    workflow = graphbit.Workflow("w")
    workflow.add_node(graphbit.Node.agent("a", "use the tool", tools=[doze]))
    graphbit.Executor(config).execute(workflow)
    """
    child = run_child(code, timeout=10)
    assert (child.returncode, child.stderr) == (-signal.SIGTERM, ""), child


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_an_executor_works_on_both_sides_of_a_fork(
    run_child: Callable[..., Any], tools: Server
) -> None:
    code = """
    import os
    import graphbit

    def where() -> str:
        "Tells the process."
        return str(os.getpid())

    config = graphbit.LlmConfig.azurellm("key-0123456789", "chat", os.environ["GRAPHBIT_SIMULATOR_URL"])
    executor, workflow = graphbit.Executor(config), graphbit.Workflow("w")
    workflow.add_node(graphbit.Node.agent("a", "use the tool", tools=[where]))

    def run() -> bool:
        *_, last = executor.execute_streaming(workflow)
        outputs = {executor.execute(workflow).get_node_output("a"), last["result"].get_node_output("a")}
        return outputs == {f"told: {os.getpid()}"}

    assert run()
    if (child := os.fork()) == 0:
        os._exit(0 if run() else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert run()
    """
    child = run_child(code, timeout=20)
    assert (child.returncode, child.stderr) == (0, ""), child
