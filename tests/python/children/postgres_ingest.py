"""Ingests numbered documents into a table of PostgreSQL, and prints what came of it as JSON.

Arguments: the connection string, the table, documents, chunks a document.
"""

import json
import sys

from graphbit import (
    CharacterSplitter,
    EmbeddingConfig,
    LlmConfig,
    ParallelRAG,
    PgVectorStore,
)

dsn, table = sys.argv[1:3]
documents, chunks = (int(argument) for argument in sys.argv[3:])
WIDTH = 20
embedded = 0


def embed(texts: list[str]) -> list[list[float]]:
    global embedded
    embedded += len(texts)
    return [[float(text.count(digit)) + 0.01 for digit in "0123456789"] for text in texts]


texts = (
    (f"d{n}", "".join(f"{n:06}.{chunk:02}".ljust(WIDTH, "x") for chunk in range(chunks)))
    for n in range(documents)
)
store = PgVectorStore.connect(dsn, table)
rag = ParallelRAG(
    EmbeddingConfig.from_callable(embed),
    LlmConfig.extractive(),
    splitter=CharacterSplitter(WIDTH, 0, exact=True),
    store=store,
    batch_size=16,
    max_concurrency=4,
)
print("ready", flush=True)
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
