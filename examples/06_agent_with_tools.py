"""An agent with two real tools: sums over a CSV file, and retrieval from documents.

    python examples/06_agent_with_tools.py [QUESTION]

Runs offline, where a stand-in for the model asks for both tools and repeats what they say. With
GRAPHBIT_PROVIDER=openai (or another of docs/providers, whose key is set) that provider's model decides.
"""

import csv
import json
import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, Literal

from graphbit import EmbeddingConfig, Executor, LlmConfig, Node, ParallelRAG, Workflow, tool

QUESTION = "Which product brought in most in Norway, and what discount do its buyers get?"
ORDERS = Path(__file__).with_name("orders.csv")
RULES = {
    "discounts": (
        "Buyers of ten grinders or more get a discount of 8 percent. Buyers of kettles get a discount "
        "of 5 percent on the second one. There is no discount on scales."
    ),
    "returns": "Goods come back within 30 days. A used grinder is not taken back.",
    "shipping": "Parcels to Norway take four days. Customs are paid by the buyer.",
}

rules = ParallelRAG(EmbeddingConfig.local(), LlmConfig.extractive())


@tool
def sales(
    measure: Literal["quantity", "revenue"],
    by: Literal["country", "month", "product"],
    country: str | None = None,
) -> dict[str, float]:
    """Add up the orders of 2025.

    Args:
        measure: Pieces sold, or revenue in euros.
        by: One sum for each of these.
        country: Count only the orders from there, a code such as NO.
    """
    sums: defaultdict[str, float] = defaultdict(float)
    with ORDERS.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if country in (None, row["country"]):
                pieces = int(row["quantity"])
                sums[row[by]] += pieces * float(row["price"]) if measure == "revenue" else pieces
    if not sums:
        raise ValueError(f"there are no orders from {country!r}")  # the model reads it
    return dict(sums)


@tool(description="Find what the rules for discounts, returns and shipping say about a question.")
def find_rules(question: str, passages: int = 1) -> list[str]:
    # A blocking call of the library, inside of a tool that the library calls.
    return [hit.text for hit in rules.search(question, top_k=passages)]


def stand_in(messages: list[dict[str, Any]], **_options: Any) -> str | dict[str, Any]:
    """Play the model: call both tools, then put their results into words."""
    results = [json.loads(each["content"]) for each in messages if each["role"] == "tool"]
    if results:
        revenue, passages = results
        best = max(revenue, key=revenue.get)
        return f"The {best}, with {revenue[best]:.2f} euros. {passages[0]}"
    calls = {
        "sales": {"measure": "revenue", "by": "product", "country": "NO"},
        "find_rules": {"question": "What discount do buyers get?"},
    }
    return {
        "content": "",
        "tool_calls": [
            {"id": name, "function": {"name": name, "arguments": json.dumps(arguments)}}
            for name, arguments in calls.items()
        ],
    }


def main() -> None:
    """Ask one question of an agent that has to use its tools."""
    provider = os.environ.get("GRAPHBIT_PROVIDER")
    config = LlmConfig.from_env(provider) if provider else LlmConfig.from_callable(stand_in)
    rules.ingest(RULES, progress=False)

    workflow = Workflow("shop")
    analyst = Node.agent(
        name="analyst",
        prompt=sys.argv[1] if len(sys.argv) > 1 else QUESTION,
        system_prompt="Answer from the tools' results only, in one or two sentences.",
        tools=[sales, find_rules],
        max_iterations=5,
    )
    workflow.add_node(analyst)
    result = Executor(config, timeout_seconds=120).execute(workflow)

    if result.is_failed():
        sys.exit(result.error())
    metadata = result.get_node_response_metadata("analyst")
    assert metadata is not None
    for step in metadata["executions"]:
        if step["type"] == "tool_call":
            told = step["output"] if step["success"] else step["error"]
            print(f"{step['tool_name']}({step['parameters']}) -> {told}")
    print(result.output())


if __name__ == "__main__":
    main()
