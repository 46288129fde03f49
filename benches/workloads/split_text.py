"""Megabytes of text split in a second on one thread, the text of every chunk read.

With ``busy`` another thread computes all the while.
"""

import graphbit
from measure import Stopwatch, compute_beside, parameters, report

given = parameters(
    splitter="RecursiveSplitter",
    size=1000,
    overlap=100,
    characters=100_000,
    megabytes=40,
    busy=False,
)
splitter = getattr(graphbit, given.splitter)(given.size, given.overlap)
paragraph = "One sentence of prose, a little longer than the next. Then a short one.\n" * 8 + "\n"
document = (paragraph * (given.characters // len(paragraph) + 1))[: given.characters]
documents = [document] * (given.megabytes * 1_000_000 // given.characters)
splitter.split_text(document)
if given.busy:
    compute_beside()

watch = Stopwatch()
watch.start()
# Reading the text counts: a splitter may put off making the strings until somebody asks.
chunks = [len(chunk.content) for text in documents for chunk in splitter.split_text(text)]
times = watch.stop()
report(**times, chunks=len(chunks), megabytes=len(document) * len(documents) / 1e6)
