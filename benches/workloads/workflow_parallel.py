"""Agents beside each other in one workflow, run again and again by one executor."""

from graphbit import Executor, Node, Workflow
from measure import Stopwatch, chat_config, parameters, report, served

given = parameters(agents=64, runs=100)
executor = Executor(chat_config(given.url))
workflow = Workflow("wide")
for number in range(given.agents):
    workflow.add_node(Node.agent(f"agent{number}", f"say {number}"))


def run() -> None:
    outputs = executor.execute(workflow).get_all_node_outputs()
    for number in range(given.agents):
        assert outputs[f"agent{number}"] == f"echo: say {number}", outputs


run()
before = served(given.url)
watch = Stopwatch()
watch.start()
for _ in range(given.runs):
    run()
times = watch.stop()
after = served(given.url)
report(
    figures={
        "runs/s": given.runs / times["seconds"],
        "CPU ms/run": times["cpu_seconds"] / given.runs * 1000,
        "requests/run": (after["requests"] - before["requests"]) / given.runs,
        "connections/run": (after["connections_total"] - before["connections_total"]) / given.runs,
    }
)
