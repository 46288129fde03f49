"""Chat calls on one event loop, a thousand at a time."""

import asyncio

from measure import Stopwatch, chat_client, parameters, report

given = parameters(concurrency=1000, calls=5000)
client = chat_client(given.url)


async def many(calls: int) -> None:
    gate = asyncio.Semaphore(given.concurrency)

    async def one() -> None:
        async with gate:
            await client.complete_async("Say hello.")

    await asyncio.gather(*(one() for _ in range(calls)))


async def main() -> dict[str, float]:
    await many(given.concurrency)  # opens the connections
    watch = Stopwatch()
    watch.start()
    await many(given.calls)
    return watch.stop()


report(**asyncio.run(main()))
