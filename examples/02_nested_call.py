"""A function that the library calls, calling the library again: the shape of every tool.

GraphBit 0.6.8 ends the whole process here. Runs offline; with OPENAI_BASE_URL (and OPENAI_API_KEY) the
inner question goes to that server.
"""

import os

from graphbit import EmbeddingClient, EmbeddingConfig, LlmClient, LlmConfig, ParallelRAG

URL, KEY = os.environ.get("OPENAI_BASE_URL"), os.environ.get("OPENAI_API_KEY")
local = EmbeddingClient(EmbeddingConfig.local())
llm = LlmClient(
    LlmConfig.openai_compatible(URL, "gpt-4o-mini", KEY) if URL else LlmConfig.extractive()
)
notes = ParallelRAG(EmbeddingConfig.local(), LlmConfig.extractive())
nested_calls: list[int] = []


def lookup(question: str) -> str:
    """Search the notes: a blocking call, made from wherever this runs."""
    return notes.search(question, top_k=1)[0].text


def embed(texts: list[str]) -> list[list[float]]:
    """Embed by calling back into the library, three different ways."""
    nested_calls.append(len(texts))
    vectors = local.embed_many(texts)
    fact = lookup("Which animal sleeps in winter?")
    answer = llm.complete(f"{fact}\n\nWhich animal sleeps in winter?")
    assert answer
    return vectors


if __name__ == "__main__":
    notes.ingest(
        {"bears": "Bears sleep in winter.", "swifts": "Swifts fly to Africa in August."},
        progress=False,
    )
    # The outer pipeline calls `embed`, which calls the library, from a thread of the library.
    outer = ParallelRAG(EmbeddingConfig.from_callable(embed), LlmConfig.extractive())
    report = outer.ingest({"tea": "Tea is best at 80 degrees.", "rye": "Rye needs a sourdough."})
    print(report)
    print(outer.ask("How hot should tea be?"))
    print(f"{len(nested_calls)} nested calls, one process, alive")
