"""The vector store: exact, atomic, and clear about what it refuses."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphbit import VectorStore

RANDOM = np.random.default_rng(7)


def brute_force(vectors: Any, query: Any, metric: str) -> Any:
    vectors, query = vectors.astype("float64"), query.astype("float64")
    if metric == "dot":
        return vectors @ query
    if metric == "l2":
        return -np.linalg.norm(vectors - query, axis=1)
    return vectors @ query / (np.linalg.norm(vectors, axis=1) * np.linalg.norm(query))


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
@pytest.mark.parametrize("shape", [(50, 3), (5000, 384)])
def test_it_finds_what_numpy_finds(metric: str, shape: tuple[int, int]) -> None:
    vectors = RANDOM.standard_normal(shape).astype("float32")
    queries = RANDOM.standard_normal((20, shape[1])).astype("float32")
    store = VectorStore(metric=metric)
    for part in np.array_split(vectors, 7):
        store.add(part)
    many = store.search_many(queries, top_k=10)
    for query, hits in zip(queries, many, strict=True):
        scores = brute_force(vectors, query, metric)
        best = np.argsort(-scores, kind="stable")[:10]
        assert [hit.index for hit in hits] == best.tolist()
        assert [hit.id for hit in hits] == [str(at) for at in best]
        assert np.allclose([hit.score for hit in hits], scores[best], atol=1e-4)
        assert [hit.index for hit in store.search(query, 10)] == best.tolist()


def test_every_way_to_give_vectors_is_the_same() -> None:
    rows = [[1.0, 2.0], [3.0, -4.0]]
    array = np.array(rows)
    for vectors in (
        rows,
        tuple(tuple(row) for row in rows),
        array,
        array.astype("float32"),
        array.astype(">f8"),
        array.astype("float16"),
        array.astype("int64"),
        np.asfortranarray(array),
        np.repeat(array, 2, axis=1)[:, ::2],
        list(array),
        (row for row in rows),
    ):
        store = VectorStore(2, metric="dot")
        assert store.add(vectors, ["a", "b"]) == ["0", "1"]
        for query in ([1, -1], np.array([1.0, -1.0]), (1.0, -1.0)):
            assert [(hit.text, hit.score) for hit in store.search(query)] == [
                ("b", 7.0),
                ("a", -1.0),
            ]


def test_entries_carry_text_and_metadata() -> None:
    store = VectorStore()
    store.add([[1, 0], [0, 1]], ["east", "north"], ["e", "n"], [{"page": "1"}, {}])
    (hit,) = store.search([2, 0.1], 1)
    assert (hit.id, hit.text, hit.metadata, hit.index) == ("e", "east", {"page": "1"}, 0)
    assert hit.score == pytest.approx(2 / np.hypot(2, 0.1))
    assert repr(store) == "VectorStore(len=2, dimensions=2, metric='cosine')"
    # The same id again replaces, in its place.
    assert store.add([[0, -1]], ["south"], ["e"]) == ["e"]
    assert len(store) == 2
    assert [hit.text for hit in store.search([0, -1])] == ["south", "north"]
    assert store.delete(["e", "unknown"]) == 1
    assert [hit.id for hit in store.search([0, 1])] == ["n"]
    assert store.delete([]) == 0


def test_an_empty_store() -> None:
    store = VectorStore()
    assert (len(store), store.dimensions, store.metric) == (0, None, "cosine")
    assert store.search([1, 2, 3]) == []
    assert store.search_many(np.zeros((2, 3))) == [[], []]
    assert store.add(np.zeros((0, 3))) == []
    assert store.add([]) == []
    assert store.dimensions is None
    store.add([[0.0, 0.0]])
    assert [hit.score for hit in store.search([1, 1])] == [0.0]
    assert store.search_many(np.zeros((0, 2))) == []


def test_refusals_name_field_and_value_and_change_nothing() -> None:
    store = VectorStore(3)
    store.add([[1, 2, 3]])

    def refused(kind: type[Exception], words: str, work: Any) -> None:
        with pytest.raises(kind, match=words):
            work()
        assert len(store) == 1

    refused(RuntimeError, "of 3 dimensions, this one has 2", lambda: store.add([[1, 2]]))
    refused(RuntimeError, "of 3 dimensions, this one has 2", lambda: store.search([1, 2]))
    refused(ValueError, "row 1.*has 2 values, row 0 has 3", lambda: store.add([[1, 2, 3], [1, 2]]))
    bad = np.ones((4, 3))
    bad[2, 1] = np.nan
    refused(ValueError, "vectors.*NaN.*row 2, position 1", lambda: store.add(bad))
    bad[2, 1] = np.inf
    refused(ValueError, "vectors.*inf.*row 2, position 1", lambda: store.add(bad))
    refused(ValueError, "query.*NaN", lambda: store.search([1, float("nan"), 2]))
    refused(ValueError, "vectors.*shape.*two-dimensional", lambda: store.add(np.ones(3)))
    refused(ValueError, "vector.*shape", lambda: store.search(np.ones((1, 3))))
    refused(ValueError, "texts.*'2'.*1 vectors", lambda: store.add([[1, 2, 3]], ["a", "b"]))
    refused(ValueError, "ids.*'2'", lambda: store.add([[1, 2, 3]], ids=["a", "b"]))
    refused(ValueError, "ids.*row 0 is empty", lambda: store.add([[1, 2, 3]], ids=[""]))
    refused(ValueError, "ids.*'x'.*0 and 1", lambda: store.add([[1, 2, 3]] * 2, ids=["x", "x"]))
    refused(ValueError, "metadatas", lambda: store.add([[1, 2, 3]], metadatas=[]))
    refused(ValueError, "top_k.*'0'", lambda: store.search([1, 2, 3], 0))
    refused(OverflowError, "negative", lambda: store.search([1, 2, 3], -1))
    refused(TypeError, "float", lambda: store.add([1.0, 2.0, 3.0]))
    refused(TypeError, "complex", lambda: store.add(np.ones((1, 3), dtype="complex64")))
    refused(TypeError, "int", lambda: store.add([[1, 2, 3]], metadatas=[{"page": 1}]))
    refused(TypeError, r"vectors\[0\].*list of numbers", lambda: store.add("abc"))
    refused(ValueError, "metric.*'euclid'", lambda: VectorStore(metric="euclid"))
    refused(ValueError, "dimensions.*'0'", lambda: VectorStore(0))


def test_save_and_load(tmp_path: Path) -> None:
    path = tmp_path / "store.safetensors"
    vectors = RANDOM.standard_normal((3000, 16)).astype("float32")
    store = VectorStore(metric="l2")
    ids = store.add(
        vectors,
        [f"text {at} 世界" for at in range(3000)],
        metadatas=[{"at": str(at)} for at in range(3000)],
    )
    store.delete(ids[100:200])
    store.save(path)
    loaded = VectorStore.load(str(path))
    assert (len(loaded), loaded.dimensions, loaded.metric) == (2900, 16, "l2")

    def rows(one: VectorStore) -> list[Any]:
        hits = one.search(vectors[5], 5000)
        return [(hit.id, hit.score, hit.text, hit.metadata, hit.index) for hit in hits]

    assert rows(loaded) == rows(store)
    assert loaded.add([[0.0] * 16]) == ["3000"], "numbers are not given out twice"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_the_file_is_a_safetensors_file(tmp_path: Path) -> None:
    import json
    import struct

    path = tmp_path / "store.safetensors"
    vectors = np.arange(6, dtype="float32").reshape(2, 3)
    store = VectorStore(metric="dot")
    store.add(vectors, ["a", "b"])
    store.save(path)
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    start, end = header["vectors"]["data_offsets"]
    stored = np.frombuffer(data[8 + length :][start:end], "<f4")
    assert (stored.reshape(header["vectors"]["shape"]) == vectors).all()
    assert header["__metadata__"]["metric"] == "dot"


def test_a_damaged_file_is_refused_and_named(tmp_path: Path) -> None:
    path = tmp_path / "store.safetensors"
    store = VectorStore()
    store.add(RANDOM.standard_normal((20, 4)), [f"text {at}" for at in range(20)])
    store.save(path)
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[-10] ^= 1
    for content in (b"", whole[:7], whole[:100], whole[:-1], bytes(damaged), b"x" * 500):
        path.write_bytes(content)
        with pytest.raises(RuntimeError, match=r"store\.safetensors.*nothing was loaded"):
            VectorStore.load(path)
    for missing in (tmp_path / "missing", tmp_path):
        with pytest.raises(RuntimeError, match="nothing was loaded"):
            VectorStore.load(missing)


def test_killed_while_saving_the_old_file_stays_whole(tmp_path: Path, run_child: Any) -> None:
    path = tmp_path / "store.safetensors"
    store = VectorStore()
    store.add(RANDOM.standard_normal((10, 64)), ids=[f"old {at}" for at in range(10)])
    store.save(path)
    child = run_child(
        """
        import os, sys, threading, time
        import numpy as np
        from graphbit import VectorStore

        path = sys.argv[1]
        store = VectorStore()
        store.add(np.random.default_rng(1).standard_normal((60_000, 64)))
        def save():
            while True:
                store.save(path)
        threading.Thread(target=save, daemon=True).start()
        # Killed as soon as a save has begun.
        while not any(name.endswith(".tmp") for name in os.listdir(os.path.dirname(path))):
            time.sleep(0.0005)
        os._exit(9)
        """,
        arguments=(str(path),),
    )
    assert child.returncode == 9, child.stderr
    assert len(VectorStore.load(path)) in (10, 60_000)
    # What the killed process left behind does not stand in the way.
    store.save(path)
    assert len(VectorStore.load(path)) == 10


def test_searches_see_whole_batches_while_threads_add() -> None:
    store = VectorStore(8, metric="dot")
    store.add(np.ones((100, 8)))
    failures: list[str] = []
    stop = threading.Event()

    def search() -> None:
        last = 0
        while not stop.is_set():
            found = len(store.search(np.ones(8), 10**9))
            if found % 100 or found < last:
                failures.append(f"{found} after {last}")
            last = found

    def add(name: int) -> None:
        for batch in range(20):
            store.add(np.ones((100, 8)), ids=[f"{name} {batch} {at}" for at in range(100)])

    readers = [threading.Thread(target=search) for _ in range(2)]
    writers = [threading.Thread(target=add, args=(name,)) for name in range(3)]
    for thread in readers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in readers:
        thread.join()
    assert failures == []
    assert len(store) == 6100
    assert len({hit.id for hit in store.search(np.ones(8), 10**9)}) == 6100


def test_a_forked_child_can_search_and_add(run_child: Any) -> None:
    child = run_child(
        """
        import os
        import numpy as np
        from graphbit import VectorStore

        store = VectorStore()
        vectors = np.random.default_rng(1).standard_normal((4000, 768))
        store.add(vectors)
        store.search_many(vectors[:20])
        if (pid := os.fork()) == 0:
            assert store.search_many(vectors[:20])[7][0].index == 7
            store.add(vectors[:1])
            os._exit(0 if len(store) == 4001 else 1)
        _, status = os.waitpid(pid, 0)
        assert status == 0 and len(store) == 4000
        print("both")
        """
    )
    assert (child.returncode, child.stdout.strip()) == (0, "both"), child.stderr


@pytest.mark.skipif(os.name != "posix", reason="needs file modes")
@pytest.mark.parametrize("mode", [0o600, 0o664])
def test_a_saved_file_has_the_mode_of_the_one_it_replaces(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "store"
    store = VectorStore()
    store.add([[1.0]])
    store.save(path)
    path.chmod(mode)
    store.save(path)
    assert path.stat().st_mode & 0o777 == mode
    assert len(VectorStore.load(path)) == 1


def test_whole_numbers_of_64_bits_compare_exactly() -> None:
    store = VectorStore()
    numbers = [-(2**63), 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1]
    store.add([[1.0]] * len(numbers), metadatas=[{"n": str(number)} for number in numbers])
    for number in numbers:
        assert [entry.metadata["n"] for entry in store.entries({"n": number})] == [str(number)]
    larger = [str(number) for number in (2**64, 2**64 + 1, 10**25)]
    store.add([[1.0]] * len(larger), metadatas=[{"n": number} for number in larger])
    for text in larger:
        assert [entry.metadata["n"] for entry in store.entries({"n": text})] == [text]
