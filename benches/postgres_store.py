"""The rows about the store in PostgreSQL, beside psycopg on the same server: filling, and memory over a long ingest.

``benches/run.py --only postgres`` measures them, against a server of its own that does not wait for the disk. Psycopg
sends the same rows, prepared, a transaction for each thousand: one statement after the other, as a loop of
``execute`` does, and as ``executemany`` does, which pipelines them; vectors in binary form by the package pgvector. The
memory of a process that ingests should not grow with the number of documents, and be less than 0.6.8's script takes for
the same documents, which stores nothing.
"""

from __future__ import annotations

import json
from typing import Any

from pipeline import AT_ONCE, LATENCY, PEER, memories
from postgres import Postgres

OURS, EXECUTE, EXECUTEMANY = "ours", "execute", "executemany"
REQUIREMENTS = dict.fromkeys((EXECUTE, EXECUTEMANY), "psycopg[binary]==3.3.9 pgvector==0.5.1 numpy")
ROWS = 20_000
#: Documents when memory is looked at.
EARLY, LATE = 10_000, 100_000


def rows(bench: Any) -> None:
    """Both, with a server for as long as they take."""
    server = Postgres()
    try:
        filling(bench, server)
        beside_the_script(bench, server)
        memory(bench, server)
    finally:
        server.close()


def filling(bench: Any, server: Postgres) -> None:
    """The same rows by COPY and a merge, and by statements."""
    collected: dict[str, list[dict[str, float]]] = {}
    failures: dict[str, str] = {}
    names = [name for name in (OURS, EXECUTE, EXECUTEMANY) if bench.packages.interpreter(name)]
    for turn in range(bench.rounds + 1):
        for name in names if turn % 2 else names[::-1]:
            server.run("drop table if exists filled")
            given = {"dsn": server.dsn, "rows": ROWS, "how": name}
            raw = bench.child(name, "postgres_fill", json.dumps(given))
            if "failed" in raw:
                failures[name] = raw["failed"]
                continue
            assert server.run("select count(*), count(distinct id) from filled") == f"{ROWS}|{ROWS}"
            if turn:
                collected.setdefault(name, []).append({
                    "rows/s": ROWS / raw["seconds"],
                    "CPU s": raw["cpu_seconds"],
                })  # fmt: skip
    bench.show(
        "postgres",
        f"{ROWS:,} rows with vectors of 384, batches of 1000, one connection",
        ("rows/s", "CPU s"), collected, failures, {}, "rows/s >= 3x execute",
    )  # fmt: skip


def beside_the_script(bench: Any, server: Postgres) -> None:
    """What documents add to memory when they are stored on disk, and what 0.6.8's script adds for as many.

    Few questions, because without an index of its own the server compares each with all vectors; the script answers for
    each document. So times are not compared.
    """
    scope = bench.simulator.new_scope("postgres")
    bench.simulator.behaviour(scope, latency_ms=LATENCY)
    given = {
        "url": bench.simulator.url(scope),
        "documents": 1_000,
        "dsn": server.dsn,
        "questions": 20,
    }

    def ours(at_once: int) -> dict[str, Any]:
        server.run("drop table if exists pipeline")
        return bench.child(OURS, "pipeline_graphbit", json.dumps(given | {"at_once": at_once}))

    runs = {
        OURS: lambda: ours(0),
        f"ours, {AT_ONCE} at once": lambda: ours(AT_ONCE),
        PEER: lambda: bench.script(PEER, scope, given["documents"], AT_ONCE),
    }
    collected, failures = memories(bench, runs, given["documents"])
    bench.simulator.forget(scope)
    bench.show(
        "postgres",
        f"{given['documents']:,} documents of 10 KB stored by ParallelRAG, as many at once as by default; "
        f"0.6.8's script, {AT_ONCE} threads",
        ("MB", "KB/document"), collected, failures, {}, "MB <= 0.5x 0.6.8's",
    )  # fmt: skip


def memory(bench: Any, server: Postgres) -> None:
    """What is resident when ten thousand documents are stored, and when ten times as many are."""
    scope = bench.simulator.new_scope("postgres")
    # So many numbers that all that is kept of texts and vectors is full when memory is first looked at.
    bench.simulator.behaviour(scope, dimensions=512)
    url = bench.simulator.url(scope)
    collected: dict[str, list[dict[str, float]]] = {}
    failures: dict[str, str] = {}
    for _ in range(min(bench.rounds, 3)):
        server.run("drop table if exists ingested")
        given = {"dsn": server.dsn, "url": url, "documents": LATE, "early": EARLY}
        raw = bench.child(OURS, "postgres_ingest", json.dumps(given))
        if "failed" in raw:
            failures[OURS] = raw["failed"]
            continue
        collected.setdefault(OURS, []).append({
            "documents/s": LATE / raw["seconds"],
            "MB early": raw["early"],
            "MB late": raw["late"],
            "late/early": raw["late"] / raw["early"],
        })  # fmt: skip
    bench.simulator.forget(scope)
    bench.show(
        "postgres",
        f"ingest_stream of small documents: resident after {EARLY:,} and after {LATE:,}",
        ("documents/s", "MB early", "MB late", "late/early"), collected, failures, {},
        "late/early between 0.9 and 1.1",
    )  # fmt: skip
