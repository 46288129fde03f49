"""Many runs at once on one event loop, each of three agents in a row: time and memory of a run."""

import asyncio
import resource
import time
from typing import Any

from graphbit import Executor, Node, Workflow
from measure import Stopwatch, chat_config, parameters, report, served

given = parameters(runs=1000, tool="none", sleep=0.05)


def blocking() -> str:
    """Sleeps."""
    time.sleep(given.sleep)
    return "slept"


async def coroutine() -> str:
    """Sleeps."""
    await asyncio.sleep(given.sleep)
    return "slept"


options: dict[str, Any] = {
    "none": {},
    "blocking": {"tools": [blocking]},
    "coroutine": {"tools": [coroutine]},
}[given.tool]
executor = Executor(chat_config(given.url))


def chain() -> Workflow:
    workflow = Workflow("chain")
    ids = [workflow.add_node(Node.agent(name, "go on", **options)) for name in ("a", "b", "c")]
    workflow.connect(ids[0], ids[1])
    workflow.connect(ids[1], ids[2])
    return workflow


async def runs(workflows: list[Workflow]) -> list[Any]:
    return await asyncio.gather(*map(executor.run_async, workflows))


async def warm_and_run(workflows: list[Workflow]) -> tuple[list[Any], dict[str, float], float]:
    await runs([chain() for _ in range(5)])
    before = peak()
    watch = Stopwatch()
    watch.start()
    results = await runs(workflows)
    return results, watch.stop(), (peak() - before) / len(workflows)


def peak() -> int:
    """Kilobytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


workflows = [chain() for _ in range(given.runs)]
before = served(given.url)
results, times, kilobytes = asyncio.run(warm_and_run(workflows))
last = "told: slept" if options else "go on"
assert sum(result.get_node_output("c").endswith(last) for result in results) == given.runs
report(
    figures={
        "seconds": times["seconds"],
        "runs/s": given.runs / times["seconds"],
        "KB/run": kilobytes,
        "peak MB": peak() / 1024,
        "requests/run": (served(given.url)["requests"] - before["requests"]) / (given.runs + 5),
    }
)
