"""Entries by metadata, by id and in order, and one change for two."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphbit import VectorStore
from graphbit.exceptions import StoreError, ValidationError


def birds() -> VectorStore:
    store = VectorStore()
    store.add(
        [[1, 0], [0.9, 0.1], [0.5, 0.5], [0, 1]],
        ["swift", "heron", "wren", "unknown"],
        ["s", "h", "w", "u"],
        [
            {"wing": "48", "family": "Apodidae"},
            {"wing": "100.5", "family": "Ardeidae"},
            {"wing": "9", "family": "Troglodytidae", "shy": "true"},
            {},
        ],
    )
    return store


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ({}, "shwu"),
        ({"family": "Ardeidae"}, "h"),
        ({"wing": 48}, "s"),
        ({"wing": {"lt": 50}}, "sw"),
        ({"wing": {"lt": "50"}}, "sh"),
        ({"wing": {"ge": 9, "le": 48.0}}, "sw"),
        ({"wing": {"ne": 48}}, "hwu"),
        ({"family": {"prefix": "A"}}, "sh"),
        ({"family": {"in": ("Apodidae", "Troglodytidae")}}, "sw"),
        ({"shy": True}, "w"),
        ({"any": [{"wing": {"gt": 100}}, {"not": {"family": {"prefix": ""}}}]}, "hu"),
        ({"all": [{"wing": {"gt": 10}}, {"family": "Apodidae"}]}, "s"),
    ],
)
def test_every_call_means_the_same_entries(where: dict[str, Any], ids: str) -> None:
    store = birds()
    assert [entry.id for entry in store.entries(where)] == list(ids)
    assert [hit.id for hit in store.search([1, 0], where=where)] == list(ids)
    (many,) = store.search_many([[1, 0]], top_k=2, where=where)
    assert [hit.id for hit in many] == list(ids)[:2]
    assert store.count(where) == len(ids)
    assert store.delete(where=where) == len(ids)
    assert {entry.id for entry in store.entries()} == set("shwu") - set(ids)


def test_conditions_that_are_not_understood_are_named() -> None:
    store = birds()
    refused: list[tuple[Any, str]] = [
        ({"wing": {"near": 3}}, r"where\.wing\.near.*'3'.*no condition"),
        ({"wing": None}, r"where\.wing.*null"),
        ({"wing": [1, 2]}, r'\{"in"'),
        ({"any": {"wing": 1}}, r"where\.any.*list"),
        ({"wing": float("nan")}, "where.*JSON"),
        ({"wing": {1, 2}}, "where.*JSON"),
        ("wing", "object of conditions"),
    ]
    for where, words in refused:
        for call in (
            lambda where=where: store.search([1, 0], where=where),
            lambda where=where: store.entries(where),
            lambda where=where: store.count(where),
            lambda where=where: store.delete(where=where),
        ):
            with pytest.raises(ValidationError, match=words):
                call()
    for both in ({}, {"ids": ["s"], "where": {}}):
        with pytest.raises(ValidationError, match="either ids or where"):
            store.delete(**both)
    assert len(store) == 4


def test_ids_are_looked_up_and_entries_listed_in_pages() -> None:
    store = birds()
    found = store.get(["u", "never there", "s", "s"])
    assert [entry and entry.text for entry in found] == ["unknown", None, "swift", "swift"]
    assert found[2] is not None
    assert found[2].metadata == {"wing": "48", "family": "Apodidae"}
    assert repr(found[2]) == 'StoredEntry(id="s", index=0, text="swift")'
    first = store.entries(limit=2)
    store.delete(["h", "w"])
    store.add([[1, 1]], ids=["new"])
    rest = store.entries(after=first[-1].index)
    assert [entry.id for entry in first + rest] == ["s", "h", "u", "new"]
    with pytest.raises(ValidationError, match="limit.*'0'"):
        store.entries(limit=0)
    assert VectorStore().entries() == VectorStore().get([]) == []


def test_what_replaces_is_seen_with_what_it_replaced_gone(tmp_path: Path) -> None:
    with VectorStore.open(tmp_path / "s", metric="dot") as store:
        store.add(np.ones((10, 4)), ids=[f"0 {at}" for at in range(10)])
        reader = VectorStore.open(tmp_path / "s", read_only=True)
        failures: list[set[str]] = []
        done = threading.Event()

        def watch() -> None:
            while not done.is_set():
                reader.refresh()
                for one in (store, reader):
                    rounds = [hit.id.split()[0] for hit in one.search(np.ones(4), 100)]
                    if len(rounds) != 10 or len(set(rounds)) != 1:
                        failures.append(set(rounds))

        watcher = threading.Thread(target=watch)
        watcher.start()
        for turn in range(1, 200):
            stale = [f"{turn - 1} {at}" for at in range(10)]
            ids = [f"{turn} {at}" for at in range(10)]
            assert store.replace(stale, np.ones((10, 4)), ids=ids) == ids
        done.set()
        watcher.join()
        assert failures == []
        with pytest.raises(StoreError, match="dimensions"):
            store.replace(["199 0"], [[1.0]])
        assert len(store) == 10
