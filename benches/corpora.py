"""The texts that splitting is measured on: real ones as far as the machine has them, else made up.

Everything is found offline and chosen by a seed, so that two runs on one machine see the same texts:
prose from licences, metadata and Python's own help, translations from gettext catalogues, program
code from the standard library, Markdown from the packages that cargo and pip have unpacked. What
cannot be found is generated; `Corpus.origin` says which it was.
"""

from __future__ import annotations

import gettext
import os
import pydoc_data.topics
import random
import re
import site
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

SEED = 20260
# Distinct text gathered of each kind; longer documents repeat it.
DISTINCT = 8_000_000
# Less real text than this says little; it is generated instead.
ENOUGH = 500_000
LATIN = ("fr", "de", "es", "pt", "it", "sv", "cs", "pl", "hu", "ro", "tr", "vi")
IDEOGRAPHS = ("zh_CN", "ja", "ko", "zh_TW")
EMOJI = ("🚀", "👍🏽", "👩\u200d👩\u200d👧", "🇩🇪", "✅", "🎉", "🧑\u200d💻")


@dataclass(frozen=True)
class Corpus:
    """A kind of text, as UTF-8, with where it comes from."""

    name: str
    data: bytes
    distinct: int
    origin: str


def english(size: int, chance: random.Random) -> str:
    """Paragraphs of 3 to 8 sentences of 6 to 22 words: the text of 0.6.8's published figures."""
    words = _words(chance, "etaoinshrdlucmfwypvbgk", 3000)
    return _paragraphs(size, chance, words, ". ", "\n\n")


def _words(chance: random.Random, letters: str, count: int) -> list[str]:
    # A few short words make up most of a text, as in any language.
    return ["".join(chance.choices(letters, k=chance.randint(1, 11))) for _ in range(count)]


def _paragraphs(
    size: int, chance: random.Random, words: list[str], stop: str, gap: str, space: str = " "
) -> str:
    weights = [1 / (rank + 3) for rank in range(len(words))]
    written, parts = 0, []
    while written < size:
        sentences = [
            space.join(chance.choices(words, weights, k=chance.randint(6, 22))).capitalize()
            for _ in range(chance.randint(3, 8))
        ]
        part = stop.join(sentences) + stop.strip() + gap
        written += len(part.encode())
        parts.append(part)
    return "".join(parts)


def _accented_words(size: int, chance: random.Random) -> str:
    words = _words(chance, "eéaàiîoôuûnñsßcçlłrřtťzž", 3000)
    return _paragraphs(size, chance, words, ". ", "\n\n")


def _ideographs(size: int, chance: random.Random) -> str:
    letters = "".join(map(chr, range(0x4E00, 0x4E00 + 900))) + "のをはがにです한국어"
    words = [*_words(chance, letters, 3000), *EMOJI]
    return _paragraphs(size, chance, words, "。", "\n\n", space="")


def _code(size: int, chance: random.Random) -> str:
    words = _words(chance, "etaoinshrd_lucm", 800)
    parts, written = [], 0
    while written < size:
        lines = [f"def {chance.choice(words)}({', '.join(chance.choices(words, k=3))}):"]
        lines += [
            "    " * chance.randint(1, 3) + " = ".join(chance.choices(words, k=2))
            for _ in range(chance.randint(3, 25))
        ]
        parts.append("\n".join(lines) + "\n\n\n")
        written += len(parts[-1])
    return "".join(parts)


def _markdown(size: int, chance: random.Random) -> str:
    parts, written = [], 0
    while written < size:
        heading = "#" * chance.randint(1, 4)
        body = english(1500, chance)
        parts.append(
            f"{heading} Section\n\n{body}- item\n- item `code`\n\n```python\nx = 1\n```\n\n"
        )
        written += len(parts[-1])
    return "".join(parts)


def _packages() -> list[Path]:
    cargo = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    folders = [*cargo.glob("registry/src/*"), *map(Path, site.getsitepackages())]
    return [folder for folder in folders if folder.is_dir()]


def _files(folders: Iterable[Path], wanted: Callable[[Path], bool]) -> Iterator[str]:
    """The distinct files below the folders, in an order that the seed alone decides."""
    found: list[Path] = []
    for folder in folders:
        for place, inner, names in os.walk(folder):
            inner[:] = [name for name in inner if name not in ("__pycache__", "target")]
            found += [path for name in names if wanted(path := Path(place, name))]
    found.sort(key=str)
    random.Random(SEED).shuffle(found)
    seen: set[int] = set()
    for path in found:
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if len(text) > 500 and hash(text) not in seen:
            seen.add(hash(text))
            yield text


def _ascii_lines(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if line.isascii()) + "\n\n"


def _real_prose() -> Iterator[str]:
    topics = pydoc_data.topics.topics
    yield from (_ascii_lines(topics[name]) for name in sorted(topics))
    names = re.compile(r"(LICEN|COPYING|NOTICE|METADATA$|CHANGES|README|HISTORY)", re.IGNORECASE)
    for text in _files(_packages(), lambda path: bool(names.match(path.name))):
        yield _ascii_lines(text)


def _translations(languages: tuple[str, ...], chance: random.Random | None) -> Iterator[str]:
    roots = {Path("/usr/share/locale"), Path(sys.prefix, "share", "locale")}
    for language in languages:
        for root in sorted(roots):
            for path in sorted(root.glob(f"{language}/LC_MESSAGES/*.mo")):
                try:
                    with path.open("rb") as file:
                        # The only way to all messages of a catalogue.
                        catalogue = gettext.GNUTranslations(file)._catalog  # noqa: SLF001
                except (OSError, UnicodeDecodeError, ValueError):
                    continue
                said = [text for text in catalogue.values() if text and len(text) > 25]
                for start in range(0, len(said), 5):
                    paragraph = " ".join(said[start : start + 5])
                    yield paragraph + (chance.choice(EMOJI) if chance else "") + "\n\n"


def _mixed(languages: tuple[str, ...], chance: random.Random | None) -> Iterator[str]:
    """A tenth of each language in turn, so that the first megabyte already has them all."""
    each = [list(_translations((language,), chance)) for language in languages]
    for part in range(10):
        for paragraphs in each:
            step = len(paragraphs) // 10 or 1
            yield from paragraphs[part * step : (part + 1) * step]


def _gathered(texts: Iterator[str]) -> str:
    parts, size = [], 0
    for text in texts:
        parts.append(text)
        size += len(text.encode("utf-8", "ignore"))
        if size >= DISTINCT:
            break
    return "".join(parts) if size >= ENOUGH else ""


def _stdlib() -> Iterator[str]:
    folder = Path(sysconfig.get_paths()["stdlib"])
    skipped = ("site-packages", "test", "idlelib", "pydoc_data", "encodings", "lib2to3")
    inside = lambda path: path.suffix == ".py" and not set(skipped) & set(path.parts)  # noqa: E731
    return (text for text in _files([folder], inside) if text.isascii())


def _readmes() -> Iterator[str]:
    return _files(_packages(), lambda path: path.suffix.lower() == ".md")


def gather(size: int, only: Iterable[str] | None = None) -> list[Corpus]:
    """The corpora, each of exactly ``size`` bytes or up to three fewer."""
    made = {
        "English": (english, lambda: iter(()), ""),
        "prose": (english, _real_prose, "licences, package metadata, Python's help"),
        "accents": (_accented_words, lambda: _mixed(LATIN, None), "gettext catalogues"),
        "CJK, emoji": (
            _ideographs,
            lambda: _mixed(IDEOGRAPHS, random.Random(SEED)),
            "gettext catalogues, emoji added",
        ),
        "code": (_code, _stdlib, "Python's standard library"),
        "Markdown": (_markdown, _readmes, "README and changelog files of packages"),
    }
    corpora = []
    for name, (generate, find, source) in made.items():
        if only is not None and name not in only:
            continue
        text = _gathered(find())
        origin = f"real: {source}" if text else "synthetic"
        text = text or generate(min(size, DISTINCT), random.Random(SEED))
        data = text.encode("utf-8", "ignore")
        corpora.append(Corpus(name, _repeated(data, size), min(len(data), size), origin))
    return corpora


def _repeated(data: bytes, size: int) -> bytes:
    whole = (data * (size // len(data) + 1))[:size]
    return whole.decode("utf-8", "ignore").encode()
