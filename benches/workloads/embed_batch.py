"""Batches of texts to vectors on one thread, by the method named: CPU a call."""

import time

from measure import Stopwatch, embedding_client, parameters, report

given = parameters(method="embed_many", calls=60, texts=32)
client = embedding_client(given.url)
embed = getattr(client, given.method)
texts = [f"Passage number {number} of the batch." for number in range(given.texts)]
# numpy's BLAS threads spin for a while after its import, on cores that are being measured.
warm = time.monotonic() + 0.2
while time.monotonic() < warm:
    vectors = embed(texts)

watch = Stopwatch()
watch.start()
for _ in range(given.calls):
    vectors = embed(texts)
times = watch.stop()

shape = f"{len(vectors)}x{len(vectors[0])}"
kind = getattr(vectors, "dtype", None) or f"{type(vectors[0][0]).__name__} in lists"
report(**times, output=f"{type(vectors).__name__} {shape} {kind}")
