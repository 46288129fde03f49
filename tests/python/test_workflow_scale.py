"""A thousand runs at once, fifty workflows inside each other, sixty-four agents on one pool.

Nothing may be lost and nothing done twice: the tests count. ``benches/run.py --only workflows`` prints
what it costs in time and memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from simulator import Server

SCRIPT = Path(__file__).parent / "children" / "workflow_scale.py"


def outcome(run_child: Callable[..., Any], *arguments: str) -> dict[str, Any]:
    child = run_child(script=SCRIPT, arguments=arguments, timeout=50)
    assert (child.returncode, child.stderr) == (0, ""), child
    return json.loads(child.stdout)


@pytest.mark.parametrize("kind", ["blocking", "coroutine"])
def test_a_thousand_runs_at_once_lose_nothing(
    run_child: Callable[..., Any], server: Server, kind: str
) -> None:
    server.behaviour(tool_rounds=1)
    counts = outcome(run_child, "thousand_runs", kind)
    assert counts == {"right": 1000, "tool_calls": 3000, "counted": 1000, "failed": 0}
    stats = server.stats()
    assert (stats["requests"], stats["disconnects"]) == (6000, 0)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_fifty_workflows_inside_each_other_need_one_worker(
    run_child: Callable[..., Any], server: Server, workers: str
) -> None:
    server.behaviour(tool_rounds=1)
    assert outcome(run_child, "nested", "50", workers) == {"told": "told: " * 50 + "bottom"}
    assert server.stats()["requests"] == 100


def test_agents_and_runs_share_one_pool_of_connections(
    run_child: Callable[..., Any], server: Server
) -> None:
    server.behaviour(latency_ms=50)
    assert outcome(run_child, "parallel_agents", "64", "5") == {"right": 320}
    stats = server.stats()
    assert stats["requests"] == 320
    # All at once, and not one connection more than that: the later runs find theirs open.
    assert stats["max_in_flight"] == 64
    assert stats["connections_total"] <= 64
