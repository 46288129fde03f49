"""A chain of agents with a tool each, which the model calls once: runs, requests and calls of tools."""

from itertools import pairwise

from graphbit import Executor, Node, Workflow
from measure import Stopwatch, chat_config, parameters, report, served

given = parameters(nodes=5, runs=300)
calls = 0


def look_up() -> str:
    """Looks something up."""
    global calls
    calls += 1
    return "found it"


executor = Executor(chat_config(given.url))
workflow = Workflow("chain")
ids = [
    workflow.add_node(Node.agent(f"agent{number}", "use the tool", tools=[look_up]))
    for number in range(given.nodes)
]
for first, second in pairwise(ids):
    workflow.connect(first, second)


def run() -> None:
    # Not looked into: the last nodes of such a chain end with an inner value in 0.6.8.
    assert executor.execute(workflow).is_success()


run()
calls, before = 0, served(given.url)
watch = Stopwatch()
watch.start()
for _ in range(given.runs):
    run()
times = watch.stop()
figures = {
    "runs/s": given.runs / times["seconds"],
    "CPU ms/run": times["cpu_seconds"] / given.runs * 1000,
    "requests/run": (served(given.url)["requests"] - before["requests"]) / given.runs,
    "tool calls/run": calls / given.runs,
}
report(figures=figures)
