"""Many prompts by one call: calls a second, CPU a call, memory of a call in flight."""

import asyncio
import resource

from measure import Stopwatch, chat_client, parameters, report

given = parameters(method="complete_many", calls=20_000, concurrency=64)
client = chat_client(given.url)


def run(calls: int) -> list[str]:
    prompts = ["Say hello."] * calls
    if given.method == "complete_many":
        return client.complete_many(prompts, max_concurrency=given.concurrency)

    async def wait() -> list[str]:
        return await client.complete_many_async(prompts, max_concurrency=given.concurrency)

    return asyncio.run(wait())


def peak_kilobytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


run(min(given.calls, 200))
before = peak_kilobytes()
watch = Stopwatch()
watch.start()
answers = run(given.calls)
times = watch.stop()
assert len(answers) == given.calls
assert all(answers)
report(**times, kilobytes=(peak_kilobytes() - before) / min(given.calls, given.concurrency))
