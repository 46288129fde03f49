"""The file of an ingest: opened, compared with documents, and saved whatever happens.

Refuses a file that is no store, and one that was filled with another embedding model: the similarity of vectors of
two models means nothing, and nobody would notice.
"""

from __future__ import annotations

import contextlib
import signal
import tempfile
import threading
from typing import TYPE_CHECKING

from graphbit._graphbit import ParallelRAG, VectorStore
from graphbit.cli import documents
from graphbit.cli.arguments import UsageError
from graphbit.exceptions import StoreError

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from graphbit._graphbit import EmbeddingConfig, RecursiveSplitter, SearchHit

#: What a passage and its own vector come to at least, allowing for models that are not quite repeatable.
_SAME = 0.99


def load(path: Path) -> VectorStore:
    """Read the store.

    Raises:
        UsageError: There is none, or it cannot be read.
    """
    if not path.exists():
        raise UsageError(f"argument --store: there is no '{path}'; make it with graphbit ingest")
    try:
        return VectorStore.load(path)
    except StoreError as error:
        raise UsageError(f"argument --store: {error}") from error


def load_or_create(path: Path) -> VectorStore:
    """Read the store, or start an empty one.

    Raises:
        UsageError: It cannot be read, or could not be saved; that would be learned late otherwise.
    """
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(
            f"argument --store: cannot write to the folder '{path.parent}': {reason}"
        ) from error
    return load(path) if path.exists() else VectorStore()


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


@contextlib.contextmanager
def saved(store: VectorStore, path: Path) -> Generator[None]:
    """Save the store at the end of the block, also when Ctrl-C or an error ended it."""
    try:
        yield
    finally:
        if len(store) or path.exists():
            with _undisturbed():
                store.save(path)


@contextlib.contextmanager
def _undisturbed() -> Generator[None]:
    """Ignore Ctrl-C for the moment: the second one must not cost what the first one left."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)


def _entries(store: VectorStore, most: int) -> list[SearchHit]:
    # To the vector without direction all entries are alike: they come in the order they were added.
    if not len(store) or not store.dimensions:
        return []
    return store.search([0.0] * store.dimensions, top_k=most)
