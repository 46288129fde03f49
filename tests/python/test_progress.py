"""How far an ingest is: cost, retries, rate and time to go; and the bars that show it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from graphbit import EmbeddingClient, EmbeddingConfig, IngestProgress, LlmConfig, ParallelRAG
from simulator import Server

KEY = "sk-0123456789abcdefghij"
REFUSED = [429, "slow down", {"retry-after": "0"}]


def pipeline(server: Server, model: str = "text-embedding-3-small", **keywords: Any) -> ParallelRAG:
    config = EmbeddingConfig.openai(KEY, model, base_url=server.openai_url)
    return ParallelRAG(EmbeddingClient(config), LlmConfig.extractive(), **keywords)


def documents(count: int) -> list[tuple[str, str]]:
    return [(f"d{number}", f"Some words of document number {number}.") for number in range(count)]


def test_cost_and_retries_are_those_of_this_ingest(server: Server) -> None:
    client = EmbeddingClient(
        EmbeddingConfig.openai(KEY, "text-embedding-3-small", base_url=server.openai_url)
    )
    rag = ParallelRAG(client, LlmConfig.extractive(), batch_size=5, max_concurrency=2)
    server.behaviour(status=[REFUSED])
    client.embed("Not of the ingest.")
    server.behaviour(status=[REFUSED, 200, REFUSED, REFUSED])
    seen: list[IngestProgress] = []
    report = rag.ingest(documents(20), on_progress=seen.append)
    assert report.failed == []
    assert report.retries == seen[-1].retries == 3
    assert report.tokens > 0
    assert report.cost == seen[-1].cost == pytest.approx(report.tokens * 0.02 / 1e6)
    assert "retries=3" in repr(report)
    again = rag.ingest(documents(20))
    assert (again.unchanged, again.tokens, again.cost, again.retries) == (20, 0, 0.0, 0)


def test_an_unknown_price_is_none(server: Server) -> None:
    report = pipeline(server, "my-own-model").ingest(documents(3))
    assert report.tokens > 0
    assert report.cost is None
    # Priced, but the server does not say how many tokens it charges for.
    vector = {"embedding": [0.1, 0.2], "index": 0}
    server.behaviour(body={"object": "list", "data": [vector], "model": "m"})
    seen: list[IngestProgress] = []
    report = pipeline(server).ingest(documents(1), on_progress=seen.append)
    assert (report.documents, report.cost, seen[-1].cost) == (1, None, None)


def test_time_to_go_falls_to_nothing_and_is_about_right(server: Server) -> None:
    server.behaviour(latency_ms=50)
    seen: list[IngestProgress] = []
    rag = pipeline(server, batch_size=4, max_concurrency=1)
    rag.ingest(documents(160), on_progress=seen.append)
    last = seen[-1]
    assert (last.finished, last.eta_seconds, last.documents_done) == (True, 0.0, 160)
    assert last.seconds >= 2.0
    assert last.documents_per_second == pytest.approx(160 / last.seconds, rel=0.2)
    assert last.chunks_per_second == pytest.approx(160 / last.seconds, rel=0.2)
    assert [progress.seconds for progress in seen] == sorted(progress.seconds for progress in seen)
    half = next(progress for progress in seen if progress.documents_done >= 80)
    assert half.eta_seconds == pytest.approx(last.seconds - half.seconds, rel=0.5)


def test_nobody_knows_the_end_of_an_iterator(server: Server) -> None:
    seen: list[IngestProgress] = []
    embedded = threading.Event()

    def feed() -> Iterator[tuple[str, str]]:
        yield from documents(2)
        embedded.wait(20)

    def told(progress: IngestProgress) -> None:
        seen.append(progress)
        if progress.documents_done == 2:
            embedded.set()

    report = pipeline(server).ingest(feed(), on_progress=told)
    assert report.documents == 2
    assert embedded.is_set()
    early = [progress for progress in seen if not progress.finished]
    assert [progress.eta_seconds for progress in early] == [None] * len(early)
    assert seen[-1].eta_seconds == 0.0


def test_a_standstill_is_reported(server: Server) -> None:
    server.behaviour(latency_ms=2300)
    seen: list[IngestProgress] = []
    pipeline(server).ingest(documents(1), on_progress=seen.append)
    waiting = [progress.seconds for progress in seen if progress.chunks_done == 0]
    assert len(waiting) >= 2
    assert waiting[-1] - waiting[-2] == pytest.approx(1.0, abs=0.5)


# what is on the screen

INGEST = """
    import sys
    from graphbit import EmbeddingConfig, LlmConfig, ParallelRAG

    for name in {hidden!r}:
        sys.modules[name] = None

    def letters(texts):
        return [[text.count(letter) + 0.01 for letter in "abcdefgh"] for text in texts]

    def feed():
        yield from [(f"d{{number}}", f"Words {{number}}.") for number in range(3)]
        if {broken!r}:
            raise RuntimeError("no more")

    rag = ParallelRAG(EmbeddingConfig.from_callable(letters), LlmConfig.extractive())
    rag.ingest(feed())
"""


def code(hidden: tuple[str, ...] = (), broken: bool = False) -> str:
    return textwrap.dedent(INGEST).format(hidden=hidden, broken=broken)


def drawn_in_a_terminal(program: str) -> tuple[int, bytes]:
    ours, theirs = os.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "100"}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=theirs, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        drawn = b""
        try:
            while piece := os.read(ours, 10_000):
                drawn += piece
        except OSError:  # how Linux tells the end
            pass
        os.close(ours)
    return process.returncode, drawn


terminals = pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
SHOW_CURSOR, HIDE_CURSOR = b"\x1b[?25h", b"\x1b[?25l"


@terminals
def test_rich_draws_in_a_terminal_and_gives_it_back() -> None:
    status, drawn = drawn_in_a_terminal(code())
    assert status == 0
    assert b"3/3 documents" in drawn
    assert b"3 chunks" in drawn
    assert drawn.rfind(SHOW_CURSOR) > drawn.rfind(HIDE_CURSOR) >= 0
    status, drawn = drawn_in_a_terminal(code(broken=True))
    assert status == 1
    shown = drawn.rfind(SHOW_CURSOR)
    assert drawn.rfind(HIDE_CURSOR) < shown < drawn.find(b"Traceback")


@terminals
def test_a_line_is_drawn_without_rich() -> None:
    status, drawn = drawn_in_a_terminal(code(hidden=("rich",)))
    assert status == 0
    assert drawn.startswith(b"\r[")
    assert drawn.endswith(b"\r\n")
    last = drawn.rstrip().split(b"\r")[-1]
    assert last.startswith(b"[####################] 3/3 documents, ")
    assert SHOW_CURSOR not in drawn


def test_nothing_is_drawn_for_a_file(run_child: Any) -> None:
    child = run_child(code())
    assert (child.returncode, child.stdout, child.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("hidden", "expected"),
    [((), "3/3 ["), (("tqdm",), "[####################] 3/3 documents")],
    ids=["tqdm", "line"],
)
def test_a_notebook_has_a_bar(hidden: tuple[str, ...], expected: str) -> None:
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel()
    try:
        printed: list[str] = []

        def collect(message: dict[str, Any]) -> None:
            printed.append(message["content"].get("text", ""))

        reply = client.execute_interactive(code(hidden), timeout=30, output_hook=collect)
        assert reply["content"]["status"] == "ok"
        assert expected in "".join(printed)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
