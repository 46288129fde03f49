"""A node parser for LlamaIndex."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from llama_index.core.node_parser.interface import TextSplitter
from llama_index.core.node_parser.node_utils import build_nodes_from_splits, default_id_func
from llama_index.core.schema import TextNode
from pydantic import Field, field_serializer

from graphbit.adapters._clients import to_data
from graphbit.adapters._splitting import Splitting, Strategy, Unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llama_index.core.schema import BaseNode, Document

__all__ = ["GraphbitNodeParser"]

# How LlamaIndex saves its default, which it does not read back.
_SAVED_ID_FUNC = {"id_func_name": default_id_func.__name__, "title": "id_func"}


class GraphbitNodeParser(TextSplitter):
    """Nodes that are slices of their document and hold at most `chunk_size` units, overlap included.

    `start_char_idx` and `end_char_idx` are exact, also where a text repeats itself. Metadata does not
    count towards the size.

    Raises:
        ParameterError: The sizes contradict each other, or a name is not known.
    """

    chunk_size: int = 1024
    """Units a node."""
    chunk_overlap: int = 200
    """Units that neighbours may share; less than `chunk_size`."""
    strategy: Strategy = "sentence"
    """A constructor of `TextSplitterConfig`."""
    unit: Unit | None = "tokens"
    """`tokens` unless set; or `chars`, `graphemes`, `bytes`, `words`."""
    encoding: str | None = None
    """Whose tokens, by the name of an encoding or of a model."""
    options: dict[str, Any] = Field(default_factory=dict)
    """What else the strategy takes, such as `separators`, `language` or `client`."""

    def __init__(self, **fields: Any) -> None:
        if fields.get("id_func") == _SAVED_ID_FUNC:
            del fields["id_func"]
        cast("Any", super()).__init__(**fields)
        # Complains here rather than at the first document.
        self._splitting().splitter()

    @classmethod
    def class_name(cls) -> str:
        """The name in saved data."""
        return "GraphbitNodeParser"

    @field_serializer("options")
    def _save_options(self, options: dict[str, Any]) -> dict[str, Any]:
        return {name: to_data(value) for name, value in options.items()}

    def _splitting(self) -> Splitting:
        return Splitting(
            self.strategy,
            self.chunk_size,
            self.chunk_overlap,
            self.unit,
            self.encoding,
            self.options,
        )

    def split_text(self, text: str) -> list[str]:
        """The chunks of one text, in order."""
        return [chunk.content for chunk in self._splitting().splitter().split_text(text)]

    def split_texts(self, texts: list[str]) -> list[str]:
        """The chunks of all texts, in order; large batches use all cores."""
        chunked = self._splitting().splitter().split_texts(texts)
        return [chunk.content for chunks in chunked for chunk in chunks]

    def _parse_nodes(
        self, nodes: Sequence[BaseNode], show_progress: bool = False, **kwargs: Any
    ) -> list[BaseNode]:
        make_id = cast("Any", self).id_func
        parsed: list[BaseNode] = []
        chunked = self._splitting().splitter().split_texts([node.get_content() for node in nodes])
        for node, chunks in zip(nodes, chunked, strict=True):
            texts = [chunk.content for chunk in chunks]
            made = build_nodes_from_splits(texts, node, id_func=make_id)
            for piece, chunk in zip(made, chunks, strict=True):
                piece.start_char_idx, piece.end_char_idx = chunk.start_char, chunk.end_char
            parsed.extend(made)
        return parsed

    def _postprocess_parsed_nodes(
        self, nodes: list[BaseNode], parent_doc_map: dict[str, Document]
    ) -> list[BaseNode]:
        # LlamaIndex looks for each text in the document, and finds an earlier one that reads the same.
        made = [node for node in nodes if isinstance(node, TextNode)]
        places = [(node.start_char_idx, node.end_char_idx) for node in made]
        processed = super()._postprocess_parsed_nodes(nodes, parent_doc_map)
        for node, (start, end) in zip(made, places, strict=True):
            node.start_char_idx, node.end_char_idx = start, end
        return processed
