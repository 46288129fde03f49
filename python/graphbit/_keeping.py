"""The future of a call for many things: what was finished is there as soon as it is cancelled.

asyncio calls back one turn of its loop after a cancellation; whoever awaits a future that is cancelled already has
looked at it by then. Refuses to do anything else differently.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class KeepingFuture(asyncio.Future[Any]):
    """An `asyncio.Future` that tells its watcher of a cancellation before anybody can see it."""

    _watcher: Callable[[asyncio.Future[Any]], None] | None = None

    def cancel(self, msg: Any | None = None) -> bool:
        """As ever; then there are `results`."""
        cancelled = super().cancel(msg=msg)
        if cancelled and self._watcher is not None:
            self._watcher(self)
        return cancelled
