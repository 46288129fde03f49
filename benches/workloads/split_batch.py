"""Many documents in one call: seconds until the lists are there, and until every content is read."""

import time
from pathlib import Path

import graphbit
from measure import parameters, report

given = parameters(
    splitter="RecursiveSplitter",
    sizes=[1000, 100],
    exact={},
    path="",
    # Documents, in order: [how many, bytes each].
    documents=[[1000, 10_000]],
    method="split_texts",
    # Threads of `split_texts_parallel`, at most.
    max_workers=None,
    passes=3,
)
splitter = getattr(graphbit, given.splitter)(*given.sizes, **given.exact)
data = Path(given.path).read_bytes()


def documents() -> list[str]:
    """Strings that nobody has read before."""
    made, at = [], 0
    for count, size in given.documents:
        for _ in range(count):
            at = at if at + size <= len(data) else 0
            made.append(data[at : at + size].decode("utf-8", "ignore"))
            at += size
    return made


def split(texts: list[str]) -> list[list[graphbit.TextChunk]]:
    if given.method == "split_text":
        return [splitter.split_text(text) for text in texts]
    if given.method == "split_texts_parallel":
        return list(splitter.split_texts_parallel(texts, given.max_workers))
    return list(getattr(splitter, given.method)(texts))


split(documents()[:20])
called, read = [], []
for _ in range(given.passes):
    texts = documents()
    start = time.perf_counter()
    lists = split(texts)
    called.append(time.perf_counter() - start)
    characters = sum([len(chunk.content) for chunks in lists for chunk in chunks])
    read.append(time.perf_counter() - start)
    chunks = sum(map(len, lists))
    del lists
report(
    megabytes=sum(map(len, texts)) / 1e6,
    seconds=min(called),
    seconds_read=min(read),
    chunks=chunks,
    characters=characters,
)
