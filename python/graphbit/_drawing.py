"""Items of an asynchronous iterable, for threads that have no event loop.

Each is awaited on the loop of whoever reads the results, so that the iterable runs where its connections and locks
belong. Refuses to draw ahead: the next item is asked for when this one has been taken.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator
    from concurrent.futures import Future


class Drawing:
    """One iterator, drawn from by one thread at a time."""

    def __init__(self, documents: AsyncIterable[Any], loop: asyncio.AbstractEventLoop) -> None:
        self._documents = aiter(documents)
        self._loop = loop
        self._waiting: Future[tuple[Any, ...]] | None = None
        self._closed = False

    def draw(self) -> tuple[Any, ...]:
        """The next item alone in a tuple, or an empty one at the end. Blocks; never call it on the loop."""
        if self._closed:
            return ()
        coroutine = _next(self._documents)
        try:
            self._waiting = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:  # the loop was closed
            coroutine.close()
            raise
        if self._closed:  # just now, by another thread
            self._waiting.cancel()
        return self._waiting.result()

    def close(self) -> None:
        """End the waiting for an item that nobody wants any more."""
        self._closed = True
        if self._waiting is not None:
            self._waiting.cancel()


async def _next(documents: AsyncIterator[Any]) -> tuple[Any, ...]:
    # An exception of this kind must not leave a coroutine that somebody else awaits.
    try:
        return (await anext(documents),)
    except StopAsyncIteration:
        return ()
