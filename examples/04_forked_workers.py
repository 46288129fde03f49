"""Use the clients, fork workers as pre-fork servers do, and use the same clients in every worker.

Runs offline. With OPENAI_BASE_URL (and OPENAI_API_KEY, where the server wants one) it asks that server.
"""

import multiprocessing
import os

from graphbit import EmbeddingClient, EmbeddingConfig, LlmClient, LlmConfig

URL, KEY = os.environ.get("OPENAI_BASE_URL"), os.environ.get("OPENAI_API_KEY")
llm = LlmClient(
    LlmConfig.openai_compatible(URL, "gpt-4o-mini", KEY) if URL else LlmConfig.extractive()
)
embedder = EmbeddingClient(EmbeddingConfig.local())


def work(number: int) -> tuple[int, int, str]:
    """Run in a forked child, on clients that the parent made and has used."""
    dimensions = len(embedder.embed(f"text number {number}"))
    answer = llm.complete(f"Ticket {number} is about billing.\n\nWhat is ticket {number} about?")
    return os.getpid(), dimensions, answer.splitlines()[-1]


if __name__ == "__main__":
    print("parent:", work(0))  # the runtime, the connections and the weights exist before the fork
    context = multiprocessing.get_context("fork")
    with context.Pool(4) as pool:
        results = pool.map(work, range(1, 21), chunksize=1)
    for process, dimensions, answer in results[:4]:
        print(process, dimensions, answer)
    print(f"{len(results)} answers from {len({process for process, *_ in results})} children")
    print("parent:", work(21))
