"""Turns to write: one change of a table at a time.

In a folder all processes of the machine take turns, by a lock that the system takes back from one that dies. Elsewhere
only the threads of this process do.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from graphbit.exceptions import StoreError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

#: Seconds that a change waits for its turn.
_PATIENCE = 60.0
_POLL = 0.002


class Turns:
    """Who may write to a table."""

    def __init__(self, file: Path | None) -> None:
        self._file = None if sys.platform == "win32" else file
        self._threads = threading.Lock()

    @contextlib.contextmanager
    def turn(self) -> Generator[None]:
        """Wait for a turn, and have it until the end of the block.

        Raises:
            StoreError: It did not come within a minute.
        """
        end = time.monotonic() + _PATIENCE
        if self._file is None:
            if not self._threads.acquire(timeout=_PATIENCE):
                raise StoreError(f"the table was written to for more than {_PATIENCE:.0f} s")
            try:
                yield
            finally:
                self._threads.release()
            return
        locks: Any = importlib.import_module("fcntl")
        # A file of its own for each turn: threads of one process wait for each other by it, too.
        with self._file.open("ab") as file:
            while True:
                try:
                    locks.flock(file, locks.LOCK_EX | locks.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > end:
                        text = f"another process has been writing for more than {_PATIENCE:.0f} s"
                        raise StoreError(f"{text} (lock on {self._file})") from None
                    time.sleep(_POLL)
            try:
                yield
            finally:
                # Closing would not do: a child that was forked meanwhile has the file open, too.
                locks.flock(file, locks.LOCK_UN)
