"""Ingests numbered documents of three chunks into a collection of Qdrant, and prints how many there were, how many
were known, and how many failed.

Arguments: the server's address, the collection, documents.
"""

import sys

from graphbit import (
    CharacterSplitter,
    EmbeddingConfig,
    LlmConfig,
    ParallelRAG,
    QdrantVectorStore,
)

url, collection, documents = sys.argv[1:]
WIDTH = 20


def embed(texts: list[str]) -> list[list[float]]:
    return [[float(text.count(digit)) + 0.01 for digit in "0123456789"] for text in texts]


rag = ParallelRAG(
    EmbeddingConfig.from_callable(embed),
    LlmConfig.extractive(),
    splitter=CharacterSplitter(WIDTH, 0, exact=True),
    store=QdrantVectorStore.connect(url, collection),
    batch_size=16,
    max_concurrency=4,
)
texts = (
    (f"d{n}", "".join(f"{n:06}.{chunk:02}".ljust(WIDTH, "x") for chunk in range(3)))
    for n in range(int(documents))
)
report = rag.ingest(texts, progress=False)
print(report.documents, report.unchanged, len(report.failed))
