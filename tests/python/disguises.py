"""The forms in which a key may stand in a text."""

from __future__ import annotations

import base64
from urllib.parse import quote, quote_plus


def disguises(text: str) -> dict[str, str]:
    """The text as a program may come across it; in base64, what is the same whatever surrounds it."""
    found = {
        "raw": text,
        "in JSON": text.replace("/", "\\/"),
        "in a URL": quote(text, safe=""),
        "in a path": quote(text),
        "in a form": quote_plus(text),
    }
    for skipped in range(3):
        whole = base64.b64encode(text[skipped:].encode()).decode()
        found[f"in base64, {skipped} bytes on"] = whole[: len(text[skipped:]) // 3 * 4]
    return found
