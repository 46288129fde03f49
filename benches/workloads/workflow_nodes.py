"""What the engine itself costs: chains of nodes that wait for no server."""

from itertools import pairwise
from typing import Any

from graphbit import Executor, LlmClient, LlmConfig, Node, Workflow
from measure import Stopwatch, parameters, report

given = parameters(kind="transform", nodes=200, runs=50)


def model(_: list[dict[str, str]], **_options: object) -> str:
    return "fine"


def handler(_: dict[str, Any]) -> str:
    return "next"


def node(number: int) -> Node:
    """The node at a place of the chain; what follows a condition is named ``next``."""
    if given.kind == "transform":
        return Node.transform(f"node{number}", "trim | lowercase")
    if given.kind == "condition":
        if number % 2:
            return Node.transform("next", "trim")
        return Node.condition(f"node{number}", handler)
    return Node.agent(f"node{number}", "go on")


def chain() -> Workflow:
    # Every workflow has to have an agent: one more node than is counted.
    workflow = Workflow("chain")
    ids = [workflow.add_node(Node.agent("begin", "begin"))]
    ids += [workflow.add_node(node(number)) for number in range(given.nodes)]
    for first, second in pairwise(ids):
        workflow.connect(first, second)
    return workflow


config = LlmConfig.extractive() if given.kind == "local" else LlmConfig.from_callable(model)
executor, client, workflow = Executor(config), LlmClient(config), chain()


def run() -> None:
    if given.kind == "direct":
        for _ in range(given.nodes):
            client.complete("go on")
        return
    result = executor.execute(workflow)
    assert result.is_success(), result.state()


for _ in range(3):
    run()
watch = Stopwatch()
watch.start()
for _ in range(given.runs):
    run()
times = watch.stop()
nodes = given.nodes * given.runs
report(
    figures={
        "us/node": times["seconds"] / nodes * 1e6,
        "CPU us/node": times["cpu_seconds"] / nodes * 1e6,
    }
)
