"""Research that fans out and in: an agent for each question, side by side, and one that reads them all.

    python examples/07_research_fanout.py

Runs offline, where answers are quotes from the sources. With GRAPHBIT_PROVIDER=openai (or another of
docs/providers, whose key is set) that provider's model writes them.
"""

import os
import sys

from graphbit import EmbeddingConfig, Executor, LlmConfig, Node, ParallelRAG, Workflow

SOURCES = {
    "field guide": (
        "The common swift nests under the roofs of old buildings. It lays two or three eggs in May. "
        "Renovation closes the gaps where it nests."
    ),
    "ringing report": (
        "Ringed swifts left central Europe in the first days of August. They crossed the Sahara within "
        "a week and spent the winter over the forests of Congo."
    ),
    "weather study": (
        "In cold and wet weeks swifts find few insects in the air. Their young survive a week without "
        "food by lowering their temperature."
    ),
    "city council": (
        "The city hung 400 nest boxes since 2019. Swifts took 130 of the nest boxes within three "
        "summers. Playing their calls near the boxes doubled the share."
    ),
}
QUESTIONS = {
    "nesting": "Under which roofs does the swift nest, and what closes the gaps?",
    "journey": "When do ringed swifts leave, and where do they spend the winter?",
    "food": "How do young swifts survive cold and wet weeks without insects?",
    "help": "How many nest boxes did swifts take?",
}


def main() -> None:
    """Build the workflow, watch it run, print the report."""
    provider = os.environ.get("GRAPHBIT_PROVIDER")
    config = LlmConfig.from_env(provider) if provider else LlmConfig.extractive()
    library = ParallelRAG(EmbeddingConfig.local(), LlmConfig.extractive())
    library.ingest(SOURCES, progress=False)

    workflow = Workflow("swifts")
    for name, question in QUESTIONS.items():
        passages = library.search(question, top_k=1)
        workflow.add_node(
            Node.agent(name, question, context="\n\n".join(hit.text for hit in passages))
        )
    summary = workflow.add_node(
        Node.agent("summary", "What should a city do for swifts that nest under roofs?")
    )
    headings = "".join(f"## {name}\n{{{{node.{name}}}}}\n\n" for name in QUESTIONS)
    report = workflow.add_node(
        Node.transform("report", f"# Swifts\n\n{headings}## Summary\n{{input}}")
    )
    # An agent reads its parents in the reverse order of these calls.
    for name in reversed(QUESTIONS):
        workflow.connect(name, summary)
    workflow.connect(summary, report)

    events = Executor(config, timeout_seconds=120).execute_streaming(workflow)
    for event in events:
        if event["category"] == "node":
            print(f"{event['time'][11:23]} {event['node_name']} {event['phase']}", file=sys.stderr)
    result = events.result
    assert result is not None
    if result.is_failed():  # what had finished is there all the same
        sys.exit(f"{result.error()}\nfinished: {', '.join(result.get_all_node_outputs())}")
    print(result.get_node_output("report"))


if __name__ == "__main__":
    main()
