"""Embeddings for LlamaIndex."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from pydantic import PlainSerializer

from graphbit import EmbeddingClient
from graphbit.adapters._clients import (
    embedding_client,
    embedding_settings,
    first_config,
    to_data,
)

if TYPE_CHECKING:
    from graphbit.adapters._clients import Embedding

__all__ = ["GraphbitEmbedding"]


class GraphbitEmbedding(BaseEmbedding):
    """Vectors as lists of floats.

    Args:
        embedding: A configuration, or a client, which is then shared. With a configuration, the keywords
            of `EmbeddingClient` (`cache`, `rate_limit`, ...) may follow. Saved without the key, which is
            read from the environment where it is loaded.
        embed_batch_size: Texts that LlamaIndex hands over at a time, 1 to 2048; default 2048, since the
            client divides them into the requests that its provider takes.
    """

    embedding: Annotated[EmbeddingClient, PlainSerializer(to_data)]
    """The client underneath."""

    def __init__(self, embedding: Embedding, **keywords: Any) -> None:
        client = embedding_client(embedding, embedding_settings(keywords))
        fields: dict[str, Any] = {
            "embedding": client,
            "model_name": first_config(client).model(),
            "embed_batch_size": 2048,
        }
        super().__init__(**fields | keywords)

    @classmethod
    def class_name(cls) -> str:
        """The name in saved data."""
        return "GraphbitEmbedding"

    def _get_query_embedding(self, query: str) -> list[float]:
        return self.embedding.embed(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self.embedding.embed(text)

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self.embedding.embed_many(texts) if texts else []

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await self.embedding.embed_async(query)

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return await self.embedding.embed_async(text)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await self.embedding.embed_many_async(texts) if texts else []
