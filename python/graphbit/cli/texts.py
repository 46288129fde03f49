"""`graphbit split` and `graphbit count-tokens`: texts in, chunks or numbers out, as they come.

A text that cannot be read is named on standard error and costs the others nothing.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from graphbit._graphbit import TextSplitter, TextSplitterConfig, count_tokens, count_tokens_many
from graphbit.cli import arguments, documents

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from graphbit._graphbit import TextChunk
    from graphbit.cli.documents import Document


def run(options: argparse.Namespace) -> int:
    """Do what the command's name says."""
    return _count(options) if options.counts else _split(options)


def _split(options: argparse.Namespace) -> int:
    arguments.check_sizes(options)
    by_tokens = {"encoding": options.encoding} if options.unit == "tokens" else {}
    make = getattr(TextSplitterConfig, options.strategy)
    sizes = (options.chunk_size, options.chunk_overlap)
    splitter = TextSplitter(make(*sizes, exact=True, unit=options.unit, **by_tokens))

    def show(source: str, chunk: TextChunk) -> str:
        if options.json:
            return _json(
                source=source,
                chunk=chunk.chunk_index,
                start_char=chunk.start_char,
                end_char=chunk.end_char,
                text=chunk.content,
            )
        return f"{source}:{chunk.start_char}-{chunk.end_char}\n{chunk.content}\n"

    def cut(group: list[Document]) -> list[list[str]]:
        found = splitter.split_texts([document.text for document in group])
        return [
            [show(document.source, chunk) for chunk in chunks]
            for document, chunks in zip(group, found, strict=True)
        ]

    return _for_each(options, cut)


def _count(options: argparse.Namespace) -> int:
    # A wrong name is refused at once, not after the first long text.
    count_tokens("", options.encoding)
    counts: list[int] = []

    def show(source: str, tokens: int) -> str:
        return _json(source=source, tokens=tokens) if options.json else f"{tokens}\t{source}"

    def count(group: list[Document]) -> list[list[str]]:
        found = count_tokens_many([document.text for document in group], options.encoding)
        counts.extend(found)
        return [
            [show(document.source, tokens)] for document, tokens in zip(group, found, strict=True)
        ]

    code = _for_each(options, count)
    if len(counts) > 1 and not options.json:
        print(f"{sum(counts)}\ttotal")
    return code


def _for_each(
    options: argparse.Namespace, work: Callable[[list[Document]], list[list[str]]]
) -> int:
    """Print what `work` makes of each text, in order; a batch at a time, so that memory is bounded."""
    code = 0
    for batch in documents.batches(map(documents.read, documents.expand(options.paths))):
        made = iter(work([document for document in batch if document.error is None]))
        for document in batch:
            if document.error is None:
                for line in next(made):
                    print(line)
                continue
            code = 1
            sys.stdout.flush()
            print(f"graphbit: {document.describe_error()}", file=sys.stderr)
            if options.json:
                print(_json(source=document.source, error=document.error))
    return code


def _json(**fields: object) -> str:
    return json.dumps(fields, ensure_ascii=False)
