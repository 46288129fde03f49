"""Keeps keys out of what is raised. Servers and libraries like to quote the key they refuse."""

from __future__ import annotations

import traceback

from graphbit._graphbit import without_key


def redacted(text: str, key: object) -> str:
    """Return ``text`` with ``***`` in place of the key, if there is a key."""
    return without_key(text, key) if isinstance(key, str) else text


def reveals(error: BaseException, key: object) -> bool:
    """Return whether a traceback of ``error``, with all it was raised from, would show the key."""
    shown = "".join(traceback.format_exception(error))
    return redacted(shown, key) != shown
