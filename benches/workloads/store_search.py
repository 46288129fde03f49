"""A store filled in batches, then asked: all queries in one call, and one after the other.

``spread`` is "clusters" or "uniform". Vectors come in any order, or cluster by cluster with ``sorted``; they are of
length 1, or spread around it by the logarithm ``lengths``. The graphs have the links that each package gives them by
default, and keep ``sight`` vectors in sight while they search.
"""

import os
import resource
import statistics
import time
from pathlib import Path
from typing import Any

from measure import parameters, report

given = parameters(
    store="ours",
    vectors=20_000,
    dimensions=384,
    queries=1000,
    cores=2,
    percent=100,
    spread="clusters",
    sorted=False,
    lengths=0.0,
    sight=160,
    options={},
)
# Before any library counts the cores.
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.cores])

# What numpy works out between two batches leaves no threads behind that spin into the next; only numpy reads this.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
import numpy as np  # noqa: E402  (the cores are set just above)

del os.environ["OPENBLAS_NUM_THREADS"]

BATCH, BEST = 1000, 10
random = np.random.default_rng(5)
centres = random.standard_normal((max(given.vectors // 100, 1), given.dimensions), np.float32)


def near(places: Any) -> Any:
    """Vectors that lie around the centres with these numbers, or anywhere."""
    noise = random.standard_normal((len(places), given.dimensions), np.float32)
    found = noise if given.spread == "uniform" else centres[places] + 0.7 * noise
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    if given.lengths:
        found *= np.exp(given.lengths * random.standard_normal((len(places), 1), np.float32))
    return found


class Ours:
    """The store of this package."""

    def __init__(self) -> None:
        from graphbit import VectorStore

        self.store = VectorStore(given.dimensions, metric="dot", **given.options)
        self.asked = {"where": {"part": {"lt": given.percent}}} if given.percent < 100 else {}
        if given.options.get("index") == "hnsw":
            self.asked["ef_search"] = given.sight

    def add(self, first: int, vectors: Any) -> None:
        numbers = range(first, first + len(vectors))
        parts = [{"part": str(number % 100)} for number in numbers]
        self.store.add(vectors, ids=[str(number) for number in numbers], metadatas=parts)

    def one(self, query: Any) -> list[int]:
        return [hit.index for hit in self.store.search(query, BEST, **self.asked)]

    def many(self, queries: Any) -> list[list[int]]:
        found = self.store.search_many(queries, BEST, **self.asked)
        return [[hit.index for hit in hits] for hits in found]


class Faiss:
    """Comparing with everything, by FAISS."""

    def __init__(self) -> None:
        import faiss

        faiss.omp_set_num_threads(given.cores)
        self.index = faiss.IndexFlatIP(given.dimensions)

    def add(self, _first: int, vectors: Any) -> None:
        self.index.add(vectors)

    def one(self, query: Any) -> list[int]:
        return self.index.search(query[None], BEST)[1][0].tolist()

    def many(self, queries: Any) -> list[list[int]]:
        return self.index.search(queries, BEST)[1].tolist()


class FaissGraph(Faiss):
    """A graph of neighbours, by FAISS."""

    def __init__(self) -> None:
        import faiss

        faiss.omp_set_num_threads(given.cores)
        self.index = faiss.IndexHNSWFlat(given.dimensions, 16, faiss.METRIC_INNER_PRODUCT)
        self.index.hnsw.efSearch = given.sight


class Hnswlib:
    """A graph of neighbours, by hnswlib; room for all is made before."""

    def __init__(self) -> None:
        import hnswlib

        self.index = hnswlib.Index("ip", given.dimensions)
        self.index.init_index(given.vectors)
        self.index.set_num_threads(given.cores)
        self.index.set_ef(given.sight)

    def add(self, first: int, vectors: Any) -> None:
        self.index.add_items(vectors, np.arange(first, first + len(vectors)))

    def one(self, query: Any) -> list[int]:
        return self.index.knn_query(query, BEST)[0][0].tolist()

    def many(self, queries: Any) -> list[list[int]]:
        return self.index.knn_query(queries, BEST)[0].tolist()


class UsearchGraph:
    """A graph of neighbours, by usearch; whole batches on all cores."""

    def __init__(self) -> None:
        from usearch.index import Index

        self.index = Index(
            ndim=given.dimensions, metric="ip", dtype="f32", expansion_search=given.sight
        )

    def add(self, first: int, vectors: Any) -> None:
        self.index.add(np.arange(first, first + len(vectors)), vectors, threads=given.cores)

    def one(self, query: Any) -> list[int]:
        return self.index.search(query, BEST).keys.tolist()

    def many(self, queries: Any) -> list[list[int]]:
        return self.index.search(queries, BEST, threads=given.cores).keys.tolist()


class Usearch:
    """A graph of neighbours, by usearch, one at a time."""

    def __init__(self) -> None:
        from usearch.index import Index

        self.index = Index(ndim=given.dimensions, metric="ip", dtype="f32")

    def add(self, first: int, vectors: Any) -> None:
        for number, vector in enumerate(vectors, first):
            self.index.add(number, vector)

    def one(self, query: Any) -> list[int]:
        return self.index.search(query, BEST).keys.tolist()

    def many(self, queries: Any) -> list[list[int]]:
        return [self.one(query) for query in queries]


def megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


queries = near(random.integers(0, len(centres), given.queries))
STORES = {
    "ours": Ours,
    "faiss": Faiss,
    "usearch": Usearch,
    "faiss graph": FaissGraph,
    "usearch graph": UsearchGraph,
    "hnswlib": Hnswlib,
}
store = STORES[given.store]()
scores = np.full((given.queries, BEST), -np.inf)
best = np.zeros((given.queries, BEST), np.int64)
filling = grown = 0.0
for first in range(0, given.vectors, BATCH):
    places = random.integers(0, len(centres), BATCH)
    if given.sorted:
        places = np.arange(first, first + BATCH) * len(centres) // given.vectors
    vectors = near(places)
    before, start = megabytes(), time.perf_counter()
    store.add(first, vectors)
    filling, grown = filling + time.perf_counter() - start, grown + megabytes() - before
    # The ten best so far, from which the next batch is thrown out or thrown in.
    meant = np.arange(first, first + BATCH)
    meant = meant[meant % 100 < given.percent]
    product = queries.astype(np.float64) @ vectors[meant - first].T.astype(np.float64)
    scores, best = np.hstack([scores, product]), np.hstack([best, np.tile(meant, (len(best), 1))])
    order = np.argsort(-scores, axis=1, kind="stable")[:, :BEST]
    scores, best = (np.take_along_axis(each, order, axis=1) for each in (scores, best))

found = store.many(queries)
turns = []
while len(turns) < 5 and sum(turns) < 2:
    start = time.perf_counter()
    found = store.many(queries)
    turns.append(time.perf_counter() - start)
many = statistics.median(turns)
few = queries[: min(given.queries, 200)]
start = time.perf_counter()
for query in few:
    store.one(query)
one = (time.perf_counter() - start) / len(few)
same = sum(len(set(row) & set(true)) for row, true in zip(found, best.tolist(), strict=True))
report(
    figures={
        "vectors/s": given.vectors / filling,
        "queries/s": given.queries / many,
        "ms/query": one * 1000,
        "recall@10": same / (BEST * given.queries),
        "MB": grown,
    }
)
