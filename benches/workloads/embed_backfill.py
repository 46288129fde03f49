"""A backfill: many texts in batches to one array, in the order of the texts, which is checked."""

import asyncio
import json
import urllib.request

import numpy as np
from measure import KEY, Stopwatch, embedding_client, parameters, report

given = parameters(
    client="graphbit", method="embed_array", texts=131_072, batch=128, dimensions=1024, at_once=32
)
texts = [f"Passage number {number} of the archive." for number in range(given.texts)]


def ours() -> np.ndarray:
    client = embedding_client(given.url)
    return client.embed_array(texts, batch_size=given.batch, max_concurrency=given.at_once)


def peer() -> np.ndarray:
    """0.6.8 takes ready-made batches and gives lists; the array is part of the work."""
    client = embedding_client(given.url)
    batches = [texts[cut : cut + given.batch] for cut in range(0, len(texts), given.batch)]
    answer = client.embed_batch_parallel(batches, given.at_once)
    assert not answer["errors"], answer["errors"][:1]
    return np.concatenate([np.asarray(rows, np.float32) for rows in answer["embeddings"]])


def baseten() -> np.ndarray:
    from baseten_performance_client import PerformanceClient, RequestProcessingPreference

    preference = RequestProcessingPreference(
        batch_size=given.batch,
        max_concurrent_requests=given.at_once,
        max_chars_per_request=1_000_000,
    )
    client = PerformanceClient(base_url=given.url, api_key=KEY)
    return client.embed(input=texts, model="m", preference=preference).numpy()


def openai_sdk() -> np.ndarray:
    import openai

    async def run() -> np.ndarray:
        client = openai.AsyncOpenAI(api_key=KEY, base_url=given.url + "/v1")
        gate = asyncio.Semaphore(given.at_once)

        async def one(cut: int) -> np.ndarray:
            async with gate:
                answer = await client.embeddings.create(
                    model="m", input=texts[cut : cut + given.batch]
                )
            rows = sorted(answer.data, key=lambda row: row.index)
            return np.asarray([row.embedding for row in rows], np.float32)

        return np.concatenate(
            await asyncio.gather(*(one(cut) for cut in range(0, len(texts), given.batch)))
        )

    return asyncio.run(run())


watch = Stopwatch()
watch.start()
vectors = {"graphbit": ours, "0.6.8": peer, "baseten": baseten, "openai": openai_sdk}[
    given.client
]()
times = watch.stop()


def alone(text: str) -> np.ndarray:
    """The vector of one text, asked for without any of the packages."""
    body = json.dumps({"model": "m", "input": text}).encode()
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(given.url + "/v1/embeddings", body, headers)
    with urllib.request.urlopen(request) as answer:
        return np.asarray(json.load(answer)["data"][0]["embedding"], np.float32)


# The server makes a vector from its text alone, so single requests tell whether rows are in place.
assert vectors.shape == (given.texts, given.dimensions), vectors.shape
for number in range(0, given.texts, max(1, given.texts // 7)):
    assert np.allclose(vectors[number], alone(texts[number]), atol=1e-6), number
report(
    **times, vectors=given.texts, output=f"{type(vectors).__name__} {vectors.shape} {vectors.dtype}"
)
