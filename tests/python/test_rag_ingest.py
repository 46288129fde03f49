"""What goes into ParallelRAG: files of all formats, patterns, URLs, streams; and what is not embedded twice."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphbit import EmbeddingConfig, LlmConfig, ParallelRAG, VectorStore
from graphbit.exceptions import ValidationError
from letter_embedder import LetterEmbedder

DOCUMENTS = Path(__file__).parents[1] / "documents"
SERVER = Path(__file__).parent / "children" / "documents.py"


@pytest.fixture
def embedder() -> LetterEmbedder:
    return LetterEmbedder()


@pytest.fixture
def rag(embedder: LetterEmbedder) -> ParallelRAG:
    return pipeline(embedder)


def pipeline(embedder: LetterEmbedder, **keywords: Any) -> ParallelRAG:
    return ParallelRAG(EmbeddingConfig.from_callable(embedder), LlmConfig.extractive(), **keywords)


def test_files_of_all_formats_are_documents(rag: ParallelRAG, embedder: LetterEmbedder) -> None:
    report = rag.ingest(
        [str(DOCUMENTS / "*.docx"), DOCUMENTS / "plain.pdf", DOCUMENTS / "cells.xlsx"]
    )
    assert report.failed == []
    assert [Path(outcome.source).name for outcome in report.outcomes] == [
        "report.docx",
        "plain.pdf",
        "cells.xlsx",
    ]
    assert all(outcome.chunks for outcome in report.outcomes)
    assert all("\0" not in text and "PK" not in text for text in embedder.texts)


def test_urls_are_documents_without_their_passwords(
    rag: ParallelRAG, embedder: LetterEmbedder
) -> None:
    page = b"<h1>Kiwi</h1><p>A bird that cannot fly.</p>".hex()
    with subprocess.Popen(
        [sys.executable, str(SERVER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as server:
        assert server.stdout is not None
        host = f"127.0.0.1:{int(server.stdout.readline())}"
        path = f"/file/kiwi?type=text/html&hex={page}"
        report = rag.ingest([f"http://user:hunter2@{host}{path}", f"http://{host}/nothing.pdf"])
        server.communicate()
    kiwi, missing = report.outcomes
    assert (kiwi.source, kiwi.chunks) == (f"http://{host}{path}", 1)
    assert "A bird that cannot fly." in embedder.texts[0]
    assert "<p>" not in embedder.texts[0]
    assert f"Cannot read 'http://{host}/nothing.pdf'" in (missing.error or "")


def test_what_a_store_holds_is_not_embedded_again(embedder: LetterEmbedder, tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(f"Words of {name}.")
    with VectorStore.open(tmp_path / "store.db") as store:
        pipeline(embedder, store=store).ingest(str(tmp_path / "*.txt"))
    (tmp_path / "b.txt").write_text("Other words.")
    seen = len(embedder.texts)
    with VectorStore.open(tmp_path / "store.db") as store:
        rag = pipeline(embedder, store=store)
        report = rag.ingest(tmp_path / "*.txt")
        assert [outcome.unchanged for outcome in report.outcomes] == [True, False]
        assert (report.documents, report.unchanged, report.chunks) == (2, 1, 1)
        assert embedder.texts[seen:] == ["Other words."]
        assert "unchanged=1" in repr(report)
        assert rag.stats()["documents"] == len(rag) == 2

        (tmp_path / "a.txt").unlink()
        assert rag.ingest(tmp_path / "*.txt").deleted == 0
        report = rag.ingest(tmp_path / "*.txt", delete_missing=True)
        assert (report.deleted, len(rag)) == (1, 1)


def test_a_stream_is_drawn_as_it_is_read(rag: ParallelRAG) -> None:
    drawn = 0
    threads = set()

    def endless() -> Iterator[tuple[str, str]]:
        nonlocal drawn
        while True:
            drawn += 1
            threads.add(threading.current_thread())
            yield f"d{drawn}", f"Words of number {drawn}."

    rag = pipeline(LetterEmbedder(), batch_size=4, max_concurrency=2)
    with rag.ingest_stream(endless()) as stream:
        assert drawn == 0
        names = [next(stream).source for _ in range(300)]
        time.sleep(0.2)
        assert 300 <= drawn < 500
    assert names == [f"d{number}" for number in range(1, 301)]
    assert threading.main_thread() not in threads
    stopped = drawn
    assert list(stream) == []
    time.sleep(0.1)
    assert drawn <= stopped + 1
    assert len(rag) >= 300


def test_what_an_iterator_raises_comes_after_what_it_gave(rag: ParallelRAG) -> None:
    def broken() -> Iterator[object]:
        yield "one", "Ants carry leaves."
        yield "two", "Bees make honey."
        raise RuntimeError("no more")

    stream = rag.ingest_stream(broken())
    assert [next(stream).source, next(stream).source] == ["one", "two"]
    with pytest.raises(RuntimeError, match="no more"):
        next(stream)
    assert list(stream) == []
    with pytest.raises(RuntimeError, match="no more"):
        rag.ingest(broken())
    with pytest.raises(TypeError, match=r"documents\[1\] must be a path"):
        rag.ingest(item for item in [("three", "Cats sleep."), 7])
    assert len(rag) == 3


def test_a_string_that_is_no_text_fails_alone(rag: ParallelRAG) -> None:
    def scraped() -> Iterator[object]:
        yield "one", "Ants carry leaves."
        yield "two", "Half of a face: \ud83d."
        yield {"source": "three", "text": "\udcff"}
        yield "fo\udc00ur", "Bees make honey."
        yield "five", "Cats sleep."

    for documents in (scraped(), list(scraped())):
        report = rag.ingest(documents)
        assert [outcome.ok for outcome in report.outcomes] == [True, False, False, False, True]
        second, third, fourth = (outcome.error or "" for outcome in report.failed)
        assert "'two': its text holds a lone surrogate" in second
        assert "at position 16" in second
        assert "'three': its text holds a lone surrogate" in third
        assert "its name holds a lone surrogate" in fourth
    assert len(rag) == 2
    with pytest.raises(TypeError, match="the text, must be a string, not bytes"):
        rag.ingest([("six", b"bytes")])


@pytest.mark.skipif(sys.platform != "linux", reason="names of files that are no text")
def test_a_name_that_is_no_text_is_a_path(rag: ParallelRAG, tmp_path: Path) -> None:
    name = str(tmp_path / "caf\udce9.txt")
    Path(name).write_text("Words of a place.")
    assert [outcome.ok for outcome in rag.ingest([name, "caf\ud83d.txt"]).outcomes] == [True, False]


def test_truth_values_are_found_by_truth_values() -> None:
    store = VectorStore()
    rag = pipeline(LetterEmbedder(), store=store)

    def given(source: str, metadata: dict[str, object]) -> dict[str, object]:
        return {"source": source, "text": f"A heron in {source}.", "metadata": metadata}

    rag.ingest(
        [
            given("open", {"secret": False, "page": 7, "ratio": 0.5}),
            given("closed", {"secret": np.bool_(True), "owner": None}),
            given("hidden", {"secret": True}),
        ]
    )

    def sources(where: dict[str, object]) -> list[str]:
        return [entry.metadata["source"] for entry in store.entries(where)]

    assert sources({"secret": True}) == ["closed", "hidden"]
    assert sources({"secret": {"ne": True}}) == ["open"]
    assert sources({"secret": False, "page": 7, "ratio": {"lt": 1}}) == ["open"]
    by_source = {entry.metadata["source"]: entry.metadata for entry in store.entries()}
    assert by_source["hidden"]["secret"] == by_source["closed"]["secret"] == "true"
    assert by_source["open"]["secret"] == "false"
    assert "owner" not in by_source["closed"]
    with pytest.raises(ValueError, match="no 'source'"):
        rag.ingest([{"text": "A heron.", "metadata": {"source": None}}])


async def test_asynchronous_iterables_run_on_the_loop_that_reads_them(rag: ParallelRAG) -> None:
    loops = set()
    ended = asyncio.Event()

    async def feed(count: int) -> AsyncIterator[tuple[str, str]]:
        try:
            for number in range(count):
                loops.add(asyncio.get_running_loop())
                await asyncio.sleep(0)
                yield f"d{number}", f"Words of number {number}."
            await asyncio.sleep(60)
        finally:
            ended.set()

    seen = []
    async with rag.ingest_stream(feed(20)) as stream:
        async for outcome in stream:
            seen.append(outcome.source)
            if len(seen) == 20:
                break
    assert seen == [f"d{number}" for number in range(20)]
    assert loops == {asyncio.get_running_loop()}
    await asyncio.wait_for(ended.wait(), 5)

    async def short() -> AsyncIterator[tuple[str, str]]:
        yield "short", "Owls hunt by night."

    assert (await rag.ingest_async(short())).documents == 1
    assert [outcome.source async for outcome in rag.ingest_stream([("list", "Dogs bark.")])] == [
        "list"
    ]
    with pytest.raises(TypeError, match="use ingest_async"):
        rag.ingest(short())
    with pytest.raises(TypeError, match="async for over ingest_stream"):
        next(rag.ingest_stream(short()))


def rows_of(
    path: Path, threads: list[int], closed: threading.Event | None = None
) -> Iterator[tuple[str, str]]:
    """The rows of a database that may only be used on the thread that opened it."""
    connection = sqlite3.connect(path)
    try:
        for row in connection.execute("select name, text from documents order by name"):
            threads.append(threading.get_ident())
            yield row
    finally:
        connection.close()  # it raises on another thread
        threads.append(threading.get_ident())
        if closed is not None:
            closed.set()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "documents.db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table documents (name, text)")
        rows = [(f"d{number:03}", f"Words of number {number}.") for number in range(300)]
        connection.executemany("insert into documents values (?, ?)", rows)
    return path


async def test_one_thread_draws_from_an_iterator(database: Path, embedder: LetterEmbedder) -> None:
    rag = pipeline(embedder, batch_size=4, max_concurrency=2)
    threads: list[int] = []
    assert rag.ingest(rows_of(database, threads)).documents == 300
    (thread,) = set(threads)
    assert len(threads) == 301
    assert thread != threading.get_ident()
    threads.clear()
    assert (await rag.ingest_async(rows_of(database, threads))).unchanged == 300
    assert len(set(threads)) == 1
    # Let go early, it is closed where it was drawn from.
    threads.clear()
    closed = threading.Event()
    rag = pipeline(embedder, batch_size=4, max_concurrency=2)
    with rag.ingest_stream(rows_of(database, threads, closed)) as stream:
        assert next(stream).source == "d000"
    assert closed.wait(5)
    assert len(set(threads)) == 1


def test_a_cursor_of_another_thread_is_explained(rag: ParallelRAG, database: Path) -> None:
    mine = sqlite3.connect(database)
    with pytest.raises(ValidationError, match="check_same_thread=False") as raised:
        rag.ingest(mine.execute("select name, text from documents"))
    assert isinstance(raised.value.__cause__, sqlite3.ProgrammingError)
    mine.close()
    shared = sqlite3.connect(database, check_same_thread=False)
    stream = rag.ingest_stream(shared.execute("select name, text from documents"))
    assert sum(outcome.chunks for outcome in stream) == 300
    shared.close()


def test_a_waiting_iterator_does_not_hold_up_the_exit(run_child: Any) -> None:
    child = run_child(
        """
        from graphbit import EmbeddingConfig, LlmConfig, ParallelRAG

        def endless():
            number = 0
            while True:
                number += 1
                yield f"d{number}", "Some words."

        config = EmbeddingConfig.from_callable(lambda texts: [[1.0] for _ in texts])
        rag = ParallelRAG(config, LlmConfig.extractive())
        stream = rag.ingest_stream(endless())
        print(next(stream).source)
        """,
        timeout=8,
    )
    assert (child.returncode, child.stdout, child.stderr) == (0, "d1\n", "")
