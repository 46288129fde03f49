"""Embeddings for LangChain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_core.embeddings import Embeddings

from graphbit.adapters._clients import embedding_client

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from graphbit import EmbeddingClient
    from graphbit.adapters._clients import Embedding, EmbeddingSettings

__all__ = ["GraphbitEmbeddings"]


class GraphbitEmbeddings(Embeddings):
    """Vectors as lists of floats, any number of texts a call, in as few requests as the provider takes.

    Args:
        embedding: A configuration, or a client, which is then shared.
        settings: The keywords of `EmbeddingClient`, such as `cache` or `rate_limit`.

    Attributes:
        client: The client underneath.
    """

    client: EmbeddingClient

    def __init__(self, embedding: Embedding, **settings: Unpack[EmbeddingSettings]) -> None:
        self.client = embedding_client(embedding, settings)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One vector for each text, in order; none for none.

        Raises:
            GraphbitError: The first failure; its `results` are the vectors there are.
        """
        return self.client.embed_many(texts) if texts else []

    def embed_query(self, text: str) -> list[float]:
        """One vector. An empty text is a `ValueError`."""
        return self.client.embed(text)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """`embed_documents` without blocking."""
        return await self.client.embed_many_async(texts) if texts else []

    async def aembed_query(self, text: str) -> list[float]:
        """`embed_query` without blocking."""
        return await self.client.embed_async(text)
