"""The rows about the store in PostgreSQL, beside psycopg on the same server: filling, and memory over a long ingest.

``benches/run.py --only postgres`` measures them, against a server of its own that does not wait for the disk. Psycopg
sends the same rows, prepared, a transaction for each thousand: one statement after the other, as a loop of
``execute`` does, and as ``executemany`` does, which pipelines them. The memory is what a process has resident at most
beyond what it had after its first thousand documents; it should not grow with their number.
"""

from __future__ import annotations

import json
from typing import Any

from postgres import Postgres

OURS, EXECUTE, EXECUTEMANY = "ours", "execute", "executemany"
REQUIREMENTS = dict.fromkeys((EXECUTE, EXECUTEMANY), "psycopg[binary]==3.3.9 numpy")
ROWS = 20_000
#: Documents of the short ingest and of the long one.
DOCUMENTS = (10_000, 100_000)


def rows(bench: Any) -> None:
    """Both, with a server for as long as they take."""
    server = Postgres()
    try:
        filling(bench, server)
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


def memory(bench: Any, server: Postgres) -> None:
    """A short ingest and one ten times as long."""
    collected: dict[str, list[dict[str, float]]] = {}
    failures: dict[str, str] = {}
    for _ in range(min(bench.rounds, 3)):
        for documents in DOCUMENTS:
            server.run("drop table if exists ingested")
            name = OURS if documents == DOCUMENTS[0] else f"ours, {documents // 1000}k"
            given = {"dsn": server.dsn, "documents": documents}
            raw = bench.child(OURS, "postgres_ingest", json.dumps(given))
            if "failed" in raw:
                failures[name] = raw["failed"]
                continue
            collected.setdefault(name, []).append({
                "documents/s": documents / raw["seconds"],
                "resident MB": raw["resident"],
                "growth MB": raw["growth"],
            })  # fmt: skip
    bench.show(
        "postgres",
        f"ingest_stream of {DOCUMENTS[0]:,} small documents, and of {DOCUMENTS[1]:,}",
        ("documents/s", "resident MB", "growth MB"), collected, failures, {},
        "resident MB stays within 10 %",
    )  # fmt: skip
