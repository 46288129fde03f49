"""Texts from paths and standard input, a bounded amount at a time, each with an outcome of its own.

Follows the rules of `ParallelRAG`: folders stand for the files below them, in name order; UTF-8, or UTF-16
with its mark; at most 64 MiB. What is not text is refused with the reason, never guessed at.
"""

from __future__ import annotations

import codecs
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

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

    A path that cannot be walked stays in the list: whoever reads it says why.
    """
    found: dict[str | Path, None] = {}
    for path in paths:
        found.update(dict.fromkeys([STDIN] if path == STDIN else _find(Path(path), without)))
    return list(found)


def read(path: str | Path) -> Document:
    """Read one file, or standard input."""
    if path == STDIN:
        return _document(STDIN_NAME, sys.stdin.buffer.read(_MOST_BYTES + 1))
    path = Path(path)
    try:
        if path.is_dir():
            return _refused(path, "the folder holds no files that can be read")
        # A pipe without a writer would keep us waiting for ever.
        if path.exists() and not path.is_file():
            return _refused(path, "it is not a regular file; - reads standard input")
        with path.open("rb") as stream:
            return _document(name(path), stream.read(_MOST_BYTES + 1))
    except OSError as error:
        return _refused(path, error.strerror or str(error))


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
    if not path.is_dir():
        return [path]
    files: list[Path] = []
    folders = [path]
    while folders:
        folder = folders.pop()
        inner: list[Path] = []
        try:
            if without is not None and without.samefile(folder):
                continue
            with os.scandir(folder) as entries:
                ordered = sorted(entries, key=lambda entry: os.fsencode(entry.name))
        except OSError:
            files.append(folder)
            continue
        for entry in ordered:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                inner.append(folder / entry.name)
            elif not (entry.is_symlink() and entry.is_dir()):  # a link may lead round in a circle
                files.append(folder / entry.name)
        folders.extend(reversed(inner))
    return files or [path]


def _refused(path: Path, reason: str) -> Document:
    source = name(path)
    return Document(source, "", f"Cannot read '{source}': {reason}")


def _document(source: str, data: bytes) -> Document:
    if len(data) > _MOST_BYTES:
        reason = f"it is larger than the limit of {_MOST_BYTES} bytes"
        return Document(source, "", f"Cannot read '{source}': {reason}")
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        if not utf16 and b"\0" in data:
            return Document(source, "", f"Cannot read '{source}': it is a binary file, not text")
        return Document(source, data.decode("utf-16" if utf16 else "utf-8-sig"))
    except UnicodeDecodeError as error:
        kind = "UTF-16" if utf16 else "UTF-8"
        reason = f"it is not {kind} text (at byte {error.start}); save it as UTF-8"
        return Document(source, "", f"Cannot read '{source}': {reason}")
