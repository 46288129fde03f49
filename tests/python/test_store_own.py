"""Stores that are written in Python: what they are asked, what they may answer, and ParallelRAG over them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphbit import CharacterSplitter, EmbeddingConfig, LlmConfig, ParallelRAG, VectorStore
from graphbit.exceptions import (
    NetworkError,
    RequestTimeoutError,
    StoreError,
    UnsupportedError,
    ValidationError,
)
from graphbit.stores import BackedStore, Filter, Hit, Row
from own_store import Capable, SmallStore

#: What the system calls the runtime's workers.
WORKER = "graphbit"


def embed(texts: list[str]) -> list[list[float]]:
    """Counts letters."""
    return [[text.lower().count(chr(c)) + 0.01 for c in range(97, 123)] for text in texts]


def pipeline(store: Any, **keywords: Any) -> ParallelRAG:
    return ParallelRAG(
        EmbeddingConfig.from_callable(embed), LlmConfig.extractive(), store=store, **keywords
    )


BIRDS = {
    "heron": "The heron waits in shallow water.",
    "swift": "The swift sleeps on the wing.",
    "code": "Error E4711 means that the nest is full.",
    "note": "Nests are listed somewhere else.",
}


def test_what_is_no_store_is_refused_with_what_it_lacks() -> None:
    class Half:
        def get(self, ids: list[str]) -> list[None]:
            return [None for _ in ids]

        search = 5

    with pytest.raises(TypeError, match="'Half' has no entries, search, replace, delete"):
        ParallelRAG(EmbeddingConfig.from_callable(embed), LlmConfig.extractive(), store=Half())
    with pytest.raises(
        TypeError, match="store must be one of the vector stores or.*'str' has no get"
    ):
        BackedStore("memory")
    for wrong in ({"metric": "hamming"}, {"writers": -1}):
        store = SmallStore()
        vars(store).update(wrong)
        with pytest.raises((ValidationError, OverflowError)):
            BackedStore(store)


def test_a_store_is_given_arrays_and_the_conditions_as_they_were_written() -> None:
    class Noting(SmallStore):
        def search(self, vector: Any, top_k: int, /, *, where: Any) -> list[Hit]:
            noted.append((vector, top_k, where))
            return super().search(vector, top_k, where=where)

        def replace(self, *given: Any) -> None:
            noted.append(given)
            super().replace(*given)

    noted: list[Any] = []
    store = BackedStore(Noting())
    (first,) = store.add([[1, 2]])
    stale, vectors, texts, ids, metadatas = noted.pop()
    assert (stale, texts, ids, metadatas) == ([], [""], [first], [{}])
    assert (vectors.dtype, vectors.shape) == (np.float32, (1, 2))
    # What is stored anew is not stale, and nothing is removed twice.
    store.replace([first, "b", "b"], np.eye(2), ["x", "y"], [first, "c"], [{"k": "v"}, {}])
    assert noted.pop()[0] == ["b"]
    where = {"any": [{"k": "v"}, {"n": {"ge": 1.5, "lt": 2**53}}], "not": {"t": {"in": [True]}}}
    store.search([1, 2], 3, where=where)
    vector, top_k, conditions = noted.pop()
    assert (vector.dtype, vector.tolist(), top_k) == (np.float32, [1, 2], 3)
    assert conditions == where
    assert Filter(where).matches({"k": "v"})
    assert not Filter(where).matches({"k": "v", "t": "true"})
    assert Filter().matches({})
    with pytest.raises(ValidationError, match="where.k.near"):
        Filter({"k": {"near": 1}})
    assert store.search([1, 2], ef_search=3), "what it knows nothing of, it is not told"


def test_nothing_to_do_is_not_asked_for() -> None:
    small = SmallStore()
    store = BackedStore(small)
    assert store.add([]) == store.get([]) == store.replace([], []) == store.search_many([]) == []
    assert store.delete([]) == 0
    assert small.calls == []
    store.replace(["gone"], [])
    assert small.calls == ["delete"]


def test_what_a_store_can_do_itself_it_is_asked_to() -> None:
    capable = Capable()
    with BackedStore(capable) as store:
        store.add(np.eye(3), ["one", "two", "three"], ["a", "b", "c"])
        assert store.count() == len(store) == 3
        assert [one[0].id for one in store.search_many(np.eye(3), 1, ef_search=4)] == [
            "a",
            "b",
            "c",
        ]
        assert capable.sight == 4
        assert store.delete(where={"none": "x"}) == 0
        assert repr(store).startswith("BackedStore(<own_store.Capable")
        assert store.backend is capable
    used = Counter(capable.calls)
    assert {"count": 2, "search_many": 1, "delete_where": 1, "close": 1}.items() <= used.items()
    assert "entries" not in used


Method = Callable[..., Any]
ROW, OTHER = Row("a", "x", {"k": "v"}, 0), Row("b", "y", {}, 1)
HIT, WORSE = Hit("a", "x", {"k": "v"}, 0, 0.5), Hit("b", "y", {}, 1, 0.25)
FAULTS: list[tuple[str, Any, str, Method]] = [
    ("get", [ROW], "1 items for 2", lambda store: store.get(["a", "b"])),
    ("get", [OTHER, ROW], "row 0 is 'b' and was to be 'a'", lambda store: store.get(["a", "b"])),
    ("get", None, "a list is wanted, not 'NoneType'", lambda store: store.get(["a"])),
    ("get", ["a"], "row 0 is 'str', which has no attribute id", lambda store: store.get(["a"])),
    ("get", [Row("a", None)], "row 0: text must be a str", lambda store: store.get(["a"])),
    (
        "get",
        [Row("a", "", {"k": 1})],
        "metadata must be a dict of str",
        lambda store: store.get(["a"]),
    ),
    ("get", [Row("a", index=-1)], "index must be an int", lambda store: store.get(["a"])),
    ("entries", [OTHER, ROW], "row 1 .'a'. has index 0 behind 1", lambda store: store.entries()),
    ("entries", [ROW], "has index 0 behind 0", lambda store: store.entries(after=0)),
    ("entries", [ROW, Row("a", index=1)], "row 1 is 'a' once more", lambda store: store.entries()),
    ("entries", [ROW, OTHER], "more than the 1 asked for", lambda store: store.entries(limit=1)),
    ("entries", [ROW], "not what where means", lambda store: store.entries({"k": "w"})),
    ("search", [WORSE, HIT], "row 1 .'a'. scores 0.5 behind 0.25", lambda store: store.search([1])),
    ("search", [Hit("a", score=float("nan"))], "scores NaN", lambda store: store.search([1])),
    ("search", [ROW], "has no attribute score", lambda store: store.search([1])),
    ("search", [HIT, HIT], "the id or the index of another", lambda store: store.search([1])),
    ("search", [HIT, Hit("c")], "the id or the index of another", lambda store: store.search([1])),
    ("search", [HIT, WORSE], "more than the 1 asked for", lambda store: store.search([1], 1)),
    ("search", [WORSE], "not what where means", lambda store: store.search([1], where={"k": "v"})),
    ("search_many", [[HIT]], "1 items for 2", lambda store: store.search_many([[1], [2]])),
    ("delete", None, "a number of entries is wanted", lambda store: store.delete(["a"])),
    ("delete", 2, "2 for 1 ids", lambda store: store.delete(["a"])),
    ("delete_where", "1", "a number of entries is wanted", lambda store: store.delete(where={})),
    ("count", -1, "a number of entries is wanted", lambda store: len(store)),
]


@pytest.mark.parametrize(("method", "answer", "words", "call"), FAULTS)
def test_a_faulty_store_is_named(method: str, answer: Any, words: str, call: Method) -> None:
    capable = Capable()
    setattr(capable, method, lambda *_, **__: answer)
    with pytest.raises(StoreError, match=rf"Capable\.{method}\(\) answered wrongly: .*{words}"):
        call(BackedStore(capable))


def test_faults_that_only_a_pipeline_meets_are_named_too() -> None:
    for method, answer, words, ask in [
        ("metadatas", [{}], "1 items for", lambda rag: rag.ingest(BIRDS, progress=False).failed[0]),
        ("values", [1], "item 0 must be a str", lambda rag: rag.stats()),
        ("vectors", [None], "1 items for 4", lambda rag: rag.search("nest", diversity=0.5)),
        ("vectors", [[1.0], [1, 2], [1], [1]], "item 1 has 2", lambda rag: rag.search("nest", diversity=0.5)),
    ]:  # fmt: skip
        capable = Capable()
        rag = pipeline(capable)
        rag.ingest(BIRDS, progress=False)
        setattr(capable, method, lambda *_, _answer=answer: _answer)
        said = ""
        try:
            said = str(ask(rag).error)
        except StoreError as error:
            said = str(error)
        assert f"Capable.{method}() answered wrongly: " in said
        assert words in said


class Turned(BaseException):
    """Ends a program, as KeyboardInterrupt does."""


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (ValueError("no such bucket"), StoreError),
        (ConnectionResetError("gone"), NetworkError),
        (TimeoutError("late"), RequestTimeoutError),
        (ValidationError("mine: wrong"), ValidationError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (Turned(), Turned),
    ],
)
async def test_what_a_store_raises_is_kept(
    raised: BaseException, seen: type[BaseException]
) -> None:
    class Failing(SmallStore):
        def search(self, vector: Any, top_k: int, /, *, where: Any) -> list[Hit]:
            raise raised

    store = BackedStore(Failing())
    with pytest.raises(seen) as caught:
        store.search([1.0])
    if type(raised) is seen:
        assert caught.value is raised
    else:
        assert caught.value.__cause__ is raised
        assert f"Failing.search() raised {type(raised).__name__}: {raised}" in str(caught.value)
        with pytest.raises(seen):
            await store.search_async([1.0])


def test_its_code_never_runs_on_a_worker() -> None:
    capable = Capable()
    rag = pipeline(capable)
    rag.ingest(BIRDS, progress=False)
    rag.ask("Where does the heron wait?", mode="hybrid", diversity=0.3)
    rag.ask_many(list(BIRDS.values()))
    assert rag.stats()["documents"] == 4
    assert capable.threads
    assert not [name for name in capable.threads if name == WORKER], capable.threads


@pytest.mark.parametrize("kind", [SmallStore, Capable])
def test_a_pipeline_goes_on_where_it_was(kind: type[SmallStore], tmp_path: Path) -> None:
    small = kind()
    splitter = CharacterSplitter(20, 0, exact=True)
    for number in range(40):
        (tmp_path / f"{number:02}.txt").write_text(f"{number:02} {'words ' * 20}")
    first = pipeline(small, splitter=splitter).ingest(tmp_path, progress=False)
    assert (first.documents, first.unchanged, first.failed) == (40, 0, [])
    small.calls.clear()

    again = pipeline(small, splitter=splitter)
    second = again.ingest(tmp_path, progress=False)
    assert (second.documents, second.unchanged, second.tokens) == (40, 40, 0)
    assert set(small.calls) == {"metadatas" if kind is Capable else "get"}, "no texts are moved"

    (tmp_path / "00.txt").write_text("short")
    (tmp_path / "01.txt").write_text("")
    (tmp_path / "02.txt").unlink()
    third = again.ingest(tmp_path, progress=False, delete_missing=True)
    assert (third.unchanged, third.deleted) == (37, 1)
    assert again.stats()["documents"] == 38
    assert len(again) == 37 * first.chunks // 40 + 1 == len(small.rows)
    small.calls.clear()
    assert repr(again).endswith("store elsewhere)")
    assert small.calls == [], "to be shown is no reason to ask"


@pytest.mark.parametrize("mode", ["vector", "lexical", "hybrid"])
def test_every_mode_asks_no_more_than_it_needs(mode: Any) -> None:
    small, capable = SmallStore(), Capable()
    for store in (small, capable):
        pipeline(store).ingest(BIRDS, progress=False)
    capable.calls.clear()
    rag = pipeline(capable)
    assert rag.search("The swift sleeps on the wing.", mode=mode, top_k=1)[0].source == "swift"
    asked = {
        "vector": ["search"],
        "lexical": ["search_words"],
        "hybrid": ["search_words", "search"],
    }
    assert [one for one in capable.calls if one != "vectors"] == asked[mode]
    assert rag.search("swift nest", mode=mode, diversity=0.5)
    assert "vectors" in capable.calls
    if mode == "vector":
        assert pipeline(small).search("swift", mode=mode)
        with pytest.raises(UnsupportedError, match="'SmallStore' has no method vectors"):
            pipeline(small).search("swift", diversity=0.5)
    else:
        with pytest.raises(UnsupportedError, match="'SmallStore' has no method search_words"):
            pipeline(small).search("swift", mode=mode)


def test_hybrid_scores_are_those_of_the_vectors() -> None:
    capable = Capable()
    rag = pipeline(capable)
    memory = pipeline(VectorStore())
    for one in (rag, memory):
        # So many that what only words find is far behind in vectors.
        one.ingest({**BIRDS, **{f"x{n}": "zzz " * (n + 1) for n in range(150)}}, progress=False)
    question = "zzzzzz full"
    found, expected = (one.search(question, mode="hybrid", top_k=8) for one in (rag, memory))
    assert "code" in {one.source for one in found}
    assert [one.source for one in found] == [one.source for one in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-5)


async def test_a_slow_store_keeps_no_loop() -> None:
    class Slow(SmallStore):
        def search(self, vector: Any, top_k: int, /, *, where: Any) -> list[Hit]:
            time.sleep(0.2)
            return super().search(vector, top_k, where=where)

    rag = pipeline(Slow())
    outcomes = [outcome async for outcome in rag.ingest_stream(iter(BIRDS.items()))]
    assert [one.source for one in outcomes] == list(BIRDS)
    answers = asyncio.ensure_future(rag.ask_many_async([BIRDS["swift"]] * 8, top_k=1))
    late = 0.0
    while not answers.done():
        started = time.perf_counter()
        await asyncio.sleep(0.005)
        late = max(late, time.perf_counter() - started - 0.005)
    assert late < 0.1
    assert {answer.citations[0].source for answer in await answers} == {"swift"}


def test_ctrl_c_ends_the_wait_for_a_store(run_child: Any) -> None:
    child = run_child(
        """
        import os, signal, sys, threading, time
        sys.path.insert(0, sys.argv[1])
        from graphbit.stores import BackedStore
        from own_store import SmallStore
        class Stuck(SmallStore):
            def get(self, ids):
                time.sleep(5)
                return [None]
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        started = time.monotonic()
        try:
            BackedStore(Stuck()).get(["a"])
        except KeyboardInterrupt:
            print("interrupted", time.monotonic() - started < 2, flush=True)
        os._exit(0)
        """,
        arguments=(str(Path(__file__).parent),),
    )
    assert (child.returncode, child.stdout, child.stderr) == (0, "interrupted True\n", "")


def test_a_store_of_this_package_may_stand_behind_one() -> None:
    class Forwarding:
        """What lies between the pipeline and another store, to count or to log for instance."""

        def __init__(self, inner: VectorStore) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

    inner = VectorStore()
    rag = pipeline(Forwarding(inner))
    assert rag.ingest(BIRDS, progress=False).failed == []
    assert len(inner) == 4 == len(rag)
    assert rag.search(BIRDS["heron"], top_k=1)[0].source == "heron"
