"""`graphbit.ray` on a local Ray of two workers: `make ray-test`, with an environment of its own.

The store is one SQLite file, which both workers write to; the provider is the simulator.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from graphbit import EmbeddingClient, EmbeddingConfig
from graphbit.exceptions import ValidationError
from graphbit.ray import ingest_dataset
from simulator import Server, Simulator

KEY = "sk-0123456789abcdefghij"


class SharedStore:
    """The least that a store can be."""

    def __init__(self, path: str) -> None:
        self._path = path
        with self._open() as file:
            file.execute(
                "create table if not exists chunks (id text primary key, text, metadata, size, writer)"
            )

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=30)

    def get(self, ids: Sequence[str]) -> list[Any]:
        with self._open() as file:
            rows = {
                row[0]: SimpleNamespace(id=row[0], text=row[1], metadata=json.loads(row[2]))
                for row in file.execute("select id, text, metadata from chunks")
            }
        return [rows.get(one) for one in ids]

    def replace(self, stale: Any, vectors: Any, texts: Any, ids: Any, metadatas: Any) -> list[str]:
        if any("refused by the store" in text for text in texts):
            raise OSError("the disk is full")
        with self._open() as file:
            file.executemany("delete from chunks where id = ?", [(one,) for one in stale])
            rows = zip(ids, texts, map(json.dumps, metadatas), map(len, vectors), strict=True)
            file.executemany(
                "insert or replace into chunks values (?, ?, ?, ?, ?)",
                [(*row, os.getpid()) for row in rows],
            )
        return list(ids)

    def rows(self, columns: str) -> list[Any]:
        with self._open() as file:
            return list(file.execute(f"select {columns} from chunks"))


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"OPENAI_API_KEY": KEY}},
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


@pytest.fixture
def server() -> Iterator[Server]:
    with Simulator() as simulator:
        yield Server(simulator, "ray")


def settings(server: Server) -> EmbeddingConfig:
    return EmbeddingConfig.openai(KEY, "text-embedding-3-small", base_url=server.openai_url)


def articles(count: int) -> list[dict[str, Any]]:
    return [
        {
            "source": f"d{number}",
            "text": f"Paragraph one of {number}.\n\n" + f"Words of article {number}. " * 60,
            "metadata": {"parity": str(number % 2), "odd": None if number % 2 else "no"},
        }
        for number in range(count)
    ]


def ingest(path: Path, rows: list[dict[str, Any]], embedding: Any, **keywords: Any) -> list[Any]:
    store = str(path)
    result = ingest_dataset(
        ray.data.from_items(rows, override_num_blocks=8),
        store=lambda: SharedStore(store),
        embedding=embedding,
        batch_size=8,
        num_cpus=0.5,
        **keywords,
    )
    return result.take_all()


def test_every_row_has_its_outcome_in_order_and_again_is_unchanged(
    server: Server, tmp_path: Path
) -> None:
    path = tmp_path / "store.db"
    rows = articles(200)
    rows[3]["text"] *= 20
    server.behaviour(latency_ms=20)
    outcomes = ingest(path, rows, settings(server))
    assert [outcome["source"] for outcome in outcomes] == [row["source"] for row in rows]
    assert all(outcome["error"] is None and outcome["chunks"] >= 2 for outcome in outcomes)
    store = SharedStore(str(path))
    assert sum(outcome["chunks"] for outcome in outcomes) == len(store.rows("id"))
    assert {size for (size,) in store.rows("size")} == {1536}
    assert len({writer for (writer,) in store.rows("writer")}) == 2
    (first,) = store.get(["d7#0"])
    assert first.metadata["parity"] == "1"
    assert "odd" not in first.metadata
    start, end = int(first.metadata["start_char"]), int(first.metadata["end_char"])
    assert rows[7]["text"][start:end] == first.text

    assert outcomes[3]["chunks"] > 32
    asked = server.stats()["requests"]
    rows[3]["text"] = "Shorter than before."
    again = ingest(path, rows, settings(server))
    assert [outcome["unchanged"] for outcome in again] == [number != 3 for number in range(200)]
    assert again[3]["chunks"] == 1
    assert server.stats()["requests"] == asked + 1
    assert [row for row in store.rows("id") if row[0].startswith("d3#")] == [("d3#0",)]


def test_what_fails_is_an_outcome_and_costs_no_other(server: Server, tmp_path: Path) -> None:
    rows = articles(24)
    rows[1]["text"] = "this text is poison"
    rows[9]["text"] = "this is refused by the store"
    rows[10]["source"] = rows[11]["source"]
    rows[20]["text"] = None
    rows[21]["text"] = "  "
    server.behaviour(fail_every=1, fail_status=400, only="poison")
    outcomes = ingest(tmp_path / "store.db", rows, EmbeddingClient(settings(server)), actors=(1, 2))
    failed = {number: outcome for number, outcome in enumerate(outcomes) if outcome["error"]}
    assert sorted(failed) == [1, 9, 11, 20]
    assert "400" in failed[1]["error"]
    assert failed[9]["error"] == "the disk is full"
    assert "given twice" in failed[11]["error"]
    assert "column 'text' must hold strings, not NoneType" in failed[20]["error"]
    assert (outcomes[21]["chunks"], outcomes[21]["error"]) == (0, None)
    assert KEY not in json.dumps(outcomes)


def test_columns_have_names_and_wrong_ones_are_refused(server: Server, tmp_path: Path) -> None:
    rows = [{"url": "https://example.org", "body": "Herons wait in shallow water."}]
    outcomes = ingest(tmp_path / "s.db", rows, settings(server), source="url", text="body")
    assert outcomes == [
        {"source": "https://example.org", "chunks": 1, "unchanged": False, "error": None}
    ]
    with pytest.raises(ValidationError, match=r"text: the dataset has the columns .*, not 'txt'"):
        ingest(tmp_path / "s.db", rows, settings(server), source="url", text="txt")
    with pytest.raises(ValidationError, match="actors"):
        ingest(tmp_path / "s.db", rows, settings(server), actors=0)
