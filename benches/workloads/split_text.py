"""Megabytes of text split in a second, on one thread."""

import graphbit
from measure import Stopwatch, parameters, report

given = parameters(splitter="RecursiveSplitter", size=1000, overlap=100, megabytes=40)
splitter = getattr(graphbit, given.splitter)(given.size, given.overlap)
paragraph = "One sentence of prose, a little longer than the next. Then a short one.\n" * 8 + "\n"
document = (paragraph * (100_000 // len(paragraph) + 1))[:100_000]
documents = [document] * (given.megabytes * 10)
splitter.split_text(document)

watch = Stopwatch()
watch.start()
chunks = sum(len(splitter.split_text(text)) for text in documents)
times = watch.stop()
report(**times, chunks=chunks, megabytes=len(document) * len(documents) / 1e6)
