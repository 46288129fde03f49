"""The store in Qdrant: what the other stores have no occasion for."""

from __future__ import annotations

import pickle
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from graphbit import QdrantVectorStore, VectorStore
from graphbit.exceptions import (
    AuthenticationError,
    ConfigurationError,
    GraphbitError,
    NetworkError,
    PermissionDeniedError,
    RequestTimeoutError,
    StoreError,
    ValidationError,
)
from qdrant import Qdrant
from remote_stores import assert_the_loop_goes_on

KEY = "hunter2-of-qdrant"
FOR_EVER = 10**9


@pytest.fixture
def store(qdrant: Qdrant, collection: str) -> Iterator[QdrantVectorStore]:
    with QdrantVectorStore.connect(qdrant.url, collection) as store:
        yield store


def ids(found: list[Any]) -> list[str]:
    return [one.id for one in found]


def test_a_collection_that_is_there_is_used_if_it_fits(qdrant: Qdrant, collection: str) -> None:
    with QdrantVectorStore.connect(qdrant.url, collection) as first:
        assert (first.dimensions, first.collection, first.url) == (None, collection, qdrant.url)
        first.add([[1, 2, 3]], ["kept"])
    second = QdrantVectorStore.connect(qdrant.url + "/", collection)
    assert (second.dimensions, len(second), bool(second)) == (3, 1, True)
    with pytest.raises(StoreError, match="3 dimensions.*2"):
        QdrantVectorStore.connect(qdrant.url, collection, dimensions=2)
    with pytest.raises(StoreError, match="distance is Cosine.*'l2' is Euclid"):
        QdrantVectorStore.connect(qdrant.url, collection, metric="l2")
    qdrant.drop(collection)
    other = {"vectors": {"text": {"size": 3, "distance": "Dot"}}}
    qdrant.ask("PUT", f"/collections/{collection}", other)
    with pytest.raises(StoreError, match="'embedding' is wanted") as raised:
        QdrantVectorStore.connect(qdrant.url, collection, metric="dot")
    assert '"text"' in str(raised.value), "what was found"


def test_a_collection_that_was_half_made_is_finished(qdrant: Qdrant, collection: str) -> None:
    qdrant.fail(collection, {"call": "PUT index", "status": 403, "times": 1})
    with pytest.raises(PermissionDeniedError):
        QdrantVectorStore.connect(qdrant.url, collection, dimensions=2)
    store = QdrantVectorStore.connect(qdrant.url, collection)
    store.add([[1, 2]], ["kept"])
    assert [one.text for one in store.entries()] == ["kept"]


def test_arguments_are_checked_before_anything_is_sent(qdrant: Qdrant, collection: str) -> None:
    wrong: list[tuple[type[Exception], dict[str, Any]]] = [
        (ValidationError, {"collection": "a/b"}),
        (ValidationError, {"dimensions": 0}),
        (ValidationError, {"metric": "near"}),
        (ValidationError, {"writers": 0}),
        (ValidationError, {"timeout": -1}),
        (ValidationError, {"timeout": 0}),
        (ValidationError, {"shard_number": 0}),
        (ConfigurationError, {"url": "localhost:6333"}),
        (ValidationError, {"url": "http://qdrant.example:6333", "api_key": KEY}),
    ]
    for kind, change in wrong:
        with pytest.raises(kind) as raised:
            QdrantVectorStore.connect(**{"url": qdrant.url, "collection": collection, **change})
        assert KEY not in str(raised.value)
    assert qdrant.log(collection) == []


def test_the_key_is_nowhere_to_be_seen(
    qdrant: Qdrant, collection: str, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    qdrant.lock(collection, KEY)
    store = QdrantVectorStore.connect(qdrant.url, collection, api_key=KEY)
    store.add([[1, 2]], ["kept"])
    told += [repr(store), str(store), store.url]
    with pytest.raises(TypeError) as refused:
        pickle.dumps(store)
    told.append(str(refused.value))
    quoting = {"status": 400, "body": f'{{"status": {{"error": "no {KEY}"}}}}'}
    faults: list[dict[str, Any]] = [quoting, {"status": 403, "body": KEY}, {"status": 307}]
    faults[2]["headers"] = {"location": f"http://elsewhere/?api-key={KEY}"}
    for fault in faults:
        qdrant.fail(collection, fault)
        with pytest.raises(GraphbitError) as raised:
            store.count()
        told += [str(raised.value), repr(raised.value), repr(vars(raised.value))]
    for key in ("", "wrong"):
        with pytest.raises(AuthenticationError, match="Must provide an API key"):
            QdrantVectorStore.connect(qdrant.url, collection, api_key=key)
    told += [str(record.__dict__) for record in caplog.records]
    told += [str(asked) for asked in qdrant.log(collection)]
    assert not [text for text in told if KEY in text]
    monkeypatch.setenv("QDRANT_API_KEY", KEY)
    assert len(QdrantVectorStore.connect(qdrant.url, collection)) == 1
    qdrant.lock(collection, "")


FAULTS: list[dict[str, Any]] = [
    {"status": 429, "headers": {"retry-after": "0.2"}},
    {"status": 503},
    {"status": 500},
    {"cut": True},
    {"cut": True, "done": True},
]


@pytest.mark.parametrize("fault", FAULTS, ids=["429", "503", "500", "cut", "answer-lost"])
def test_what_passes_is_tried_again(
    qdrant: Qdrant, collection: str, store: QdrantVectorStore, fault: dict[str, Any]
) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: store.add(np.eye(3), ids=["a", "b", "c"], metadatas=[{"k": "v"}] * 3),
        lambda: ids(store.search([0, 1, 0], 1)),
        lambda: ids(store.entries({"k": "v"})),
        lambda: store.get(["b"])[0].id,
        lambda: store.count(),
        lambda: store.replace(["c"], [[1, 1, 1]], ids=["d"]),
        lambda: ids(store.entries()),
    ]
    expected = [["a", "b", "c"], ["b"], ["a", "b", "c"], "b", 3, ["d"], ["a", "b", "d"]]
    for call, answer in zip(calls, expected, strict=True):
        qdrant.log(collection)
        qdrant.fail(collection, {**fault, "times": 2})
        started = time.monotonic()
        assert call() == answer
        assert "status" not in fault or fault["status"] != 429 or time.monotonic() - started > 0.4
        assert len(qdrant.log(collection)) >= 3


def test_what_does_not_pass_is_told(
    qdrant: Qdrant, collection: str, store: QdrantVectorStore
) -> None:
    store.add([[1, 0]], ["a"])
    qdrant.fail(collection, {"status": 503, "times": FOR_EVER})
    with pytest.raises(NetworkError, match="told to fail") as raised:
        store.count()
    assert (raised.value.attempts, raised.value.status_code) == (7, 503)
    long = {"status": 422, "body": '{"status": {"error": "' + "x" * 100_000 + '"}}'}
    qdrant.fail(collection, long)
    with pytest.raises(StoreError, match=r"xxx \[shortened\]$") as refused:
        store.count()
    assert len(str(refused.value)) < 3000
    qdrant.fail(collection, {"status": 200, "body": "[]"})
    with pytest.raises(StoreError):
        store.count()


def test_a_request_that_takes_too_long_is_given_up(qdrant: Qdrant, collection: str) -> None:
    store = QdrantVectorStore.connect(qdrant.url, collection, dimensions=2, timeout=0.3)
    qdrant.log(collection)
    qdrant.fail(collection, {"seconds": 1.5})
    started = time.monotonic()
    with pytest.raises(RequestTimeoutError):
        store.count()
    assert time.monotonic() - started < 1.2
    assert len(qdrant.log(collection)) == 1
    assert store.count() == 0


def test_no_request_is_larger_than_a_server_takes(
    qdrant: Qdrant, collection: str, store: QdrantVectorStore
) -> None:
    names = [f"id {number}" for number in range(5200)]
    assert store.add(np.ones((5200, 2)), ids=names) == names
    large = store.add(np.ones((50, 2)), ["word " * 100_000] * 50)
    upserts = [one["bytes"] for one in qdrant.log(collection) if one["call"] == "PUT points"]
    assert len(upserts) == 6 + 5, "1000 points, or 6 MiB"
    assert max(upserts) < 8 << 20
    assert ids(store.entries(limit=6000)) == names + large
    assert [one and one.id for one in store.get(names)] == names
    assert store.delete([*names, "unknown"]) == 5200
    assert len(store) == 50


def test_every_change_is_answered_when_it_can_be_seen(
    qdrant: Qdrant, collection: str, store: QdrantVectorStore
) -> None:
    store.add([[1, 0], [0, 1]], ids=["a", "b"], metadatas=[{"k": "v"}, {}])
    store.create_index("k")
    store.replace(["a"], [[1, 1]], ids=["c"])
    store.delete(where={"k": "v"})
    changes = ("PUT points", "PUT index", "POST points/delete")
    seen = [one for one in qdrant.log(collection) if one["call"] in changes]
    assert len(seen) > 6
    assert {one["query"] for one in seen} == {"wait=true"}


def test_the_new_is_there_before_the_old_goes(
    qdrant: Qdrant, collection: str, store: QdrantVectorStore
) -> None:
    store.add(np.eye(3), ["old"] * 3, ids=["a", "b", "c"])
    change = (["b", "c"], [[1, 1, 1]], ["new"], ["a"])
    qdrant.fail(collection, {"call": "POST points/delete", "status": 400})
    with pytest.raises(StoreError):
        store.replace(*change)
    assert [one.text for one in store.entries()] == ["new", "old", "old"]
    store.replace(*change)
    assert [(one.id, one.text) for one in store.entries()] == [("a", "new")]


def point(number: int, sequence: int | None) -> dict[str, Any]:
    payload: dict[str, Any] = {"metadata": {"page": 9, "none": None, "file name": "x"}}
    if sequence is not None:
        payload["sequence"] = sequence
    return {"id": number, "vector": {"embedding": [1.0, 1.0]}, "payload": payload}


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_pages_cover_what_was_added_in_the_same_microsecond(
    qdrant: Qdrant, collection: str, limit: int
) -> None:
    store = QdrantVectorStore.connect(qdrant.url, collection, dimensions=2)
    points = [point(number, 5 if number < 20 else 6 + number // 22) for number in range(40)]
    qdrant.ask("PUT", f"/collections/{collection}/points?wait=true", {"points": points})
    seen: list[str] = []
    page = store.entries(limit=limit)
    while page:
        assert len(page) <= limit
        seen += ids(page)
        page = store.entries(after=page[-1].index, limit=limit)
    assert sorted(seen, key=int) == [str(number) for number in range(40)]


def test_what_others_put_in_is_read_as_it_is_written(
    qdrant: Qdrant, collection: str, store: QdrantVectorStore
) -> None:
    store.add([[1, 1]], ids=["mine"])
    points = {"points": [point(7, None)]}
    qdrant.ask("PUT", f"/collections/{collection}/points?wait=true", points)
    theirs = next(hit for hit in store.search([1, 1]) if hit.id != "mine")
    assert (theirs.id, theirs.text) == ("7", "")
    assert theirs.metadata == {"page": "9", "file name": "x"}
    assert ids(store.entries()) == ["mine"]


def test_equals_beyond_what_is_wanted_come_in_order(store: QdrantVectorStore) -> None:
    store.add(np.ones((3000, 2)), ids=[str(number) for number in range(3000)])
    assert ids(store.search([1, 1], 5)) == [str(number) for number in range(5)]
    assert len(store.search([1, 1], FOR_EVER)) == 3000


# Beyond what the server can tell: twelve bytes in common, and 53 bits.
LONG = ["2024-05-31T12:00:00Z", "2024-05-31T1", "2024-05-31T12:30", "2023", "2025-01-01T00:00:00Z"]
LARGE = [2**53, 2**53 + 1, 2**53 - 1, -(2**60), 2**60 + 1, 2**60]


def test_what_the_server_cannot_tell_is_told_here(store: QdrantVectorStore) -> None:
    chance = np.random.default_rng(4)
    rows = chance.standard_normal((600, 8)).astype(np.float32)
    metadatas = [
        {"day": LONG[number % 5], "n": str(LARGE[number % 6]), "last": str(number == 599)}
        for number in range(600)
    ]
    given = (rows, None, [str(number) for number in range(600)], metadatas)
    model = VectorStore()
    model.add(*given)
    store.add(*given)
    tests = ("lt", "le", "gt", "ge", "eq", "ne")
    filters: list[dict[str, Any]] = [{"day": {test: day}} for day in LONG for test in tests]
    filters += [{"n": {test: number}} for number in LARGE for test in tests]
    filters += [{"not": one} for one in filters]
    filters.append({"last": True, "day": {"gt": LONG[0]}})
    for where in filters:
        assert store.count(where) == model.count(where), where
        expected = ids(model.search(rows[0], 9, where=where))
        assert ids(store.search(rows[0], 9, where=where)) == expected, where
        assert ids(store.entries(where, limit=50)) == ids(model.entries(where, limit=50)), where
    gone = {"n": {"gt": 2**60}}
    assert store.delete(where=gone) == model.delete(where=gone) == 100


def test_indexes_change_no_answer(store: QdrantVectorStore) -> None:
    with pytest.raises(StoreError, match="nothing to index"):
        store.create_index("k")
    values = ["7", "a", "", "a b", "2024-05-31", "\u00e9", "7.5"]
    store.add(np.ones((7, 2)), ids=[*"abcdefg"], metadatas=[{"k k": v} for v in values])
    filters: list[dict[str, Any]] = [
        {"k k": {test: it}} for test in ("eq", "lt", "ge", "ne") for it in [7, 7.5, *values]
    ]
    filters += [{"k k": {"prefix": "a"}}, {"k k": {"in": ["a", 7]}}]
    before = [ids(store.entries(where)) for where in filters]
    store.create_index("k k")
    store.create_index("k k")
    assert [ids(store.entries(where)) for where in filters] == before


def test_two_that_write_the_same_entries_leave_each_once(
    qdrant: Qdrant, collection: str, store: QdrantVectorStore
) -> None:
    store.add([[1, 1]], ids=["first"])

    def work(tag: str) -> None:
        other = QdrantVectorStore.connect(qdrant.url, collection)
        for _ in range(5):
            names = [f"{number}" for number in range(100)]
            other.add(np.ones((100, 2)), [tag] * 100, names)
            other.add(np.ones((100, 2)), [tag] * 100, [f"{tag} {name}" for name in names])

    threads = [threading.Thread(target=work, args=(tag,)) for tag in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = store.entries()
    assert len(found) == len({one.id for one in found}) == len(store) == 501
    assert Counter(one.text for one in found if " " in one.id) == dict.fromkeys("abcd", 100)
    numbers = [one.index for one in found]
    assert numbers == sorted(numbers)


async def test_a_slow_server_keeps_neither_loop_nor_threads(
    qdrant: Qdrant, collection: str
) -> None:
    store = await QdrantVectorStore.connect_async(qdrant.url, collection)
    await store.add_async([[1, 0]], ids=["a"])
    qdrant.fail(collection, {"seconds": 0.5, "times": 10})
    await assert_the_loop_goes_on(store)
    await store.create_index_async("k")


def test_entries_without_a_name_get_one_of_their_own(store: QdrantVectorStore) -> None:
    first, second = store.add(np.eye(2)), store.add(np.eye(2))
    assert len({uuid.UUID(name) for name in first + second}) == len(store) == 4
