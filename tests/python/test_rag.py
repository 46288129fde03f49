"""ParallelRAG from Python: what it accepts, what it reports, how it stops."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from graphbit import (
    CharacterSplitter,
    EmbeddingClient,
    EmbeddingConfig,
    LlmClient,
    LlmConfig,
    ParallelRAG,
    VectorStore,
)
from graphbit.exceptions import GraphbitError

wordllama_package = pytest.mark.skipif(
    importlib.util.find_spec("wordllama") is None, reason="needs the package wordllama"
)


def letters(texts: list[str]) -> list[list[float]]:
    """Count letters: crude, quick, and enough to tell short texts apart."""
    return [
        [text.lower().count(chr(code)) + 0.01 for code in range(ord("a"), ord("z") + 1)]
        for text in texts
    ]


@pytest.fixture
def rag() -> ParallelRAG:
    return ParallelRAG(EmbeddingConfig.from_callable(letters), LlmConfig.extractive())


@dataclass
class Page:
    """What other libraries call a document."""

    page_content: str
    metadata: dict[str, object] = field(default_factory=dict)


def test_every_way_to_give_a_document(rag: ParallelRAG, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("Ants carry leaves.")
    (tmp_path / "two.md").write_text("Bees make honey.")
    report = rag.ingest(
        [
            tmp_path / "one.txt",
            str(tmp_path / "two.md"),
            ("pair", "Cats sleep all day."),
            {"source": "dict", "text": "Dogs bark at night.", "metadata": {"page": 7}},
            Page("Eels live in rivers.", {"source": "page"}),
        ]
    )
    assert [outcome.source for outcome in report.outcomes] == [
        str(tmp_path / "one.txt"),
        str(tmp_path / "two.md"),
        "pair",
        "dict",
        "page",
    ]
    assert all(outcome.ok and outcome.chunks == 1 for outcome in report.outcomes)
    assert (report.documents, report.chunks, len(rag)) == (5, 5, 5)
    assert rag.ingest({"mapping": "Foxes are red.", "another": "Gnus run."}).documents == 2
    assert rag.ingest(tmp_path).documents == 2
    assert len(rag) == 7


@pytest.mark.parametrize(
    ("documents", "error", "words"),
    [
        (7, TypeError, "documents must be a path"),
        ([("a", "b"), 7], TypeError, r"documents\[1\] must be a path, \(name, text\)"),
        ([("a", "b", "c")], ValueError, "not a tuple of 3"),
        ([("a", 5)], TypeError, r"documents\[0\]\[1\], the text, must be a string, not int"),
        ([{"text": "x"}], ValueError, "no 'source'"),
        (["a text,\nnot a path"], ValueError, r"give a text as \(name, text\)"),
        ([{"source": "s", "text": "x", "metadata": 3}], TypeError, "metadata must be a mapping"),
    ],
)
def test_impossible_documents_are_named(
    rag: ParallelRAG, documents: object, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        rag.ingest(documents)
    assert len(rag) == 0


def test_what_cannot_be_read_is_an_outcome_and_the_rest_is_stored(
    rag: ParallelRAG, tmp_path: Path
) -> None:
    (tmp_path / "photo.png").write_bytes(b"\x89PNG\0")
    (tmp_path / "good.txt").write_text("Bees make honey.")
    (tmp_path / "empty").mkdir()
    report = rag.ingest([tmp_path, tmp_path / "empty", tmp_path / "missing.txt"])
    assert [outcome.ok for outcome in report.outcomes] == [True, False, False, False]
    assert "binary" in report.failed[0].error
    assert "holds no files" in report.failed[1].error
    assert "missing.txt" in report.failed[2].error
    assert rag.ask("What do bees make?").sources == [str(tmp_path / "good.txt")]
    assert "failed=3" in repr(report)


@pytest.mark.parametrize(
    ("text", "cited"),
    [
        ("It waits[1].", [1]),
        ("It waits [1, 2].", [1, 2]),
        ("It waits [1,3].", [1, 3]),
        ("It waits [1-2].", [1, 2]),
        ("It waits [1\u20133].", [1, 2, 3]),
        ("It waits \uff3b1\uff3d.", [1]),
        ("It waits \u30102\u3011.", [2]),
        ("It waits [4], since [1990-2020].", []),
        ("Ask for `birds[2]` [1].", [1]),
    ],
)
def test_marks_that_models_group_are_citations(text: str, cited: list[int]) -> None:
    rag = ParallelRAG(
        EmbeddingConfig.from_callable(letters), LlmConfig.from_callable(lambda _messages: text)
    )
    rag.ingest({"one": "The heron waits.", "two": "The swift waits.", "three": "Owls wait."})
    answer = rag.ask("Who waits?")
    assert [citation.number for citation in answer.citations if citation.cited] == cited


def test_an_answer_carries_its_citations(rag: ParallelRAG) -> None:
    rag.ingest([("bees", "Bees make honey."), ("owls", "Owls hunt by night.")])
    answer = rag.ask("What do owls hunt by?", top_k=1)
    assert "Owls hunt by night." in str(answer)
    assert answer.text == str(answer)
    assert answer.model == "extractive"
    assert answer.usage.total_tokens > 0
    (citation,) = answer.citations
    assert (citation.number, citation.source, citation.text, citation.cited) == (
        1,
        "owls",
        "Owls hunt by night.",
        True,
    )
    assert (citation.start_char, citation.end_char) == (0, 19)
    assert [found.source for found in rag.search("honey bees make")] == ["bees", "owls"]
    assert "owls" in repr(answer)
    assert "owls" in repr(citation)


def test_impossible_questions_and_settings(rag: ParallelRAG) -> None:
    with pytest.raises(GraphbitError, match="store is empty"):
        rag.ask("Anything?")
    rag.ingest([("bees", "Bees make honey.")])
    with pytest.raises(ValueError, match="question"):
        rag.ask("  ")
    with pytest.raises(ValueError, match="top_k"):
        rag.ask("What?", top_k=0)
    with pytest.raises(ValueError, match="batch_size"):
        ParallelRAG(EmbeddingConfig.from_callable(letters), batch_size=0)
    for keyword in ("embedding", "llm", "splitter", "store"):
        with pytest.raises(TypeError, match=f"{keyword} must be"):
            ParallelRAG(**{"embedding": EmbeddingConfig.from_callable(letters), keyword: 5})


def test_the_users_own_parts_are_used() -> None:
    store = VectorStore()
    client = EmbeddingClient(EmbeddingConfig.from_callable(letters))
    rag = ParallelRAG(
        client,
        LlmClient(LlmConfig.extractive()),
        splitter=CharacterSplitter(10, 0),
        store=store,
        top_k=2,
    )
    rag.ingest([("long", "aaaa bbbb cccc dddd eeee")])
    assert len(store) == len(rag) > 1
    assert len(rag.ask("aaaa").citations) == 2
    reopened = ParallelRAG(client, LlmConfig.extractive(), store=store)
    assert reopened.search("aaaa", top_k=1)[0].source == "long"
    reopened.ingest([("long", "zzzz")])
    assert [entry.source for entry in reopened.search("aaaa")] == ["long"]


def test_without_arguments_it_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    embedding = EmbeddingConfig.from_callable(letters)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OLLAMA_HOST"):
        monkeypatch.delenv(name, raising=False)
    assert "extractive" in repr(ParallelRAG(embedding))
    monkeypatch.setenv("OLLAMA_HOST", "http://localhost:1")
    assert "ollama" in repr(ParallelRAG(embedding))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-" + "0" * 40)
    rag = ParallelRAG(embedding)
    assert "openai" in repr(rag)
    assert "000" not in repr(rag)


def test_progress_arrives_off_the_main_thread_and_ends_complete(rag: ParallelRAG) -> None:
    seen = []
    report = rag.ingest(
        [(f"d{number}", "Some words.") for number in range(200)],
        on_progress=lambda progress: seen.append((threading.current_thread(), progress)),
    )
    assert report.documents == 200
    assert seen
    assert all(thread is not threading.main_thread() for thread, _ in seen)
    last = seen[-1][1]
    assert last.finished
    assert (last.documents_done, last.documents_total) == (200, 200)


def test_a_failing_progress_callback_loses_nothing(
    rag: ParallelRAG, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda event: reported.append(event.exc_value))

    def fail(_: object) -> None:
        raise RuntimeError("no bar today")

    assert rag.ingest([("a", "Some words.")], on_progress=fail).documents == 1
    assert "no bar today" in str(reported[0])
    with pytest.raises(TypeError, match="on_progress must be callable"):
        rag.ingest([], on_progress=5)


def test_a_callback_may_use_the_pipeline_it_reports_on(rag: ParallelRAG) -> None:
    lengths = []
    rag.ingest(
        [("a", "Some words.")],
        on_progress=lambda _: lengths.append(rag.search("words")) if len(rag) else None,
    )
    assert len(lengths) >= 1


async def test_the_async_twins(rag: ParallelRAG) -> None:
    report = await rag.ingest_async([("bees", "Bees make honey.")])
    assert report.documents == 1
    answers = await asyncio.gather(*(rag.ask_async("What do bees make?") for _ in range(20)))
    assert all(answer.sources == ["bees"] for answer in answers)
    assert (await rag.search_async("honey"))[0].source == "bees"
    assert rag.stats() == {
        "documents": 1,
        "chunks": 1,
        "failed_documents": 0,
        "embedded_tokens": rag.stats()["embedded_tokens"],
        "questions": 20,
    }


def test_ctrl_c_keeps_what_was_finished(run_child: Callable[..., object]) -> None:
    child = run_child("""
        import os, signal, threading, time
        from graphbit import EmbeddingConfig, LlmConfig, ParallelRAG

        def slow(texts):
            time.sleep(0.02)
            return [[1.0, 2.0] for _ in texts]

        rag = ParallelRAG(
            EmbeddingConfig.from_callable(slow), LlmConfig.extractive(), batch_size=1, max_concurrency=2
        )
        pressed = []
        def press():
            pressed.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)
        threading.Timer(0.5, press).start()
        try:
            rag.ingest([(f"d{n}", f"some words {n}") for n in range(2000)])
        except KeyboardInterrupt:
            delay = time.monotonic() - pressed[0]
            stored = len(rag)
            print(delay < 0.1, 5 < stored < 500, len(rag.search("words")) == 4)
    """)
    assert child.returncode == 0, child.stderr
    assert child.stdout.split() == ["True", "True", "True"]


@wordllama_package
@pytest.mark.parametrize(
    ("question", "topics"),
    [
        (
            "What does the with statement do with a context manager?",
            # The last one holds the section on context managers too.
            {"context-managers", "with", "specialnames"},
        ),
        ("What is a yield expression in a generator function?", {"yield"}),
        ("Which operators bind more tightly in operator precedence?", {"operator-summary"}),
    ],
)
def test_the_demos_questions_cite_the_right_topics(question: str, topics: set[str]) -> None:
    demo = importlib.import_module("graphbit.demo")
    assert question in demo.QUESTIONS
    rag = ParallelRAG(llm=LlmConfig.extractive())
    rag.ingest(dict(importlib.import_module("pydoc_data.topics").topics))
    answer = rag.ask(question)
    assert answer.citations[0].source in topics
    assert answer.citations[0].cited
    assert "no language model" in answer.text


@wordllama_package
def test_the_demo_prints_answers_and_a_table(
    run_child: Callable[..., object], tmp_path: Path
) -> None:
    (tmp_path / "note.txt").write_text("The kiwi is a bird that cannot fly.")
    child = run_child(
        "import sys; from graphbit.demo import main; sys.exit(main(sys.argv[1:]))",
        arguments=(
            "--llm",
            "extractive",
            "--question",
            "Which bird cannot fly?",
            "--docs",
            str(tmp_path),
        ),
    )
    assert child.returncode == 0, child.stderr
    assert "“The kiwi is a bird that cannot fly.” [1]" in child.stdout
    assert "note.txt" in child.stdout
    assert "documents" in child.stdout
    assert "ThreadPoolExecutor" in child.stdout or "No simulator" in child.stdout
