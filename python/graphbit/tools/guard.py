"""The one lock of the tools, held for a few dictionary operations and never while a tool runs.

It is reentrant, because the garbage collector may run anything anywhere, and a new one in a forked child,
where the thread that held the old one does not exist.

>>> with guarded():
...     pass
"""

from __future__ import annotations

import os
import threading


class _Current:
    lock = threading.RLock()


def guarded() -> threading.RLock:
    """The lock, for a ``with`` statement. Values taken out of a table under it are to outlive it."""
    return _Current.lock


def _renew() -> None:
    _Current.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
