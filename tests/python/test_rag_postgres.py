"""ParallelRAG over a table of PostgreSQL: documents stored whole, known again, replaced, deleted, asked about."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from graphbit import CharacterSplitter, EmbeddingConfig, LlmConfig, ParallelRAG, PgVectorStore
from graphbit.exceptions import StoreError
from postgres import Postgres

INGEST = Path(__file__).parent / "children" / "postgres_ingest.py"


class Embedder:
    """Counts letters, and the texts it is given."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, texts: list[str]) -> list[list[float]]:
        self.texts += texts
        return [[text.lower().count(chr(c)) + 0.01 for c in range(97, 123)] for text in texts]


def pipeline(postgres: Postgres, table: str, embedder: Embedder, **keywords: Any) -> ParallelRAG:
    store = PgVectorStore.connect(postgres.dsn, table)
    embedding = EmbeddingConfig.from_callable(embedder)
    return ParallelRAG(embedding, LlmConfig.extractive(), store=store, **keywords)


BIRDS = {
    "heron": "The heron waits in shallow water.",
    "swift": "The swift sleeps on the wing.",
    "code": "Error E4711 means that the nest is full.",
    "note": "Nests are listed somewhere else.",
}


@pytest.mark.parametrize("mode", ["vector", "lexical", "hybrid"])
def test_every_mode_finds_and_heeds_conditions(postgres: Postgres, table: str, mode: Any) -> None:
    rag = pipeline(postgres, table, Embedder())
    with pytest.raises(StoreError, match="empty"):
        rag.search("anything", mode=mode)
    documents = [
        {"source": name, "text": text, "metadata": {"kind": name[0]}}
        for name, text in BIRDS.items()
    ]
    assert rag.ingest(documents, progress=False).failed == []
    assert rag.search(BIRDS["swift"], mode=mode, top_k=1)[0].source == "swift"
    assert rag.search("What is E4711?", mode=mode, top_k=1)[0].source == "code" or mode == "vector"
    found = rag.search("swift nest", mode=mode, where={"kind": {"ne": "s"}}, diversity=0.5)
    assert found
    assert "swift" not in {one.source for one in found}
    assert rag.search("swift", mode=mode, where={"kind": "x"}) == []
    answer = rag.ask("Where does the heron wait?", mode=mode, where={"kind": "h"})
    assert [citation.source for citation in answer.citations] == ["heron"]
    assert "The heron waits in shallow water." in answer.text
    scores = [one.score for one in rag.search("the swift's nest", mode=mode)]
    assert scores == sorted(scores, reverse=True) or mode == "hybrid"


def test_what_is_held_is_known_and_what_changed_is_replaced(
    postgres: Postgres, table: str, tmp_path: Path
) -> None:
    embedder = Embedder()
    rag = pipeline(postgres, table, embedder, splitter=CharacterSplitter(20, 0, exact=True))
    for number in range(40):
        (tmp_path / f"{number:02}.txt").write_text(f"{number:02} {'words ' * 20}")
    first = rag.ingest(tmp_path, progress=False)
    assert (first.documents, first.unchanged, first.failed) == (40, 0, [])
    assert rag.stats()["documents"] == 40
    assert rag.stats()["chunks"] == first.chunks == len(rag)
    paid = len(embedder.texts)

    again = pipeline(postgres, table, embedder, splitter=CharacterSplitter(20, 0, exact=True))
    second = again.ingest(tmp_path, progress=False)
    assert (second.documents, second.unchanged, second.tokens) == (40, 40, 0)
    assert len(embedder.texts) == paid
    assert repr(again).endswith("store elsewhere)")

    (tmp_path / "00.txt").write_text("short")
    (tmp_path / "01.txt").write_text("")
    (tmp_path / "02.txt").unlink()
    third = again.ingest(tmp_path, progress=False, delete_missing=True)
    assert (third.unchanged, third.deleted) == (37, 1)
    held = postgres.run(
        f"""select count(*), count(*) filter (where metadata->>'source' like '%00.txt'),
        count(*) filter (where metadata->>'source' ~ '0[12].txt'),
        bool_and(id like metadata->>'source' || '#%') from "{table}" """
    )
    assert held == f"{37 * first.chunks // 40 + 1}|1|0|t"
    assert again.stats()["documents"] == 38


def test_a_document_that_cannot_be_held_is_an_outcome(postgres: Postgres, table: str) -> None:
    rag = pipeline(postgres, table, Embedder())
    report = rag.ingest({**BIRDS, "bad": "a NUL \0 inside"}, progress=False)
    assert [(one.source, "NUL" in (one.error or "")) for one in report.failed] == [("bad", True)]
    assert rag.stats()["documents"] == 4


def ingest(server: Postgres, table: str, documents: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(INGEST), server.dsn, table, str(documents), "3"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def outcome(child: subprocess.Popen[str]) -> dict[str, Any]:
    told, complaints = child.communicate(timeout=120)
    assert child.returncode == 0, complaints
    result: dict[str, Any] = json.loads(told.splitlines()[-1])
    return result


def held(server: Postgres, table: str) -> tuple[int, int, int]:
    """Rows, different texts, and documents of which only a part is there."""
    rows = server.run(
        f"""select coalesce(sum(n), 0), coalesce(sum(d), 0), count(*) filter (where n <> 3) from (
        select count(*) as n, count(distinct text) as d from "{table}" group by metadata->>'source') as x"""
    )
    total, different, partly = (int(part) for part in rows.split("|"))
    return total, different, partly


@pytest.mark.timeout(180)
def test_an_ingest_outlives_its_server_and_its_own_death(table: str) -> None:
    documents = 3000
    server = Postgres()
    try:
        server.run(f'drop table if exists "{table}"')
        child = ingest(server, table, documents)
        while server.psql(f'select 1 from "{table}" limit 1').stdout != "1\n":
            time.sleep(0.01)
        server.kill()
        server.start()
        time.sleep(0.2)
        server.kill()
        back = threading.Timer(0.3, server.start)
        back.start()
        first = outcome(child)
        back.join()
        # The pauses between attempts are longer than the server was away.
        assert first["failed"] == []
        assert held(server, table) == (3 * documents, 3 * documents, 0)

        server.run(f'drop table "{table}"')
        for _ in range(3):
            child = ingest(server, table, documents)
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(0.3)
            child.kill()
            child.communicate()
            if server.run(f"select to_regclass('\"{table}\"') is not null") == "t":
                assert held(server, table)[2] == 0, "a document is there in part"
        last = outcome(ingest(server, table, documents))
        assert last["documents"] == documents
        assert last["unchanged"] > 0
        assert last["embedded"] == 3 * (documents - last["unchanged"])
        assert held(server, table) == (3 * documents, 3 * documents, 0)
    finally:
        server.close()


def test_two_processes_ingest_the_same_documents(postgres: Postgres, table: str) -> None:
    children = [ingest(postgres, table, 400) for _ in range(3)]
    results = [outcome(child) for child in children]
    assert [(result["documents"], result["failed"]) for result in results] == [(400, [])] * 3
    assert held(postgres, table) == (1200, 1200, 0)


async def test_a_running_loop_ingests_and_asks(postgres: Postgres, table: str) -> None:
    rag = pipeline(postgres, table, Embedder())
    outcomes = [outcome async for outcome in rag.ingest_stream(iter(BIRDS.items()))]
    assert [one.source for one in outcomes] == list(BIRDS)
    answers = await rag.ask_many_async([BIRDS["swift"]] * 20, top_k=1)
    assert {answer.citations[0].source for answer in answers} == {"swift"}
    assert len(rag) == 4
