"""`LanceVectorStore`: the store in a table of LanceDB, in a folder or in object storage.

It comes with the extra ``graphbit[lancedb]``, whose package is imported when a store is opened.

    from graphbit import ParallelRAG
    from graphbit.lancedb import LanceVectorStore

    rag = ParallelRAG(store=LanceVectorStore.open("notes.lance"))
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal

from graphbit._lance.table import LanceTable
from graphbit.stores import BackedStore

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

__all__ = ["LanceVectorStore"]


class LanceVectorStore(BackedStore):
    """A vector store in a table of LanceDB, with all methods of the other stores.

    One call is one version of the table: others see all of it or nothing, and a process that is killed leaves the
    version before or the one after. Processes of one machine take turns to write to a folder; in object storage, and on
    Windows, one process may write at a time. Any number read, and see what was stored before their call began.

    Without an index a search compares with every vector, on disk. Conditions of texts with ``eq``, ``ne`` and ``in`` are
    LanceDB's to check, others are checked here, over the metadata of the entries that are left. Entries are numbered
    by the time they were first added, in nanoseconds. Words are looked for by LanceDB's own BM25, whole and without
    regard to case; runs of characters without spaces between them are one word to it.
    """

    @staticmethod
    def open(
        uri: str | PathLike[str],
        table: str = "graphbit",
        *,
        dimensions: int | None = None,
        metric: Literal["cosine", "dot", "l2"] = "cosine",
        storage_options: Mapping[str, str] | None = None,
    ) -> LanceVectorStore:
        """Open a table, which the first vectors make when it is not there.

        Args:
            uri: A folder, made when it is not there, or ``s3://bucket/path``, ``gs://..``, ``az://..``.
            table: Letters, digits, ``_``, ``-`` and ``.``.
            dimensions: Values a vector. By default an existing table knows, and the first vectors of a new one decide.
            metric: What a score is. An existing table must agree.
            storage_options: What LanceDB is to know of an object storage, keys for instance.

        Raises:
            ImportError: The package ``lancedb`` is missing.
            ValidationError: An argument is out of its range.
            StoreError: The table cannot be read, has another form, metric or other dimensions.
        """
        return LanceVectorStore(
            LanceTable(uri, table, dimensions, metric, dict(storage_options or {}))
        )

    @staticmethod
    async def open_async(
        uri: str | PathLike[str],
        table: str = "graphbit",
        *,
        dimensions: int | None = None,
        metric: Literal["cosine", "dot", "l2"] = "cosine",
        storage_options: Mapping[str, str] | None = None,
    ) -> LanceVectorStore:
        """As `open`."""
        return await asyncio.to_thread(
            LanceVectorStore.open,
            uri,
            table,
            dimensions=dimensions,
            metric=metric,
            storage_options=storage_options,
        )

    def create_index(
        self,
        kind: Literal["hnsw", "words"] = "hnsw",
        *,
        m: int | None = None,
        ef_construction: int | None = None,
    ) -> None:
        """Make an index for searches by vector or by words. One that is there is left as it is.

        What is added later is searched without it until one of the next changes takes it into the index.

        Args:
            kind: ``hnsw`` is LanceDB's ``IVF_HNSW_SQ``: searches walk through it instead of comparing with everything,
                may then miss some of the best, and scores stay exact. ``words`` is for searches by words.
            m: Neighbours a vector, from 2; by default LanceDB's, 20.
            ef_construction: Candidates while it is built, from 1; by default LanceDB's, 300.

        Raises:
            StoreError: There are fewer vectors than LanceDB makes an index of, or none.
        """
        self._table.create_index(kind, m, ef_construction)

    async def create_index_async(
        self,
        kind: Literal["hnsw", "words"] = "hnsw",
        *,
        m: int | None = None,
        ef_construction: int | None = None,
    ) -> None:
        """As `create_index`."""
        await asyncio.to_thread(self.create_index, kind, m=m, ef_construction=ef_construction)

    @property
    def _table(self) -> LanceTable:
        backend: Any = self.backend
        return backend

    @property
    def uri(self) -> str:
        """Where the table is."""
        return self._table.uri

    @property
    def table(self) -> str:
        """Its name."""
        return self._table.name

    def __repr__(self) -> str:
        table = self._table
        return f"LanceVectorStore(uri={table.uri!r}, table={table.name!r}, metric={self.metric!r})"
