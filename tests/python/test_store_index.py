"""A store with a graph: nearly all of what comparing with everything finds, and everything else as before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphbit import ParallelRAG, VectorStore
from graphbit.exceptions import ValidationError

ROWS, DIMENSIONS = 12_000, 64


def clustered(count: int, seed: int) -> Any:
    """Vectors in clusters of a hundred, as those of texts lie, of many lengths."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(1).standard_normal((ROWS // 100, DIMENSIONS))
    found = centres[random.integers(0, len(centres), count)]
    found = found + 0.7 * random.standard_normal(found.shape)
    return (found * random.uniform(0.5, 1.5, (count, 1))).astype("float32")


def same(exact: VectorStore, store: VectorStore, where: Any = None) -> float:
    """Of the ten best, how many are found."""
    queries = clustered(200, 2)
    found = 0
    truth = exact.search_many(queries, 10, where=where)
    for true, hits in zip(truth, store.search_many(queries, 10, where=where), strict=True):
        assert len(hits) == 10
        found += len({hit.index for hit in true} & {hit.index for hit in hits})
    return found / (10 * len(queries))


@pytest.mark.parametrize("precision", ["f32", "f16", "i8"])
@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
def test_nearly_all_of_the_best_are_found(metric: Any, precision: Any) -> None:
    parts = [{"part": str(number % 100)} for number in range(ROWS)]
    exact = VectorStore(metric=metric, precision=precision)
    store = VectorStore(metric=metric, precision=precision, index="hnsw")
    for one in (exact, store):
        one.add(clustered(ROWS, 3), metadatas=parts)
    for where in (None, {"part": {"lt": 50}}, {"part": "7"}):
        assert same(exact, store, where) >= 0.95
    for one in (exact, store):
        one.delete(where={"part": {"lt": 20}})
        one.add(clustered(500, 4), ids=[str(number) for number in range(50, 550)])
    assert same(exact, store) >= 0.95


def test_more_in_sight_finds_more_and_an_exact_store_needs_none() -> None:
    exact, store = VectorStore(), VectorStore(index="hnsw")
    for one in (exact, store):
        one.add(np.random.default_rng(5).standard_normal((ROWS, DIMENSIONS), "float32"))
    queries = np.random.default_rng(6).standard_normal((100, DIMENSIONS), "float32")

    def found(store: VectorStore, sight: int) -> list[set[int]]:
        many = store.search_many(queries, 10, ef_search=sight)
        one = [store.search(query, 10, ef_search=sight) for query in queries]
        assert [[hit.id for hit in hits] for hits in many] == [
            [hit.id for hit in hits] for hits in one
        ]
        return [{hit.index for hit in hits} for hits in many]

    truth = found(exact, 1)
    few, many = (
        sum(len(true & hits) for true, hits in zip(truth, found(store, sight), strict=True))
        for sight in (10, 500)
    )
    assert few < 900 < many
    unknown: Any = "ivf"
    assert (store.index, exact.index) == ("hnsw", "exact")
    assert repr(store).endswith("index='hnsw')")
    with pytest.raises(ValidationError, match="ef_search"):
        store.search(queries[0], ef_search=0)
    with pytest.raises(ValidationError, match="'exact' or 'hnsw'"):
        VectorStore(index=unknown)


def test_files_and_folders_are_read_with_and_without_a_graph(tmp_path: Path) -> None:
    vectors = clustered(ROWS, 7)
    with VectorStore.open(tmp_path / "s", index="hnsw") as store:
        store.add(vectors)
        store.save(tmp_path / "file")
    assert (tmp_path / "s" / "graph.bin").stat().st_size > 100 * ROWS
    exact = VectorStore.load(tmp_path / "file")
    (tmp_path / "s" / "graph.bin").write_bytes(b"torn")
    for again in (
        VectorStore.load(tmp_path / "file", index="hnsw"),
        VectorStore.open(tmp_path / "s", index="hnsw", read_only=True),
        VectorStore.open(tmp_path / "s", read_only=True),
    ):
        assert len(again) == ROWS
        assert same(exact, again) >= 0.95


def test_ctrl_c_ends_the_linking_and_keeps_the_rows(run_child: Callable[..., Any]) -> None:
    child = run_child(
        """
        import signal, time
        import numpy as np
        from graphbit import VectorStore

        vectors = np.random.default_rng(1).standard_normal((60_000, 384), "float32")
        store = VectorStore(index="hnsw")

        def stop(*_):
            raise KeyboardInterrupt

        signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, 1.5)
        begun = time.perf_counter()
        try:
            store.add(vectors)
        except KeyboardInterrupt:
            assert time.perf_counter() - begun < 6
            assert len(store) == 60_000
            assert store.search(vectors[59_999], 1)[0].index == 59_999
            print("stopped")
        """,
        timeout=60,
    )
    assert child.stdout.strip() == "stopped", child


def test_a_pipeline_over_a_graph_answers_as_over_everything() -> None:
    pages = [(f"{number}.md", f"The lighthouse number {number} was lit.") for number in range(9000)]
    pages.append(("swift.md", "The common swift sleeps on the wing, high above the roofs."))
    rag = ParallelRAG(store=VectorStore(index="hnsw"))
    assert rag.ingest(pages).failed == []
    answer = rag.ask("Where does the common swift sleep?")
    assert answer.citations[0].source == "swift.md"
