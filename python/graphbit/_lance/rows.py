"""Rows of a table: its form, and the way from and to Arrow."""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from graphbit._lance.conditions import pair
from graphbit.exceptions import StoreError
from graphbit.stores import Row

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: What an entry is made of.
ENTRY = ("id", "sequence", "text", "metadata")
_METRIC = b"graphbit.metric"


def schema(dimensions: int, metric: str) -> Any:
    """Return the form of a table."""
    arrow: Any = importlib.import_module("pyarrow")
    return arrow.schema(
        [
            arrow.field("id", arrow.string(), nullable=False),
            arrow.field("sequence", arrow.int64(), nullable=False),
            arrow.field("text", arrow.string(), nullable=False),
            arrow.field("metadata", arrow.string(), nullable=False),
            # The metadata once more, in a form that conditions can be put to.
            arrow.field("pairs", arrow.list_(arrow.string()), nullable=False),
            # Whether the vector is all zeros, and so points nowhere.
            arrow.field("still", arrow.bool_(), nullable=False),
            arrow.field("vector", arrow.list_(arrow.float32(), dimensions), nullable=False),
        ],
        metadata={_METRIC: metric.encode()},
    )


def form(found: Any, name: str) -> tuple[int, str]:
    """Return dimensions and metric of a table that is there.

    Raises:
        StoreError: It has not the columns of `schema`.
    """
    said: dict[bytes, bytes] = found.metadata or {}
    metric = said.get(_METRIC, b"").decode()
    column: Any = found.field("vector").type if "vector" in found.names else None
    dimensions: int = getattr(column, "list_size", 0)
    expected = schema(max(dimensions, 1), metric)
    if found.names != expected.names or found.types != expected.types or not metric:
        raise StoreError(f"the table {name} was not made by LanceVectorStore: it has {found.names}")
    return dimensions, metric


def table(
    form_of: Any,
    columns: dict[str, Any],
    metadatas: list[dict[str, str]],
    given: NDArray[np.float32],
) -> Any:
    """Return rows as an Arrow table; `columns` are those that need nothing done to them."""
    arrow: Any = importlib.import_module("pyarrow")
    values = arrow.array(np.ascontiguousarray(given, np.float32).ravel())
    whole = columns | {
        "metadata": [json.dumps(one, ensure_ascii=False) for one in metadatas],
        "pairs": [[pair(key, value) for key, value in one.items()] for one in metadatas],
        "still": ~given.any(axis=1),
        "vector": arrow.FixedSizeListArray.from_arrays(values, given.shape[1]),
    }
    return arrow.table(whole, schema=form_of)


def entries(found: Any) -> list[Row]:
    """Return the entries of Arrow rows, in their order."""
    columns = [found[name].to_pylist() for name in ENTRY]
    return [
        Row(name, text, json.loads(metadata), number)
        for name, number, text, metadata in zip(*columns, strict=True)
    ]


def vectors(found: Any) -> NDArray[np.float32]:
    """Return the vectors of Arrow rows, one a row."""
    column = found["vector"]
    if hasattr(column, "combine_chunks"):
        column = column.combine_chunks()
    dimensions = column.type.list_size
    values: Any = column.flatten().to_numpy(zero_copy_only=False)
    many: NDArray[np.float32] = values.reshape(-1, dimensions)
    return many


def scores(
    query: NDArray[np.float32], given: NDArray[np.float32], metric: str
) -> NDArray[np.float32]:
    """Return the score of each vector, worked out in double precision."""
    one, many = query.astype(np.float64), given.astype(np.float64)
    if metric == "l2":
        found = -np.linalg.norm(many - one, axis=1)
    else:
        found = many @ one
        if metric == "cosine":
            lengths = np.linalg.norm(many, axis=1) * np.linalg.norm(one)
            with np.errstate(divide="ignore", invalid="ignore"):
                found = np.where(
                    lengths > 0, np.maximum(np.minimum(found / lengths, 1.0), -1.0), 0.0
                )
    # Adding zero makes -0 and 0 the same score.
    return found.astype(np.float32) + np.float32(0)
