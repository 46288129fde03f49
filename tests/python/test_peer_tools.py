"""The tools of GraphBit 0.6.8 and ours: equal outcomes, but for its defects and the wordings that are listed.

The cases are in ``children/tools.py``; both packages run the same ones, each case in a process of its own, for
some of them end or hang 0.6.8's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PEER = os.environ.get("GRAPHBIT_PEER_PYTHON")
CHILD = Path(__file__).parent / "children" / "tools.py"

needs_peer = pytest.mark.skipif(
    not PEER, reason="GRAPHBIT_PEER_PYTHON names no interpreter with 0.6.8"
)

SAME = ["schemas", "registry", "history", "results", "configurations", "executor", "functions"]

# Case: our outcome, and that of 0.6.8; there a number is the exit status of its process, None a hang.
DEFECTS: dict[str, tuple[Any, Any]] = {
    "d1_cut_inside_a_character": ("✓ t -> " + "é" * 24 + "x...", -6),
    "d2_executor_inside_its_tool": ("1", None),
    "d2_registry_inside_its_tool": ("ToolRegistry(tools=2)", None),
    "d5_tool_that_is_not_offered": ([], [1]),
    "d6_words_that_look_like_errors": (["it was not found", True, True], ["", False, False]),
    "d7_coroutine": ("awaited", "<corout"),
    "d8_interrupt": ("raised", "swallowed"),
    "d30_decorator": ([True] * 4, [["TypeError", ""]] * 4),
    "d31_description_of_the_decorator": ("Said.", "Documented."),
    "d32_callable_without_a_name": (
        ["Counter", "Tool Execution Results:\n1. Counter -> 5\n"],
        ["unknown_tool", ["KeyError", "\"Tool 'unknown_tool' not found\""]],
    ),
    "d33_empty_docstring": (["Tool function", True], ["", False]),
    "d34_variable_parameters": ([["a"], ["a"]], [["a", "args", "kwargs"], ["a", "args", "kwargs"]]),
    "d35_booleans_and_lists": (
        '[true, {"a": true, "b": [1, 2]}, "true"]',
        '[1, {"a": 1, "b": "[1, 2]"}, "1"]',
    ),
    "d36_real_types": (["array", "object", {"type": "integer"}], ["integer", "string", None]),
    "d37_docstrings": (
        ["The x.", "the x", "begins and goes on"],
        ["int", "Parameter x", "begins"],
    ),
    "d39_other_threads": (
        [["echo"], {}],
        [[], ["ValueError", "Tool 'echo' not found in registry"]],
    ),
    "d39_two_tools_of_one_name": ("1. same -> first", "1. same -> second"),
    "d40_decorator_with_a_registry": ([["one"], None, ["one", "two"]], [[], ["TypeError", ""], []]),
    "d41_unknown_tool": (2, ["KeyError", "\"Tool 'none' not found\""]),
    "d41_results_that_are_not_stored": (1, 0),
    "d42_clear_tools": ([[], []], [["echo"], ["echo"]]),
    "d42_sync": ({}, "Tool execution delegated to global registry"),
}


def run(python: str, case: str, *options: str, timeout: float = 20) -> Any:
    """The outcome of a case, the exit status of a process that failed, `None` for one that hung."""
    try:
        done = subprocess.run(
            [python, *options, str(CHILD), case],
            capture_output=True,
            text=True,
            timeout=timeout,
            env=os.environ | {"RUST_BACKTRACE": "0"},
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode != 0:
        return done.returncode
    return json.loads(done.stdout.splitlines()[-1])[case]


@pytest.mark.peer
@needs_peer
@pytest.mark.parametrize("case", SAME)
def test_the_outcome_is_0_6_8_s(case: str) -> None:
    # -I: a PYTHONPATH that leads to our own package must not reach the peer.
    theirs = run(str(PEER), f"same_{case}", "-I")
    assert isinstance(theirs, list)
    assert run(sys.executable, f"same_{case}") == theirs


@pytest.mark.parametrize("case", DEFECTS)
def test_ours_is_right(case: str) -> None:
    assert run(sys.executable, case) == DEFECTS[case][0]


@pytest.mark.peer
@needs_peer
@pytest.mark.parametrize("case", DEFECTS)
def test_theirs_is_not(case: str) -> None:
    ours, theirs = DEFECTS[case]
    assert run(str(PEER), case, "-I", timeout=5) == theirs
    assert ours != theirs
