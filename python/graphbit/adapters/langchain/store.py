"""A vector store for LangChain, in memory, exact.

Values of metadata that are no text are kept as JSON beside those that are, so a store that
`ParallelRAG` or a file has filled can be read, and one filled here can be saved. Numbers and truth values stand
there a second time, as text, for filters to find.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore
from langchain_core.vectorstores.utils import maximal_marginal_relevance

import graphbit
from graphbit.adapters.langchain.embeddings import GraphbitEmbeddings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray
    from typing_extensions import Self

    from graphbit.adapters._clients import Embedding

__all__ = ["GraphbitVectorStore"]

#: The entry of a stored metadata that holds, as a JSON object, the values that are no text.
_OTHERS = "langchain_metadata"


class GraphbitVectorStore(VectorStore):
    """Documents by the meaning of their text.

    Asynchronous methods await the embeddings; what the store itself does is done at once, since a search
    takes milliseconds. A `filter` is a dict of conditions on metadata, as the `where` of `graphbit.VectorStore`,
    or a function that takes a `Document` and says whether it may be found, which is asked about one after another.

    Args:
        embedding: LangChain's embeddings, or a configuration or client of graphbit.
        store: Its vectors came from the same model. Default an empty cosine store.

    Attributes:
        store: The `graphbit.VectorStore` underneath.
    """

    store: graphbit.VectorStore

    def __init__(
        self, embedding: Embeddings | Embedding, store: graphbit.VectorStore | None = None
    ) -> None:
        self._embeddings = (
            embedding if isinstance(embedding, Embeddings) else GraphbitEmbeddings(embedding)
        )
        self.store = graphbit.VectorStore() if store is None else store

    @property
    def embeddings(self) -> Embeddings:
        """What turns texts into vectors."""
        return self._embeddings

    # --- adding and removing ----------------------------------------------------------------------

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[Any, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Embed and store; all of them or none. An id that exists is replaced.

        Args:
            texts: Any iterable; empty gives an empty list.
            metadatas: One for each text; their values are JSON.
            ids: One for each text; where it is `None`, and by default, a free one is given.

        Raises:
            ValidationError: The lists differ in length.
            TypeError: A value of metadata is no JSON, or there is another keyword.
        """
        _refuse(kwargs)
        listed = list(texts)
        if not listed:
            return []
        if isinstance(self._embeddings, GraphbitEmbeddings):
            vectors = self._embeddings.client.embed_array(listed)
        else:
            vectors = np.asarray(self._embeddings.embed_documents(listed), np.float32)
        return self._stored(vectors, listed, metadatas, ids)

    async def aadd_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[Any, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """`add_texts` without blocking."""
        _refuse(kwargs)
        listed = list(texts)
        if not listed:
            return []
        if isinstance(self._embeddings, GraphbitEmbeddings):
            vectors = await self._embeddings.client.embed_array_async(listed)
        else:
            vectors = np.asarray(await self._embeddings.aembed_documents(listed), np.float32)
        return self._stored(vectors, listed, metadatas, ids)

    def _stored(
        self,
        vectors: NDArray[np.float32],
        texts: list[str],
        metadatas: list[dict[Any, Any]] | None,
        ids: Sequence[str | None] | None,
    ) -> list[str]:
        kept = None if metadatas is None else [_as_text(metadata) for metadata in metadatas]
        if ids is None or all(each is None for each in ids):
            return self.store.add(vectors, texts, metadatas=kept)
        named = [each if each is not None else str(uuid.uuid4()) for each in ids]
        return self.store.add(vectors, texts, named, kept)

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Remove the documents with these ids, or all of them for `None`; unknown ids are passed over."""
        _refuse(kwargs)
        if ids is None:
            self.store.delete(where={})
        else:
            self.store.delete(ids)
        return True

    async def adelete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """`delete`, which waits for nothing."""
        return self.delete(ids, **kwargs)

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | Embedding,
        metadatas: list[dict[Any, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        store: graphbit.VectorStore | None = None,
        **kwargs: Any,
    ) -> Self:
        """A store that holds these texts."""
        made = cls(embedding, store)
        made.add_texts(texts, metadatas, ids=ids, **kwargs)
        return made

    @classmethod
    async def afrom_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | Embedding,
        metadatas: list[dict[Any, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        store: graphbit.VectorStore | None = None,
        **kwargs: Any,
    ) -> Self:
        """`from_texts` without blocking."""
        made = cls(embedding, store)
        await made.aadd_texts(texts, metadatas, ids=ids, **kwargs)
        return made

    # --- finding ----------------------------------------------------------------------------------

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """The documents that there are, in the order of `ids`."""
        return [_document(each) for each in self.store.get(ids) if each is not None]

    async def aget_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """`get_by_ids`, which waits for nothing."""
        return self.get_by_ids(ids)

    def similarity_search_with_score_by_vector(
        self,
        embedding: Sequence[float],
        k: int = 4,
        filter: Callable[[Document], bool] | Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> list[tuple[Document, float]]:
        """The `k` best documents with their scores, more being better: `graphbit.SearchHit.score`.

        Raises:
            ValidationError: A condition of `filter` is not understood.
        """
        _refuse(kwargs)
        if filter is not None and not callable(filter):
            hits = self.store.search(embedding, k, where=filter)
            return [(_document(hit), hit.score) for hit in hits]
        found: list[tuple[Document, float]] = []
        for hit in self.store.search(embedding, k if filter is None else max(len(self.store), 1)):
            document = _document(hit)
            if filter is None or filter(document):
                found.append((document, hit.score))
                if len(found) == k:
                    break
        return found

    def similarity_search_with_score(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """As `similarity_search_with_score_by_vector`, for a text."""
        vector = self._embeddings.embed_query(query)
        return self.similarity_search_with_score_by_vector(vector, k, **kwargs)

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """`similarity_search_with_score` without blocking."""
        vector = await self._embeddings.aembed_query(query)
        return self.similarity_search_with_score_by_vector(vector, k, **kwargs)

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """The `k` documents most like `query`, best first."""
        return [found for found, _ in self.similarity_search_with_score(query, k, **kwargs)]

    async def asimilarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """`similarity_search` without blocking."""
        scored = await self.asimilarity_search_with_score(query, k, **kwargs)
        return [found for found, _ in scored]

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, **kwargs: Any
    ) -> list[Document]:
        """The `k` documents most like a vector."""
        scored = self.similarity_search_with_score_by_vector(embedding, k, **kwargs)
        return [found for found, _ in scored]

    async def asimilarity_search_by_vector(
        self, embedding: list[float], k: int = 4, **kwargs: Any
    ) -> list[Document]:
        """`similarity_search_by_vector`, which waits for nothing."""
        return self.similarity_search_by_vector(embedding, k, **kwargs)

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        if self.store.metric == "l2":
            return lambda score: (
                1.0 / (1.0 - score)
            )  # the score is the distance with its sign turned
        return lambda score: min(max(score, 0.0), 1.0)

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        **kwargs: Any,
    ) -> list[Document]:
        """`k` documents that are like `query` and unlike each other.

        The store gives no vectors back, so those of the candidates are asked for again; a client with a
        `cache` has them.

        Args:
            query: The text.
            k: How many.
            fetch_k: How many candidates, the most similar ones.
            lambda_mult: 0.0 for the greatest variety, 1.0 for the greatest likeness.
        """
        vector = self._embeddings.embed_query(query)
        candidates = self.similarity_search_by_vector(vector, fetch_k, **kwargs)
        if not candidates:
            return []
        vectors = self._embeddings.embed_documents([each.page_content for each in candidates])
        return _varied(vector, candidates, vectors, k, lambda_mult)

    async def amax_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        **kwargs: Any,
    ) -> list[Document]:
        """`max_marginal_relevance_search` without blocking."""
        vector = await self._embeddings.aembed_query(query)
        candidates = self.similarity_search_by_vector(vector, fetch_k, **kwargs)
        if not candidates:
            return []
        texts = [each.page_content for each in candidates]
        vectors = await self._embeddings.aembed_documents(texts)
        return _varied(vector, candidates, vectors, k, lambda_mult)


def _varied(
    vector: list[float],
    candidates: list[Document],
    vectors: list[list[float]],
    k: int,
    lambda_mult: float,
) -> list[Document]:
    chosen = maximal_marginal_relevance(np.asarray(vector), vectors, lambda_mult, k)
    return [candidates[index] for index in chosen]


def _as_text(metadata: dict[Any, Any]) -> dict[str, str]:
    kept: dict[str, str] = {}
    others: dict[Any, Any] = {}
    for name, value in metadata.items():
        if isinstance(name, str) and isinstance(value, str) and name != _OTHERS:
            kept[name] = value
        else:
            others[name] = value
            if isinstance(name, str) and isinstance(value, bool | int | float):
                kept[name] = json.dumps(value)
    if others:
        kept[_OTHERS] = json.dumps(others)
    return kept


def _document(stored: graphbit.SearchHit | graphbit.StoredEntry) -> Document:
    metadata: dict[str, Any] = dict(stored.metadata)
    others = metadata.pop(_OTHERS, None)
    if others is not None:
        metadata |= json.loads(others)
    return Document(id=stored.id, page_content=stored.text, metadata=metadata)


def _refuse(kwargs: dict[str, Any]) -> None:
    if kwargs:
        raise TypeError(f"unexpected keyword argument {next(iter(kwargs))!r}")
