"""Ingests numbered documents into the store of a folder, and prints what came of it.

Arguments: the folder of store and cache, documents, chunks a document, requests at once.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from graphbit import (
    CharacterSplitter,
    EmbeddingClient,
    EmbeddingConfig,
    LlmConfig,
    ParallelRAG,
    VectorStore,
)
from graphbit.resilience import Cache, RetryPolicy

folder = Path(sys.argv[1])
documents, chunks, at_once = (int(argument) for argument in sys.argv[2:])
WIDTH = 20


def texts() -> Iterator[tuple[str, str]]:
    for document in range(documents):
        yield (
            f"d{document}",
            "".join(f"{document:06}.{chunk:02}".ljust(WIDTH, "x") for chunk in range(chunks)),
        )


config = EmbeddingConfig.openai(
    "sk-0123456789abcdef0123", base_url=os.environ["GRAPHBIT_SIMULATOR_URL"] + "/v1", dimensions=8
)
client = EmbeddingClient(
    config,
    retry=RetryPolicy(attempts=12, base_delay=0.002, budget=1.0, budget_per_second=1000),
    cache=Cache(path=folder / "cache"),
)
with VectorStore.open(folder / "store") as store:
    rag = ParallelRAG(
        client,
        LlmConfig.extractive(),
        splitter=CharacterSplitter(WIDTH, 0, exact=True),
        store=store,
        batch_size=1,
        max_concurrency=at_once,
    )
    report = rag.ingest(texts(), progress=False)
    print(report.documents, report.unchanged, report.chunks, [it.error for it in report.failed])
