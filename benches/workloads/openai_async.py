"""The same chat calls through OpenAI's own SDK on one event loop."""

import asyncio

import openai
from measure import KEY, Stopwatch, parameters, report

given = parameters(concurrency=1000, calls=5000)
hello = [{"role": "user", "content": "Say hello."}]


async def main() -> dict[str, float]:
    client = openai.AsyncOpenAI(api_key=KEY, base_url=given.url + "/v1")

    async def many(calls: int) -> None:
        gate = asyncio.Semaphore(given.concurrency)

        async def one() -> None:
            async with gate:
                await client.chat.completions.create(model="m", messages=hello)

        await asyncio.gather(*(one() for _ in range(calls)))

    await many(given.concurrency)
    watch = Stopwatch()
    watch.start()
    await many(given.calls)
    return watch.stop()


report(**asyncio.run(main()))
