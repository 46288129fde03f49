"""A text splitter for LangChain."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document
from langchain_text_splitters import TextSplitter

from graphbit.adapters._splitting import Splitting

if TYPE_CHECKING:
    from graphbit.adapters._splitting import Strategy, Unit

__all__ = ["GraphbitTextSplitter"]


class GraphbitTextSplitter(TextSplitter):
    """Chunks that are slices of their text and hold at most `chunk_size` units, overlap included.

    Args:
        chunk_size: Units a chunk.
        chunk_overlap: Units that neighbours may share; less than `chunk_size`.
        strategy: A constructor of `TextSplitterConfig`.
        unit: `chars` unless set; or `graphemes`, `bytes`, `words`, `tokens`.
        encoding: Whose tokens, by the name of an encoding or of a model.
        add_start_index: Adds to the metadata of each chunk, as `start_index`, where it begins in characters.
        options: What else the strategy takes, such as `separators`, `language` or `client`.

    Raises:
        ParameterError: The sizes contradict each other, or a name is not known.
    """

    def __init__(
        self,
        chunk_size: int = 4000,
        chunk_overlap: int = 200,
        *,
        strategy: Strategy = "recursive",
        unit: Unit | None = None,
        encoding: str | None = None,
        add_start_index: bool = False,
        **options: Any,
    ) -> None:
        self._splitting = Splitting(strategy, chunk_size, chunk_overlap, unit, encoding, options)
        # Complains here rather than at the first text, and before LangChain's own checks.
        self._splitting.splitter()
        super().__init__(chunk_size, chunk_overlap, add_start_index=add_start_index)

    def split_text(self, text: str) -> list[str]:
        """The chunks of one text, in order."""
        return [chunk.content for chunk in self._splitting.splitter().split_text(text)]

    def create_documents(
        self, texts: list[str], metadatas: list[dict[Any, Any]] | None = None
    ) -> list[Document]:
        """The chunks of all texts as documents, each with a copy of its text's metadata.

        Large batches use all cores; other threads run meanwhile.

        Raises:
            ValueError: The lists differ in length.
        """
        documents: list[Document] = []
        chunked = self._splitting.splitter().split_texts(texts)
        for chunks, given in zip(chunked, metadatas or [{} for _ in texts], strict=True):
            for chunk in chunks:
                metadata = copy.deepcopy(given)
                if self._add_start_index:
                    metadata["start_index"] = chunk.start_char
                documents.append(Document(page_content=chunk.content, metadata=metadata))
        return documents
