"""Writes batches into the store of a folder for ever, and says after each change that it was acknowledged.

Arguments: the folder, the number of the first batch, rows a batch, dimensions, batches to keep.
"""

import os
import sys

import numpy as np
from graphbit import VectorStore

folder = sys.argv[1]
first, rows, dimensions, kept = (int(argument) for argument in sys.argv[2:])


def tell(what: str, batch: int) -> None:
    # In one write: a killed process leaves whole lines behind.
    os.write(1, f"{what} {batch}\n".encode())


def ids(batch: int) -> list[str]:
    return [f"{batch}-{row}" for row in range(rows)]


store = VectorStore.open(folder, metric="dot")
batch = first
while True:
    store.add(np.full((rows, dimensions), batch, "float32"), ids=ids(batch))
    tell("added", batch)
    if batch >= kept:
        store.delete(ids(batch - kept))
        tell("deleted", batch - kept)
    batch += 1
