"""The same workflows in GraphBit 0.6.8 and here: equal where 0.6.8 is right, and right where it is not.

The programs are ``children/same_workflows.py`` and ``workflow_defects.py``; both packages run each in a process of its own on a kill
timer, as some of them never end, or abort, in 0.6.8. It is found by ``GRAPHBIT_PEER_PYTHON``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from simulator import Simulator

PEER = os.environ.get("GRAPHBIT_PEER_PYTHON")
CHILDREN = Path(__file__).parent / "children"
ABORTS, HANGS = -6, None

SAME = [
    "same_bodies",
    "same_routes",
    "same_route_failures",
    "same_refusals",
    "same_shapes",
    "same_first_follow_up",
    "same_limit",
    "same_events",
    "same_schema",
    "same_texts_of_timeouts",
    "same_context",
    "same_guarded_runs",
    "same_guarded_tools",
    "same_policies",
]

# Case: our verdict, and that of 0.6.8.
VERDICTS: dict[str, tuple[Any, Any]] = {
    "failed_node": ([True, 0, True], [False, 1, False]),
    "failed_follow_up": (None, "add: 3"),
    "template_in_output": ("{{node.s}}\n\nask b", "SECRET\n\nask b"),
    "forged_marker": (0, 1),
    "tool_of_another_node": (0, 1),
    "output_that_says_not_found": (["not found"], ["look: not found"]),
    "coroutine_tool": ("waited", "<coroutine"),
    "coroutine_handler": (True, False),
    "interrupt_in_tool": ("KeyboardInterrupt", None),
    "shared_executor": ([None, None], ["RuntimeError", "RuntimeError"]),
    "chain_of_five": ([10, 5, True], [26, 12, False]),
    "handler_below_tools": (1, 2),
    "tools_together": (True, False),
    "follow_up_messages": (
        [["system", "S"], ["user", "C\n\nP\n\nask a"]],
        [["user", "ask a"]],
    ),
    "result_of_a_dict": (['{"a":null}'], ["{'a': None}"]),
    "own_model": ([True, True], [True, False]),
    "noise": (False, True),
    "tools_of_one_name": ([["of a"], ["of b"]], [["of b"], ["of b"]]),
    "output_name": ("echo: ask a", None),
    "handler_goes": (True, False),
    "key_in_configuration": (False, True),
    "retried_429": (2, 1),
    "retries_heeded": (2, 4),
    "handler_repeated": (1, 4),
    "statistics": ([1, 1], [0, 0]),
    "dropped_stream": (1, 3),
    "greetings": (0, 2),
    "connections": (True, False),
    "eight_roots": (8, 4),
    "fast_branch": (True, False),
    "temperature": (1.7, 1.0),
    "variables": (["OUT", "OUT\n\nOUT ask b"], ['"OUT"', 'OUT\n\n\\"OUT\\ ask b']),
    "transform": ("TEXT", None),
    "unknown_mode": ("ValueError", None),
    "pairable": (True, False),
    "durations_of_tools": ([True], [False]),
    "metadata": ([10, True], [5, False]),
    "guarded_system_prompt": (False, True),
    "guarded_tool_loop": ([False, False], [True, True]),
    "guarded_name_with_a_blank": (True, False),
    "guarded_tokens": (False, True),
}
# Case: our verdict, and how the process of 0.6.8 ends.
FATAL: dict[str, tuple[Any, int | None]] = {
    "nested_embedding": (True, ABORTS),
    "sleeping_tools": (["A", "A"], HANGS),
}
if hasattr(os, "fork"):
    VERDICTS["ctrl_c"] = (True, False)

TIMES = {"nested_embedding": 10, "sleeping_tools": 5}


class Run(NamedTuple):
    """How a child ended; `returncode` is `None` where it had to be killed."""

    returncode: int | None
    verdict: Any
    output: str


def run(python: str, simulator: Simulator, case: str) -> Run:
    scope = simulator.new_scope("workflows")
    # -I: a PYTHONPATH that leads to our own package must not reach the peer.
    program = CHILDREN / ("same_workflows.py" if case in SAME else "workflow_defects.py")
    command = [python, "-I", str(program), simulator.url(scope), case]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMES.get(case, 25),
            env=os.environ | {"RUST_BACKTRACE": "0"},
        )
    except subprocess.TimeoutExpired:
        return Run(None, None, "")
    finally:
        simulator.forget(scope)
    lines = done.stdout.splitlines()
    told = bool(lines) and lines[-1].startswith(f'{{"{case}"')
    verdict = json.loads(lines[-1])[case] if told else None
    return Run(done.returncode, verdict, done.stdout + done.stderr)


CASES = [*SAME, *VERDICTS, *FATAL]


def all_of(python: str, simulator: Simulator) -> dict[str, Run]:
    with ThreadPoolExecutor(3) as pool:
        found = pool.map(lambda case: run(python, simulator, case), CASES)
        return dict(zip(CASES, found, strict=True))


@pytest.fixture(scope="module")
def ours(simulator: Simulator) -> dict[str, Run]:
    return all_of(sys.executable, simulator)


@pytest.fixture(scope="module")
def theirs(simulator: Simulator) -> dict[str, Run]:
    if not PEER:
        pytest.skip("GRAPHBIT_PEER_PYTHON names no interpreter with 0.6.8")
    found = all_of(PEER, simulator)
    # It hangs now and then where it need not; a case that does so twice is told as it is.
    for case, outcome in found.items():
        if outcome.returncode is None and case not in FATAL:
            found[case] = run(PEER, simulator, case)
    return found


@pytest.mark.parametrize("case", [*VERDICTS, *FATAL])
def test_we_are_right(case: str, ours: dict[str, Run]) -> None:
    """D1 to D60, as the docstrings of the cases say."""
    assert ours[case].returncode == 0, ours[case].output
    assert ours[case].verdict == (VERDICTS | FATAL)[case][0]


@pytest.mark.peer
@pytest.mark.timeout(150)
@pytest.mark.parametrize("case", VERDICTS)
def test_graphbit_is_wrong(case: str, theirs: dict[str, Run]) -> None:
    """The defects are there, so the cases do show them."""
    # However it ends after the verdict: crashing on its way out is another of its defects.
    assert theirs[case].verdict == VERDICTS[case][1], theirs[case].output


@pytest.mark.peer
@pytest.mark.timeout(150)
@pytest.mark.parametrize("case", FATAL)
def test_graphbit_does_not_survive(case: str, theirs: dict[str, Run]) -> None:
    """D1, D2: the process is aborted, or never ends."""
    assert theirs[case].returncode == FATAL[case][1], theirs[case].output


@pytest.mark.peer
@pytest.mark.timeout(150)
@pytest.mark.parametrize("case", SAME)
def test_the_outcome_is_0_6_8_s(case: str, ours: dict[str, Run], theirs: dict[str, Run]) -> None:
    assert ours[case].returncode == 0, ours[case].output
    assert ours[case].verdict is not None
    assert ours[case].verdict == theirs[case].verdict, theirs[case].output
