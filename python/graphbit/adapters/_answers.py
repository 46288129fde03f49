"""What every chat adapter has to know of an answer, and of the turn it becomes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from graphbit import LlmToolCall

if TYPE_CHECKING:
    from collections.abc import Mapping

    from graphbit import LlmResponse, LlmUsage

#: Where a message of a framework keeps the signatures of its calls, by call id.
SIGNATURES = "thought_signatures"

#: The only entry of a call's arguments where the model's text is not JSON.
_RAW = "raw_arguments"


def call_arguments(call: LlmToolCall) -> dict[str, Any] | str:
    """The arguments of a call; a str if the model wrote something that is no JSON object."""
    given: dict[str, Any] | list[Any] | str | float | None = json.loads(call.parameters)
    if not isinstance(given, dict):
        return call.parameters
    raw = given.get(_RAW)
    return raw if isinstance(raw, str) and len(given) == 1 else given


def signatures(answer: LlmResponse) -> dict[str, str]:
    """By call id, what the provider wants back with a call when the conversation goes on."""
    found: dict[str, str] = {}
    for call in answer.tool_calls:
        # A call shows its signature to nobody; only its pickle holds it.
        signature = call.__reduce__()[1][3]
        if isinstance(signature, str):
            found[call.id] = signature
    return found


def call_again(
    call_id: str, name: str, arguments: Mapping[str, Any] | str, signed: Mapping[str, str]
) -> LlmToolCall:
    """A call as the model made it, from what a framework kept of it."""
    given = {_RAW: arguments} if isinstance(arguments, str) else arguments
    call = LlmToolCall(call_id, name, json.dumps(given))
    restore: Any = call.__reduce__()[0]
    return restore(call_id, name, call.parameters, signed.get(call_id))


def reasoning(answer: LlmResponse) -> str | None:
    """What the model thought, if the provider tells."""
    told = json.loads(answer.metadata.get("reasoning", "null"))
    return told if isinstance(told, str) and told else None


def counted(usage: LlmUsage | None) -> LlmUsage | None:
    """`None` for a provider that did not count."""
    return usage if usage is not None and usage.total_tokens else None
