"""What type checkers must infer from the public interface. Checked, never run."""

from __future__ import annotations

from asyncio import Future
from pathlib import Path
from typing import Any

import numpy as np
from graphbit import (
    Answer,
    Citation,
    DocumentOutcome,
    EmbeddingClient,
    EmbeddingConfig,
    GraphbitError,
    IngestProgress,
    IngestReport,
    LlmClient,
    LlmConfig,
    LlmResponse,
    LlmUsage,
    ParallelRAG,
    PgVectorStore,
    QdrantVectorStore,
    RecursiveSplitter,
    SearchHit,
    StoredEntry,
    StreamEvent,
    TextChunk,
    TextSplitter,
    TextSplitterConfig,
    ToolExecutor,
    ToolRegistry,
    ToolResult,
    VectorStore,
    WorkflowResult,
    exceptions,
    get_prices,
    set_prices,
    tool,
)
from graphbit.graphbit import LlmClient as SameLlmClient
from graphbit.lancedb import LanceVectorStore
from graphbit.stores import BackedStore, Filter, Hit, Row
from numpy.typing import NDArray
from typing_extensions import assert_type


async def language_models(client: LlmClient) -> None:
    assert_type(client.complete("heron"), str)
    assert_type(client.complete_async("heron", 5, 0.5), Future[str])
    assert_type(await client.complete_full_async("heron"), LlmResponse)
    assert_type(await client.complete_batch(("heron", "swift"), max_concurrency=2), list[str])
    assert_type(await client.chat_optimized([("user", "heron")]), str)
    for piece in client.stream("heron"):
        assert_type(piece, str)
    async for piece in client.complete_stream("heron"):
        assert_type(piece, str)
    assert_type(client.stream("heron").response, LlmResponse | None)
    with client.stream("heron") as pieces:
        assert_type(next(pieces), str)
    assert_type(client.get_stats()["success_rate"], float)
    assert_type(client.complete_full("heron").usage + LlmUsage(1, 2), LlmUsage)
    assert_type(SameLlmClient(LlmConfig.ollama()), LlmClient)
    with LlmConfig.openai("key", base_url="http://localhost", timeout=3) as config:
        assert_type(config, LlmConfig)


class Bird:
    """Anything with pydantic's two methods."""


async def conversations(client: LlmClient) -> None:
    answer = client.chat("heron", response_format=Bird, stop="swift", include_raw=True)
    assert_type(answer, LlmResponse)
    assert_type(answer.cost, float | None)
    assert_type(answer.raw, dict[str, Any] | None)
    turns = [("user", "heron"), answer, {"role": "tool", "tool_call_id": "c", "content": "swift"}]
    tools = [{"name": "fly", "parameters": {"type": "object"}}]
    assert_type(await client.chat_async(turns, tools, "required", seed=3), LlmResponse)
    for event in client.stream_events(turns, response_format={"type": "json_object"}):
        assert_type(event, StreamEvent)
        assert_type(event.index, int | None)
    async with client.stream_events("heron") as events:
        async for event in events:
            assert_type(event.response, LlmResponse | None)


async def many(client: LlmClient, full: bool) -> None:
    assert_type(client.complete_many(["heron"], on_progress=print), list[str])
    assert_type(client.complete_many(("heron",), full=True), list[LlmResponse])
    assert_type(client.complete_many({"heron"}, on_error="return"), list[str | Exception])
    kept = await client.complete_many_async(["heron"], 5, 0.5, on_error="return", full=True)
    assert_type(kept, list[LlmResponse | Exception])
    assert_type(await client.complete_many_async(iter("heron")), list[str])
    assert_type(client.complete_many(["heron"], full=full), list[Any])


def prices() -> None:
    set_prices({"heron-1": {"input": 0.15, "output": 0.6, "cached_input": 0.075}}, replace=True)
    assert_type(get_prices()["heron-1"]["output"], float)


async def embeddings(client: EmbeddingClient) -> None:
    assert_type(client.embed("heron"), list[float])
    assert_type(await client.embed_many_async(["heron"]), list[list[float]])
    assert_type(client.embed_array(["heron"], on_error="nan"), NDArray[np.float32])
    assert_type(client.embed_batch_parallel([["heron"]])["stats"]["total_tokens"], int)
    assert_type(client.similarity([1.0], np.zeros(1, dtype=np.float32)), float)
    EmbeddingConfig.from_callable(lambda texts: [[float(len(text))] for text in texts])
    EmbeddingConfig.local(path=Path("weights.safetensors"))


def splitters() -> None:
    assert_type(RecursiveSplitter(100).split_text("heron"), list[TextChunk])
    configured = TextSplitter(TextSplitterConfig.markdown(100, split_by_headers=False))
    assert_type(configured.split_texts(["heron"]), list[list[TextChunk]])
    assert_type(configured.create_documents("heron"), list[dict[str, str]])


def store() -> None:
    vectors = VectorStore(2, metric="l2")
    assert_type(vectors.add([[1.0, 2.0]], texts=["heron"]), list[str])
    assert_type(vectors.search(np.ones(2)), list[SearchHit])
    assert_type(vectors.search_many(np.ones((2, 2)), top_k=1), list[list[SearchHit]])
    vectors.search([1.0, 2.0], where={"page": {"ge": 3}, "any": [{"lang": "en"}]})
    assert_type(vectors.get(["0"]), list[StoredEntry | None])
    assert_type(vectors.entries(after=3)[0].metadata, dict[str, str])
    assert_type(VectorStore.load("store.bin"), VectorStore)
    remote = PgVectorStore.connect("host=localhost", "notes", metric="l2")
    assert_type(remote.search_many([[1.0]]), list[list[SearchHit]])
    remote.ef_search = 100
    ParallelRAG(store=remote)
    elsewhere = QdrantVectorStore.connect("http://localhost:6333", api_key="", ef_search=100)
    assert_type(elsewhere.search([1.0], ef_search=50), list[SearchHit])
    ParallelRAG(store=elsewhere)
    lance = LanceVectorStore.open("notes.lance", metric="dot")
    assert_type(lance, LanceVectorStore)
    assert_type(lance.search([1.0, 2.0]), list[SearchHit])
    ParallelRAG(store=lance)


class OwnStore:
    def get(self, ids: list[str], /) -> list[Row | None]:
        return [Row(name) for name in ids]

    def entries(
        self, where: dict[str, Any] | None, /, *, after: int | None, limit: int
    ) -> list[Row]:
        return [Row("a")] if Filter(where).matches({}) and not after else []

    def search(
        self, vector: NDArray[np.float32], top_k: int, /, *, where: dict[str, Any] | None
    ) -> list[Hit]:
        return [Hit("a", score=float(vector[0]))]

    def replace(
        self,
        stale: list[str],
        vectors: NDArray[np.float32],
        texts: list[str],
        ids: list[str],
        metadatas: list[dict[str, str]],
        /,
    ) -> None: ...

    def delete(self, ids: list[str], /) -> int:
        return len(ids)


def own_store() -> None:
    ParallelRAG(store=OwnStore())
    whole = BackedStore(OwnStore())
    ParallelRAG(store=whole)
    assert_type(whole.entries(), list[StoredEntry])
    assert_type(whole.dimensions, int | None)


async def retrieval() -> None:
    def told(progress: IngestProgress) -> None:
        print(progress.documents_done)

    rag = ParallelRAG(
        EmbeddingConfig.local(), LlmConfig.extractive(), splitter=RecursiveSplitter(9)
    )
    rag.ingest("notes/")
    rag.ingest([Path("heron.md"), ("swift", "sleeps on the wing"), {"source": "a", "text": "b"}])
    report = await rag.ingest_async({"heron": "waits"}, on_progress=told)
    assert_type(report, IngestReport)
    assert_type(report.failed, list[DocumentOutcome])
    assert_type(report.seconds["wall"], float)
    assert_type(rag.ask("Who waits?"), Answer)
    assert_type((await rag.ask_async("Who waits?", top_k=1)).citations, list[Citation])
    assert_type(rag.search("Who?", rerank=lambda _, texts: np.zeros(len(texts))), list[Citation])
    assert_type(rag.ask_many(iter(["Who waits?"]), mode="hybrid"), list[Answer])
    assert_type(rag.ask_many(["Who waits?"], on_error="return"), list[Answer | Exception])
    assert_type(await rag.ask_many_async(["Who waits?"]), list[Answer])
    async with await rag.ask_stream_async("Who waits?") as stream:
        async for piece in stream:
            assert_type(piece, str)
        assert_type(stream.answer, Answer | None)


def errors(error: GraphbitError) -> None:
    assert_type(error.status_code, int | None)
    assert_type(error.retry_after, float | None)
    assert_type(error.index, int | None)
    assert_type(exceptions.ResponseError().response, LlmResponse | None)
    assert_type(exceptions.RequestTimeoutError().partial_result, WorkflowResult | None)
    assert_type(exceptions.BY_KIND["timeout"], type[GraphbitError])


@tool
def bare(number: int) -> str:
    return str(number)


@tool("Said.", name="other")
def described(number: int) -> str:
    return str(number)


def tools(registry: ToolRegistry) -> None:
    assert_type(bare(1), str)
    assert_type(described(1), str)
    assert_type(registry.execute_tool("bare", {"number": 1}), ToolResult)
    results = ToolExecutor(registry).execute_tools([{"name": "bare"}])
    assert_type(results[0], ToolResult)
    assert_type(results[:1], list[ToolResult])
    assert_type([each.error for each in results], list[str | None])
