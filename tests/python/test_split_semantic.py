"""Splitting by meaning, with an embedding that knows the topics of its own small language."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from graphbit import (
    EmbeddingClient,
    EmbeddingConfig,
    ParallelRAG,
    RecursiveSplitter,
    TextSplitter,
    TextSplitterConfig,
)
from hypothesis import given, settings
from hypothesis import strategies as st

TOPICS = ("cat", "stock", "rain", "bread")
SENTENCES = {
    "cat": ["The cat purrs.", "A cat sleeps all day.", "No cat likes water.", "That cat jumped!"],
    "stock": ["The stock fell.", "Every stock rose again.", "Is a stock safe?", "One stock split."],
    "rain": ["The rain came.", "More rain is expected.", "Such rain is rare.", "No rain in May."],
}


def by_topic(texts: list[str]) -> list[list[float]]:
    return [[float(text.count(topic)) for topic in TOPICS] for text in texts]


def client(function: Callable[[list[str]], Any] = by_topic, **options: Any) -> EmbeddingClient:
    return EmbeddingClient(EmbeddingConfig.from_callable(function, **options))


def splitter(size: int = 500, overlap: int = 0, **options: Any) -> TextSplitter:
    return TextSplitter(TextSplitterConfig.semantic(client(), size, overlap, **options))


def paragraph(*topics: str) -> str:
    return " ".join(sentence for topic in topics for sentence in SENTENCES[topic])


TEXT = paragraph("cat", "stock", "rain")
BLOCKS = [paragraph("cat"), paragraph("stock"), paragraph("rain")]


def contents(chunks: list[Any]) -> list[str]:
    return [chunk.content for chunk in chunks]


@pytest.mark.parametrize(
    "options",
    [{"percentile": 80.0, "window": 0}, {"threshold": 0.5, "window": 0}, {"percentile": 82}],
)
def test_a_chunk_is_a_topic(options: dict[str, Any]) -> None:
    chunks = splitter(**options).split_text(TEXT)
    assert contents(chunks) == BLOCKS
    for index, chunk in enumerate(chunks):
        assert TEXT[chunk.start_char : chunk.end_char] == chunk.content
        assert TEXT.encode()[chunk.start_byte : chunk.end_byte].decode() == chunk.content
        assert chunk.chunk_index == index


def test_the_config_describes_itself() -> None:
    config = TextSplitterConfig.semantic(client(), 300, 20)
    assert config.strategy_type == "semantic"
    assert (config.chunk_size, config.chunk_overlap) == (300, 20)
    assert repr(config) == "TextSplitterConfig(strategy=semantic, chunk_size=300, chunk_overlap=20)"


def test_every_way_to_split_gives_the_same_chunks() -> None:
    made = splitter(threshold=0.5, window=0)
    texts = ["", TEXT, "One sentence.", " \n ", paragraph("rain", "cat"), TEXT]
    expected = [made.split_text(text) for text in texts]
    assert [len(chunks) for chunks in expected] == [0, 3, 1, 0, 2, 3]
    assert made.split_texts(texts) == expected
    assert made.split_texts_parallel((text for text in texts), 2) == expected
    assert list(made.split_iter(iter(texts), batch_size=2)) == expected
    documents = made.create_documents(TEXT)
    assert [document["content"] for document in documents] == BLOCKS
    assert documents[1]["start_index"] == str(len(BLOCKS[0]) + 1)
    assert made.split_texts([]) == []


def test_texts_share_requests_and_a_lone_sentence_needs_none() -> None:
    asked: list[int] = []

    def counting(texts: list[str]) -> list[list[float]]:
        asked.append(len(texts))
        return by_topic(texts)

    made = TextSplitter(TextSplitterConfig.semantic(client(counting), 500))
    made.split_texts(["Alone.", "", " "])
    assert asked == []
    made.split_texts([TEXT, "Alone.", TEXT])
    assert asked == [24]


def test_a_sentence_is_embedded_with_its_neighbours() -> None:
    seen: list[str] = []

    def keeping(texts: list[str]) -> list[list[float]]:
        seen.extend(texts)
        return by_topic(texts)

    text = "A cat.  Some rain.\nMore bread."
    TextSplitter(TextSplitterConfig.semantic(client(keeping), 500)).split_text(text)
    assert seen == ["A cat.  Some rain.", text, "Some rain.\nMore bread."]


def test_cap_overlap_and_walls() -> None:
    made = splitter(45, 25, threshold=0.5, window=0)
    chunks = contents(made.split_text(TEXT))
    assert all(len(content) <= 45 for content in chunks)
    # Sentences are repeated inside of a topic, never across.
    assert chunks[0] == "The cat purrs. A cat sleeps all day."
    assert chunks[1] == "A cat sleeps all day. No cat likes water."
    for content in chunks:
        assert sum(topic in content for topic in TOPICS) == 1


def test_short_stretches_are_joined() -> None:
    text = "The cat purrs. The rain came. A cat sleeps all day. The stock fell."
    assert len(splitter(threshold=0.5, window=0).split_text(text)) == 4
    joined = splitter(threshold=0.5, window=0, min_chunk_size=25).split_text(text)
    assert contents(joined) == [
        "The cat purrs. The rain came.",
        "A cat sleeps all day. The stock fell.",
    ]


def test_units_and_flags() -> None:
    tokens = splitter(12, threshold=0.5, window=0, unit="tokens", encoding="cl100k_base")
    counts = [int(chunk.metadata["token_count"]) for chunk in tokens.split_text(TEXT)]
    assert max(counts) <= 12 < sum(counts)
    config = TextSplitterConfig.semantic(client(), 500, threshold=0.5, window=0)
    config.set_trim_whitespace(False)
    config.set_include_metadata(False)
    chunks = TextSplitter(config).split_text(TEXT)
    assert "".join(contents(chunks)) == TEXT
    assert all(chunk.metadata == {} for chunk in chunks)


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from([*TEXT.split(". "), "No! ", "\n\n", " ", "世界。", "e\u0301"])),
    st.integers(1, 80),
    st.integers(0, 79),
    st.sampled_from([{"threshold": 0.3}, {"percentile": 0.0}, {"percentile": 100.0}]),
)
def test_nothing_but_white_space_is_lost(
    pieces: list[str], size: int, overlap: int, options: dict[str, Any]
) -> None:
    text = " ".join(pieces)
    covered = 0
    for chunk in splitter(size, min(overlap, size - 1), **options).split_text(text):
        assert len(chunk.content) <= size
        assert not text[covered : chunk.start_char].strip()
        assert chunk.end_char > covered
        covered = chunk.end_char
    assert not text[covered:].strip()


def test_what_the_client_raises_reaches_the_caller() -> None:
    def failing(texts: list[str]) -> Any:
        if any("stock" in text for text in texts):
            raise KeyError("mine")
        return by_topic(texts)

    made = TextSplitter(TextSplitterConfig.semantic(client(failing), 500))
    for split in (
        lambda: made.split_text(TEXT),
        lambda: made.split_texts(["Hello.", TEXT]),
        lambda: made.split_texts_parallel([TEXT]),
        lambda: list(made.split_iter([TEXT])),
        lambda: made.create_documents(TEXT),
    ):
        with pytest.raises(KeyError, match="mine"):
            split()
    assert len(made.split_text(paragraph("cat"))) == 1


def test_refusals_name_field_value_and_range() -> None:
    make = TextSplitterConfig.semantic
    refusal: Any
    with pytest.raises(ValueError, match="Chunk size") as refusal:
        RecursiveSplitter(0)
    for arguments, options, message in (
        ((0,), {}, "chunk_size must be at least 1, not 0"),
        ((5, 5), {}, r"chunk_overlap must be below chunk_size \(5\), not 5"),
        ((5,), {"percentile": 100.5}, "percentile must be between 0 and 100, not 100.5"),
        ((5,), {"percentile": -1, "threshold": 0}, "percentile must be between 0 and 100, not -1"),
        ((5,), {"threshold": float("nan")}, "threshold must be between -1 and 1, not NaN"),
        ((5,), {"window": 11}, "window must be between 0 and 10, not 11"),
        ((5,), {"min_chunk_size": 6}, "min_chunk_size must be between 0 and chunk_size"),
        ((5,), {"unit": "lines"}, "unit must be"),
    ):
        with pytest.raises(refusal.type, match=message):
            make(client(), *arguments, **options)
    for wrong in (None, "client", EmbeddingConfig.from_callable(by_topic)):
        with pytest.raises(TypeError, match="client must be an EmbeddingClient, not"):
            make(wrong, 5)  # type: ignore[arg-type]


def test_a_pipeline_refuses_it() -> None:
    with pytest.raises(TypeError, match="semantic TextSplitter"):
        ParallelRAG(EmbeddingConfig.from_callable(by_topic), splitter=splitter())


def test_ctrl_c_ends_the_wait_for_embeddings() -> None:
    begun = threading.Event()
    release = threading.Event()

    def waiting(texts: list[str]) -> list[list[float]]:
        begun.set()
        release.wait(30)
        return by_topic(texts)

    def interrupt() -> None:
        begun.wait(30)
        time.sleep(0.05)
        signal.raise_signal(signal.SIGINT)

    made = TextSplitter(TextSplitterConfig.semantic(client(waiting), 500))
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            made.split_text(TEXT)
    finally:
        release.set()
        thread.join()
