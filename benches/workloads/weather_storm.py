"""Many prompts in bad weather, by each package's own means: how many were answered, and in order?"""

import asyncio
from collections import Counter
from typing import Any

from measure import KEY, Stopwatch, chat_client, chat_config, parameters, report

given = parameters(client="ours", prompts=10_000, at_once=100)
prompts = [f"Prompt number {number}." for number in range(given.prompts)]


def ours() -> list[Any]:
    from graphbit import LlmClient, RetryPolicy

    # As patient as a batch should be, and with pauses that the last prompts are not to wait for long. How
    # many requests the server carries is left to be found.
    retry = RetryPolicy(attempts=12, deadline=300, max_delay=1)
    client = LlmClient(chat_config(given.url), retry=retry)
    return client.complete_many(prompts, on_error="return")


async def peer() -> list[Any]:
    client = chat_client(given.url)
    gate = asyncio.Semaphore(given.at_once)

    async def one(prompt: str) -> str:
        async with gate:
            return await client.complete_async(prompt)

    return await asyncio.gather(*map(one, prompts), return_exceptions=True)


async def openai() -> list[Any]:
    from openai import AsyncOpenAI

    client = AsyncOpenAI(api_key=KEY, base_url=given.url + "/v1", max_retries=12)
    gate = asyncio.Semaphore(given.at_once)

    async def one(prompt: str) -> str:
        async with gate:
            answer = await client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": prompt}]
            )
        return answer.choices[0].message.content or ""

    return await asyncio.gather(*map(one, prompts), return_exceptions=True)


watch = Stopwatch()
watch.start()
answers = ours() if given.client == "ours" else asyncio.run(
    openai() if given.client == "openai" else peer()
)  # fmt: skip
times = watch.stop()
answered = [
    (prompt, text) for prompt, text in zip(prompts, answers, strict=True) if isinstance(text, str)
]
in_order = all(text == f"echo: {prompt}" for prompt, text in answered)
lost = Counter(str(error)[:100] for error in answers if isinstance(error, Exception))
report(
    **times, answered=len(answered), in_order=in_order, output=f"lost: {dict(lost)}" if lost else ""
)
