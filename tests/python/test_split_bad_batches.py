"""Wrong and odd input to the batches and to the exact mode: a clear exception or the right result."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import graphbit
import pytest
from graphbit import (
    CharacterSplitter,
    RecursiveSplitter,
    SentenceSplitter,
    TextSplitter,
    TextSplitterConfig,
    TokenSplitter,
)
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.timeout(120)

EXACT = [CharacterSplitter, TokenSplitter, SentenceSplitter, RecursiveSplitter]
UNITS = ["chars", "graphemes", "bytes", "words", "tokens"]
ALL = [
    *(make(100, 10) for make in EXACT),
    *(make(100, 10, exact=True) for make in EXACT),
    TextSplitter(TextSplitterConfig.recursive(100, 10)),
    TextSplitter(TextSplitterConfig.markdown(100, 10)),
]
every_splitter = pytest.mark.parametrize("splitter", ALL)


class BrokenError(Exception):
    pass


def broken(before: int, text: str = "One. Two. Three. ") -> Iterator[str]:
    for _ in range(before):
        yield text
    raise BrokenError


def contents(chunks: list[graphbit.TextChunk]) -> list[str]:
    return [chunk.content for chunk in chunks]


# --- split_texts_parallel -------------------------------------------------------------------------


@every_splitter
def test_any_iterable_and_its_order(splitter: Any) -> None:
    texts = [f"{number}. Words and words. " * (number % 7) for number in range(300)]
    expected = [contents(splitter.split_text(text)) for text in texts]
    for given_texts in (texts, tuple(texts), iter(texts), (text for text in texts)):
        assert [contents(one) for one in splitter.split_texts_parallel(given_texts)] == expected
    for workers in (1, 2, 64):
        found = splitter.split_texts_parallel(texts, max_workers=workers)
        assert [contents(one) for one in found] == expected
    assert splitter.split_texts_parallel([]) == []
    assert splitter.split_texts_parallel(iter(())) == []


@every_splitter
@pytest.mark.parametrize("before", [0, 1, 100, 5000])
def test_an_iterable_that_raises_half_way(splitter: Any, before: int) -> None:
    with pytest.raises(BrokenError):
        splitter.split_texts_parallel(broken(before))
    seen = 0
    with pytest.raises(BrokenError):
        for _ in splitter.split_iter(broken(before), batch_size=16):
            seen += 1
    assert seen <= before
    assert contents(splitter.split_text("good")) == ["good"]


@every_splitter
@pytest.mark.parametrize("wrong", [b"bytes", None, 5, ["nested"]])
def test_something_else_among_the_texts(splitter: Any, wrong: Any) -> None:
    with pytest.raises(TypeError):
        splitter.split_texts_parallel(["good", wrong, "good"])
    with pytest.raises(TypeError):
        list(splitter.split_iter(["good", wrong, "good"]))


@every_splitter
def test_a_lone_surrogate_among_the_texts(splitter: Any) -> None:
    with pytest.raises(UnicodeEncodeError):
        splitter.split_texts_parallel(["good", "\ud800"])
    with pytest.raises(UnicodeEncodeError):
        list(splitter.split_iter(["good", "\ud800"]))


@every_splitter
def test_what_is_no_iterable_of_texts(splitter: Any) -> None:
    for wrong in (None, 5, b"bytes"):
        with pytest.raises(TypeError):
            splitter.split_texts_parallel(wrong)
        with pytest.raises(TypeError):
            list(splitter.split_iter(wrong))
    # A single string is a mistake for a list of one, and would be split letter by letter.
    with pytest.raises(TypeError):
        splitter.split_texts_parallel("text")


def test_numbers_of_workers_and_of_a_batch() -> None:
    splitter = RecursiveSplitter(100)
    for wrong in (0, -1, 2**70):
        with pytest.raises((ValueError, OverflowError)):
            splitter.split_texts_parallel(["a"], max_workers=wrong)
        with pytest.raises((ValueError, OverflowError)):
            list(splitter.split_iter(["a"], batch_size=wrong))
    for wrong in ("2", 1.5):
        with pytest.raises(TypeError):
            splitter.split_texts_parallel(["a"], max_workers=wrong)  # type: ignore[arg-type]
    assert contents(splitter.split_texts_parallel(["a"], max_workers=10**6)[0]) == ["a"]


def test_an_iterator_is_read_only_as_far_as_needed() -> None:
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield "Some words. " * 10

    found = CharacterSplitter(50).split_iter(endless(), batch_size=8)
    for _ in range(20):
        assert next(found)
    assert taken <= 20 + 4 * 8


def test_a_huge_document_among_small_ones() -> None:
    texts = ["small one"] * 200 + ["Words, é and 世界. " * 200_000] + ["small one"] * 200
    splitter = RecursiveSplitter(1000, 100)
    found = splitter.split_texts_parallel(texts)
    assert [contents(chunks) for chunks in found] == [
        contents(splitter.split_text(text)) for text in texts
    ]


# --- the exact mode -------------------------------------------------------------------------------


@pytest.mark.parametrize("make", EXACT)
def test_parameters_of_the_exact_mode(make: Any) -> None:
    for size, overlap in ((5, 5), (5, 9), (1, 2**64 - 1)):
        with pytest.raises(ValueError, match="less than chunk size"):
            make(size, overlap, exact=True)
    with pytest.raises(ValueError, match="greater than 0"):
        make(0, exact=True)
    with pytest.raises(ValueError, match="furlongs"):
        make(5, exact=True, unit="furlongs")
    with pytest.raises(ValueError, match="no-such-encoding"):
        make(5, exact=True, unit="tokens", encoding="no-such-encoding")
    for wrong in (1, "yes", None):
        with pytest.raises(TypeError):
            make(5, exact=wrong)
    with pytest.raises(TypeError):
        make(5, 0, None, True)  # keyword-only
    for unit in UNITS:
        for size in (1, 2**63, 2**64 - 1):
            assert make(size, 0, exact=True, unit=unit).split_text("世界") != []


def test_a_length_that_nobody_has_room_for_ends_no_process(run_child: Any) -> None:
    child = run_child(
        """
        from graphbit import RecursiveSplitter, SentenceSplitter
        for length in (10**15, 2**62):
            for call in (
                lambda: RecursiveSplitter(5).split_texts(range(length)),
                lambda: RecursiveSplitter(5, 0, range(length)),
                lambda: SentenceSplitter(5, 0, range(length)),
            ):
                try:
                    call()
                except TypeError:
                    print("refused")
        """
    )
    assert (child.returncode, child.stdout.split()) == (0, ["refused"] * 6), child


@settings(max_examples=300)
@given(
    text=st.text(max_size=120),
    size=st.integers(1, 40),
    overlap=st.integers(0, 39),
    unit=st.sampled_from(UNITS),
    make=st.sampled_from(EXACT),
)
def test_exact_chunks_are_slices(text: str, size: int, overlap: int, unit: str, make: Any) -> None:
    covered = 0
    for chunk in make(size, overlap % size, exact=True, unit=unit).split_text(text):
        assert text[chunk.start_char : chunk.end_char] == chunk.content
        found = text.encode()[chunk.start_byte : chunk.end_byte]
        assert found.decode() == chunk.content
        assert chunk.start_char <= covered or is_blank(text[covered : chunk.start_char])
        assert chunk.end_char > covered
        covered = chunk.end_char
        if unit == "chars":
            assert len(chunk.content) <= size
        if unit == "bytes":
            assert len(found) <= size or len(chunk.content) == 1
    assert is_blank(text[covered:])


def is_blank(text: str) -> bool:
    return all(one.isspace() and one not in "\x1c\x1d\x1e\x1f" for one in text)
