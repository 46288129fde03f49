"""The rows about vector stores: filling, searching one by one and many at once, and what was found.

``benches/run.py --only store`` measures them; a row is what its ``Row`` takes, without the group. The vectors lie in
clusters, as those of texts do, and the queries near some of them; *recall@10* compares with the ten best of a
product in double precision. FAISS compares with every vector, as we do; usearch walks a graph, and is filled and
asked one vector at a time, as its first examples show. A process is held to so many cores.

The rows of graphs fill each in batches on all cores, and let each keep 160 vectors in sight; what else there is to
choose is as each package has it by default, but for the 16 links that FAISS has to be told.
"""

from __future__ import annotations

from typing import Any

OURS, FAISS, USEARCH, HNSWLIB = "ours", "faiss", "usearch", "hnswlib"
ALL = {OURS: {}, FAISS: {"store": "faiss"}, USEARCH: {"store": "usearch"}}
GRAPHS = {
    OURS: {"options": {"index": "hnsw"}},
    FAISS: {"store": "faiss graph"},
    USEARCH: {"store": "usearch graph"},
    HNSWLIB: {"store": "hnswlib"},
}
SHOWN = ("vectors/s", "queries/s", "ms/query", "recall@10", "MB")

ROWS: list[dict[str, Any]] = [
    *(
        {
            "title": f"20,000 vectors of 384, batches of 1000, {cores} core{'s' * (cores > 1)}",
            "workload": "store_search",
            "given": {"vectors": 20_000, "cores": cores},
            "packages": ALL,
            "show": SHOWN,
            "target": "vectors/s >= 5x usearch, recall 1",
        }
        for cores in (1, 2)
    ),
    # At which size looking at everything is no longer good enough.
    *(
        {
            "title": f"{vectors:,} vectors of 384, 2 cores",
            "workload": "store_search",
            "given": {"vectors": vectors, "cores": 2, "queries": 256},
            "packages": {name: ALL[name] for name in names},
            "show": SHOWN,
        }
        for vectors, names in ((100_000, (OURS, FAISS)), (500_000, (OURS,)))
    ),
    *(
        {
            "title": f"100,000 vectors of 384, 2 cores, kept as {precision}",
            "workload": "store_search",
            "given": {
                "vectors": 100_000,
                "cores": 2,
                "queries": 256,
                "options": {"precision": precision},
            },
            "packages": {OURS: {}},
            "show": SHOWN,
        }
        for precision in ("f16", "i8")
    ),
    *(
        {
            "title": f"100,000 vectors of 384, 2 cores, a filter that means {percent} %",
            "workload": "store_search",
            "given": {"vectors": 100_000, "cores": 2, "queries": 256, "percent": percent},
            "packages": {OURS: {}},
            "show": ("queries/s", "ms/query", "recall@10"),
        }
        for percent in (50, 1)
    ),
    *(
        {
            "title": f"100,000 {what}, 2 cores, by a graph",
            "workload": "store_search",
            "given": {"vectors": 100_000, "cores": 2, **given},
            "packages": GRAPHS,
            "show": SHOWN,
            "target": "recall >= 0.95",
        }
        for what, given in (
            ("vectors of 384", {}),
            ("vectors of 32, uniform", {"dimensions": 32, "spread": "uniform"}),
        )
    ),
    # What graphs find hard: dot products of vectors that are not equally long, and subjects that come one by one.
    *(
        {
            "title": f"40,000 vectors of 384, 2 cores, by a graph, {what}",
            "workload": "store_search",
            "given": {"vectors": 40_000, "cores": 2, **given},
            "packages": GRAPHS,
            "show": ("vectors/s", "queries/s", "recall@10"),
            "target": "recall >= 0.95",
        }
        for what, given in (
            ("lengths 0.67 to 1.5", {"lengths": 0.4}),
            ("cluster by cluster", {"sorted": True}),
        )
    ),
    # Linking is what filling costs here; one batch after another, each on all cores.
    *(
        {
            "title": f"20,000 vectors of 384, {cores} core{'s' * (cores > 1)}, by a graph",
            "workload": "store_search",
            "given": {"vectors": 20_000, "cores": cores},
            "packages": {OURS: GRAPHS[OURS]},
            "show": SHOWN,
            "target": "2 cores >= 1.7x one",
        }
        for cores in (1, 2)
    ),
    # As many questions as a thread pool gathers, rather than a whole evaluation.
    {
        "title": "100,000 vectors of 384, 2 cores, 32 questions at once",
        "workload": "store_search",
        "given": {"vectors": 100_000, "cores": 2, "queries": 32},
        "packages": {name: ALL[name] for name in (OURS, FAISS)},
        "show": SHOWN,
    },
    *(
        {
            "title": f"100,000 vectors of 384, 2 cores, by a graph, a filter that means {percent} %",
            "workload": "store_search",
            "given": {"vectors": 100_000, "cores": 2, "percent": percent, **GRAPHS[OURS]},
            "packages": {OURS: {}},
            "show": ("queries/s", "ms/query", "recall@10"),
            "target": "recall >= 0.95",
        }
        for percent in (50, 10, 1)
    ),
]
