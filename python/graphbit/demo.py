"""A whole retrieval run on this machine: ``python -m graphbit.demo``.

Ingests the Python language reference, which every interpreter carries (each topic is a document), or
the paths given, asks three questions and prints answers with citations and timings. Nothing needs a key
or a network: embeddings are computed here, and without a language model the answers are quotes.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphbit import LlmClient, LlmConfig, ParallelRAG

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

QUESTIONS = [
    "What does the with statement do with a context manager?",
    "What is a yield expression in a generator function?",
    "Which operators bind more tightly in operator precedence?",
]
_LATENCY_MS = 50
_CALLS = 100


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; return the exit status."""
    options = _parse(arguments)
    show = _printer()
    llm = _model(options.llm)
    rag = ParallelRAG(llm=llm)
    documents = [*options.docs, *options.paths]
    report = rag.ingest(documents or _language_reference())
    for outcome in report.failed:
        show.line(f"not ingested: {outcome.error}")
    if not report.chunks:
        show.line("No text was found in the given documents.")
        return 1
    for question in options.question or QUESTIONS:
        answer = rag.ask(question)
        show.heading(question)
        show.line(str(answer))
        for citation in answer.citations:
            if citation.cited:
                show.line(
                    f"  [{citation.number}] {citation.source}, similarity {citation.score:.2f}"
                )
    rows = [
        ("documents", str(report.documents)),
        ("chunks", str(report.chunks)),
        ("tokens embedded", str(report.tokens)),
        *((f"{stage}, seconds", f"{seconds:.3f}") for stage, seconds in report.seconds.items()),
    ]
    show.table("Ingest (stages overlap)", ["", "value"], rows)
    _compare(options.simulator, show)
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m graphbit.demo", description=__doc__)
    parser.add_argument("paths", nargs="*", metavar="PATH", help="same as --docs")
    parser.add_argument(
        "--docs",
        nargs="+",
        default=[],
        metavar="PATH",
        help="files and folders instead of the reference",
    )
    parser.add_argument(
        "--question", action="append", metavar="Q", help="instead of the three; may be repeated"
    )
    parser.add_argument(
        "--llm",
        choices=["openai", "ollama", "extractive"],
        help="who answers; default: what OPENAI_API_KEY or OLLAMA_HOST says, else quotes",
    )
    parser.add_argument(
        "--simulator", metavar="URL", help="a running provider simulator for the comparison"
    )
    return parser.parse_args(arguments)


def _model(name: str | None) -> LlmConfig | None:
    if name == "openai":
        key = os.environ.get("OPENAI_API_KEY")
        if not key:
            sys.exit("--llm openai needs OPENAI_API_KEY")
        return LlmConfig.openai(key, base_url=os.environ.get("OPENAI_BASE_URL"))
    if name == "ollama":
        return LlmConfig.ollama()
    return LlmConfig.extractive() if name == "extractive" else None


def _language_reference() -> dict[str, str]:
    # Without type information: a generated module of one dict.
    return dict(importlib.import_module("pydoc_data.topics").topics)


# --- sequential against parallel ------------------------------------------------------------------


def _compare(url: str | None, show: _Plain) -> None:
    """Time the same calls one after another and from a thread pool."""
    if url:
        _measure(url, f"the provider at {url}", show)
        return
    binary = _simulator()
    if binary is None:
        show.line(
            "No simulator (set GRAPHBIT_SIMULATOR), so sequential and parallel are not compared."
        )
        return
    command = [str(binary), "--port", "0", "--log", "off", "--latency-ms", str(_LATENCY_MS)]
    # It ends by itself when its standard input closes, so also when this process dies.
    with subprocess.Popen(  # noqa: S603 - the binary this repository builds
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            address = line.strip().removeprefix("listening on ")
            _measure(f"http://{address}/v1", f"a provider that takes {_LATENCY_MS} ms", show)
        finally:
            process.terminate()


def _measure(url: str, provider: str, show: _Plain) -> None:
    client = LlmClient(LlmConfig.openai_compatible(url, "simulated"))
    prompts = [f"Question number {number}" for number in range(_CALLS)]
    client.complete("warm up")

    def seconds(work: Callable[[], object]) -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    one_by_one = seconds(lambda: [client.complete(prompt) for prompt in prompts[: _CALLS // 5]]) * 5
    with ThreadPoolExecutor(_CALLS) as pool:
        together = seconds(lambda: list(pool.map(client.complete, prompts)))
    show.table(
        f"{_CALLS} calls to {provider}",
        ["", "seconds", "times as fast"],
        [
            ("one after another (measured on a fifth)", f"{one_by_one:.3f}", "1.0"),
            (f"ThreadPoolExecutor({_CALLS})", f"{together:.3f}", f"{one_by_one / together:.1f}"),
        ],
    )


def _simulator() -> Path | None:
    named = os.environ.get("GRAPHBIT_SIMULATOR")
    name = "graphbit-simulator" + (".exe" if os.name == "nt" else "")
    targets = [Path("target")]
    if "CARGO_TARGET_DIR" in os.environ:
        targets.append(Path(os.environ["CARGO_TARGET_DIR"]))
    found = [
        target / profile / name for target in targets for profile in ("release", "quick", "debug")
    ]
    for path in [Path(named)] if named else found:
        if path.is_file():
            return path.absolute()
    return None


# --- printing -------------------------------------------------------------------------------------


class _Plain:
    """Prints with nothing but the standard library."""

    def line(self, text: str) -> None:
        print(text)

    def heading(self, text: str) -> None:
        print(f"\n{text}\n{'-' * len(text)}")

    def table(self, title: str, header: list[str], rows: Sequence[tuple[str, ...]]) -> None:
        self.heading(title)
        lines = [tuple(header), *rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
        for line in lines:
            first, *others = (cell for cell in line)
            cells = [first.ljust(widths[0])]
            cells += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
            print("  ".join(cells).rstrip())


class _Rich(_Plain):
    """Prints through rich, where it is installed."""

    def __init__(self) -> None:
        self._console: Any = importlib.import_module("rich.console").Console(highlight=False)
        self._table: Any = importlib.import_module("rich.table").Table

    def line(self, text: str) -> None:
        self._console.print(text, markup=False)

    def heading(self, text: str) -> None:
        self._console.print()
        self._console.print(text, markup=False, style="bold")

    def table(self, title: str, header: list[str], rows: Sequence[tuple[str, ...]]) -> None:
        table = self._table(title=title)
        for column, name in enumerate(header):
            table.add_column(name, justify="right" if column else "left")
        for row in rows:
            table.add_row(*row)
        self._console.print()
        self._console.print(table)


def _printer() -> _Plain:
    return _Rich() if importlib.util.find_spec("rich") else _Plain()


if __name__ == "__main__":
    sys.exit(main())
