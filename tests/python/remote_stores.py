"""The stores on servers, PostgreSQL's and Qdrant's, for tests that ask the same of both."""

from __future__ import annotations

from typing import Any, NamedTuple

import graphbit


class RemoteStore(NamedTuple):
    """A table or collection that is not there yet, and how to get to it."""

    #: The name of the store's class.
    kind: str
    address: str
    name: str
    #: What its class calls the number of requests it has under way at once.
    lanes: str

    def connect(self, **options: Any) -> Any:
        """A store over it, which is another one each time."""
        return getattr(graphbit, self.kind).connect(self.address, self.name, **options)


def in_postgres(dsn: str, table: str) -> RemoteStore:
    return RemoteStore("PgVectorStore", dsn, table, "connections")


def in_qdrant(url: str, collection: str) -> RemoteStore:
    return RemoteStore("QdrantVectorStore", url, collection, "writers")
