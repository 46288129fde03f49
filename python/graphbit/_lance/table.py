"""A table of LanceDB with the methods that a store is made of (`graphbit.stores.Backend`).

Each call opens the table anew and so works on one version of it from beginning to end. LanceDB is asked for rows and
for what is near; scores are worked out here from the vectors, so that equals are equal and the order is that of every
other store. It refuses tables of another form, and to work in a forked child, where LanceDB's native code crashes.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphbit._lance import rows
from graphbit._lance.conditions import all_of, listed, pushed
from graphbit._lance.turns import Turns
from graphbit.exceptions import GraphbitError, StoreError, ValidationError
from graphbit.stores import Filter, Hit, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

#: Ids and numbers in one condition.
_AT_ONCE = 10_000
#: Hits asked for beyond those that are wanted: the last of these may have equals.
_MARGIN = 16
#: Changes after which small files are joined and what is new goes into the index.
_CHANGES = 64
#: The process that LanceDB's threads were started in; a forked child finds its parent's number here.
_home: dict[str, int] = {}


class LanceTable:
    """The table `name` at `uri`."""

    def __init__(
        self,
        uri: str | os.PathLike[str],
        name: str,
        dimensions: int | None,
        metric: str,
        storage_options: dict[str, str],
    ) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}", name):
            raise ValidationError(
                f"table: must be letters, digits, '_', '-' and '.' (got {name!r})"
            )
        if metric not in ("cosine", "dot", "l2"):
            raise ValidationError(f"metric: must be 'cosine', 'dot' or 'l2' (got {metric!r})")
        if dimensions is not None and dimensions < 1:
            raise ValidationError(f"dimensions: must be at least 1 (got {dimensions})")
        _stay_at_home()
        try:
            library = importlib.import_module("lancedb")
        except ImportError as missing:
            text = "LanceVectorStore needs the package lancedb: pip install 'graphbit[lancedb]'"
            raise ImportError(text) from missing
        self.uri = os.fspath(uri)
        self.name = name
        self.metric = metric
        #: What a search with an index looks at, unless it is told otherwise: at least what it is asked for.
        self.ef_search = 160
        self._dimensions = dimensions
        self._changes = 0
        folder = None if "://" in self.uri else Path(self.uri)
        try:
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
            self._database: Any = library.connect(
                self.uri, **({"storage_options": storage_options} if storage_options else {})
            )
            self._turns = Turns(folder and folder / f"{name}.lock")
            if self._open() is None and dimensions is not None:
                with self._turns.turn():
                    self._open_or_make(dimensions)
        except GraphbitError:
            raise
        except (OSError, RuntimeError, ValueError) as reason:
            raise StoreError(f"LanceDB at {self.uri} cannot be opened: {reason}") from reason

    def __repr__(self) -> str:
        return f"LanceTable({self.uri!r}, {self.name!r})"

    @property
    def dimensions(self) -> int | None:
        """Values a vector, or ``None`` before the first one."""
        if self._dimensions is None:
            self._open()
        return self._dimensions

    def close(self) -> None:
        """Let go of the database."""
        self._database = None

    # --- what is there ---------------------------------------------------------------------------

    def _open(self) -> Any:
        """Return the table as it is now, or ``None`` before it is made."""
        _stay_at_home()
        if self._database is None:
            raise StoreError(f"the table {self.name} of LanceDB is closed")
        try:
            table = self._database.open_table(self.name)
        except ValueError as missing:
            if "not found" in str(missing):
                return None
            raise
        dimensions, metric = rows.form(table.schema, self.name)
        if metric != self.metric:
            text = f"the table {self.name} was made for the metric '{metric}', not '{self.metric}'"
            raise StoreError(text)
        if dimensions != (self._dimensions or dimensions):
            text = f"the table {self.name} holds vectors of {dimensions} dimensions"
            raise StoreError(f"{text}, not {self._dimensions}")
        self._dimensions = dimensions
        return table

    def _open_or_make(self, dimensions: int) -> Any:
        table = self._open()
        if table is None:
            schema = rows.schema(dimensions, self.metric)
            table = self._database.create_table(self.name, schema=schema)
            self._dimensions = dimensions
        return table

    @staticmethod
    def _read(table: Any, condition: str, columns: list[str]) -> Iterator[Any]:
        """Go through the rows that fulfil a condition, in batches."""
        yield from table.search().where(condition).select(columns).to_batches()

    @staticmethod
    def _first(table: Any, condition: str, limit: int) -> list[Row]:
        """Return the first rows that fulfil a condition."""
        query = table.search().where(condition).select(list(rows.ENTRY))
        found = (
            query.order_by(_in_order(ascending=True))
            .limit(min(limit, table.count_rows() + 1))
            .to_arrow()
        )
        return rows.entries(found)

    def _meant(self, table: Any, where: dict[str, Any], condition: str) -> list[int]:
        """Return the numbers of the rows that are meant, of those that fulfil a condition, in order."""
        meant = Filter(where).matches
        found: list[int] = []
        for batch in self._read(table, condition, ["sequence", "metadata"]):
            metadatas = map(json.loads, batch["metadata"].to_pylist())
            numbers = batch["sequence"].to_pylist()
            found += [
                number
                for number, metadata in zip(numbers, metadatas, strict=True)
                if meant(metadata)
            ]
        return sorted(found)

    def get(self, ids: list[str], /) -> list[Row | None]:
        """Return the entries with these ids, in this order."""
        found: dict[str, Row] = {}
        for batch in self._with_ids(ids, list(rows.ENTRY)):
            found.update((row.id, row) for row in rows.entries(batch))
        return [found.get(name) for name in ids]

    def metadatas(self, ids: list[str], /) -> list[dict[str, str] | None]:
        """Return the metadata of the entries with these ids, in this order."""
        found: dict[str, dict[str, str]] = {}
        for batch in self._with_ids(ids, ["id", "metadata"]):
            metadatas = map(json.loads, batch["metadata"].to_pylist())
            found.update(zip(batch["id"].to_pylist(), metadatas, strict=True))
        return [found.get(name) for name in ids]

    def vectors(self, ids: list[str], /) -> list[NDArray[np.float32] | None]:
        """Return the vectors of the entries with these ids, in this order."""
        found: dict[str, NDArray[np.float32]] = {}
        for batch in self._with_ids(ids, ["id", "vector"]):
            found.update(zip(batch["id"].to_pylist(), rows.vectors(batch), strict=True))
        return [found.get(name) for name in ids]

    def _with_ids(self, ids: Iterable[str], columns: list[str]) -> Iterator[Any]:
        table = self._open()
        wanted = list(dict.fromkeys(ids))
        for first in range(0, len(wanted) if table is not None else 0, _AT_ONCE):
            condition = f"id IN ({listed(wanted[first : first + _AT_ONCE])})"
            yield from self._read(table, condition, columns)

    def entries(
        self, where: dict[str, Any] | None = None, /, *, after: int | None = None, limit: int = 1000
    ) -> list[Row]:
        """Return a page of the entries that `where` means, in order."""
        table = self._open()
        behind = "true" if after is None else f"sequence > {after}"
        return [] if table is None else self._page(table, where, behind, limit)

    def _page(
        self, table: Any, where: dict[str, Any] | None, condition: str, limit: int
    ) -> list[Row]:
        asked = pushed(where)
        condition = all_of(condition, asked.sql)
        if where is None or asked.exact:
            return self._first(table, condition, limit)
        wanted = self._meant(table, where, condition)[:limit]
        found: list[Row] = []
        for first in range(0, len(wanted), _AT_ONCE):
            among = _numbered(wanted[first : first + _AT_ONCE])
            found += self._first(table, among, _AT_ONCE)
        return found

    def count(self, where: dict[str, Any] | None = None, /) -> int:
        """Return how many entries `where` means."""
        table = self._open()
        if table is None:
            return 0
        asked = pushed(where)
        if where is None or asked.exact:
            return int(table.count_rows(asked.sql))
        return len(self._meant(table, where, asked.sql))

    def values(self, key: str, /) -> list[str]:
        """Return the different values of a metadata key."""
        table = self._open()
        found: set[str] = set()
        if table is not None:
            for batch in self._read(table, "true", ["metadata"]):
                metadatas = map(json.loads, batch["metadata"].to_pylist())
                found.update(one[key] for one in metadatas if key in one)
        return list(found)

    # --- what is near ----------------------------------------------------------------------------

    def search(
        self,
        vector: NDArray[np.float32],
        top_k: int,
        /,
        *,
        where: dict[str, Any] | None = None,
        ef_search: int | None = None,
    ) -> list[Hit]:
        """Return the entries most like a vector."""
        table = self._open()
        if table is None:
            return []
        if self.metric == "cosine" and not vector.any():
            # Alike to nothing, and to nothing more than to anything else.
            return [_scored(row, 0.0) for row in self._page(table, where, "true", top_k)]
        indexed = _is_indexed(table, "vector")

        def ask(condition: str, wanted: int) -> tuple[Any, NDArray[np.float32]]:
            query = table.search(vector, vector_column_name="vector", query_type="vector")
            query = query.distance_type(self.metric).where(condition, prefilter=True)
            # The distance is not used, but LanceDB wants it to be asked for.
            query = query.select([*rows.ENTRY, "vector", "_distance"]).limit(wanted)
            sight = max(ef_search or self.ef_search, wanted)
            found = (query.ef(sight) if indexed else query.bypass_vector_index()).to_arrow()
            if indexed and len(found) < wanted:
                # A walk that ended early is no proof that there is no more.
                found = query.bypass_vector_index().to_arrow()
            return found, rows.scores(vector, rows.vectors(found), self.metric)

        hits = self._best(table, top_k, where, ask)
        # LanceDB finds no vectors without a direction: their cosine is not a number to it, and 0 to us.
        if self.metric == "cosine" and (len(hits) < top_k or hits[top_k - 1].score <= 0):
            still = self._page(table, where, "still", top_k)
            hits = _in_rank([*hits, *(_scored(row, 0.0) for row in still)])
        return hits[:top_k]

    def search_words(
        self, words: str, top_k: int, /, *, where: dict[str, Any] | None = None
    ) -> list[Hit]:
        """Return the entries with any of these words, by BM25."""
        table = self._open()
        if table is None:
            return []
        sought = importlib.import_module("lancedb.query").MatchQuery(words, "text")

        def ask(condition: str, wanted: int) -> tuple[Any, NDArray[np.float32]]:
            query = table.search(sought, query_type="fts").where(condition, prefilter=True)
            found = query.select([*rows.ENTRY, "_score"]).limit(wanted).to_arrow()
            return found, found["_score"].to_numpy()

        return self._best(table, top_k, where, ask)[:top_k]

    def _best(
        self,
        table: Any,
        top_k: int,
        where: dict[str, Any] | None,
        ask: Callable[[str, int], tuple[Any, NDArray[np.float32]]],
    ) -> list[Hit]:
        """Ask for more until the last that is wanted has no equals among those that were not asked for."""
        condition, exact = pushed(where)
        meant = None
        if where is not None and not exact:
            among = self._meant(table, where, condition)
            if len(among) > _AT_ONCE:
                meant = Filter(where).matches
            else:
                condition = _numbered(among)
        wanted, most = top_k + _MARGIN, table.count_rows() + 1
        while True:
            wanted = min(wanted, most)
            found, scores = ask(condition, wanted)
            hits = _in_rank(
                _scored(row, float(score))
                for row, score in zip(rows.entries(found), scores, strict=True)
                if meant is None or meant(row.metadata)
            )
            if len(found) < wanted:
                return hits
            if len(hits) >= top_k:
                last = hits[top_k - 1].score
                if float(scores.min()) < last - 1e-5 * max(1.0, abs(last)):
                    return hits
            wanted *= 4

    # --- changes ---------------------------------------------------------------------------------

    def replace(
        self,
        stale: list[str],
        vectors: NDArray[np.float32],
        texts: list[str],
        ids: list[str],
        metadatas: list[dict[str, str]],
        /,
    ) -> None:
        """Remove entries and store others, in one version of the table."""
        with self._turns.turn():
            table = self._open_or_make(int(vectors.shape[1]))
            there = {
                name: number
                for first in range(0, len(ids), _AT_ONCE)
                for batch in self._read(
                    table,
                    f"id IN ({listed(ids[first : first + _AT_ONCE])})",
                    ["id", "sequence"],
                )
                for name, number in zip(
                    batch["id"].to_pylist(), batch["sequence"].to_pylist(), strict=True
                )
            }
            fresh = iter(range(self._next(table), 2**63 - 1))
            numbers = [there[name] if name in there else next(fresh) for name in ids]
            columns = {"id": ids, "sequence": numbers, "text": texts}
            data = rows.table(table.schema, columns, metadatas, vectors)
            if not there and not stale:
                table.add(data)
            else:
                change = table.merge_insert("id").when_matched_update_all()
                change = change.when_not_matched_insert_all()
                if stale:
                    change = change.when_not_matched_by_source_delete(f"id IN ({listed(stale)})")
                change.execute(data)
            self._tidy(table)

    @staticmethod
    def _next(table: Any) -> int:
        """Return a number above all that were given: the time, unless a clock went back."""
        newest = table.search().select(["sequence"]).order_by(_in_order(ascending=False))
        last: list[int] = newest.limit(1).to_arrow()["sequence"].to_pylist()
        return max([time.time_ns(), *(number + 1 for number in last)])

    def delete(self, ids: list[str], /) -> int:
        """Remove entries and return how many there were."""
        return self._delete(f"id IN ({listed(ids)})")

    def delete_where(self, where: dict[str, Any], /) -> int:
        """Remove the entries that `where` means and return how many there were."""
        asked = pushed(where)
        return self._delete(asked.sql, None if asked.exact else where)

    def _delete(self, condition: str, where: dict[str, Any] | None = None) -> int:
        with self._turns.turn():
            table = self._open()
            if table is None:
                return 0
            if where is not None:
                condition = _numbered(self._meant(table, where, condition))
            gone = int(table.delete(condition).num_deleted_rows)
            self._tidy(table)
            return gone

    def _tidy(self, table: Any) -> None:
        self._changes += 1
        if self._changes % _CHANGES == 0:
            # The change is made whatever becomes of this, and must not be told to have failed.
            with contextlib.suppress(OSError, RuntimeError):
                table.optimize()

    def create_index(self, kind: str, m: int | None, ef_construction: int | None) -> None:
        """Make an index, unless it is there."""
        asked = {"m": m, "ef_construction": ef_construction}
        given = {field: value for field, value in asked.items() if value is not None}
        if kind not in ("hnsw", "words"):
            raise ValidationError(f"kind: must be 'hnsw' or 'words' (got {kind!r})")
        if kind == "words" and given:
            raise ValidationError("kind: m and ef_construction are of kind 'hnsw' (got 'words')")
        for field, value in given.items():
            least = 2 if field == "m" else 1
            if value < least:
                raise ValidationError(f"{field}: must be at least {least} (got {value})")
        library = importlib.import_module("lancedb.index")
        if kind == "hnsw":
            column = "vector"
            config = library.HnswSq(distance_type=self.metric, num_partitions=1, **given)
        else:
            column = "text"
            config = library.FTS(stem=False, remove_stop_words=False, ascii_folding=False)
        with self._turns.turn():
            table = self._open()
            if table is None or not table.count_rows():
                raise StoreError(f"the table {self.name} has no vectors yet: nothing to index")
            if not _is_indexed(table, column):
                try:
                    table.create_index(column, config=config)
                except (RuntimeError, ValueError) as reason:
                    text = f"the table {self.name} could not be indexed: {reason}"
                    raise StoreError(text) from reason


def _stay_at_home() -> None:
    here = os.getpid()
    if _home.setdefault("process", here) != here:
        text = "LanceDB was used before this process was forked and would crash in it"
        raise StoreError(f"{text}: start it by 'spawn' or 'forkserver', or fork it before")


def _is_indexed(table: Any, column: str) -> bool:
    return any(column in index.columns for index in table.list_indices())


def _in_rank(hits: Iterable[Hit]) -> list[Hit]:
    return sorted(hits, key=lambda hit: (-hit.score, hit.index))


def _in_order(*, ascending: bool) -> list[Any]:
    ordering = importlib.import_module("lancedb.query").ColumnOrdering
    return [ordering(column_name="sequence", ascending=ascending)]


def _scored(row: Row, score: float) -> Hit:
    return Hit(row.id, row.text, row.metadata, row.index, score)


def _numbered(numbers: list[int]) -> str:
    return f"sequence IN ({', '.join(map(str, numbers))})" if numbers else "false"
