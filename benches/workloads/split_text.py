"""Megabytes of text split in a second on one thread, the text of every chunk read."""

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
# Reading the text counts: a splitter may put off making the strings until somebody asks.
chunks = [len(chunk.content) for text in documents for chunk in splitter.split_text(text)]
times = watch.stop()
report(**times, chunks=len(chunks), megabytes=len(document) * len(documents) / 1e6)
