"""Small documents without end into a table of PostgreSQL, read as they are stored; and what that takes of memory."""

import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from graphbit import EmbeddingConfig, LlmConfig, ParallelRAG, PgVectorStore
from measure import Stopwatch, parameters, report

given = parameters(dsn="", documents=10_000)
#: Documents before memory is looked at: by then everything has been used once.
FIRST = 1000


def embed(texts: list[str]) -> np.ndarray:
    rows = [np.frombuffer(text.encode()[:128].ljust(128), np.uint8) for text in texts]
    return np.stack(rows).astype(np.float32)


def documents(first: int, end: int) -> Iterator[tuple[str, str]]:
    for number in range(first, end):
        yield f"note {number}", f"{number} is the number of this note, which says little else. " * 8


def resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


store = PgVectorStore.connect(given.dsn, "ingested")
rag = ParallelRAG(EmbeddingConfig.from_callable(embed), LlmConfig.extractive(), store=store)
for outcome in rag.ingest_stream(documents(0, FIRST)):
    assert outcome.error is None, outcome.error
before = most = resident()
watch = Stopwatch()
watch.start()
for number, outcome in enumerate(rag.ingest_stream(documents(FIRST, FIRST + given.documents))):
    assert outcome.error is None, outcome.error
    if number % 100 == 0:
        most = max(most, resident())
times = watch.stop()
assert len(store) == FIRST + given.documents
report(**times, resident=most, growth=most - before)
