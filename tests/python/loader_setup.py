"""What the tests of document loading share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from graphbit import DocumentContent, DocumentLoader, DocumentLoaderConfig


def load(content: str | bytes, document_type: str, **keywords: Any) -> DocumentContent:
    """A document of these bytes, written into the working folder, as a loader with these settings reads it."""
    raw = content if isinstance(content, bytes) else content.encode()
    Path("document").write_bytes(raw)
    loader = DocumentLoader(DocumentLoaderConfig(**keywords))
    return loader.load_document("document", document_type)
