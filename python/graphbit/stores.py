"""Stores of one's own: an object with five methods is one, and `ParallelRAG` takes it.

    from graphbit import ParallelRAG
    from graphbit.stores import BackedStore

    rag = ParallelRAG(store=mine)  # an object with the methods of `Backend`
    store = BackedStore(mine)  # every method of a VectorStore over it, checked

Methods are plain functions. They are called with arguments that have been checked, one call at a time from each
thread but from several threads, and never from the one that runs an event loop. What they raise reaches the caller:
errors of this package and `KeyboardInterrupt` as they are, others as the cause of `StoreError` (`NetworkError` for
`ConnectionError`, `RequestTimeoutError` for `TimeoutError`). What they return is checked too: a store that answers with
rows that are missing, in another order or of another type is refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from graphbit._graphbit import BackedStore, Filter

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["BackedStore", "Backend", "Filter", "Hit", "Row"]


@dataclass
class Row:
    """What is stored beside a vector.

    Attributes:
        id: Not empty.
        text: The text the vector stands for.
        metadata: Free texts by their names.
        index: Its place in the order of insertion, from 0, with gaps where you like. An entry whose id is stored again
            keeps its place.
    """

    id: str
    text: str = ""
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    index: int = 0


@dataclass
class Hit(Row):
    """One answer to a search.

    Attributes:
        score: More is better: the cosine (0 where either vector is all zeros), the dot product, or the Euclidean
            distance with its sign turned.
    """

    score: float = 0.0


class _Stored(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def metadata(self) -> dict[str, str]: ...
    @property
    def index(self) -> int: ...


class _Found(_Stored, Protocol):
    @property
    def score(self) -> float: ...


class Backend(Protocol):
    """What an object must be able to do to be a store.

    Rows may be `Row` and `Hit`, or anything with their attributes. `where` is `None` for every entry, or the dict of
    conditions that the caller wrote, checked; `Filter(where).matches(metadata)` says whether an entry is meant.

    An object may have more, each used instead of what is worked out from the methods below when it is not there:

    | attribute | |
    |---|---|
    | ``metric: str`` | what scores are: ``cosine`` (the default), ``dot`` or ``l2`` |
    | ``dimensions: int or None`` | values a vector; other vectors are refused before they get here |
    | ``writers: int`` | changes that may be made at once, by default 1 |
    | ``ef_search: int`` | its presence has ``search`` called with ``ef_search=`` where a caller says it |
    | ``count(where) -> int`` | entries that ``where`` means; otherwise they are listed and counted |
    | ``values(key) -> list[str]`` | the different values of a metadata key; otherwise all entries are listed |
    | ``metadatas(ids) -> list[dict or None]`` | as ``get``, without the texts |
    | ``search_many(vectors, top_k, where=)`` | a list for each row; otherwise one search after the other |
    | ``delete_where(where) -> int`` | otherwise the entries are listed and deleted page by page |
    | ``vectors(ids) -> list[vector or None]`` | ``diversity=`` and ``mode="hybrid"`` need it |
    | ``search_words(words, top_k, where=)`` | ``mode="lexical"`` and ``mode="hybrid"`` need it |
    | ``close()`` | called by ``BackedStore.close`` and at the end of its ``with`` |
    """

    def get(self, ids: list[str], /) -> Sequence[_Stored | None]:
        """Return one row for each id, in this order; ``None`` for an id that there is not.

        An ingest asks for the ids of a whole batch of documents at once, to see which it has stored before.
        """
        ...

    def entries(
        self, where: dict[str, Any] | None, /, *, after: int | None, limit: int
    ) -> Sequence[_Stored]:
        """Return at most ``limit`` entries that ``where`` means, by ascending ``index``.

        Args:
            where: ``None`` means all.
            after: Only entries whose ``index`` is greater; ``None`` begins at the first.
            limit: From 1. Fewer may come; only an empty answer ends a listing.
        """
        ...

    def search(
        self, vector: NDArray[np.float32], top_k: int, /, *, where: dict[str, Any] | None
    ) -> Sequence[_Found]:
        """Return the ``top_k`` entries most like ``vector`` among those ``where`` means, best first.

        Args:
            vector: Finite float32 values, of shape (dimensions,).
            top_k: From 1. Fewer come only where there are no more.
            where: ``None`` means all. It must not be left unheeded.
        """
        ...

    def replace(
        self,
        stale: list[str],
        vectors: NDArray[np.float32],
        texts: list[str],
        ids: list[str],
        metadatas: list[dict[str, str]],
        /,
    ) -> object:
        """Remove the entries ``stale`` and store others, those that exist in place of what they were.

        It must be one change: others see all of it or nothing, and so does who comes after a crash. What is returned
        is not looked at.

        Args:
            stale: Ids to remove, none of them in ``ids``; unknown ones are passed over.
            vectors: Finite float32 values, of shape (n, dimensions), n from 1.
            texts: n of them.
            ids: n of them, all different and none empty.
            metadatas: n of them.
        """
        ...

    def delete(self, ids: list[str], /) -> int:
        """Remove the entries with these ids and return how many there were. All ids differ; unknown ones are passed over."""
        ...
