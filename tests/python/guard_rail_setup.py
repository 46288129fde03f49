"""Policies of guard rails, and agents under them whose model answers as a test says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from graphbit import Executor, GuardRailPolicyConfig, LlmConfig, Node, WorkflowResult
from llm_setup import KEY
from parrot import Answer, Parrot
from workflow_setup import chain

RULES = [
    {"type": "regex", "name": "EMAIL", "pattern": r"[a-z]+@[a-z]+\.com"},
    {"type": "regex", "name": "phone no", "pattern": r"\b\d{3}-\d{4}\b"},
]
TOKEN = re.compile(r"<([^<>:]+):[0-9a-f]{8}-\d{3}>")
EMAIL = re.compile(r"<EMAIL:[0-9a-f]{8}-\d{3}>")
PRIVATE = re.compile("|".join(rule["pattern"] for rule in RULES))


def policy(**settings: Any) -> GuardRailPolicyConfig:
    inner = {"pii_rules": RULES, **settings}
    return GuardRailPolicyConfig.from_json(
        json.dumps({"policy_name": "contacts", "guardrail_policy": inner})
    )


MAPPING, MASKING = policy(mapping=True), policy(masking=True)


def private(text: str) -> list[str]:
    """What the rules find in a text, tokens aside."""
    return PRIVATE.findall(TOKEN.sub("<>", text))


def talks_to(parrot: Parrot) -> Executor:
    return Executor(LlmConfig.openai(KEY, "m", base_url=parrot.url))


def user(body: Any) -> str:
    text: str = next(each["content"] for each in body["messages"] if each["role"] == "user")
    return text


def tokens(text: str) -> list[str]:
    return EMAIL.findall(text)


def ran(
    answer: Callable[[Any, int], Answer],
    rules: GuardRailPolicyConfig,
    *nodes: Node,
) -> tuple[WorkflowResult, list[str]]:
    """The outcome of a chain of nodes, and the bodies of all its requests."""
    with Parrot(answer) as parrot:
        return talks_to(parrot).execute(chain(nodes), rules), parrot.bodies
