"""A one-line progress bar on standard error, for terminals only."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from graphbit._graphbit import IngestProgress

_WIDTH = 30


def terminal_bar() -> Callable[[IngestProgress], None] | None:
    """Return a callback that draws the bar, or ``None`` when nobody would see it."""
    stream = sys.stderr
    try:
        if stream is None or not stream.isatty():
            return None
    except ValueError:  # closed
        return None
    started = time.monotonic()

    def draw(progress: IngestProgress) -> None:
        settled = progress.documents_done + progress.documents_failed
        share = settled / progress.documents_total if progress.documents_total else 0.0
        bar = ("#" * round(share * _WIDTH)).ljust(_WIDTH, ".")
        seconds = time.monotonic() - started
        line = (
            f"\r[{bar}] {settled}/{progress.documents_total} documents, "
            f"{progress.chunks_done} chunks, {seconds:.1f} s"
        )
        if progress.documents_failed:
            line += f", {progress.documents_failed} failed"
        stream.write(line + ("\n" if progress.finished else ""))
        stream.flush()

    return draw
