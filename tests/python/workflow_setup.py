"""Workflows on the simulator: scripted answers, and what was asked, node by node."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

from graphbit import Executor, LlmConfig, Node, Workflow
from llm_setup import KEY
from simulator import Server

MODEL = "m"


def model(server: Server, name: str = MODEL) -> LlmConfig:
    return LlmConfig.openai(KEY, name, base_url=server.openai_url)


def executor(server: Server, **options: Any) -> Executor:
    return Executor(model(server), **options)


def workflow(nodes: Sequence[Node], *edges: tuple[str, str], name: str = "w") -> Workflow:
    made = Workflow(name)
    for node in nodes:
        made.add_node(node)
    for source, target in edges:
        made.connect(source, target)
    return made


def chain(nodes: Sequence[Node]) -> Workflow:
    """Each node below the one before it."""
    names = [node.name() for node in nodes]
    return workflow(nodes, *itertools.pairwise(names))


def agent(name: str, **options: Any) -> Node:
    """An agent whose prompt is ``ask <name>``, by which the simulator knows it."""
    return Node.agent(name, f"ask {name}", **options)


def says(name: str, content: str = "", **more: Any) -> dict[str, Any]:
    """A scripted reply to `agent(name)`."""
    return {"prompt": f"ask {name}", "content": content, **more}


def calls(name: str, *tool_calls: tuple[str, str, Any], turn: int = 0, **more: Any) -> Any:
    """A scripted reply that asks for tools, as id, name and arguments."""
    return says(name, turn=turn, tool_calls=tool_calls, **more)


def bodies(server: Server) -> list[Any]:
    """The bodies of all requests, in the order in which they arrived."""
    return [json.loads(entry["body"]) for entry in server.log()]


def asked(server: Server, name: str) -> list[Any]:
    """The bodies of the requests of `agent(name)`, which its prompt ends with."""
    found = []
    for body in bodies(server):
        users = [message["content"] for message in body["messages"] if message["role"] == "user"]
        if users[-1].endswith(f"ask {name}"):
            found.append(body)
    return found


def message(server: Server, name: str) -> str:
    """The user message of the one request of `agent(name)`."""
    (body,) = asked(server, name)
    (text,) = [each["content"] for each in body["messages"] if each["role"] == "user"]
    return text


def tool_messages(body: Any) -> list[tuple[str, str]]:
    """Id and text of the tool messages of a request."""
    found = [message for message in body["messages"] if message["role"] == "tool"]
    return [(message["tool_call_id"], message["content"]) for message in found]
