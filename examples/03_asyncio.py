"""The same clients from asyncio: every verb has an `_async` twin, and the blocking ones work too.

Runs offline. With OPENAI_BASE_URL (and OPENAI_API_KEY, where the server wants one) it asks that server.
"""

import asyncio
import os

from graphbit import EmbeddingConfig, LlmClient, LlmConfig, ParallelRAG

URL, KEY = os.environ.get("OPENAI_BASE_URL"), os.environ.get("OPENAI_API_KEY")
config = LlmConfig.openai_compatible(URL, "gpt-4o-mini", KEY) if URL else LlmConfig.extractive()
FACTS = (
    "The kea is a parrot of New Zealand. Keas live in the mountains.\n\n"
    "The kiwi is a bird that cannot fly. Kiwis hunt at night."
)


async def main() -> None:
    """Ask many questions at once, stream one answer, and cancel one."""
    client = LlmClient(config)
    questions = [f"{FACTS}\n\nWhere do {birds} live or hunt?" for birds in ("keas", "kiwis")]
    answers = await asyncio.gather(*(client.complete_async(text) for text in questions))
    for answer in answers:
        print(answer, end="\n\n")

    async for piece in client.stream(f"{FACTS}\n\nWhich bird cannot fly?"):
        print(piece, end="", flush=True)
    print("\n")

    rag = ParallelRAG(EmbeddingConfig.local(), config)
    await rag.ingest_async({"birds": FACTS})
    print(await rag.ask_async("Is the kea a parrot?"))

    # A blocking call on the loop's own thread works too, as in a notebook cell.
    print(rag.ask("Do kiwis hunt at night?").sources)

    slow = asyncio.ensure_future(rag.ask_async("Never mind"))
    slow.cancel()
    print(
        "cancelled:",
        isinstance((await asyncio.gather(slow, return_exceptions=True))[0], BaseException),
    )


if __name__ == "__main__":
    asyncio.run(main())
