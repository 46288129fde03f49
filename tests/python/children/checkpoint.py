"""Runs one workflow with a checkpoint, to be killed in the middle: `checkpoint.py <door> <file> [nodes]`.

Chains side by side, the nodes of each below one another; prints all outputs by name. With ``full`` as the
door the disk has no room for more than a few nodes.
"""

import asyncio
import json
import os
import sys

import graphbit
from graphbit import Executor, LlmConfig, Node, Workflow

CHAINS = 10


def build(nodes):
    workflow = Workflow("many")
    for chain in range(CHAINS):
        above = None
        for place in range(nodes // CHAINS):
            name = f"n{chain}-{place}"
            workflow.add_node(Node.agent(name, f"ask {name}"))
            if above is not None:
                workflow.connect(above, name)
            above = name
    return workflow


def run(door, executor, workflow, path):
    if door == "execute_streaming":
        return list(executor.execute_streaming(workflow, checkpoint=path))[-1]["result"]
    if door == "run_async":

        async def main():
            return await executor.run_async(workflow, checkpoint=path)

        return asyncio.run(main())
    return executor.execute(workflow, checkpoint=path)


def main():
    door, path, *nodes = sys.argv[1:]
    url = os.environ["GRAPHBIT_SIMULATOR_URL"] + "/v1"
    executor = Executor(LlmConfig.openai("sk-0123456789abcdef0123", "m", base_url=url))
    if door == "full":
        import resource

        graphbit.init(log_level="warn", enable_tracing=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
    result = run(door, executor, build(int(nodes[0]) if nodes else 200), path)
    outputs = {name: text for name, text in result.get_all_node_outputs().items() if name[0] == "n"}
    print(json.dumps([result.state(), outputs], sort_keys=True))


main()
