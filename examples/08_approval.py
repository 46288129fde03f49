"""A guarded approval: a model proposes, a person decides, and nothing is asked or done twice.

    python examples/08_approval.py            proposes, and stops where somebody has to say yes
    python examples/08_approval.py --approve  goes on from there: the proposal is not asked for again
    python examples/08_approval.py --refuse   ends there

Finished nodes are kept in a checkpoint (GRAPHBIT_CHECKPOINT, else one in the temporary folder). Runs
offline with a stand-in for the model; with GRAPHBIT_PROVIDER=openai (or another of docs/providers, whose
key is set) that provider's model proposes and acts.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from graphbit import Executor, LlmConfig, Node, Workflow

# What may be done at all, and up to how many euros. A model cannot talk its way past a table.
ALLOWED = {"refund": 50.0, "voucher": 20.0}
COMPLAINT = "Order 4711: the kettle leaks, I paid 39 euros and want my money back."


class UndecidedError(Exception):
    """Nobody has decided yet."""


def approve(situation: dict[str, Any]) -> str:
    """Name the node to go on with. What the model wrote is looked at, never followed."""
    match situation["parent_output"]:
        case {"action": str(action), "amount": int() | float() as amount}:
            allowed = 0 < amount <= ALLOWED.get(action, 0.0)
        case _:
            allowed = False
    if not allowed:
        return "decline"
    print(f"proposed: {situation['parent_output']}")
    if "--approve" in sys.argv:
        return "act"
    if "--refuse" in sys.argv:
        return "decline"
    raise UndecidedError("run again with --approve or --refuse")


def pay(order: int, amount: float) -> str:
    """Pay money back to the buyer of an order.

    Args:
        order: The number of the order.
        amount: Euros.
    """
    if amount > ALLOWED["refund"]:  # the arguments, too, are a model's text
        raise ValueError(f"at most {ALLOWED['refund']} euros are paid back")
    print(f"paid {amount:.2f} euros for order {order}")
    return "paid"


def stand_in(messages: list[dict[str, Any]], **options: Any) -> str | dict[str, Any]:
    """Play the model: propose, pay, or write the letter."""
    question = messages[-1]
    if question["role"] == "tool":
        return "Your money is on its way."
    if "tools" in options:
        call = {"name": "pay", "arguments": json.dumps({"order": 4711, "amount": "39"})}
        return {"content": "", "tool_calls": [{"id": "1", "function": call}]}
    if "JSON" in question["content"]:
        return 'I propose: {"action": "refund", "order": 4711, "amount": 39}'
    return "We are sorry, but we cannot pay it back."


def main() -> None:
    """Run the workflow as far as it can go."""
    provider = os.environ.get("GRAPHBIT_PROVIDER")
    config = LlmConfig.from_env(provider) if provider else LlmConfig.from_callable(stand_in)

    workflow = Workflow("complaint")
    propose = Node.agent(
        "propose",
        f"{COMPLAINT}\n\nPropose a JSON object with action ({' or '.join(ALLOWED)}), order and amount.",
    )
    proposal = Node.transform("proposal", "extract_json")  # models write around their JSON
    approval = Node.condition("approval", approve)
    act = Node.agent("act", "Do this, then tell the buyer: {{node.proposal}}", tools=[pay])
    decline = Node.agent("decline", f"Decline politely, in one sentence: {COMPLAINT}")
    for node in (propose, proposal, approval, act, decline):
        workflow.add_node(node)
    workflow.connect("propose", "proposal")
    workflow.connect("proposal", "approval")
    workflow.connect("approval", "act")
    workflow.connect("approval", "decline")

    default = Path(tempfile.gettempdir()) / "graphbit-approval.checkpoint"
    checkpoint = Path(os.environ.get("GRAPHBIT_CHECKPOINT", default))
    executor = Executor(config, timeout_seconds=120)
    events = executor.execute_streaming(workflow, checkpoint=checkpoint)
    calls = [event for event in events if event["event"] == "llm_call_started"]
    asked = dict.fromkeys(call["node_name"] for call in calls)
    print("asked the model for:", ", ".join(asked) or "nothing")

    result = events.result
    assert result is not None
    if result.is_failed():
        print(result.error())
        print(f"kept in {checkpoint}")
        return
    print(result.output())


if __name__ == "__main__":
    main()
