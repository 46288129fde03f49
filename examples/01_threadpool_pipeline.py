"""The pipeline GraphBit users write: a thread a document, each splits, embeds and asks.

Runs offline. With OPENAI_BASE_URL (and OPENAI_API_KEY, where the server wants one) it asks that server.
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor

from graphbit import EmbeddingClient, EmbeddingConfig, LlmClient, LlmConfig, RecursiveSplitter

URL, KEY = os.environ.get("OPENAI_BASE_URL"), os.environ.get("OPENAI_API_KEY")
if URL:
    embedder = EmbeddingClient(
        EmbeddingConfig.openai_compatible(URL, "text-embedding-3-small", KEY)
    )
    llm = LlmClient(LlmConfig.openai_compatible(URL, "gpt-4o-mini", KEY))
else:
    embedder = EmbeddingClient(EmbeddingConfig.local())
    llm = LlmClient(LlmConfig.extractive())
splitter = RecursiveSplitter(300, 30)

DOCUMENTS = {
    f"manual-{number}.md": (
        f"Model {number} is a coffee machine with {number % 3 + 1} nozzles.\n\n"
        f"The warranty of model {number} lasts {number % 4 + 1} years from the day of purchase.\n\n"
        "Descale the machine every two months with citric acid. Never put it into a dishwasher."
    )
    for number in range(200)
}


def process(item: tuple[str, str]) -> tuple[str, int, str]:
    """Handle one document, start to end, on one thread."""
    name, text = item
    chunks = [chunk.content for chunk in splitter.split_text(text)]
    vectors = [embedder.embed(chunk) for chunk in chunks]
    answer = llm.complete(f"{text}\n\nHow many years does the warranty last?")
    return name, len(vectors), answer


if __name__ == "__main__":
    started = time.perf_counter()
    with ThreadPoolExecutor(max_workers=100) as pool:
        results = list(pool.map(process, DOCUMENTS.items()))
    seconds = time.perf_counter() - started
    for name, vectors, answer in results[:3]:
        print(f"{name}: {vectors} vectors\n{answer}\n")
    print(f"{len(results)} documents in {seconds:.2f} s")
