"""Keeps keys out of what is raised. Servers and libraries like to quote the key they refuse."""

from __future__ import annotations

import traceback

#: Shorter than this, a "key" would match ordinary words.
_SHORTEST = 4


def redacted(text: str, key: object) -> str:
    """Return ``text`` with ``***`` in place of the key, if there is a key."""
    secret = _secret(key)
    return text.replace(secret, "***") if secret else text


def reveals(error: BaseException, key: object) -> bool:
    """Return whether a traceback of ``error``, with all it was raised from, would show the key."""
    secret = _secret(key)
    return bool(secret) and any(secret in part for part in traceback.format_exception(error))


def _secret(key: object) -> str:
    secret = key.strip() if isinstance(key, str) else ""
    return secret if len(secret) >= _SHORTEST else ""
