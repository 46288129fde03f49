"""Vectors kept in two bytes or one a value: what that costs in recall, and what it saves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphbit import VectorStore
from graphbit.exceptions import ValidationError

#: How many of the ten best are found again at least, and bytes a value.
KINDS = [("f16", 0.99, 2), ("i8", 0.95, 1)]


def clustered(count: int, dimensions: int, seed: int) -> Any:
    """Unit vectors in clusters of a hundred, as those of texts lie."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((max(count // 100, 1), dimensions))
    found = centres[random.integers(0, len(centres), count)]
    found = found + 0.7 * random.standard_normal(found.shape)
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype("float32")


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
@pytest.mark.parametrize(("precision", "recall", "width"), KINDS)
def test_what_is_found_is_nearly_what_all_digits_find(
    metric: Any, precision: Any, recall: float, width: int
) -> None:
    vectors = clustered(10_000, 384, 1)
    queries = vectors[::50] + 0.01
    exact, compact = VectorStore(metric=metric), VectorStore(metric=metric, precision=precision)
    exact.add(vectors)
    compact.add(vectors)
    same = 0
    for true, found in zip(
        exact.search_many(queries, 10), compact.search_many(queries, 10), strict=True
    ):
        same += len({hit.index for hit in true} & {hit.index for hit in found})
        assert np.allclose([hit.score for hit in true], [hit.score for hit in found], atol=0.02)
    assert same / (10 * len(queries)) >= recall


@pytest.mark.parametrize(("precision", "recall", "width"), KINDS)
def test_files_are_as_compact_as_the_memory(
    tmp_path: Path, precision: Any, recall: float, width: int
) -> None:
    vectors = clustered(500, 385, 2)
    store = VectorStore(precision=precision)
    store.add(vectors)
    store.save(tmp_path / "file")
    with VectorStore.open(tmp_path / "folder", precision=precision) as kept:
        kept.add(vectors)
    journal = tmp_path / "folder" / "journal-0.log"
    for place in (tmp_path / "file", journal):
        assert 0 <= place.stat().st_size - vectors.size * width < 70 * len(vectors)
    expected = [(hit.id, hit.score) for hit in store.search(vectors[7], 50)]
    for again in (
        VectorStore.load(tmp_path / "file"),
        VectorStore.open(tmp_path / "folder", read_only=True),
    ):
        assert again.precision == precision
        assert [(hit.id, hit.score) for hit in again.search(vectors[7], 50)] == expected
        assert repr(again).endswith(f"metric='cosine', precision='{precision}')")


def test_a_precision_is_one_of_three_and_stays(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="precision.*'f64'.*'f16'"):
        VectorStore(precision="f64")
    VectorStore.open(tmp_path / "s", precision="i8").close()
    with pytest.raises(ValidationError, match="precision 'i8'"):
        VectorStore.open(tmp_path / "s", precision="f32")
    assert VectorStore.open(tmp_path / "s").precision == "i8"
