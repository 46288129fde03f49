"""The stores on servers, PostgreSQL's and Qdrant's, for tests that ask the same of both."""

from __future__ import annotations

import asyncio
import time
from typing import Any, NamedTuple

import graphbit
import pytest


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


async def assert_the_loop_goes_on(store: Any) -> None:
    """While a server that is slow, for more than 0.3 seconds, is searched for its only entry, which is ``a``."""
    late = 0.0
    answers = [asyncio.ensure_future(store.search_async([1, 0])) for _ in range(10)]
    for _ in range(40):
        started = time.perf_counter()
        await asyncio.sleep(0.005)
        late = max(late, time.perf_counter() - started - 0.005)
    assert not any(answer.done() for answer in answers)
    cancelled = answers.pop()
    cancelled.cancel()
    assert late < 0.1
    assert {tuple(hit.id for hit in await answer) for answer in answers} == {("a",)}
    with pytest.raises(asyncio.CancelledError):
        await cancelled
