"""Ingests numbered documents of three chunks into a store on a server, and prints what came of it as JSON.

Arguments: the store's class, the server's address, the table or collection, documents.
"""

import json
import sys

import graphbit
from graphbit import CharacterSplitter, EmbeddingConfig, LlmConfig, ParallelRAG

kind, address, name, documents = sys.argv[1:]
WIDTH = 20
embedded = 0


def embed(texts: list[str]) -> list[list[float]]:
    global embedded
    embedded += len(texts)
    return [[float(text.count(digit)) + 0.01 for digit in "0123456789"] for text in texts]


texts = (
    (f"d{n}", "".join(f"{n:06}.{chunk:02}".ljust(WIDTH, "x") for chunk in range(3)))
    for n in range(int(documents))
)
rag = ParallelRAG(
    EmbeddingConfig.from_callable(embed),
    LlmConfig.extractive(),
    splitter=CharacterSplitter(WIDTH, 0, exact=True),
    store=getattr(graphbit, kind).connect(address, name),
    batch_size=16,
    max_concurrency=4,
)
report = rag.ingest(texts, progress=False)
print(
    json.dumps(
        {
            "documents": report.documents,
            "unchanged": report.unchanged,
            "embedded": embedded,
            "failed": [outcome.error for outcome in report.failed],
        }
    )
)
