"""How long an event loop stands still while another thread splits one large document.

A task sleeps 1 ms again and again and notes how much later than that it is called.
"""

import asyncio
import threading
import time
from pathlib import Path

import graphbit
from measure import parameters, report

given = parameters(splitter="", sizes=[1000, 100], path="", exact={}, batch=False, seconds=1.5)
splitter = None
if given.splitter.startswith("TextSplitter."):
    factory = getattr(graphbit.TextSplitterConfig, given.splitter.removeprefix("TextSplitter."))
    splitter = graphbit.TextSplitter(factory(*given.sizes))
elif given.splitter:
    splitter = getattr(graphbit, given.splitter)(*given.sizes, **given.exact)
text = Path(given.path).read_bytes().decode()
chunks = 0


def work() -> None:
    global chunks
    if splitter is None:
        return time.sleep(given.seconds)
    end = time.perf_counter() + given.seconds
    while time.perf_counter() < end:
        # The same string each time: copying 50 MB would hold the interpreter longer than any splitter.
        if given.batch:
            chunks = sum(map(len, splitter.split_texts_parallel([text])))
        else:
            chunks = len(splitter.split_text(text))
    return None


async def tick(worker: threading.Thread) -> list[float]:
    gaps = []
    worker.start()
    while worker.is_alive():
        start = time.perf_counter()
        await asyncio.sleep(0.001)
        gaps.append(time.perf_counter() - start - 0.001)
    return gaps


gaps = sorted(asyncio.run(tick(threading.Thread(target=work))))
report(
    worst_ms=gaps[-1] * 1000,
    p99_ms=gaps[len(gaps) * 99 // 100] * 1000,
    ticks=len(gaps),
    chunks=chunks,
)
