"""`LanceVectorStore`: what is its own, beside what every store promises."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
import pytest
from graphbit import CharacterSplitter, EmbeddingConfig, LlmConfig, ParallelRAG, VectorStore
from graphbit._lance import table as lance_table
from graphbit.exceptions import StoreError, ValidationError
from graphbit.lancedb import LanceVectorStore

WRITER = Path(__file__).parent / "children" / "lance_writer.py"
NAMES = ["it's", "'; DROP TABLE x; --", "') OR true --", "a\\", "a\\'", '"', "%", "_", "a\0b", "\n", "\u00e9", "e\u0301"]  # fmt: skip


def test_no_text_is_taken_for_a_condition(tmp_path: Path) -> None:
    store = LanceVectorStore.open(tmp_path)
    metadatas = [{name: name, "k": name} for name in NAMES]
    store.add(np.eye(len(NAMES)), NAMES, NAMES, metadatas)
    for name in NAMES:
        assert [one and one.text for one in store.get([name])] == [name]
        assert [one.id for one in store.entries({"k": name})] == [name]
        assert [one.id for one in store.entries({name: {"in": [name, 7]}})] == [name]
        assert store.count({"k": {"ne": name}}) == len(NAMES) - 1
    # What looks like the end of a name and the beginning of a value is neither.
    store.add([[1.0] * len(NAMES)], ids=["pair"], metadatas=[{'a", "b': "c", "x\0y": "z"}])
    assert store.count({"a": 'b", "c'}) == store.count({"x": "y\0z"}) == 0
    assert store.delete(["') OR true --", "a' OR 'a'='a"]) == 1
    assert store.replace(["it's", "' OR true --"], [[2.0] * len(NAMES)], ids=["a\\"]) == ["a\\"]
    assert len(store) == len(NAMES) - 1


def test_what_cannot_be_opened_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for words, arguments in {
        "table": {"table": "a/b"},
        "metric": {"metric": "hamming"},
        "dimensions": {"dimensions": 0},
    }.items():
        with pytest.raises(ValidationError, match=words):
            LanceVectorStore.open(tmp_path, **arguments)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be opened"):
        LanceVectorStore.open(tmp_path / "file")
    LanceVectorStore.open(tmp_path, "known", dimensions=3, metric="l2").close()
    with pytest.raises(StoreError, match="made for the metric 'l2', not 'cosine'"):
        LanceVectorStore.open(tmp_path, "known")
    with pytest.raises(StoreError, match="3 dimensions, not 4"):
        LanceVectorStore.open(tmp_path, "known", metric="l2", dimensions=4)
    lancedb.connect(tmp_path).create_table("theirs", pa.table({"id": ["a"], "vector": [[1.0]]}))
    with pytest.raises(StoreError, match="not made by LanceVectorStore"):
        LanceVectorStore.open(tmp_path, "theirs")
    store = LanceVectorStore.open(tmp_path, "known", metric="l2")
    assert (store.dimensions, store.metric, store.table, store.uri) == (
        3,
        "l2",
        "known",
        str(tmp_path),
    )
    assert repr(store) == f"LanceVectorStore(uri={str(tmp_path)!r}, table='known', metric='l2')"
    with pytest.raises(TypeError):
        pickle.dumps(store)
    with store:
        store.add(np.eye(3))
    for call in (
        lambda: len(store),
        lambda: store.search([1, 2, 3]),
        lambda: store.add([[1, 2, 3]]),
    ):
        with pytest.raises(StoreError, match="closed"):
            call()
    monkeypatch.setitem(sys.modules, "lancedb", None)
    with pytest.raises(ImportError, match=r"pip install 'graphbit\[lancedb\]'"):
        LanceVectorStore.open(tmp_path)


def test_others_see_what_was_stored_before_they_ask(tmp_path: Path, run_child: Any) -> None:
    early = LanceVectorStore.open(tmp_path)
    assert early.dimensions is None
    store = LanceVectorStore.open(tmp_path)
    store.add([[1, 0], [0, 1]], ["east", "north"], ids=["e", "n"])
    assert (early.dimensions, len(early)) == (2, 2)
    child = run_child(
        """
        import sys
        from graphbit.lancedb import LanceVectorStore
        with LanceVectorStore.open(sys.argv[1]) as store:
            print([hit.text for hit in store.search([0.1, 1.0], 1)], store.delete(["e"]))
            store.add([[1, 1]], ids=["ne"])
        """,
        arguments=(str(tmp_path),),
    )
    assert (child.returncode, child.stdout) == (0, "['north'] 1\n")
    assert [one.id for one in early.entries()] == ["n", "ne"]
    indexes = [one.index for one in early.entries()]
    early.delete(["ne"])
    early.add([[2, 2]], ids=["sw"])
    assert early.get(["sw"])[0].index > indexes[-1], "a place is never given out twice"


def test_processes_take_turns(tmp_path: Path) -> None:
    store = LanceVectorStore.open(tmp_path, dimensions=4)
    command = [sys.executable, str(WRITER), str(tmp_path)]
    writers = [
        subprocess.Popen([*command, name, "40", "25"], stdout=subprocess.PIPE, text=True)
        for name in ("one", "two")
    ]
    while any(writer.poll() is None for writer in writers):
        seen = Counter(entry.text for entry in store.entries({"none": {"ne": "x"}}))
        # What one writer wrote in its last round, and the one row that stays of the other's.
        assert sorted(seen.values()) in ([], [41], [1, 41]), seen
    assert [writer.communicate()[0] for writer in writers] == ["ready\ndone\n"] * 2
    entries = store.entries()
    assert (
        len(entries)
        == 42
        == len({one.id for one in entries})
        == len({one.index for one in entries})
    )
    assert {"one 24", "two 24"} < {one.id for one in entries}


def test_a_killed_writer_leaves_whole_changes_and_no_lock(tmp_path: Path) -> None:
    store = LanceVectorStore.open(tmp_path, dimensions=4)
    for number in range(4):
        with subprocess.Popen(
            [sys.executable, str(WRITER), str(tmp_path), str(number), "2000", "0"],
            stdout=subprocess.PIPE, text=True,
        ) as writer:  # fmt: skip
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(0.05 + number * 0.06)
            writer.kill()
        tags = Counter(entry.text for entry in store.entries(limit=5000))
        assert sorted(tags.values())[-1:] in ([], [2001]), tags
        assert all(count == 1 for count in sorted(tags.values())[:-1]), tags
    started = time.monotonic()
    store.add([[1.0] * 4], ids=["after"])
    assert time.monotonic() - started < 5


def embed(texts: list[str]) -> list[list[float]]:
    return [[text.lower().count(chr(c)) + 0.01 for c in range(97, 123)] for text in texts]


def pipeline(folder: Path) -> ParallelRAG:
    return ParallelRAG(
        EmbeddingConfig.from_callable(embed), LlmConfig.extractive(),
        splitter=CharacterSplitter(20, 0, exact=True), store=LanceVectorStore.open(folder / "db"),
    )  # fmt: skip


def test_an_ingest_goes_on_where_it_was(tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    for number in range(40):
        (texts / f"{number:02}.txt").write_text(f"{number:02} {'words ' * 20}")
    first = pipeline(tmp_path).ingest(texts, progress=False)
    assert (first.documents, first.unchanged, first.failed) == (40, 0, [])
    again = pipeline(tmp_path)
    second = again.ingest(texts, progress=False)
    assert (second.documents, second.unchanged, second.tokens) == (40, 40, 0)
    (texts / "00.txt").write_text("short")
    (texts / "02.txt").unlink()
    third = again.ingest(texts, progress=False, delete_missing=True)
    assert (third.unchanged, third.deleted) == (38, 1)
    assert again.stats()["documents"] == 39
    assert len(again) == 38 * first.chunks // 40 + 1
    assert again.search("17 words", where={"source": {"prefix": str(texts)}}, diversity=0.4)
    answer = again.ask("short", top_k=1)
    assert answer.citations[0].source.endswith("00.txt")


BIRDS = {
    "heron": "The heron waits in shallow water.",
    "swift": "The swift sleeps on the wing.",
    "code": "Error E4711 means that the nest's full.",
    "note": "Nests are listed somewhere else.",
}


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("mode", ["vector", "lexical", "hybrid"])
def test_every_mode_finds_and_heeds_conditions(tmp_path: Path, mode: Any, indexed: bool) -> None:
    store = LanceVectorStore.open(tmp_path)
    rag = ParallelRAG(EmbeddingConfig.from_callable(embed), LlmConfig.extractive(), store=store)
    with pytest.raises(StoreError, match="empty"):
        rag.search("anything", mode=mode)
    first, *rest = [
        {"source": name, "text": text, "metadata": {"kind": name[0]}}
        for name, text in BIRDS.items()
    ]
    rag.ingest([first], progress=False)
    if indexed:
        store.create_index("words")
    assert rag.ingest(rest, progress=False).failed == []
    assert rag.search(BIRDS["swift"], mode=mode, top_k=1)[0].source == "swift"
    assert (
        rag.search("What is 'E4711\" (?", mode=mode, top_k=1)[0].source == "code"
        or mode == "vector"
    )
    for where in ({"kind": {"ne": "s"}}, {"start_char": {"le": 0}, "kind": {"prefix": "n"}}):
        found = rag.search("swift nest listed", mode=mode, where=where, diversity=0.5)
        assert found
        assert "swift" not in {one.source for one in found}
    assert rag.search("swift", mode=mode, where={"kind": "x"}) == []


def test_broad_conditions_that_are_not_lancedbs_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lance_table, "_AT_ONCE", 50)
    chance = np.random.default_rng(4)
    vectors = chance.standard_normal((600, 8)).astype(np.float32)
    vectors[::9] = 0
    store, model = LanceVectorStore.open(tmp_path), VectorStore()
    ids = [str(number) for number in range(600)]
    for one in (store, model):
        one.add(vectors, ids=ids, metadatas=[{"n": name, "m": str(int(name) % 7)} for name in ids])
    for where in (
        {"n": {"ge": 100}},
        {"n": {"lt": 30}},
        {"m": "3", "n": {"gt": 50}},
        {"m": {"in": ["1", 2]}},
    ):
        for query in (*vectors[1:4], vectors[0]):
            for top_k in (1, 40, 600):
                found, expected = (one.search(query, top_k, where=where) for one in (store, model))
                assert [hit.id for hit in found] == [hit.id for hit in expected]
    assert [one.id for one in store.get(ids)] == ids
    assert store.delete(where={"n": {"ge": 100}}) == 500


def test_an_index_looks_at_less_and_finds_nearly_all(tmp_path: Path) -> None:
    chance = np.random.default_rng(2)
    rows = chance.standard_normal((4000, 32)).astype(np.float32)
    store = LanceVectorStore.open(tmp_path)
    with pytest.raises(StoreError, match="nothing to index"):
        store.create_index()
    for wrong in ({"kind": "btree"}, {"kind": "words", "m": 8}, {"m": 1}, {"ef_construction": 0}):
        with pytest.raises(ValidationError):
            store.create_index(**wrong)
    parts = [{"part": str(number % 100)} for number in range(4000)]
    store.add(rows, ids=[str(number) for number in range(4000)], metadatas=parts)
    queries = chance.standard_normal((30, 32)).astype(np.float32)

    def best(top_k: int, where: Any = None) -> list[list[str]]:
        return [[hit.id for hit in hits] for hits in store.search_many(queries, top_k, where=where)]

    exact, exact_part = best(10), best(10, {"part": "7"})
    store.create_index("hnsw", m=16, ef_construction=100)
    store.create_index("hnsw")
    assert len(lancedb.connect(tmp_path).open_table("graphbit").list_indices()) == 1
    found = best(10)
    assert sum(len(set(one) & set(two)) for one, two in zip(found, exact, strict=True)) > 270
    assert best(10, {"part": "7"}) == exact_part
    assert {len(found) for found in best(500)} == {500}
    assert len(store.search(queries[0], 4000, ef_search=10)) == 4000
    # What comes after the index is found like all else, and what goes is gone.
    store.add(queries[:1] * 2, ids=["new"])
    assert store.search(queries[0], 1)[0].id == "new"
    store.delete(["new"])
    assert [hit.id for hit in store.search(queries[0], 10)] == found[0]


def test_a_forked_child_is_told_and_does_not_crash(tmp_path: Path, run_child: Any) -> None:
    child = run_child(
        """
        import os, sys, warnings
        warnings.simplefilter("ignore")
        from graphbit.exceptions import StoreError
        from graphbit.lancedb import LanceVectorStore
        if not (early := os.fork()):
            LanceVectorStore.open(sys.argv[1]).add([[1.0, 1.0]], ids=["early"])
            os._exit(0)
        assert os.waitpid(early, 0)[1] == 0
        store = LanceVectorStore.open(sys.argv[1])
        store.add([[1.0, 0.0]] * 20, ids=[f"parent {n}" for n in range(20)])
        for number in range(6):
            if not (pid := os.fork()):
                refused = 0
                for call in (
                    lambda: store.add([[0.0, 1.0]]),
                    lambda: store.search([0.0, 1.0]),
                    lambda: LanceVectorStore.open(sys.argv[1]),
                ):
                    try:
                        call()
                    except StoreError as error:
                        refused += "forked" in str(error)
                os._exit(refused)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
        print(len(store))
        """,
        arguments=(str(tmp_path),),
    )
    assert (child.returncode, child.stdout) == (0, "21\n"), child.stderr


def test_many_changes_are_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lance_table, "_CHANGES", 10)
    store = LanceVectorStore.open(tmp_path)
    for number in range(29):
        store.add([[float(number), 1.0]], ids=[f"n{number}"])
    fragments = lancedb.connect(tmp_path).open_table("graphbit").stats()["fragment_stats"]
    assert fragments["num_fragments"] <= 10
    assert [one.id for one in store.entries()] == [f"n{number}" for number in range(29)]
