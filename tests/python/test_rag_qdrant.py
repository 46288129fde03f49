"""ParallelRAG over a collection of Qdrant: found again, replaced, and put right after what was broken off."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from graphbit import (
    CharacterSplitter,
    EmbeddingConfig,
    LlmConfig,
    ParallelRAG,
    QdrantVectorStore,
)
from graphbit.exceptions import StoreError
from qdrant import Qdrant

INGEST = Path(__file__).parent / "children" / "qdrant_ingest.py"


class Embedder:
    """Counts letters, and the texts it is given."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, texts: list[str]) -> list[list[float]]:
        self.texts += texts
        return [[text.lower().count(chr(c)) + 0.01 for c in range(97, 123)] for text in texts]


def pipeline(store: QdrantVectorStore, embedder: Embedder, width: int = 1000) -> ParallelRAG:
    return ParallelRAG(
        EmbeddingConfig.from_callable(embedder),
        LlmConfig.extractive(),
        store=store,
        splitter=CharacterSplitter(width, 0, exact=True),
        batch_size=16,
    )


BIRDS = {
    "heron": "The heron waits in shallow water.",
    "swift": "The swift sleeps on the wing.",
    "code": "Error E4711 means that the nest is full.",
    "note": "Nests are listed somewhere else.",
}


@pytest.mark.parametrize("mode", ["vector", "lexical", "hybrid"])
def test_every_mode_finds_and_heeds_conditions(qdrant: Qdrant, collection: str, mode: Any) -> None:
    rag = pipeline(QdrantVectorStore.connect(qdrant.url, collection), Embedder())
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


def test_words_rank_as_in_the_store_of_this_process(qdrant: Qdrant, collection: str) -> None:
    here = ParallelRAG(EmbeddingConfig.from_callable(Embedder()), LlmConfig.extractive())
    there = pipeline(QdrantVectorStore.connect(qdrant.url, collection), Embedder())
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
    qdrant: Qdrant, collection: str, tmp_path: Path
) -> None:
    embedder = Embedder()
    store = QdrantVectorStore.connect(qdrant.url, collection)
    rag = pipeline(store, embedder, 20)
    for number in range(40):
        (tmp_path / f"{number:02}.txt").write_text(f"{number:02} {'words ' * 20}")
    first = rag.ingest(tmp_path, progress=False)
    assert (first.documents, first.unchanged, first.failed) == (40, 0, [])
    assert (rag.stats()["documents"], rag.stats()["chunks"]) == (40, first.chunks)
    paid = len(embedder.texts)
    again = pipeline(QdrantVectorStore.connect(qdrant.url, collection), embedder, 20)
    second = again.ingest(tmp_path, progress=False)
    assert (second.documents, second.unchanged, second.tokens) == (40, 40, 0)
    assert len(embedder.texts) == paid
    store.create_index("source")
    (tmp_path / "00.txt").write_text("short")
    (tmp_path / "01.txt").write_text("")
    (tmp_path / "02.txt").unlink()
    third = again.ingest(tmp_path, progress=False, delete_missing=True)
    assert (third.unchanged, third.deleted) == (37, 1)
    sources = Counter(Path(one.metadata["source"]).name for one in store.entries(limit=5000))
    assert sources == {f"{n:02}.txt": first.chunks // 40 for n in range(3, 40)} | {"00.txt": 1}


def held(store: QdrantVectorStore) -> Counter[tuple[str, str]]:
    """Source and text of every chunk."""
    return Counter((one.metadata["source"], one.text) for one in store.entries(limit=100_000))


def test_an_ingest_goes_on_behind_a_server_that_failed(qdrant: Qdrant, collection: str) -> None:
    store = QdrantVectorStore.connect(qdrant.url, collection)
    embedder = Embedder()
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


def test_an_ingest_outlives_its_own_death(qdrant: Qdrant, collection: str) -> None:
    command = [sys.executable, str(INGEST), qdrant.url, collection, "600"]
    for _ in range(3):
        qdrant.log(collection)
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        seen = 0
        end = time.monotonic() + 30
        while seen < 5 and time.monotonic() < end:
            seen += sum(one["call"] == "PUT points" for one in qdrant.log(collection))
        child.kill()
        child.communicate()
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    documents, unchanged, failed = (int(part) for part in done.stdout.split())
    assert (documents, failed) == (600, 0)
    assert 0 < unchanged < 600
    once = held(QdrantVectorStore.connect(qdrant.url, collection))
    assert len(once) == 1800
    assert set(once.values()) == {1}
