"""What the programs about workflows share, which 0.6.8 and this package run alike: `<program> <URL> <case>...`.

Answers come from the simulator's chat completions in Azure's place, which 0.6.8 lets a program choose.
"""

import asyncio
import itertools
import json
import re
import sys
import urllib.request

from graphbit import Executor, GuardRailPolicyConfig, LlmConfig, Node, Workflow

URL = sys.argv[1]
KEY = "sk-0123456789abcdef0123"


def control(verb, **settings):
    body = None if verb in ("log", "stats") else json.dumps(settings).encode()
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"{URL}/control/{verb}", body, headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as reply:
        text = reply.read()
    return json.loads(text) if text else None


def script(*replies, **settings):
    control("behaviour", replies=list(replies), **settings)


def says(name, content="", **more):
    return {"prompt": f"ask {name}", "content": content, **more}


def calls(name, *tool_calls, turn=0, **more):
    return says(name, turn=turn, tool_calls=tool_calls, **more)


def config(deployment="prod-chat"):
    return LlmConfig.azurellm(KEY, deployment, URL)


def executor(**options):
    return Executor(config(), **options)


def agent(name, **options):
    return Node.agent(name, f"ask {name}", **options)


def workflow(nodes, *edges):
    made = Workflow("w")
    for node in nodes:
        made.add_node(node)
    for source, target in edges:
        made.connect(source, target)
    return made


def chain(nodes):
    names = [node.name() for node in nodes]
    return workflow(nodes, *itertools.pairwise(names))


def bodies():
    return [json.loads(entry["body"]) for entry in control("log")]


def asked(name):
    """The requests in which the last user message ends with the node's prompt."""
    found = []
    for body in bodies():
        if "messages" not in body:
            continue
        users = [each["content"] for each in body["messages"] if each["role"] == "user"]
        if users[-1].endswith(f"ask {name}"):
            found.append(body)
    return found


RULES = [
    {"type": "regex", "name": "EMAIL", "pattern": r"[a-z]+@[a-z]+\.com"},
    {"type": "regex", "name": "PHONE", "pattern": r"\b\d{3}-\d{4}\b"},
]
TOKEN = re.compile(r"<([^<>:]+):[0-9a-f]{8}-\d{3}>")


def policy(rules=RULES, **settings):
    inner = {"pii_rules": rules, **settings}
    return GuardRailPolicyConfig.from_json(
        json.dumps({"policy_name": "P", "guardrail_policy": inner})
    )


def tool_texts(name):
    last = asked(name)[-1]["messages"]
    return [message["content"] for message in last if message["role"] == "tool"]


def named(outputs):
    """Without ids, which are random."""
    return {name: text for name, text in outputs.items() if len(name) < 30}


def by_async(made, **options):
    async def main():
        return await executor(**options).run_async(made)

    return asyncio.run(main())


def raised(work, *arguments, **options):
    try:
        work(*arguments, **options)
    except BaseException as error:
        kinds = [kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "builtins"]
        return [kinds, str(error)]
    return None


def add(one: int, other: int = 2) -> str:
    """Adds.

    Args:
        one: The one.
    """
    return str(one + other)


def explode() -> str:
    """Fails."""
    raise ValueError("kaboom")


def main(cases):
    """The last line printed is the verdicts of the cases asked for, as one JSON object."""
    found = {}
    for case in sys.argv[2:]:
        control("reset")
        found[case] = cases[case]()
    print(json.dumps(found))
