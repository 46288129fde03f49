"""Writes to a store in PostgreSQL until it is killed, or a number of rounds.

Arguments: the connection string, the table, this writer's name, rows a round, rounds (0 for no end). Each round
replaces the same rows, in an order of its own, by ones that name writer and round.
"""

import random
import sys

from graphbit import PgVectorStore

dsn, table, writer = sys.argv[1:4]
rows, rounds = (int(argument) for argument in sys.argv[4:])
store = PgVectorStore.connect(dsn, table, dimensions=4)
chance = random.Random(writer)
number = 0
print("ready", flush=True)
while not rounds or number < rounds:
    names = [f"row {row}" for row in range(rows)]
    chance.shuffle(names)
    tag = f"{writer} {number}"
    store.replace([], [[1.0, 2.0, 3.0, 4.0]] * rows, [tag] * rows, ids=names)
    number += 1
print("done", flush=True)
