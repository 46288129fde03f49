"""A document splitter for Haystack."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from haystack import Document, component, default_from_dict, default_to_dict

from graphbit.adapters._splitting import Splitting

if TYPE_CHECKING:
    from typing_extensions import Self

    from graphbit.adapters._splitting import Strategy, Unit

__all__ = ["GraphbitDocumentSplitter"]


@component
class GraphbitDocumentSplitter:
    r"""Documents that are slices of the given ones and hold at most `chunk_size` units, overlap included.

    Their metadata is a copy, with `source_id`, `split_id` (counted from 0), `split_idx_start` (in
    characters) and `page_number` (from 1, by form feeds).

    Args:
        chunk_size: Units a chunk.
        chunk_overlap: Units that neighbours may share; less than `chunk_size`.
        strategy: A constructor of `TextSplitterConfig`.
        unit: `words` unless set; or `chars`, `graphemes`, `bytes`, `tokens`.
        encoding: Whose tokens, by the name of an encoding or of a model.
        options: What else the strategy takes, such as `separators`, `language` or `client`.

    Raises:
        ParameterError: The sizes contradict each other, or a name is not known.
    """

    def __init__(
        self,
        chunk_size: int = 200,
        chunk_overlap: int = 0,
        *,
        strategy: Strategy = "sentence",
        unit: Unit | None = "words",
        encoding: str | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        self._splitting = Splitting(
            strategy, chunk_size, chunk_overlap, unit, encoding, options or {}
        )
        # Complains here rather than at the first document.
        self._splitting.splitter()

    def to_dict(self) -> dict[str, Any]:
        """The component as JSON, without a key."""
        return default_to_dict(
            self,
            chunk_size=self._splitting.chunk_size,
            chunk_overlap=self._splitting.chunk_overlap,
            strategy=self._splitting.strategy,
            unit=self._splitting.unit,
            encoding=self._splitting.encoding,
            options=self._splitting.saved_options(),
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The component that `to_dict` described."""
        return default_from_dict(cls, data)

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, list[Document]]:
        """Give the chunks of all documents, in order, as `documents`. Large batches use all cores.

        Raises:
            ValueError: A document has no text.
        """
        texts: list[str] = []
        for document in documents:
            if document.content is None:
                raise ValueError(f"document {document.id!r} has no text to split")
            texts.append(document.content)
        chunked = self._splitting.splitter().split_texts(texts)
        made: list[Document] = []
        for document, text, chunks in zip(documents, texts, chunked, strict=True):
            for number, chunk in enumerate(chunks):
                place = {
                    "source_id": document.id,
                    "split_id": number,
                    "split_idx_start": chunk.start_char,
                    "page_number": 1 + text.count("\f", 0, chunk.start_char),
                }
                made.append(Document(content=chunk.content, meta=deepcopy(document.meta) | place))
        return {"documents": made}
