"""Writes batches into the store of a folder for ever, and says after each change that it was acknowledged.

Arguments: the folder, its index, the number of the first batch, rows a batch, dimensions, batches to keep, and the
batches that a writer before this one was killed before deleting.
"""

import os
import sys
from typing import Any

import numpy as np
from graphbit import VectorStore

folder, index = sys.argv[1:3]
first, rows, dimensions, kept, *left = (int(argument) for argument in sys.argv[3:])


def tell(what: str, batch: int) -> None:
    # In one write: a killed process leaves whole lines behind.
    os.write(1, f"{what} {batch}\n".encode())


def ids(batch: int) -> list[str]:
    return [f"{batch}-{row}" for row in range(rows)]


def vectors(batch: int) -> Any:
    """Rows that differ, in few directions as those of texts do, and whose first value tells the batch.

    A hundredth of its number: were it the number, then after a thousand batches all rows would point
    the same way, and what random queries want of such rows no graph finds.
    """
    directions = np.random.default_rng(0).standard_normal((8, dimensions), "float32")
    values = np.random.default_rng(batch).standard_normal((rows, 8), "float32") @ directions
    values[:, 0] = batch / 100
    return values


store = VectorStore.open(folder, metric="dot", index=index)
for batch in left:
    store.delete(ids(batch))
    tell("deleted", batch)
batch = first
while True:
    store.add(vectors(batch), ids=ids(batch))
    tell("added", batch)
    if batch >= kept:
        store.delete(ids(batch - kept))
        tell("deleted", batch - kept)
    batch += 1
