"""Writes to a table of LanceDB until it is killed, or a number of rounds.

Arguments: the folder, this writer's name, rows a round, rounds (0 for no end). Each round replaces the same rows by ones
that name writer and round, and a row of the round before by one of its own.
"""

import sys

from graphbit.lancedb import LanceVectorStore

folder, writer = sys.argv[1:3]
rows, rounds = (int(argument) for argument in sys.argv[3:])
store = LanceVectorStore.open(folder, dimensions=4)
number = 0
print("ready", flush=True)
while not rounds or number < rounds:
    tag = f"{writer} {number}"
    names = [f"row {row}" for row in range(rows)]
    store.replace(
        [f"{writer} {number - 1}"],
        [[1.0, 2.0, 3.0, 4.0]] * (rows + 1),
        [tag] * (rows + 1),
        ids=[*names, tag],
    )
    number += 1
print("done", flush=True)
