"""Embedders for Haystack."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from haystack import Document, component, default_from_dict, default_to_dict

from graphbit.adapters._clients import embedding_client, first_config, to_data

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from graphbit import EmbeddingClient
    from graphbit.adapters._clients import Embedding, EmbeddingSettings

__all__ = ["GraphbitDocumentEmbedder", "GraphbitTextEmbedder"]


@component
class GraphbitTextEmbedder:
    """The vector of one text, such as a question.

    Args:
        embedding: A configuration, or a client, which is then shared. Saved without the key, which is
            read from the environment where the pipeline is loaded.
        prefix: Put before the text.
        suffix: Put after it.
        settings: The keywords of `EmbeddingClient`, such as `cache` or `rate_limit`.

    Attributes:
        client: The client underneath.
    """

    client: EmbeddingClient

    def __init__(
        self,
        embedding: Embedding | dict[str, Any],
        *,
        prefix: str = "",
        suffix: str = "",
        **settings: Unpack[EmbeddingSettings],
    ) -> None:
        self.client = embedding_client(embedding, settings)
        self.prefix = prefix
        self.suffix = suffix

    def to_dict(self) -> dict[str, Any]:
        """The component as JSON, without the key."""
        return default_to_dict(
            self, embedding=to_data(self.client), prefix=self.prefix, suffix=self.suffix
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The component that `to_dict` described."""
        return default_from_dict(cls, data)

    @component.output_types(embedding=list[float], meta=dict[str, Any])
    def run(self, text: str) -> dict[str, Any]:
        """Give `embedding`, a list of floats, and `meta` with the `model`."""
        return self._told(self.client.embed(self._prepared(text)))

    @component.output_types(embedding=list[float], meta=dict[str, Any])
    async def run_async(self, text: str) -> dict[str, Any]:
        """`run` without blocking."""
        return self._told(await self.client.embed_async(self._prepared(text)))

    def _prepared(self, text: str) -> str:
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(
                f"'text' must be a str, not {type(text).__name__}; "
                "GraphbitDocumentEmbedder takes documents"
            )
        return f"{self.prefix}{text}{self.suffix}"

    def _told(self, vector: list[float]) -> dict[str, Any]:
        return {"embedding": vector, "meta": {"model": first_config(self.client).model()}}


@component
class GraphbitDocumentEmbedder:
    """Documents with their vectors, any number of them, in as few requests as the provider takes.

    Args:
        embedding: As for `GraphbitTextEmbedder`.
        prefix: Put before each text.
        suffix: Put after it.
        meta_fields_to_embed: Entries of the metadata that are embedded before the content.
        embedding_separator: Stands between them.
        settings: The keywords of `EmbeddingClient`.

    Attributes:
        client: The client underneath.
    """

    client: EmbeddingClient

    def __init__(
        self,
        embedding: Embedding | dict[str, Any],
        *,
        prefix: str = "",
        suffix: str = "",
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
        **settings: Unpack[EmbeddingSettings],
    ) -> None:
        self.client = embedding_client(embedding, settings)
        self.prefix = prefix
        self.suffix = suffix
        self.meta_fields_to_embed = meta_fields_to_embed or []
        self.embedding_separator = embedding_separator

    def to_dict(self) -> dict[str, Any]:
        """The component as JSON, without the key."""
        return default_to_dict(
            self,
            embedding=to_data(self.client),
            prefix=self.prefix,
            suffix=self.suffix,
            meta_fields_to_embed=self.meta_fields_to_embed,
            embedding_separator=self.embedding_separator,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The component that `to_dict` described."""
        return default_from_dict(cls, data)

    @component.output_types(documents=list[Document], meta=dict[str, Any])
    def run(self, documents: list[Document]) -> dict[str, Any]:
        """Give `documents`, copies with `embedding` set, in order, and `meta` with the `model`.

        Raises:
            GraphbitError: The first failure; its `results` are the vectors there are.
            TypeError: These are no documents.
        """
        texts = self._texts(documents)
        return self._told(documents, self.client.embed_many(texts) if texts else [])

    @component.output_types(documents=list[Document], meta=dict[str, Any])
    async def run_async(self, documents: list[Document]) -> dict[str, Any]:
        """`run` without blocking."""
        texts = self._texts(documents)
        return self._told(documents, await self.client.embed_many_async(texts) if texts else [])

    def _texts(self, documents: list[Document]) -> list[str]:
        if not all(isinstance(each, Document) for each in documents):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(
                "'documents' must be a list of Document; GraphbitTextEmbedder takes a text"
            )
        return [self._text(each) for each in documents]

    def _text(self, document: Document) -> str:
        entries = (document.meta.get(name) for name in self.meta_fields_to_embed)
        parts = [str(entry) for entry in entries if entry is not None]
        joined = self.embedding_separator.join([*parts, document.content or ""])
        return f"{self.prefix}{joined}{self.suffix}"

    def _told(self, documents: list[Document], vectors: list[list[float]]) -> dict[str, Any]:
        embedded = [
            replace(document, embedding=vector)
            for document, vector in zip(documents, vectors, strict=True)
        ]
        return {"documents": embedded, "meta": {"model": first_config(self.client).model()}}
