"""How long an event loop stands still while other threads make blocking calls.

A task sleeps 1 ms again and again and notes how much later than that it is called. Eight threads
alternate a chat call and a batch of embeddings. ``busy: false`` measures the loop alone.
"""

import asyncio
import threading
import time

from measure import chat_client, embedding_client, parameters, report

given = parameters(seconds=3.0, threads=8, busy=True, method="embed_many")
chat, embeddings = chat_client(given.url), embedding_client(given.url)
embed = getattr(embeddings, given.method)
texts = [f"Passage {number}." for number in range(8)]
stop = threading.Event()
calls = 0


def work() -> None:
    global calls
    while not stop.is_set():
        chat.complete("Say hello.")
        embed(texts)
        calls += 2


async def tick() -> list[float]:
    gaps = []
    end = time.perf_counter() + given.seconds
    while (start := time.perf_counter()) < end:
        await asyncio.sleep(0.001)
        gaps.append(time.perf_counter() - start - 0.001)
    return gaps


chat.complete("Say hello.")
embed(texts)
threads = [threading.Thread(target=work, daemon=True) for _ in range(given.threads * given.busy)]
for thread in threads:
    thread.start()
gaps = sorted(asyncio.run(tick()))
stop.set()
report(
    worst_ms=gaps[-1] * 1000,
    p99_ms=gaps[len(gaps) * 99 // 100] * 1000,
    ticks=len(gaps),
    calls=calls,
)
