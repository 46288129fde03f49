"""A store as a user would write one: two dicts and numpy. It notes which threads its methods run on."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
from graphbit.stores import Filter, Hit, Row
from numpy.typing import NDArray


def native_thread_name() -> str:
    """What the system calls this thread; Python gives threads it did not start names of its own."""
    return Path(f"/proc/self/task/{threading.get_native_id()}/comm").read_text().strip()


class SmallStore:
    """The five methods, and what says how vectors compare."""

    def __init__(self, dimensions: int | None = None, metric: str = "cosine") -> None:
        self.dimensions, self.metric = dimensions, metric
        self.rows: dict[str, Row] = {}
        self.arrays: dict[str, NDArray[np.float32]] = {}
        self.next = 0
        self.calls: list[str] = []
        self.threads: set[str] = set()
        self.turn = threading.Lock()

    def _called(self, method: str) -> None:
        self.calls.append(method)
        self.threads.add(native_thread_name())

    def get(self, ids: list[str], /) -> list[Row | None]:
        self._called("get")
        return [self.rows.get(name) for name in ids]

    def entries(
        self, where: dict[str, Any] | None, /, *, after: int | None, limit: int
    ) -> list[Row]:
        self._called("entries")
        meant = Filter(where).matches
        rows = [row for row in self.rows.values() if row.index > (-1 if after is None else after)]
        rows.sort(key=lambda row: row.index)
        return [row for row in rows if meant(row.metadata)][:limit]

    def search(
        self, vector: NDArray[np.float32], top_k: int, /, *, where: dict[str, Any] | None
    ) -> list[Hit]:
        self._called("search")
        meant = Filter(where).matches
        rows = sorted(
            (row for row in self.rows.values() if meant(row.metadata)), key=lambda row: row.index
        )
        if not rows:
            return []
        matrix = np.stack([self.arrays[row.id] for row in rows]).astype(np.float64)
        if self.metric == "l2":
            scores = -np.linalg.norm(matrix - vector, axis=1)
        else:
            scores = matrix @ vector
            if self.metric == "cosine":
                lengths = np.linalg.norm(matrix, axis=1) * np.linalg.norm(vector)
                scores = scores / np.where(lengths > 0, lengths, 1)
        scores = scores.astype(np.float32)
        best = np.argsort(-scores, kind="stable")[:top_k]
        return [Hit(**vars(rows[at]), score=float(scores[at])) for at in best]

    def replace(
        self,
        stale: list[str],
        vectors: NDArray[np.float32],
        texts: list[str],
        ids: list[str],
        metadatas: list[dict[str, str]],
        /,
    ) -> None:
        self._called("replace")
        with self.turn:
            rows = {name: row for name, row in self.rows.items() if name not in stale}
            arrays = dict(self.arrays)
            for name, text, metadata, vector in zip(ids, texts, metadatas, vectors, strict=True):
                known = rows.get(name)
                index = known.index if known else self.next
                self.next += known is None
                rows[name] = Row(name, text, metadata, index)
                arrays[name] = vector
            self.dimensions = vectors.shape[1]
            self.arrays, self.rows = arrays, rows

    def delete(self, ids: list[str], /) -> int:
        self._called("delete")
        with self.turn:
            rows = {name: row for name, row in self.rows.items() if name not in set(ids)}
            gone = len(self.rows) - len(rows)
            self.rows = rows
            return gone


class Capable(SmallStore):
    """All of the methods that a store may have beside the five."""

    ef_search = 7

    def count(self, where: dict[str, Any] | None, /) -> int:
        self._called("count")
        return sum(map(Filter(where).matches, (row.metadata for row in self.rows.values())))

    def values(self, key: str, /) -> list[str]:
        self._called("values")
        return [row.metadata[key] for row in self.rows.values() if key in row.metadata]

    def metadatas(self, ids: list[str], /) -> list[dict[str, str] | None]:
        self._called("metadatas")
        found = [self.rows.get(name) for name in ids]
        return [row and row.metadata for row in found]

    def vectors(self, ids: list[str], /) -> list[NDArray[np.float32] | None]:
        self._called("vectors")
        return [self.arrays[name] if name in self.rows else None for name in ids]

    def delete_where(self, where: dict[str, Any], /) -> int:
        self._called("delete_where")
        meant = Filter(where).matches
        return self.delete([name for name, row in self.rows.items() if meant(row.metadata)])

    def search(
        self,
        vector: NDArray[np.float32],
        top_k: int,
        /,
        *,
        where: dict[str, Any] | None,
        ef_search: int | None = None,
    ) -> list[Hit]:
        self.sight = ef_search
        return super().search(vector, top_k, where=where)

    def search_many(
        self,
        vectors: NDArray[np.float32],
        top_k: int,
        /,
        *,
        where: dict[str, Any] | None,
        ef_search: int | None = None,
    ) -> list[list[Hit]]:
        self._called("search_many")
        return [self.search(one, top_k, where=where, ef_search=ef_search) for one in vectors]

    def search_words(self, words: str, top_k: int, /, *, where: dict[str, Any] | None) -> list[Hit]:
        self._called("search_words")
        wanted, meant = set(words.lower().split()), Filter(where).matches
        hits = [
            Hit(**vars(row), score=float(len(wanted & set(row.text.lower().strip(".").split()))))
            for row in self.rows.values()
            if meant(row.metadata)
        ]
        hits.sort(key=lambda hit: (-hit.score, hit.index))
        return [hit for hit in hits if hit.score > 0][:top_k]

    def close(self) -> None:
        self._called("close")
