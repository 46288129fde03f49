"""The script of a GraphBit user: split each document, embed a chunk a call, answer for each.

Written against 0.6.8 and run unchanged on both packages. The environment says where the service is
and how large the job is.
"""

import json
import os
import resource
import time
from concurrent.futures import ThreadPoolExecutor

from graphbit import (
    EmbeddingClient,
    EmbeddingConfig,
    LlmClient,
    LlmConfig,
    RecursiveSplitter,
)

ENDPOINT = os.environ["AZURE_ENDPOINT"]
KEY = os.environ["AZURE_API_KEY"]
DOCUMENTS = int(os.environ.get("DOCUMENTS", "200"))
WORKERS = int(os.environ.get("WORKERS", "100"))

llm = LlmClient(LlmConfig.azurellm(KEY, "prod-chat", ENDPOINT))
embedder = EmbeddingClient(EmbeddingConfig.azure(KEY, "prod-embed", ENDPOINT))
splitter = RecursiveSplitter(chunk_size=1000, chunk_overlap=100)


def make_document(number: int) -> str:
    """About 10 KB in paragraphs."""
    sentence = f"Document {number:03} explains one matter after the other, plainly and at length. "
    paragraph = sentence * 10 + "\n\n"
    return (paragraph * (10_000 // len(paragraph) + 1))[:10_000]


def process(document: str) -> tuple[int, str]:
    chunks = splitter.split_text(document)
    vectors = [embedder.embed(chunk.content) for chunk in chunks]
    answer = llm.complete(f"Summarise:\n{document}")
    return len(vectors), answer


def main() -> None:
    documents = [make_document(number) for number in range(DOCUMENTS)]
    before = resource.getrusage(resource.RUSAGE_SELF)
    start = time.perf_counter()
    if WORKERS > 1:
        with ThreadPoolExecutor(max_workers=WORKERS) as pool:
            results = list(pool.map(process, documents))
    else:
        results = [process(document) for document in documents]
    seconds = time.perf_counter() - start
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu = usage.ru_utime - before.ru_utime + usage.ru_stime - before.ru_stime
    megabytes = (usage.ru_maxrss - before.ru_maxrss) / 1024
    for document, (_, answer) in zip(documents, results, strict=True):
        assert document[:12] in answer, "an answer went to the wrong document"
    calls = sum(count for count, _ in results) + len(results)
    measured = {"seconds": seconds, "cpu_seconds": cpu, "calls": calls, "megabytes": megabytes}
    print(json.dumps(measured))


main()
