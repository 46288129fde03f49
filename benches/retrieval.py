"""Which way to look finds the passage that holds the answer: by vector, by words, or by both.

The corpus is this repository's documentation, one document for each section; the questions in
``retrieval.json`` were written by hand, in other words than the text, each with the section that answers it.
``recall@5`` is the share of questions whose section is among the first five; ``MRR`` the mean of 1 / rank of
the first right one among ten.

    python benches/retrieval.py [--misses]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Literal

from graphbit import EmbeddingConfig, LlmConfig, ParallelRAG

ROOT = Path(__file__).parent.parent
Mode = Literal["vector", "lexical", "hybrid"]
MODES: tuple[Mode, ...] = ("vector", "lexical", "hybrid")
DEPTH = 10


def sections() -> dict[str, str]:
    """Return the text below each heading of the documentation, by ``file#heading``."""
    found: dict[str, str] = {}
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        fenced = False
        name = ""
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            fenced ^= line.startswith("```")
            if line.startswith("#") and not fenced:
                heading = line.lstrip("#").strip()
                name = f"{path.relative_to(ROOT).as_posix()}#{heading}"
            if name:
                found[name] = found.get(name, "") + line
    return found


def questions(known: dict[str, str]) -> list[tuple[str, set[str]]]:
    """Return each question with the sections that answer it."""
    kept = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    pairs: list[tuple[str, set[str]]] = []
    for key, asked in kept.items():
        sources = set(key.split(" | "))
        if missing := sources - known.keys():
            message = f"retrieval.json names sections that are gone: {sorted(missing)}"
            raise SystemExit(message)
        pairs += [(question, sources) for question in asked]
    return pairs


def rank(rag: ParallelRAG, mode: Mode, question: str, sources: set[str]) -> int:
    """Return the rank of the first right section, counted from 1, or 0 when it is not among the first."""
    # A section may be cut into several passages; a document counts once, where its best one stands.
    names = dict.fromkeys(
        passage.source for passage in rag.search(question, top_k=4 * DEPTH, mode=mode)
    )
    places = (place for place, name in enumerate(names, 1) if name in sources)
    first = next(places, 0)
    return first if first <= DEPTH else 0


def main() -> None:
    """Print a row for each mode."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--misses", action="store_true", help="name what hybrid does not find")
    options = parser.parse_args()
    known = sections()
    asked = questions(known)
    rag = ParallelRAG(EmbeddingConfig.local(), LlmConfig.extractive())
    rag.ingest(known, progress=False)
    print(f"{len(asked)} questions, {len(known)} sections, {len(rag)} passages")
    print(f"{'':10}{'recall@5':>10}{'MRR':>8}")
    for mode in MODES:
        ranks = [rank(rag, mode, question, sources) for question, sources in asked]
        recall = sum(0 < place <= 5 for place in ranks) / len(ranks)
        reciprocal = sum(1 / place for place in ranks if place) / len(ranks)
        print(f"{mode:10}{recall:10.3f}{reciprocal:8.3f}")
        if options.misses and mode == "hybrid":
            for (question, sources), place in zip(asked, ranks, strict=True):
                if not 0 < place <= 5:
                    print(f"  {place or '-':>3}  {question}  ({' | '.join(sorted(sources))})")


if __name__ == "__main__":
    main()
