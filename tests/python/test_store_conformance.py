"""What every store promises, asked of each: in memory, in a folder, in PostgreSQL, Qdrant, LanceDB, in Python.

What a store says is compared with what the rules of the protocol say, worked out here over plain lists.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphbit import PgVectorStore, QdrantVectorStore, VectorStore
from graphbit.exceptions import StoreError, ValidationError
from graphbit.lancedb import LanceVectorStore
from graphbit.stores import BackedStore
from own_store import SmallStore
from postgres import Postgres

Make = Callable[..., Any]


@pytest.fixture(params=["memory", "folder", "postgres", "qdrant", "lancedb", "python"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """``make(dimensions=None, metric="cosine")``: an empty store of one kind, once a test."""
    opened: list[Any] = []

    def made(dimensions: int | None = None, metric: Any = "cosine") -> Any:
        if request.param == "memory":
            store: Any = VectorStore(dimensions, metric=metric)
        elif request.param == "folder":
            store = VectorStore.open(tmp_path / "store", dimensions=dimensions, metric=metric)
        elif request.param == "qdrant":
            url: str = request.getfixturevalue("qdrant").url
            name: str = request.getfixturevalue("collection")
            store = QdrantVectorStore.connect(url, name, dimensions=dimensions, metric=metric)
        elif request.param == "lancedb":
            store = LanceVectorStore.open(tmp_path, dimensions=dimensions, metric=metric)
        elif request.param == "python":
            store = BackedStore(SmallStore(dimensions, metric))
        else:
            server: Postgres = request.getfixturevalue("postgres")
            table: str = request.getfixturevalue("table")
            store = PgVectorStore.connect(server.dsn, table, dimensions=dimensions, metric=metric)
        opened.append(store)
        return store

    yield made
    for store in opened:
        store.close()


def ids(found: list[Any]) -> list[str]:
    return [one.id for one in found]


def test_an_empty_store_answers_everything(make: Make) -> None:
    store = make()
    assert (len(store), store.count(), store.count({"a": "b"}), store.dimensions) == (0, 0, 0, None)
    assert store.search([1.0, 2.0]) == store.entries() == store.get([]) == []
    assert store.search_many([[1.0], [2.0]]) == [[], []]
    assert store.get(["a"]) == [None]
    assert store.delete(["a"]) == store.delete(where={}) == 0
    assert store.add([]) == store.replace([], []) == store.replace(["gone"], []) == []
    assert bool(store) is (len(store) > 0 or isinstance(store, PgVectorStore | QdrantVectorStore))


def test_entries_come_in_the_order_they_were_added_whatever_happens_to_them(make: Make) -> None:
    store = make()
    names = ["c", "a", "\u00e9", "B", "b", "z", "0"]
    assert (
        store.add(np.eye(7), names, ids=names, metadatas=[{"n": name} for name in names]) == names
    )
    assert ids(store.entries()) == names
    before = store.entries()
    store.add([[9.0] * 7, [8.0] * 7], ["new", "again"], ids=["x", "a"])
    store.replace(["B", "unknown", "z"], [[7.0] * 7], ["kept"], ids=["z"])
    found = store.entries()
    assert ids(found) == ["c", "a", "\u00e9", "b", "z", "0", "x"]
    assert [one.text for one in found] == ["c", "again", "\u00e9", "b", "kept", "0", "new"]
    numbers = [one.index for one in found]
    assert numbers == sorted(set(numbers))
    assert numbers[:2] == [one.index for one in before[:2]]
    assert store.get(["z", "B", "a"])[1] is None
    assert [one and one.text for one in store.get(["z", "a"])] == ["kept", "again"]
    assert store.get(["a"])[0].metadata == {}, "what was there before is gone"


def test_the_same_call_twice_leaves_what_it_left_once(make: Make) -> None:
    store = make(3, "l2")
    call = ([[1, 2, 3], [4, 5, 6]], ["one", "two"], ["1", "2"], [{"a": "b"}, {}])
    for _ in range(3):
        assert store.add(*call) == ["1", "2"]
    assert len(store) == 2
    assert [one.index for one in store.entries()] == [one.index for one in store.get(["1", "2"])]


def test_nothing_is_changed_unless_all_is(make: Make) -> None:
    store = make()
    store.add([[1.0, 0.0], [0.0, 1.0]], ["a", "b"], ids=["a", "b"])
    refused: list[tuple[type[Exception], str, Callable[[], Any]]] = [
        (ValidationError, "same id", lambda: store.replace(["a"], np.ones((2, 2)), ids=["x", "x"])),
        (ValidationError, "finite", lambda: store.replace(["a"], [[1, 2], [math.nan, 1]])),
        (ValidationError, "texts", lambda: store.replace(["a"], [[1, 2]], ["one", "too many"])),
        (StoreError, "2 dimensions.*3", lambda: store.replace(["a"], [[1, 2, 3]])),
        (StoreError, "2 dimensions.*3", lambda: store.search([1, 2, 3])),
        (StoreError, "2 dimensions.*3", lambda: store.search_many([[1, 2, 3]])),
        (ValidationError, "top_k", lambda: store.search([1, 2], 0)),
        (ValidationError, "finite", lambda: store.search([1, math.inf])),
        (ValidationError, "limit", lambda: store.entries(limit=0)),
        (ValidationError, "ids", lambda: store.delete()),
        (ValidationError, "where.a.near", lambda: store.count({"a": {"near": 1}})),
    ]
    for kind, words, call in refused:
        with pytest.raises(kind, match=words):
            call()
    assert [(one.id, one.text) for one in store.entries()] == [("a", "a"), ("b", "b")]


def test_names_are_given_to_those_without(make: Make) -> None:
    store = make(2)
    first = store.add(np.eye(2))
    store.add([[5, 5]], ids=[str(number) for number in range(2, 3)])
    second = store.add(np.ones((30, 2)))
    given = first + second
    assert len(set(given) | {"2"}) == 33 == len(store)
    assert ids(store.entries()) == [*first, "2", *second]


SCORES: dict[str, Callable[[Any, Any], Any]] = {
    "cosine": lambda rows, query: (
        rows @ query / np.maximum(np.linalg.norm(rows, axis=1) * np.linalg.norm(query), 1e-30)
    ),
    "dot": lambda rows, query: rows @ query,
    "l2": lambda rows, query: -np.linalg.norm(rows - query, axis=1),
}


@pytest.mark.parametrize("metric", SCORES)
def test_scores_are_those_of_the_metric_and_equals_stand_in_order(make: Make, metric: str) -> None:
    chance = np.random.default_rng(3)
    rows = chance.standard_normal((200, 16)).astype(np.float32)
    # Equals, one that points the other way, and zeros, which are alike to nothing.
    rows[7], rows[150], rows[30], rows[90], rows[91] = rows[3], rows[3], -rows[3], 0, 0
    store = make(metric=metric)
    store.add(rows, ids=[str(number) for number in range(200)])
    queries = np.concatenate([rows[[3, 90]], chance.standard_normal((6, 16)).astype(np.float32)])
    found = store.search_many(queries, 200)
    assert [ids(one) for one in found] == [ids(store.search(query, 200)) for query in queries]
    for query, hits in zip(queries.astype(np.float64), found, strict=True):
        expected = SCORES[metric](rows.astype(np.float64), query)
        assert sorted(ids(hits)) == sorted(str(number) for number in range(200))
        for hit in hits:
            assert hit.score == pytest.approx(expected[int(hit.id)], abs=1e-5)
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True)
        for one, other in itertools.pairwise(hits):
            assert one.score > other.score or one.index < other.index
    assert ids(found[0][:3]) == ["3", "7", "150"] or metric == "dot"
    if metric == "cosine":
        assert {hit.score for hit in found[1]} == {0.0}
        assert ids(found[1][:3]) == ["0", "1", "2"]
    assert ids(store.search(rows[3], 2)) == ids(found[0][:2])


def test_pages_cover_everything_once(make: Make) -> None:
    store = make(1)
    count = 10_000
    numbers = np.arange(count, dtype=np.float32)[:, None]
    for first in range(0, count, 2500):
        part = numbers[first : first + 2500]
        store.add(
            part,
            [f"text {int(number)}" for number in part[:, 0]],
            [f"n{int(number)}" for number in part[:, 0]],
            [{"n": str(int(number)), "odd": str(int(number) % 2)} for number in part[:, 0]],
        )
    assert len(store) == count
    seen: list[str] = []
    page = store.entries(limit=3000)
    while page:
        seen += ids(page)
        if len(seen) == 3000:
            # What goes before and behind neither hides nor repeats those that stay.
            store.delete(["n0", "n2999", "n9999"])
        page = store.entries(after=page[-1].index, limit=3000)
    assert seen == [f"n{number}" for number in range(count - 1)]
    odd = store.entries({"odd": "1", "n": {"gt": 9000}}, limit=100)
    assert ids(odd) == [f"n{number}" for number in range(9001, 9201, 2)]
    assert store.count({"odd": "1"}) == 4998
    assert store.delete(where={"odd": "1"}) == 4998
    assert store.delete([f"n{number}" for number in range(5000)]) == 2499
    assert len(store) == 2500


TEXTS = [
    "",
    "a",
    "ab",
    "B",
    "\u00e9",
    "e\u0301",
    "\U0001f40d",
    "\uffff",
    "a b",
    "'; --",
    "\\",
    '"',
    "%_",
]


def test_texts_come_back_as_they_were(make: Make) -> None:
    store = make()
    every = [*TEXTS, "x" * 100_000, "\x01\x7f\u2028\r\n\t"]
    store.add(
        np.ones((len(every), 2)), every, ids=[f"id {text}" for text in every],
        metadatas=[{text: text, "k": text} for text in every],
    )  # fmt: skip
    for text, stored in zip(every, store.entries(), strict=True):
        assert (stored.id, stored.text) == (f"id {text}", text)
        assert stored.metadata == {text: text, "k": text}
    for text in every:
        assert [one.text for one in store.entries({"k": text})] == [text]
        assert [one and one.text for one in store.get([f"id {text}"])] == [text]


# Numbers in every form, and what only looks like one.
VALUES = [
    "0", "-0", "+7", "007", "7", "7.0", "7.", ".5", "0.5", "-.5e1", "-5", "1e3", "1E+3", "1e", "e5", "", " 7",
    "7 ", "0x10", "1_000", "inf", "-inf", "nan", "infinity", "1e400", "-1e400", "1e-400", "5e-324", "2.5e-324",
    "9007199254740992", "9007199254740993", "9007199254740993.0", "9223372036854775808", "1e22", "1e23",
    "99999999999999991611392", "170141183460469231731687303715884105727",
    "170141183460469231731687303715884105728", "-170141183460469231731687303715884105728", "1e38", "2e38",
    "1" * 50, "1" * 401, "0." + "3" * 300, "1e00007", "1e0007", "1e99999", "true", "false", "2024-05-31", *TEXTS,
]  # fmt: skip
OPERANDS: list[Any] = [
    0, -5, 7, 0.5, 1000, 5e-324, 2**53, 2**53 + 1, 2**63, 1e22, 1e23, 99999999999999991611392, 2**127 - 1, 1e38,
    2e38, -(2**127), 1e308, True, "", "7", "a", "a\0b", "B", "\u00e9", "2024", "\U0001f40d",
]  # fmt: skip


def conditions(chance: random.Random, depth: int = 3) -> dict[str, Any]:
    """A filter of any form."""
    kind = chance.choice(["test"] * 4 + ["in", "prefix", "any", "all", "not"])
    key = chance.choice(["a", "a", "b", "missing", "with 'quotes\""])
    if depth and kind in ("any", "all"):
        return {kind: [conditions(chance, depth - 1) for _ in range(chance.randrange(4))]}
    if depth and kind == "not":
        return {"not": conditions(chance, depth - 1)}
    if kind == "in":
        return {key: {"in": [chance.choice(OPERANDS) for _ in range(chance.randrange(5))]}}
    if kind == "prefix":
        return {key: {"prefix": chance.choice(["", "7", "1", "\u00e9", "a", "a\0", "%"])}}
    test = chance.choice(["eq", "ne", "lt", "le", "gt", "ge"])
    return {key: {test: chance.choice(OPERANDS)}}


def test_filters_mean_the_same_to_every_store(make: Make) -> None:
    chance = random.Random(11)
    metadatas = [
        {key: value for key in ("a", "b", "with 'quotes\"") if (value := chance.choice([*VALUES, None])) is not None}
        for _ in range(300)
    ]  # fmt: skip
    metadatas += [{"a": value} for value in VALUES]
    given = (np.ones((len(metadatas), 2)), None, [str(n) for n in range(len(metadatas))], metadatas)
    store, model = make(), VectorStore()
    store.add(*given)
    model.add(*given)
    filters = [conditions(chance) for _ in range(300)]
    filters += [{"a": {test: it}} for test in ("eq", "lt", "ge") for it in OPERANDS]
    for where in filters:
        expected = ids(model.entries(where))
        assert ids(store.entries(where)) == expected, where
        assert store.count(where) == len(expected), where
    for where in filters[:20]:
        assert ids(store.search([1, 1], 7, where=where)) == ids(model.entries(where))[:7], where
    gone = filters[4]
    assert store.delete(where=gone) == model.delete(where=gone)
    assert ids(store.entries()) == ids(model.entries())


async def test_awaited_calls_say_the_same(make: Make) -> None:
    store = make()
    assert await store.add_async([[1, 0], [0, 1]], ["e", "n"], ids=["e", "n"]) == ["e", "n"]
    assert await store.replace_async(["e"], [[1, 1]], ["ne"], ids=["ne"]) == ["ne"]
    assert ids(await store.search_async([0, 1], 1)) == ["n"]
    assert [ids(one) for one in await store.search_many_async([[0, 1], [1, 1]], 1)] == [
        ["n"],
        ["ne"],
    ]
    assert [one.text for one in await store.get_async(["ne"])] == ["ne"]
    assert ids(await store.entries_async(limit=1)) == ["n"]
    assert await store.count_async() == 2
    with pytest.raises(StoreError):
        await store.search_async([1, 2, 3])
    assert await store.delete_async(["n"]) == 1
    assert await store.delete_async(where={}) == 1
