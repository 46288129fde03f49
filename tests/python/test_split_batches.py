"""Many texts at once: lists, iterables, iterators."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import Child
from graphbit import (
    CharacterSplitter,
    RecursiveSplitter,
    SentenceSplitter,
    TextSplitter,
    TextSplitterConfig,
    TokenSplitter,
)

MAKERS: dict[str, Callable[[], Any]] = {
    "character": lambda: CharacterSplitter(40, 5),
    "token": lambda: TokenSplitter(12, 3),
    "token pattern": lambda: TokenSplitter(12, 3, r"\w+"),
    "sentence": lambda: SentenceSplitter(60, 1),
    "recursive": lambda: RecursiveSplitter(50, 6),
    "generic": lambda: TextSplitter(TextSplitterConfig.recursive(50)),
}
WORDS = "Some words. And 世界 another! — A third;\n\n naïve: 👩\u200d👧 - end? "


@pytest.fixture(params=MAKERS.values(), ids=MAKERS)
def splitter(request: pytest.FixtureRequest) -> Any:
    return request.param()


def documents() -> list[str]:
    # One large text among small and empty ones, more than enough for several threads.
    return ["", WORDS, *(WORDS * (number % 7) for number in range(60)), WORDS * 9000, "é", " "]


@pytest.mark.parametrize("workers", [None, 1, 2, 3, 2**40])
def test_order_and_chunks_are_those_of_one_by_one(splitter: Any, workers: int | None) -> None:
    texts = documents()
    expected = [splitter.split_text(text) for text in texts]
    assert splitter.split_texts_parallel((text for text in texts), workers) == expected
    assert splitter.split_texts(texts) == expected
    assert list(splitter.split_iter(iter(texts), batch_size=5)) == expected


@pytest.mark.parametrize(
    "long_splitter",
    [
        CharacterSplitter(1000, 100),
        RecursiveSplitter(1000, 100),
        SentenceSplitter(1000, 1),
        RecursiveSplitter(1000, 100, exact=True),
        SentenceSplitter(1000, 100, exact=True),
        TokenSplitter(200, 20, encoding="cl100k_base"),
    ],
    ids=lambda splitter: f"{type(splitter).__name__}",
)
def test_a_text_divided_among_threads_has_the_same_chunks(long_splitter: Any) -> None:
    # More than four megabytes, which one thread is not left alone with.
    text = "".join(f"{WORDS}{number} " + "\n\n" * (number % 3) for number in range(70_000))
    expected = long_splitter.split_text(text)
    [chunks] = long_splitter.split_texts_parallel([text])
    assert chunks == expected
    assert [chunk.chunk_index for chunk in chunks] == list(range(len(chunks)))


def test_nothing_is_nothing(splitter: Any) -> None:
    for none in ([], (), set(), iter([])):
        assert splitter.split_texts_parallel(none) == []
        assert list(splitter.split_iter(none)) == []


@pytest.mark.parametrize("method", ["split_texts_parallel", "split_iter"])
def test_refusals(splitter: Any, method: str) -> None:
    split = getattr(splitter, method)
    for wrong in (None, 5, object()):
        with pytest.raises(TypeError, match="not iterable"):
            split(wrong)
    with pytest.raises(TypeError, match=r"^texts must be an iterable of str, not a str$"):
        split("a text")
    for value, error in ((0, ValueError), (-1, OverflowError), ("2", TypeError)):
        with pytest.raises(error):
            split(["a"], value)
    name = "max_workers" if method == "split_texts_parallel" else "batch_size"
    with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0") as raised:
        split(["a"], 0)
    assert isinstance(raised.value, RuntimeError)
    for wrong, kind in ((b"x", "bytes"), (None, "NoneType"), (["b"], "list")):
        with pytest.raises(TypeError, match=rf"^texts\[2\] must be a str, not {kind}$"):
            list(split(["a", "b", wrong, "c"]))
    with pytest.raises(TypeError, match=r"^texts\[0\] must be a str, not int$"):
        list(split(b"bytes"))
    with pytest.raises(UnicodeEncodeError):
        list(split(["a", "lone \ud800"]))


class Broken(Exception):
    pass


def failing(good: int, drawn: list[int]) -> Iterator[str]:
    for number in range(good):
        drawn.append(number)
        yield f"Text {number}. " * 3
    raise Broken


def test_an_iterable_that_raises(splitter: Any) -> None:
    drawn: list[int] = []
    with pytest.raises(Broken):
        splitter.split_texts_parallel(failing(5, drawn))
    assert drawn == [0, 1, 2, 3, 4]
    for good in (0, 1, 4, 5, 9):
        seen = []
        chunks = splitter.split_iter(failing(good, []), batch_size=4)
        with pytest.raises(Broken):
            for number, one in enumerate(chunks):
                assert one == splitter.split_text(f"Text {number}. " * 3)
                seen.append(number)
        assert seen == list(range(good))
        assert list(chunks) == []


def test_an_iterator_draws_a_window_when_asked() -> None:
    drawn: list[int] = []
    chunks = CharacterSplitter(10).split_iter(failing(100, drawn), batch_size=4)
    assert drawn == []
    next(chunks)
    assert len(drawn) == 4
    for _ in range(3):
        next(chunks)
    assert len(drawn) == 4
    next(chunks)
    assert len(drawn) == 8


def test_a_window_is_bounded_in_bytes() -> None:
    drawn = []

    def large() -> Iterator[str]:
        for number in range(6):
            drawn.append(number)
            yield "x" * (20 << 20)

    chunks = CharacterSplitter(1 << 20).split_iter(large())
    assert len(next(chunks)) == 20
    assert drawn == [0, 1]


def test_an_iterator_keeps_no_text_it_gave_out() -> None:
    class Text(str):
        __slots__ = ("__weakref__",)

    alive = []

    def texts() -> Iterator[str]:
        for number in range(6):
            text = Text(f"Text {number}")
            alive.append(weakref.ref(text))
            yield text

    chunks = CharacterSplitter(10).split_iter(texts(), batch_size=1)
    for number in range(6):
        assert next(chunks)[0].content == f"Text {number}"
    assert [one() for one in alive[:5]] == [None] * 5


def test_an_iterator_that_asks_itself() -> None:
    holder: list[Iterator[Any]] = []

    def texts() -> Iterator[str]:
        yield "one"
        with pytest.raises(ValueError, match="already executing"):
            next(holder[0])
        yield "two"

    holder.append(CharacterSplitter(10).split_iter(texts()))
    assert [chunks[0].content for chunks in holder[0]] == ["one", "two"]


def test_batches_in_many_threads() -> None:
    splitter = RecursiveSplitter(100, 10)
    texts = [WORDS * 500] * 40
    expected = [splitter.split_text(texts[0])] * 40
    right: list[bool] = []
    work = [
        threading.Thread(
            target=lambda: right.append(splitter.split_texts_parallel(texts) == expected)
        )
        for _ in range(4)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert right == [True] * 4


INTERRUPTED = """
import os, signal, threading, time
import graphbit

splitter = graphbit.SentenceSplitter(1000, 100, exact=True)
text = "One sentence of many, of no great length. " * 1_000_000
start = time.perf_counter()
splitter.split_text(text)
whole = time.perf_counter() - start

for call in (lambda: splitter.split_text(text), lambda: splitter.split_texts_parallel([text] * 4)):
    threading.Timer(whole / 10, os.kill, (os.getpid(), signal.SIGINT)).start()
    start = time.perf_counter()
    try:
        call()
    except KeyboardInterrupt:
        took = time.perf_counter() - start
        assert took < whole * 0.7, (took, whole)
    else:
        raise SystemExit("not interrupted")
print("interrupted twice of two")
"""


def test_ctrl_c_ends_the_splitting_of_a_long_text(run_child: Callable[..., Child]) -> None:
    child = run_child(INTERRUPTED, timeout=60)
    assert (child.returncode, child.stdout.strip()) == (0, "interrupted twice of two"), child.stderr
