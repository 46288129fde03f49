"""Documents of a Ray dataset into a vector store, by a pool of actors on as many machines as Ray has.

Ray comes with the extra ``graphbit[ray]`` and is used through the dataset alone. Each actor has a client and a
store of its own; what they share is the server behind the store. There is no record of what was done but
the store: to go on after a crash, call it again.

    from graphbit import EmbeddingConfig, PgVectorStore
    from graphbit.ray import ingest_dataset

    outcomes = ingest_dataset(
        ray.data.read_parquet("s3://bucket/articles"),
        store=lambda: PgVectorStore.connect("postgresql://..."),
        embedding=EmbeddingConfig.openai(),
        actors=8,
    )
    failed = outcomes.filter(lambda row: row["error"] is not None)
"""

from __future__ import annotations

import copy
import importlib
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from graphbit import EmbeddingClient, EmbeddingConfig, RecursiveSplitter
from graphbit.exceptions import BadRequestError, GraphbitError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from graphbit import StoredEntry, TextChunk

__all__ = ["Splitter", "Store", "ingest_dataset"]

_FINGERPRINT = "document_fingerprint"
# How many places behind a document's last chunk are asked for at once, in search of a longer past.
_TAIL = 16


class Store(Protocol):
    """What a store must be able to do; those of this package are."""

    def get(self, ids: Sequence[str]) -> Sequence[StoredEntry | None]:
        """Return the entries with these ids, with ``None`` in the places of others."""
        ...

    def replace(
        self,
        stale: Sequence[str],
        vectors: NDArray[np.float32],
        texts: Sequence[str],
        ids: Sequence[str],
        metadatas: Sequence[dict[str, str]],
    ) -> object:
        """Remove the stale entries and store the others, in one change."""
        ...


class Splitter(Protocol):
    """What cuts texts: any of the package's splitters."""

    def split_text(self, text: str) -> list[TextChunk]:
        """Return the pieces of a text, in order."""
        ...


def ingest_dataset(
    dataset: Any,
    *,
    store: Callable[[], Store],
    embedding: EmbeddingConfig | EmbeddingClient,
    splitter: Splitter | None = None,
    source: str = "source",
    text: str = "text",
    metadata: str = "metadata",
    actors: int | tuple[int, int] = 2,
    batch_size: int = 256,
    **ray_options: Any,
) -> Any:
    """Cut, embed and store every row of ``dataset``, and return a dataset of what became of them.

    The rows of the result are in the order of ``dataset``, one for each: ``source`` and ``chunks`` (those the
    store holds of the document), ``unchanged`` (the store had it already) and ``error`` (why nothing of it
    was stored, else null). It is materialized: the work is done when the call returns. A document's chunks have
    the ids ``source#0``, ``source#1``, ... and replace those of its past. A document that the store has as it
    is now, cut in the same way and embedded by the same model, is not embedded again.

    Args:
        dataset: A ``ray.data.Dataset`` with a row for each document.
        store: Called once in each actor, where its credentials must be had; what it returns must be usable by
            several processes at a time, or be another store in each.
        embedding: Travels to the actors as its settings, without its key: that is taken from the environment
            there (``runtime_env={"env_vars": ...}`` of ``ray.init`` sets it).
        splitter: Default recursive, 1000 characters with 100 of overlap. A chunk without any words is left out.
        source: The column of the documents' names, each of them used once.
        text: The column of their texts.
        metadata: The column of mappings that every chunk gets; it need not be there. Keys and values are made
            strings, nulls are left out.
        actors: How many, or the least and the most.
        batch_size: Documents that an actor takes at a time.
        **ray_options: For ``Dataset.map_batches``: ``num_cpus`` of an actor (default 1), ``memory``, ...

    Raises:
        ValidationError: A number is out of its range, or the dataset has no such column.
    """
    least, most = (actors, actors) if isinstance(actors, int) else actors
    if not 1 <= least <= most:
        raise ValidationError(f"actors: must be 1 or more, or two such numbers (got {actors})")
    if batch_size < 1:
        raise ValidationError(f"batch_size: must be at least 1 (got {batch_size})")
    names = dataset.columns()
    for field, column in (("source", source), ("text", text)):
        if names is not None and column not in names:
            raise ValidationError(f"{field}: the dataset has the columns {names}, not '{column}'")
    client = EmbeddingClient(embedding) if isinstance(embedding, EmbeddingConfig) else embedding
    strategy = importlib.import_module("ray.data").ActorPoolStrategy
    mapped = dataset.map_batches(
        _Ingester,
        fn_constructor_args=(store, client, splitter, (source, text, metadata)),
        batch_format="pyarrow",
        batch_size=batch_size,
        compute=strategy(min_size=least, max_size=most),
        **({"num_cpus": 1} | ray_options),
    )
    # Otherwise rows come as their actors get done. A copy: other datasets keep their ways.
    mapped.context.execution_options = copy.copy(mapped.context.execution_options)
    mapped.context.execution_options.preserve_order = True
    return mapped.materialize()


class _Outcome(NamedTuple):
    source: str
    chunks: int = 0
    unchanged: bool = False
    error: str | None = None


class _Cut(NamedTuple):
    """A document on its way."""

    row: int
    source: str
    texts: list[str]
    places: list[tuple[int, int]]
    metadata: dict[str, str]
    fingerprint: str

    def ids(self) -> list[str]:
        return [_id(self.source, number) for number in range(len(self.texts))]

    def metadatas(self) -> list[dict[str, str]]:
        return [
            self.metadata
            | {"source": self.source, "start_char": str(start), "end_char": str(end)}
            | {_FINGERPRINT: self.fingerprint}
            for start, end in self.places
        ]


class _Ingester:
    """What an actor does. Its first argument for each batch is a ``pyarrow.Table``."""

    def __init__(
        self,
        store: Callable[[], Store],
        client: EmbeddingClient,
        splitter: Splitter | None,
        columns: tuple[str, str, str],
    ) -> None:
        self._store = store()
        self._client = client
        self._splitter: Splitter = splitter or RecursiveSplitter(1000, 100, exact=True)
        self._columns = columns
        # As ParallelRAG finds its passages, so that it can answer from the store.
        self._model = repr(client).encode()

    def __call__(self, batch: Any) -> Any:
        outcomes = self.ingest(batch.to_pylist())
        arrow = importlib.import_module("pyarrow")
        kinds = {"source": "string", "chunks": "int64", "unchanged": "bool_", "error": "string"}
        schema = arrow.schema([(name, getattr(arrow, kind)()) for name, kind in kinds.items()])
        return arrow.Table.from_pylist([outcome._asdict() for outcome in outcomes], schema=schema)

    def ingest(self, rows: Sequence[Mapping[str, Any]]) -> list[_Outcome]:
        """Store the documents of some rows and say how it went for each, in order."""
        outcomes: dict[int, _Outcome] = {}
        documents: list[_Cut] = []
        seen: set[str] = set()
        for number, row in enumerate(rows):
            name = row[self._columns[0]]
            source = name if isinstance(name, str) else f"{name}"
            if source in seen:
                twice = f"'{source}' is given twice; every document needs a name of its own"
                outcomes[number] = _Outcome(source, error=twice)
                continue
            seen.add(source)
            try:
                documents.append(self._cut(number, name, row))
            except (TypeError, ValueError) as error:
                outcomes[number] = _failed(source, error)
        try:
            held = self._held(documents)
        except Exception as error:  # noqa: BLE001 - whatever a store raises
            failed = {document.row: _failed(document.source, error) for document in documents}
            outcomes |= failed
        else:
            outcomes |= held
            outcomes |= self._embed(
                [document for document in documents if document.row not in held]
            )
        return [outcomes[number] for number in range(len(rows))]

    def _cut(self, number: int, source: object, row: Mapping[str, Any]) -> _Cut:
        _, text_column, metadata_column = self._columns
        text = row[text_column]
        for column, value in ((self._columns[0], source), (text_column, text)):
            if not isinstance(value, str):
                raise TypeError(f"column '{column}' must hold strings, not {type(value).__name__}")
        chunks = [chunk for chunk in self._splitter.split_text(text) if chunk.content.strip()]
        given: Any = row.get(metadata_column) or ()
        pairs: Iterable[tuple[Any, Any]] = given.items() if hasattr(given, "items") else given
        metadata = {str(key): _written(value) for key, value in pairs if value is not None}
        # The span, where it is one: contents of some splitters lack line breaks, and are to be cited as written.
        texts = [text[chunk.start_char : chunk.end_char] or chunk.content for chunk in chunks]
        places = [(chunk.start_char, chunk.end_char) for chunk in chunks]
        digest = blake2b(self._model, digest_size=32)
        for part in (*sorted(metadata.items()), *zip(places, texts, strict=True)):
            # Its repr, so that no two lists of parts look the same.
            digest.update(repr(part).encode(errors="surrogatepass"))
        # As an ingest marks what was no file: nobody may take it for one that is gone.
        fingerprint = f"{digest.hexdigest()}-text"
        return _Cut(number, str(source), texts, places, metadata, fingerprint)

    def _held(self, documents: list[_Cut]) -> dict[int, _Outcome]:
        """Those the store has, each in so many chunks and no more."""
        ids = [
            [*document.ids(), _id(document.source, len(document.texts))] for document in documents
        ]
        entries = iter(self._store.get([one for some in ids for one in some]) if ids else ())
        held: dict[int, _Outcome] = {}
        for document in documents:
            chunks = len(document.texts)
            *found, behind = [next(entries) for _ in range(chunks + 1)]
            same = all(
                entry is not None and entry.metadata.get(_FINGERPRINT) == document.fingerprint
                for entry in found
            )
            if chunks and same and behind is None:
                held[document.row] = _Outcome(document.source, chunks, unchanged=True)
        return held

    def _embed(self, documents: list[_Cut]) -> dict[int, _Outcome]:
        """Embed and store; a text that is refused costs its own document, not those beside it."""
        texts = [text for document in documents for text in document.texts]
        try:
            vectors = self._client.embed_array(texts)
        except GraphbitError as error:
            if isinstance(error, BadRequestError | ValidationError) and len(documents) > 1:
                return _merged(self._embed([document]) for document in documents)
            return {document.row: _failed(document.source, error) for document in documents}
        return self._keep(documents, vectors)

    def _keep(self, documents: list[_Cut], vectors: NDArray[np.float32]) -> dict[int, _Outcome]:
        """Store all in one change; when that fails, each by itself."""
        try:
            stale = self._gone(documents)
            if not stale and not len(vectors):
                return {document.row: _Outcome(document.source) for document in documents}
            self._store.replace(
                stale,
                vectors,
                [text for document in documents for text in document.texts],
                [entry for document in documents for entry in document.ids()],
                [metadata for document in documents for metadata in document.metadatas()],
            )
        except Exception as error:  # noqa: BLE001 - whatever a store raises
            if len(documents) <= 1:
                return {document.row: _failed(document.source, error) for document in documents}
            ends = [len(document.texts) for document in documents]
            starts = [sum(ends[:number]) for number in range(len(ends))]
            return _merged(
                self._keep([document], vectors[start : start + end])
                for document, start, end in zip(documents, starts, ends, strict=True)
            )
        return {
            document.row: _Outcome(document.source, len(document.texts)) for document in documents
        }

    def _gone(self, documents: list[_Cut]) -> list[str]:
        """The ids of longer pasts."""
        gone: list[str] = []
        waiting = [(document.source, len(document.texts)) for document in documents]
        while waiting:
            ids = [_id(source, start + step) for source, start in waiting for step in range(_TAIL)]
            entries = iter(self._store.get(ids))
            longer: list[tuple[str, int]] = []
            for source, start in waiting:
                found = [next(entries) for _ in range(_TAIL)]
                length = found.index(None) if None in found else _TAIL
                gone += [_id(source, start + step) for step in range(length)]
                if length == _TAIL:
                    longer.append((source, start + _TAIL))
            waiting = longer
        return gone


def _id(source: str, number: int) -> str:
    return f"{source}#{number}"


def _written(value: object) -> str:
    """A value of metadata as filters compare it: `True` stands for "true"."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _merged(parts: Iterable[dict[int, _Outcome]]) -> dict[int, _Outcome]:
    return {row: outcome for part in parts for row, outcome in part.items()}


def _failed(source: str, error: Exception) -> _Outcome:
    return _Outcome(source, error=str(error) or type(error).__name__)
