"""Seconds of a megabyte in documents of one size, none of them in a cache: the calls alone, and with the
content of every chunk read and every chunk freed."""

import time
from pathlib import Path

import graphbit
from measure import parameters, report

given = parameters(
    splitter="RecursiveSplitter", sizes=[1000, 100], exact={}, path="", size=1_000_000, passes=5
)
splitter = getattr(graphbit, given.splitter)(*given.sizes, **given.exact)
data = Path(given.path).read_bytes()
texts = [
    data[cut : cut + given.size].decode("utf-8", "ignore")
    for cut in range(0, len(data) - given.size + 1, given.size)
]
megabytes = len(texts) * given.size / 1e6
called, read = [], []
# The first pass is the one that asks the system for memory; a program that goes on has it.
for _ in range(given.passes + 1):
    calls = reading = 0.0
    for text in texts:
        start = time.perf_counter()
        chunks = splitter.split_text(text)
        done = time.perf_counter()
        characters = sum([len(chunk.content) for chunk in chunks])
        del chunks
        calls += done - start
        reading += time.perf_counter() - done
    called.append(calls)
    read.append(calls + reading)
report(called=min(called[1:]) / megabytes, read=min(read[1:]) / megabytes)
