"""Asking from Python: modes, rerankers, prompts, streams and many questions at once."""

from __future__ import annotations

import asyncio
import threading

import pytest
from graphbit import (
    Answer,
    AnswerStream,
    EmbeddingConfig,
    LlmClient,
    LlmConfig,
    ParallelRAG,
    VectorStore,
)
from graphbit.exceptions import ValidationError
from llm_setup import config
from simulator import Server

BIRDS = {
    "heron": "The heron waits in shallow water.",
    "swift": "The swift sleeps on the wing.",
    "code": "Error E4711 means that the nest is full.",
    "note": "Nests are listed somewhere else.",
}


def letters(texts: list[str]) -> list[list[float]]:
    """Count letters: crude, quick, and enough to tell short texts apart."""
    return [
        [text.lower().count(chr(code)) + 0.01 for code in range(ord("a"), ord("z") + 1)]
        for text in texts
    ]


def pipeline(llm: LlmConfig | LlmClient, **extra: object) -> ParallelRAG:
    rag = ParallelRAG(EmbeddingConfig.from_callable(letters), llm, **extra)
    rag.ingest(BIRDS, progress=False)
    return rag


@pytest.fixture
def rag() -> ParallelRAG:
    return pipeline(LlmConfig.extractive())


def sources(passages: list[object]) -> list[str]:
    return [passage.source for passage in passages]


def test_words_are_found_as_the_store_stands(rag: ParallelRAG) -> None:
    assert sources(rag.search("What is E4711?", mode="lexical")) == ["code"]
    assert rag.search("What is E4711?", mode="hybrid")[0].source == "code"
    rag.ingest({"code": "No longer used.", "new": "E4711 is back."}, progress=False)
    assert sources(rag.search("E4711", mode="lexical")) == ["new"]
    assert rag.search("penguins", mode="lexical") == []


def test_a_store_filled_elsewhere_is_searched_for_words() -> None:
    store = VectorStore()
    store.add([[1.0] * 26], ["黒猫が眠る"], ids=["cat"])
    rag = ParallelRAG(EmbeddingConfig.from_callable(letters), LlmConfig.extractive(), store=store)
    assert sources(rag.search("黒猫", mode="lexical")) == ["cat"]
    store.delete(["cat"])
    store.add([[1.0] * 26], ["犬が走る"], ids=["dog"])
    assert rag.search("黒猫", mode="lexical") == []


@pytest.mark.parametrize("mode", ["vector", "lexical", "hybrid"])
def test_only_what_is_meant_is_found(rag: ParallelRAG, mode: str) -> None:
    rag.ingest([{"source": "old", "text": "E4711", "metadata": {"year": "1999"}}], progress=False)
    assert sources(rag.search("E4711", mode=mode, where={"year": "1999"})) == ["old"]
    assert not rag.ask("E4711", mode=mode, where={"year": "2000"}).found
    assert "old" in sources(rag.search("E4711", mode=mode))


def test_a_reranker_decides_on_a_thread_of_its_own(rag: ParallelRAG) -> None:
    threads: list[threading.Thread] = []

    def shortest(question: str, texts: list[str]) -> list[float]:
        threads.append(threading.current_thread())
        assert question == "Who?"
        assert rag.search(BIRDS["heron"], top_k=1)[0].source == "heron", "it may call back"
        return [-len(text) for text in texts]

    found = rag.search("Who?", top_k=2, rerank=shortest)
    assert [(passage.source, passage.score) for passage in found] == [("swift", -29), ("note", -32)]
    assert threads[0] is not threading.current_thread()


def test_what_a_reranker_does_wrong_is_said(rag: ParallelRAG) -> None:
    with pytest.raises(ValidationError, match="1 scores for 4 texts"):
        rag.search("Who?", rerank=lambda _question, _texts: [1.0])
    with pytest.raises(TypeError, match="one number for each text, not 'str'"):
        rag.search("Who?", rerank=lambda _question, _texts: "best")
    with pytest.raises(ZeroDivisionError):
        rag.search("Who?", rerank=lambda _question, texts: [1 / 0 for _ in texts])
    with pytest.raises(TypeError, match="rerank must be callable, not int"):
        rag.search("Who?", rerank=3)


def test_nothing_good_enough_is_an_answer_without_a_model(server: Server) -> None:
    rag = pipeline(config("openai", server))
    answer = rag.ask("Who?", min_score=1.5)
    assert (answer.found, answer.text) == (False, "Nothing relevant to the question was found.")
    assert (answer.citations, answer.model, answer.usage.total_tokens) == ([], "", 0)
    stream = rag.ask_stream("Who?", min_score=1.5)
    assert stream.answer is None
    assert list(stream) == [answer.text]
    assert (stream.found, stream.citations, list(stream)) == (False, [], [])
    assert stream.answer is not None and not stream.answer.found
    assert server.stats()["requests"] == 0
    assert rag.ask("Who?", min_score=0.0).found


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"mode": "bm25"}, "mode.*'vector', 'lexical' or 'hybrid'"),
        ({"diversity": 2}, "diversity"),
        ({"min_score": float("nan")}, "min_score"),
        ({"max_context_tokens": 0}, "max_context_tokens"),
        ({"max_context_tokens": 2}, "the best passage alone has"),
    ],
)
def test_what_is_out_of_range_is_named(
    rag: ParallelRAG, arguments: dict[str, object], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        rag.ask("Who?", **arguments)


def test_a_prompt_is_checked_when_it_is_given_and_used_as_it_is(server: Server) -> None:
    with pytest.raises(ValidationError, match=r"prompt.*\{question\}"):
        pipeline(LlmConfig.extractive(), prompt="{passages} and no more")
    rag = pipeline(config("openai", server), prompt='{"passages": "{passages}"} {question}')
    answer = rag.ask("What waits?", top_k=1)
    assert answer.text.endswith(
        '{"passages": "[1] (heron)\nThe heron waits in shallow water."} What waits?'
    )
    assert answer.citations[0].cited
    both = rag.ask("What waits?", max_context_tokens=40)
    assert 1 <= len(both.citations) < 4


def test_passages_differ_when_they_should() -> None:
    rag = ParallelRAG(EmbeddingConfig.from_callable(letters), LlmConfig.extractive())
    rag.ingest({"one": "aaab", "twin": "aaabb", "other": "cab"}, progress=False)
    assert sources(rag.search("aaab", top_k=2)) == ["one", "twin"]
    assert sources(rag.search("aaab", top_k=2, diversity=0.8)) == ["one", "other"]


def test_a_stream_has_its_citations_at_once(server: Server) -> None:
    rag = pipeline(config("openai", server))
    with rag.ask_stream("What waits in shallow water?", top_k=2) as stream:
        assert isinstance(stream, AnswerStream)
        assert sources(stream.citations)[0] == "heron"
        assert (stream.answer, stream.found) == (None, True)
        assert not any(citation.cited for citation in stream.citations)
        pieces = list(stream)
    assert len(pieces) > 3
    assert stream.answer is not None and stream.answer.text == "".join(pieces)
    assert all(citation.cited for citation in stream.citations), "the echo holds all marks"
    assert rag.stats()["questions"] == 1


def test_a_stream_in_a_loop(server: Server) -> None:
    rag = pipeline(config("openai", server))

    async def run() -> tuple[str, Answer | None]:
        async with await rag.ask_stream_async("What waits?") as stream:
            text = "".join([piece async for piece in stream])
            return text, stream.answer

    text, answer = asyncio.run(run())
    assert answer is not None and answer.text == text


def test_many_questions_keep_their_order(rag: ParallelRAG) -> None:
    questions = ["What waits?", " ", "Who sleeps on the wing?"]
    outcomes = rag.ask_many(questions, top_k=1, on_error="return", max_concurrency=2)
    assert isinstance(outcomes[0], Answer) and isinstance(outcomes[2], Answer)
    assert outcomes[2].sources == ["swift"]
    assert isinstance(outcomes[1], ValidationError)
    assert getattr(outcomes[1], "index", None) == 1
    assert asyncio.run(_many(rag, questions[::2])) == [outcomes[0].text, outcomes[2].text]
    assert rag.ask_many([]) == []


async def _many(rag: ParallelRAG, questions: list[str]) -> list[str]:
    return [answer.text for answer in await rag.ask_many_async(iter(questions), top_k=1)]


def test_the_first_failure_carries_what_was_finished(rag: ParallelRAG) -> None:
    with pytest.raises(ValidationError) as raised:
        rag.ask_many(["What waits?", "", "Who sleeps?"], max_concurrency=1)
    results = raised.value.results
    assert [type(result) for result in results] == [Answer, type(None), type(None)]
    assert raised.value.index == 1


def test_a_cancelled_future_has_what_was_finished() -> None:
    reached, gate = threading.Event(), threading.Event()

    def model(messages: list[dict[str, str]], **_options: object) -> str:
        if messages[-1]["content"].endswith("second"):
            reached.set()
            gate.wait(10)
        return "fine"

    rag = pipeline(LlmConfig.from_callable(model))

    async def run() -> list[Answer | None]:
        future = rag.ask_many_async(["first", "second", "third"], max_concurrency=1)
        assert await asyncio.to_thread(reached.wait, 10)
        future.cancel()
        await asyncio.sleep(0)  # a future tells of its end in the loop's next turn
        gate.set()
        assert future.cancelled()
        return future.results

    first, *others = asyncio.run(run())
    assert first is not None and first.text == "fine"
    assert others == [None, None]


def test_questions_that_are_none_are_refused(rag: ParallelRAG) -> None:
    with pytest.raises(TypeError, match="questions must be an iterable of str, not str"):
        rag.ask_many("What waits?")
    with pytest.raises(TypeError, match=r"questions\[1\] must be a str, not int"):
        rag.ask_many(["a", 1])
    with pytest.raises(ValidationError, match="on_error"):
        rag.ask_many(["a"], on_error="ignore")
    with pytest.raises(ValidationError, match="max_concurrency"):
        rag.ask_many(["a"], max_concurrency=0)
