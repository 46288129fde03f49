"""`graphbit ingest`: documents into a store, each with an outcome, and nothing embedded twice.

What was finished is in the store, whatever ends the process; the same command then goes on where it ended. Refuses
to share a store with another ingest.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, NamedTuple

from graphbit._graphbit import LlmConfig, ParallelRAG, RecursiveSplitter
from graphbit.cli import arguments, documents, stores

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from graphbit._graphbit import EmbeddingConfig, VectorStore


class _Outcome(NamedTuple):
    source: str
    status: str
    chunks: int = 0
    error: str | None = None


def run(options: argparse.Namespace) -> int:
    """Ingest what is new or has changed, and report."""
    arguments.check_sizes(options)
    embedding = arguments.embedding(options)
    with stores.open_to_write(options.store) as store:
        return _ingest(options, store, embedding)


def _ingest(options: argparse.Namespace, store: VectorStore, embedding: EmbeddingConfig) -> int:
    splitter = RecursiveSplitter(options.chunk_size, options.chunk_overlap, exact=True)
    # Nobody is asked here: the answerer that is always there will do.
    rag = ParallelRAG(embedding, LlmConfig.extractive(), splitter=splitter, store=store)
    stores.check_model(store, options.store, rag, embedding)

    files = documents.expand(options.paths, options.store)
    settled: dict[str | Path, _Outcome] = {}
    work: dict[str | Path, str | Path | tuple[str, str]] = {}
    for file in files:
        if file != documents.STDIN and not documents.is_folder(file):
            work[file] = file
            continue
        # What is not a file is read here: standard input, and folders that give none, the store's among them.
        document = documents.read(file)
        if document.error is None:
            work[file] = (document.source, document.text)
        else:
            settled[file] = _Outcome(document.source, "failed", error=document.error)
    try:
        report = rag.ingest(list(work.values()))
    except KeyboardInterrupt:
        # Documents that are under way must not arrive after they were called unfinished.
        store.close()
        told = f"what was finished is in {options.store}" if len(store) else "nothing was finished"
        print(f"graphbit: interrupted; {told}; repeat the command to go on", file=sys.stderr)
        raise
    for file, outcome in zip(work, report.outcomes, strict=True):
        status = "unchanged" if outcome.unchanged else "ingested" if outcome.ok else "failed"
        settled[file] = _Outcome(outcome.source, status, outcome.chunks, outcome.error)
    return _report(options, store, [settled[file] for file in files], report.tokens)


def _report(
    options: argparse.Namespace, store: VectorStore, outcomes: list[_Outcome], tokens: int
) -> int:
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    for outcome in failed:
        print(
            f"graphbit: {documents.describe(outcome.source, outcome.error or '')}", file=sys.stderr
        )
    ingested = [outcome for outcome in outcomes if outcome.status == "ingested"]
    chunks = sum(outcome.chunks for outcome in ingested)
    unchanged = len(outcomes) - len(ingested) - len(failed)
    if options.json:
        result = {
            "store": str(options.store),
            "ingested": len(ingested),
            "unchanged": unchanged,
            "failed": len(failed),
            "chunks": chunks,
            "tokens": tokens,
            "chunks_in_store": len(store),
            "outcomes": [outcome._asdict() for outcome in outcomes],
        }
        print(json.dumps(result, ensure_ascii=False))
    else:
        print(
            f"documents: {len(ingested)} ingested, {unchanged} unchanged, {len(failed)} failed; "
            f"passages: {chunks} embedded, {len(store)} in {options.store}; tokens: {tokens}"
        )
    return 1 if failed else 0
