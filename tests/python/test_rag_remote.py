"""ParallelRAG over stores on servers: documents known again, replaced, asked about, put right after a failure."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from graphbit import CharacterSplitter, EmbeddingConfig, LlmConfig, ParallelRAG
from graphbit.exceptions import StoreError
from letter_embedder import LetterEmbedder
from postgres import Postgres
from qdrant import Qdrant
from remote_stores import RemoteStore, in_postgres, in_qdrant

INGEST = Path(__file__).parent / "children" / "remote_ingest.py"


def pipeline(store: Any, embedder: LetterEmbedder, width: int = 1000) -> ParallelRAG:
    return ParallelRAG(
        EmbeddingConfig.from_callable(embedder),
        LlmConfig.extractive(),
        store=store,
        splitter=CharacterSplitter(width, 0, exact=True),
        batch_size=16,
    )


def held(store: Any) -> Counter[tuple[str, str]]:
    """Source and text of every chunk."""
    return Counter((one.metadata["source"], one.text) for one in store.entries(limit=100_000))


BIRDS = {
    "heron": "The heron waits in shallow water.",
    "swift": "The swift sleeps on the wing.",
    "code": "Error E4711 means that the nest is full.",
    "note": "Nests are listed somewhere else.",
}


@pytest.mark.parametrize("mode", ["vector", "lexical", "hybrid"])
def test_every_mode_finds_and_heeds_conditions(remote: RemoteStore, mode: Any) -> None:
    rag = pipeline(remote.connect(), LetterEmbedder())
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


def test_words_rank_in_qdrant_as_in_the_store_of_this_process(
    qdrant: Qdrant, collection: str
) -> None:
    here = ParallelRAG(EmbeddingConfig.from_callable(LetterEmbedder()), LlmConfig.extractive())
    there = pipeline(in_qdrant(qdrant.url, collection).connect(), LetterEmbedder())
    documents = dict(BIRDS)
    documents["rare"] = "A heron, a heron, and once more a heron beside the swift."
    documents["\u65e5\u672c"] = "\u9dfa\u304c\u6d45\u3044\u6c34\u3067\u5f85\u3064\u3002"
    for rag in (here, there):
        rag.ingest(documents, progress=False)
    for question in ("heron", "the swift", "nest is full", "\u6d45\u3044\u6c34", "HERON swift the"):
        order = [one.source for one in here.search(question, mode="lexical")]
        assert order
        assert [one.source for one in there.search(question, mode="lexical")] == order


def test_what_is_held_is_known_and_what_changed_is_replaced(
    remote: RemoteStore, tmp_path: Path
) -> None:
    embedder, store = LetterEmbedder(), remote.connect()
    rag = pipeline(store, embedder, 20)
    for number in range(40):
        (tmp_path / f"{number:02}.txt").write_text(f"{number:02} {'words ' * 20}")
    first = rag.ingest(tmp_path, progress=False)
    assert (first.documents, first.unchanged, first.failed) == (40, 0, [])
    assert rag.stats()["documents"] == 40
    assert rag.stats()["chunks"] == first.chunks == len(rag)
    paid = len(embedder.texts)

    again = pipeline(remote.connect(), embedder, 20)
    second = again.ingest(tmp_path, progress=False)
    assert (second.documents, second.unchanged, second.tokens) == (40, 40, 0)
    assert len(embedder.texts) == paid
    assert repr(again).endswith("store elsewhere)")

    # By the key that a pipeline deletes by, where a server indexes keys.
    store.create_index("source" if remote.kind == "QdrantVectorStore" else "words")
    (tmp_path / "00.txt").write_text("short")
    (tmp_path / "01.txt").write_text("")
    (tmp_path / "02.txt").unlink()
    third = again.ingest(tmp_path, progress=False, delete_missing=True)
    assert (third.unchanged, third.deleted) == (37, 1)
    entries = store.entries(limit=5000)
    sources = Counter(Path(one.metadata["source"]).name for one in entries)
    assert sources == {f"{n:02}.txt": first.chunks // 40 for n in range(3, 40)} | {"00.txt": 1}
    assert all(one.id.startswith(one.metadata["source"] + "#") for one in entries)
    assert again.stats()["documents"] == 38


def test_a_document_that_cannot_be_held_is_an_outcome(postgres: Postgres, table: str) -> None:
    rag = pipeline(in_postgres(postgres.dsn, table).connect(), LetterEmbedder())
    report = rag.ingest({**BIRDS, "bad": "a NUL \0 inside"}, progress=False)
    assert [(one.source, "NUL" in (one.error or "")) for one in report.failed] == [("bad", True)]
    assert rag.stats()["documents"] == 4


def test_an_ingest_goes_on_behind_a_server_that_failed(qdrant: Qdrant, collection: str) -> None:
    store = in_qdrant(qdrant.url, collection).connect()
    embedder = LetterEmbedder()
    rag = pipeline(store, embedder, 20)
    documents = {
        f"d{n}": "".join(f"{n:04}.{part}".ljust(20, "x") for part in range(3)) for n in range(200)
    }
    # Answers that are lost are asked for again, and the rest is refused at last.
    qdrant.fail(
        collection,
        {"call": "PUT points", "skip": 2, "times": 3, "cut": True, "done": True},
        {"call": "PUT points", "skip": 3, "times": 10**9, "status": 400},
    )
    first = rag.ingest(documents, progress=False)
    assert 0 < len(first.failed) < 200
    assert "told to fail" in (first.failed[0].error or "")
    qdrant.fail(collection)
    second = rag.ingest(documents, progress=False)
    assert (second.documents, second.failed) == (200, [])
    # What was stored and not answered counts as failed, and is known all the same.
    assert 200 > second.unchanged >= 200 - len(first.failed)
    once = held(store)
    assert len(once) == 600
    assert set(once.values()) == {1}

    # The tail of a document that has become shorter is what a failure leaves behind.
    qdrant.fail(collection, {"call": "POST points/delete", "times": 10**9, "status": 400})
    documents["d0"] = "short"
    assert [one.source for one in rag.ingest(documents, progress=False).failed] == ["d0"]
    assert len(held(store)) == 600
    qdrant.fail(collection)
    assert rag.ingest(documents, progress=False).unchanged == 199
    assert len(held(store)) == len(store) == 598


def ingest(remote: RemoteStore, documents: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(INGEST), *remote[:3], str(documents)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def outcome(child: subprocess.Popen[str]) -> dict[str, Any]:
    told, complaints = child.communicate(timeout=120)
    assert child.returncode == 0, complaints
    result: dict[str, Any] = json.loads(told.splitlines()[-1])
    return result


def assert_all_are_held_once(store: Any, documents: int) -> None:
    once = held(store)
    assert len(once) == len({text for _, text in once}) == 3 * documents
    assert set(once.values()) == {1}
    assert set(Counter(source for source, _ in once).values()) == {3}


@pytest.mark.timeout(180)
def test_an_ingest_outlives_its_own_death(remote: RemoteStore) -> None:
    documents, store = 1500, remote.connect()
    for _ in range(3):
        before = store.count()
        child = ingest(remote, documents)
        end = time.monotonic() + 30
        while store.count() < before + 100:
            assert time.monotonic() < end, "nothing is stored"
        child.kill()
        child.communicate()
        if remote.kind == "PgVectorStore":
            parts = Counter(source for source, _ in held(store).elements())
            assert set(parts.values()) == {3}, "a document is there in part"
    last = outcome(ingest(remote, documents))
    assert (last["documents"], last["failed"]) == (documents, [])
    assert 0 < last["unchanged"] < documents
    assert last["embedded"] == 3 * (documents - last["unchanged"])
    assert_all_are_held_once(store, documents)


@pytest.mark.timeout(180)
def test_an_ingest_outlives_its_server(table: str) -> None:
    documents = 3000
    server = Postgres()
    try:
        remote = in_postgres(server.dsn, table)
        child = ingest(remote, documents)
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
        assert_all_are_held_once(remote.connect(), documents)
    finally:
        server.close()


def test_several_processes_ingest_the_same_documents(remote: RemoteStore) -> None:
    children = [ingest(remote, 400) for _ in range(3)]
    results = [outcome(child) for child in children]
    assert [(result["documents"], result["failed"]) for result in results] == [(400, [])] * 3
    assert_all_are_held_once(remote.connect(), 400)


async def test_a_running_loop_ingests_and_asks(remote: RemoteStore) -> None:
    rag = pipeline(remote.connect(), LetterEmbedder())
    outcomes = [outcome async for outcome in rag.ingest_stream(iter(BIRDS.items()))]
    assert [one.source for one in outcomes] == list(BIRDS)
    answers = await rag.ask_many_async([BIRDS["swift"]] * 20, top_k=1)
    assert {answer.citations[0].source for answer in answers} == {"swift"}
    assert len(rag) == 4
