"""The folder that keeps an ingest: opened for one writer or any reader.

Refuses a folder with other things in it, and a store that was filled with another embedding model: the similarity of
vectors of two models means nothing, and nobody would notice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphbit._graphbit import ParallelRAG, VectorStore
from graphbit.cli.arguments import UsageError
from graphbit.exceptions import StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from graphbit._graphbit import EmbeddingConfig, StoredEntry

#: What a passage and its own vector come to at least, allowing for models that are not quite repeatable.
_SAME = 0.99


def open_to_read(path: Path) -> VectorStore:
    """The store in a folder, while others may write to it, or in a file that `VectorStore.save` wrote.

    Raises:
        UsageError: There is none.
        StoreError: It cannot be read.
    """
    if path.is_file():
        return VectorStore.load(path)
    if not _is_store(path):
        raise UsageError(
            f"argument --store: there is no store in '{path}'; make it with graphbit ingest"
        )
    return VectorStore.open(path, read_only=True)


def open_to_write(path: Path) -> VectorStore:
    """The store in a folder, which is made when it is not there.

    Raises:
        UsageError: It is a file, or a folder of something else.
        StoreError: Another process writes to it, or it cannot be used.
    """
    if path.is_file():
        raise UsageError(
            f"argument --store: '{path}' is a file, which can be asked but not added to; name a folder"
        )
    if path.is_dir() and not _is_store(path) and any(path.iterdir()):
        raise UsageError(
            f"argument --store: '{path}' is a folder of other files; name one for the store alone"
        )
    return VectorStore.open(path)


def check_model(
    store: VectorStore, path: Path, rag: ParallelRAG, embedding: EmbeddingConfig
) -> None:
    """Embed one passage again: a store does not name its model, but only that one makes the same vector.

    Raises:
        UsageError: It was another one.
    """
    passage = _first(store)
    if passage is None or not passage.text.strip() or store.metric != "cosine":
        return
    try:
        (nearest,) = rag.search(passage.text, top_k=1)
        # A text without any token the model knows has no direction, and tells nothing.
        same = nearest.score >= _SAME or nearest.score == 0
    except StoreError:  # vectors of another length
        same = False
    if not same:
        name = f"{embedding.provider()}/{embedding.model()}"
        raise UsageError(
            f"argument --embedding: '{path}' was filled with another model than {name}; name that one"
        )


def _is_store(path: Path) -> bool:
    # The lock is the first thing that a writer makes, and it stays.
    return (path / "lock").is_file()


def _first(store: VectorStore) -> StoredEntry | None:
    return next(iter(store.entries(limit=1)), None)
