"""Texts from paths and standard input, a bounded amount at a time, each with an outcome of its own.

Files are found and read as `ParallelRAG` does it; standard input, which no name tells anything about, is text:
UTF-8, or UTF-16 with its mark, at most 64 MiB. What cannot be read is refused with the reason, never guessed at.
"""

from __future__ import annotations

import codecs
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from graphbit._graphbit import _find_documents, _read_document
from graphbit.exceptions import DocumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STDIN = "-"
#: The name by which standard input is reported, and cited.
STDIN_NAME = "stdin"
_MOST_BYTES = 64 * 1024 * 1024
_BATCH_DOCUMENTS = 64
_BATCH_CHARACTERS = 8_000_000


class Document(NamedTuple):
    """A text with its name, or why there is none (then `text` is empty)."""

    source: str
    text: str
    error: str | None = None

    def describe_error(self) -> str:
        """One line that names the document."""
        return describe(self.source, self.error or "")


def name(path: str | Path) -> str:
    """What a document is called: its path, with a mark for each byte of it that is no text."""
    return STDIN_NAME if path == STDIN else os.fsencode(path).decode("utf-8", "replace")


def describe(source: str, error: str) -> str:
    """`error` with the document's name, once."""
    return error if source in error else f"{source}: {error}"


def expand(paths: Iterable[str], without: Path | None = None) -> list[str | Path]:
    """The files that `paths` stand for, each once, but those in the folder `without`; `-` stays itself.

    A path that stands for none stays in the list, and so does a folder on the way that cannot be read: whoever
    reads it says why.
    """
    found: dict[str | Path, None] = {}
    for path in paths:
        found.update(dict.fromkeys([STDIN] if path == STDIN else _find(Path(path), without)))
    return list(found)


def read(path: str | Path) -> Document:
    """Read one file, or standard input."""
    if path == STDIN:
        return _document(STDIN_NAME, sys.stdin.buffer.read(_MOST_BYTES + 1))
    if is_folder(path):
        return _refused(name(path), _why_nothing(path))
    try:
        return Document(name(path), _read_document(path))
    except DocumentError as error:
        return Document(name(path), "", str(error))


def is_folder(path: str | Path) -> bool:
    """Whether it is a folder; one that cannot be looked at is read like a file, which says why."""
    try:
        return Path(path).is_dir()
    except OSError:
        return False


def batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Groups that are worth all cores and fit into memory, in order."""
    group: list[Document] = []
    characters = 0
    for document in documents:
        group.append(document)
        characters += len(document.text)
        if len(group) == _BATCH_DOCUMENTS or characters >= _BATCH_CHARACTERS:
            yield group
            group, characters = [], 0
    if group:
        yield group


def _find(path: Path, without: Path | None) -> list[Path]:
    try:
        return _find_documents(path, without) or [path]
    except DocumentError:
        return [path]


def _why_nothing(folder: str | Path) -> str:
    try:
        with os.scandir(folder):
            return "the folder holds no files that can be read"
    except OSError as error:
        return error.strerror or str(error)


def _refused(source: str, reason: str) -> Document:
    return Document(source, "", f"Cannot read '{source}': {reason}")


def _document(source: str, data: bytes) -> Document:
    if len(data) > _MOST_BYTES:
        return _refused(source, f"it is larger than the limit of {_MOST_BYTES} bytes")
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if not utf16 and b"\0" in data:
        return _refused(source, "it is binary, not text")
    try:
        return Document(source, data.decode("utf-16" if utf16 else "utf-8-sig"))
    except UnicodeDecodeError as error:
        kind = "UTF-16" if utf16 else "UTF-8"
        return _refused(source, f"it is not {kind} text (at byte {error.start})")
