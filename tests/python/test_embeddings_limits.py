"""Requests within their limits: divided by texts and tokens, and again when a server says so."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import numpy as np
import pytest
from graphbit import EmbeddingClient, EmbeddingConfig, count_tokens, exceptions
from simulator import Server, expected_embedding

KEY = "hunter2-0123456789-abcdef"
TOO_MANY = [400, '{"message":"Too many inputs in request, split into more batches."}']


def openai(server: Server, **extras: Any) -> EmbeddingClient:
    return EmbeddingClient(EmbeddingConfig.openai(KEY, base_url=server.openai_url, **extras))


def inputs(server: Server) -> list[list[str]]:
    return [json.loads(entry["body"])["input"] for entry in server.log()]


def rows(texts: list[str]) -> list[list[float]]:
    return [expected_embedding(text, 4) for text in texts]


@pytest.mark.parametrize(
    ("provider", "path", "most"),
    [("cohere", "", 96), ("mistral", "/v1", 256), ("jina", "/v1", 512), ("openai", "/v1", 2048)],
)
def test_a_request_holds_no_more_texts_than_its_provider_takes(
    server: Server, provider: str, path: str, most: int
) -> None:
    make = getattr(EmbeddingConfig, provider)
    client = EmbeddingClient(make(KEY, dimensions=4, base_url=server.base_url + path))
    texts = [f"t{number}" for number in range(most + 3)]
    assert client.embed_many(texts) == rows(texts)
    name = "texts" if provider == "cohere" else "input"
    sizes = [len(json.loads(entry["body"])[name]) for entry in server.log()]
    assert sorted(sizes) == [3, most]
    server.reset()
    # A larger size is cut down to what the provider takes.
    client.embed_array(texts, batch_size=100_000)
    assert len(server.log()) == 2


def test_openai_requests_hold_at_most_300000_tokens(server: Server) -> None:
    text = "Counted as the model counts, not guessed from the length. " * 100
    tokens = count_tokens(text, "text-embedding-3-small")
    fits = 300_000 // tokens
    client = openai(server, dimensions=4)
    vectors = client.embed_many([text] * (2 * fits + 1))
    assert vectors == rows([text]) * (2 * fits + 1)
    # The log cuts long bodies, but knows their length: quotes and a comma go with each text.
    sizes = [round(entry["body_bytes"] / (len(text) + 3)) for entry in server.log()]
    assert sorted(sizes) == [1, fits, fits]


def test_voyage_requests_depend_on_the_model(server: Server) -> None:
    text = "ab" * 5000
    for model, requests in (("voyage-4-large", 5), ("voyage-4", 2), ("voyage-4-lite", 1)):
        server.reset()
        config = EmbeddingConfig.voyage(KEY, model, dimensions=4, base_url=server.openai_url)
        assert len(EmbeddingClient(config).embed_many([text] * 100)) == 100
        assert len(server.log()) == requests


def test_a_request_that_is_too_large_is_divided(server: Server) -> None:
    client = openai(server, dimensions=4)
    texts = [f"t{number}" for number in range(6)]
    server.behaviour(status=[TOO_MANY, 200, [413, ""], 200, 200])
    assert client.embed_many(texts) == rows(texts)
    assert inputs(server) == [texts, texts[:3], texts[3:], texts[3:4], texts[4:]]
    server.reset()
    server.behaviour(status=[TOO_MANY])
    seen: list[tuple[int, int]] = []
    array = client.embed_array(texts, on_progress=lambda *numbers: seen.append(numbers))
    assert array.tolist() == rows(texts)
    # Progress is told for what was planned, whatever became of it.
    assert seen == [(6, 6)]
    server.reset()
    server.behaviour(status=[TOO_MANY])
    result = client.embed_batch_parallel([texts[:2], texts[2:]], max_concurrency=1)
    assert result["embeddings"] == [rows(texts[:2]), rows(texts[2:])]
    assert len(server.log()) == 4


def test_a_text_that_is_too_long_is_named_but_not_shown(server: Server) -> None:
    client = openai(server, dimensions=4)
    texts = [f"secret words {number}" for number in range(8)]
    openais = [400, "Invalid 'input[1]': maximum input length is 8192 tokens."]
    server.behaviour(status=[200, openais])
    with pytest.raises(exceptions.BadRequestError) as caught:
        client.embed_array(texts, batch_size=4, max_concurrency=1)
    message = str(caught.value)
    assert message.startswith("LLM error: text 5 is too long: OpenAI API error: Invalid")
    assert "secret" not in message
    # Without a position in the complaint, the text is found by halving.
    long = [400, "the input length exceeds the context length"]
    server.reset()
    server.behaviour(status=[long, 200, long, long])
    with pytest.raises(exceptions.BadRequestError, match="^LLM error: text 2 is too long: "):
        client.embed_many(texts[:4])
    server.behaviour(status=[long])
    with pytest.raises(exceptions.BadRequestError, match="^LLM error: OpenAI API error: the input"):
        client.embed(texts[0])
    server.behaviour(status=[openais])
    array = client.embed_array(texts[:4], on_error="nan")
    assert np.isnan(array).all(axis=1).tolist() == [False, True, False, False]
    assert array[2:].tolist() == rows(texts[2:4])


def test_other_refusals_are_not_divided(server: Server) -> None:
    server.behaviour(status=[[400, "dimensions must be at most 1536"], [401, "too many inputs"]])
    for _ in range(2):
        with pytest.raises(exceptions.GraphbitError):
            openai(server).embed_many(["a", "b"])
    assert len(server.log()) == 2


# ---------------------------------------------------------------- parallel batches


def test_the_async_twin_of_parallel_batches(server: Server) -> None:
    client = openai(server, dimensions=4)
    server.behaviour(status=[200, [400, "bad words"]])

    async def main() -> None:
        result = await client.embed_batch_parallel_async([["a", "b"], ["c"]], 1)
        assert result["embeddings"] == [rows(["a", "b"]), []]
        assert result["errors"] == ["Batch 1: LLM error: OpenAI API error: bad words"]
        assert list(result) == ["embeddings", "errors", "duration_ms", "stats"]
        # An awaitable refuses a bad argument when it is made.
        with pytest.raises(ValueError, match=r"^Batch cannot be empty$"):
            client.embed_batch_parallel_async([])
        with pytest.raises(ValueError, match="max_concurrency"):
            client.embed_batch_parallel_async([["a"]], max_concurrency=0)
        with pytest.raises(TypeError):
            client.embed_batch_parallel_async(["a", "b"])

    asyncio.run(main())


@pytest.mark.parametrize("max_concurrency", [1, 3])
def test_a_timeout_keeps_what_is_done_and_stops_the_rest(
    server: Server, max_concurrency: int
) -> None:
    client = openai(server, dimensions=4)
    client.embed("warm")
    server.behaviour(status=["hang", "hang", "hang"] if max_concurrency == 3 else [200, "hang"])
    if max_concurrency == 3:
        with pytest.raises(TimeoutError, match=r"^LLM error: Batch request timed out$"):
            client.embed_batch_parallel([["a"], ["b"], ["c"], ["d"]], max_concurrency, 200)
    else:
        result = client.embed_batch_parallel([["a"], ["b"], ["c"]], max_concurrency, 200)
        assert result["embeddings"] == [rows(["a"]), [], []]
        assert len(result["errors"]) == 2
    hung = [entry for entry in server.log() if entry["status"] is None]
    assert len(hung) == (3 if max_concurrency == 3 else 1)
    deadline = time.monotonic() + 5
    while server.stats()["in_flight"] and time.monotonic() < deadline:
        time.sleep(0.01)
    asked = len(server.log())
    assert server.stats()["in_flight"] == 0
    assert server.stats()["disconnects"] == len(hung)
    time.sleep(0.2)
    # Nothing goes on in the background.
    assert len(server.log()) == asked


def test_batches_share_connections_and_keep_their_bounds_apart(server: Server) -> None:
    server.behaviour(latency_ms=20, dimensions=4)
    client = openai(server)
    batch = [[f"t{number}"] for number in range(12)]

    async def main() -> None:
        # Two calls at once, each with a bound of its own.
        both = [client.embed_batch_parallel_async(batch, 3) for _ in range(2)]
        for result in await asyncio.gather(*both):
            assert result["errors"] == []

    asyncio.run(main())
    stats = server.stats()
    assert 3 < stats["max_in_flight"] <= 6
    # An answer is there before its connection is free again: each of the six may have a second one.
    assert stats["connections_total"] <= 12
    assert stats["requests"] == 24
    opened = stats["connections_total"]
    client.embed_batch_parallel(batch, 3)
    assert server.stats()["connections_total"] == opened
