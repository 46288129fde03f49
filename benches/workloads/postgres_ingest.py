"""Small documents without end into a table of PostgreSQL, read as they are stored; and what that takes of memory."""

import resource
import statistics
from collections.abc import Iterator
from pathlib import Path

from graphbit import EmbeddingConfig, LlmConfig, ParallelRAG, PgVectorStore
from measure import KEY, Stopwatch, parameters, report

given = parameters(dsn="", url="", documents=100_000, early=10_000)
#: Documents between two looks at the memory.
SAMPLE = 50


def documents(count: int) -> Iterator[tuple[str, str]]:
    for number in range(count):
        yield f"note {number}", f"{number} is the number of this note, which says little else. " * 8


def resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


store = PgVectorStore.connect(given.dsn, "ingested")
rag = ParallelRAG(
    EmbeddingConfig.azure(KEY, "prod-embed", given.url), LlmConfig.extractive(), store=store
)
samples: list[float] = []
watch = Stopwatch()
watch.start()
for number, outcome in enumerate(rag.ingest_stream(documents(given.documents))):
    assert outcome.error is None, outcome.error
    if number % SAMPLE == 0:
        samples.append(resident())
times = watch.stop()
assert len(store) == given.documents


def around(end: int) -> float:
    """Of the last tenth of so many documents: single moments differ with what is under way."""
    return statistics.median(samples[end * 9 // 10 // SAMPLE : end // SAMPLE])


report(**times, early=around(given.early), late=around(given.documents))
