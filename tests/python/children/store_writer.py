"""Writes batches into the store of a folder for ever, and says after each change that it was acknowledged.

Arguments: the folder, the number of the first batch, rows a batch, dimensions, batches to keep.
"""

import sys

import numpy as np
from graphbit import VectorStore

folder = sys.argv[1]
first, rows, dimensions, kept = (int(argument) for argument in sys.argv[2:])


def ids(batch: int) -> list[str]:
    return [f"{batch}-{row}" for row in range(rows)]


store = VectorStore.open(folder, metric="dot")
batch = first
while True:
    store.add(np.full((rows, dimensions), batch, "float32"), ids=ids(batch))
    print("added", batch, flush=True)
    if batch >= kept:
        store.delete(ids(batch - kept))
        print("deleted", batch - kept, flush=True)
    batch += 1
