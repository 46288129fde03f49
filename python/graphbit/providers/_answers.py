"""Reads answers that are objects with attributes, mappings, or a mixture of both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast


def part(whole: Any, name: str) -> Any:
    """Return ``whole.name``, or ``whole["name"]`` of a mapping; the error is the one of that access."""
    if isinstance(whole, Mapping):
        return cast("Mapping[str, Any]", whole)[name]
    return getattr(whole, name)


def output_content(response: Any) -> Any:
    """Return the first choice's text: a str, or None when the model only called tools."""
    return part(part(part(response, "choices")[0], "message"), "content")
