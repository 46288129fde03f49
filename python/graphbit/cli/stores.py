"""The folder that keeps an ingest: opened for one writer or any reader, and compared with documents.

Refuses a folder with other things in it, and a store that was filled with another embedding model: the similarity of
vectors of two models means nothing, and nobody would notice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphbit._graphbit import ParallelRAG, VectorStore
from graphbit.cli import documents
from graphbit.cli.arguments import UsageError
from graphbit.exceptions import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from graphbit._graphbit import EmbeddingConfig, RecursiveSplitter, StoredEntry

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
    passages = _entries(store, 1)
    if not passages or not passages[0].text.strip() or store.metric != "cosine":
        return
    try:
        (nearest,) = rag.search(passages[0].text, top_k=1)
        # A text without any token the model knows has no direction, and tells nothing.
        same = nearest.score >= _SAME or nearest.score == 0
    except StoreError:  # vectors of another length
        same = False
    if not same:
        name = f"{embedding.provider()}/{embedding.model()}"
        raise UsageError(
            f"argument --embedding: '{path}' was filled with another model than {name}; name that one"
        )


def unchanged(
    store: VectorStore, files: Sequence[str | Path], splitter: RecursiveSplitter
) -> dict[str | Path, int]:
    """The files whose text the store holds, cut as `splitter` cuts it now, with the number of passages."""
    held: dict[str, dict[str, tuple[str, str, str]]] = {documents.name(file): {} for file in files}
    for hit in _entries(store, len(store)):
        place = hit.metadata
        passages = held.get(place.get("source", ""))
        if passages is not None:
            passages[hit.id] = (hit.text, place.get("start_char", ""), place.get("end_char", ""))
    known = [file for file in files if held[documents.name(file)] and file != documents.STDIN]
    same: dict[str | Path, int] = {}
    waiting = iter(known)
    for group in documents.batches(map(documents.read, known)):
        texts = [document.text for document in group]
        for document, chunks in zip(group, splitter.split_texts(texts), strict=True):
            file = next(waiting)
            whole = [chunk for chunk in chunks if chunk.content.strip()]
            # Passages, not dates or checksums, are compared: equal ones would get equal vectors again.
            cut = {
                f"{document.source}#{number}": (
                    chunk.content,
                    str(chunk.start_char),
                    str(chunk.end_char),
                )
                for number, chunk in enumerate(whole)
            }
            if document.error is None and cut == held[document.source]:
                same[file] = len(cut)
    return same


def _is_store(path: Path) -> bool:
    # The lock is the first thing that a writer makes, and it stays.
    return (path / "lock").is_file()


def _entries(store: VectorStore, most: int) -> list[StoredEntry]:
    return store.entries(limit=most) if most else []
