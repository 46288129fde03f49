"""The rows about workflows: what a run costs, what a node costs, and what a thousand at once cost.

``benches/run.py --only workflows`` measures them; a row is what its ``Row`` takes, without the group. Each
program prints figures of its own. GraphBit 0.6.8 is left out where it cannot finish: it stops for good as
soon as two runs have a tool that sleeps, and it has no models without a server and no working transforms.
"""

from __future__ import annotations

from typing import Any

OURS, PEER = "ours", "0.6.8"
# The model calls each tool once and then answers.
CALLING = {"tool_rounds": 1}
AT_ONCE = ("seconds", "runs/s", "KB/run", "peak MB", "requests/run")

ROWS: list[dict[str, Any]] = [
    {
        "title": "64 parallel agents, no latency",
        "workload": "workflow_parallel",
        "given": {"agents": 64, "runs": 100},
        "packages": {OURS: {}, PEER: {"runs": 5}},
        "show": ("runs/s", "CPU ms/run", "requests/run", "connections/run"),
        "target": "runs/s >= 5x 0.6.8",
    },
    {
        "title": "64 parallel agents, 50 ms each",
        "workload": "workflow_parallel",
        "given": {"agents": 64, "runs": 20},
        "latency_ms": 50,
        "packages": {OURS: {}, PEER: {"runs": 3}},
        "show": ("runs/s", "CPU ms/run"),
    },
    {
        "title": "chain of 5 agents, a tool call each",
        "workload": "workflow_chain",
        "given": {"nodes": 5, "runs": 300},
        "settings": CALLING,
        "packages": {OURS: {}, PEER: {"runs": 20}},
        "show": ("runs/s", "CPU ms/run", "requests/run", "tool calls/run"),
        "target": "10 requests and 5 tool calls a run",
    },
    *(
        {
            "title": f"engine alone: {what}",
            "workload": "workflow_nodes",
            "given": {"kind": kind, "nodes": 200, "runs": 50},
            "packages": {OURS: {}},
            "show": ("us/node", "CPU us/node"),
            "target": "<= 200 us/node" if kind != "direct" else "",
        }
        for kind, what in {
            "transform": "chain of 200 transforms",
            "local": "chain of 200 agents over a local model",
            "callable": "chain of 200 agents over a Python function",
            "condition": "chain of 100 conditions and 100 transforms",
            "direct": "none, 200 calls of complete() on the Python function",
        }.items()
    ),
    *(
        {
            "title": f"1000 run_async at once, 3 agents each, {what}",
            "workload": "workflow_concurrent",
            "given": {"runs": 1000, "tool": tool},
            "settings": CALLING,
            "packages": {OURS: {}},
            "show": AT_ONCE,
        }
        for tool, what in {
            "none": "no tools",
            "coroutine": "a coroutine tool that sleeps 50 ms",
            "blocking": "a tool that sleeps 50 ms",
        }.items()
    ),
    {
        "title": "100 run_async at once, 3 agents each, no tools",
        "workload": "workflow_concurrent",
        "given": {"runs": 100, "tool": "none"},
        "show": AT_ONCE,
    },
]
