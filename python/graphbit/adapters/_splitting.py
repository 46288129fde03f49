"""A splitter from plain fields, which frameworks can save, compare and send to other processes.

Always in the exact mode: chunks are slices of the text and keep to their size.

>>> Splitting("recursive", 12, 0).splitter().split_text("One heron. Two herons.")[1].start_char
11
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from graphbit import TextSplitter, TextSplitterConfig
from graphbit.adapters._clients import from_data, to_data
from graphbit.exceptions import ValidationError

Strategy: TypeAlias = Literal[
    "character",
    "code",
    "markdown",
    "paragraph",
    "recursive",
    "regex",
    "semantic",
    "sentence",
    "token",
]
Unit: TypeAlias = Literal["chars", "graphemes", "bytes", "words", "tokens"]


@dataclass(frozen=True)
class Splitting:
    """The arguments of one of the constructors of `TextSplitterConfig`."""

    strategy: Strategy
    chunk_size: int
    chunk_overlap: int
    unit: Unit | None = None
    encoding: str | None = None
    options: dict[str, Any] = field(default_factory=dict[str, Any])

    def splitter(self) -> TextSplitter:
        """Make the splitter. Cheap: tables of tokens are loaded once a process.

        Raises:
            ValidationError: There is no such strategy.
            ParameterError: What the constructor refuses.
            TypeError: An option that the strategy does not have.
        """
        if self.strategy not in get_args(Strategy):
            known = ", ".join(get_args(Strategy))
            raise ValidationError(
                f"Validation error: field 'strategy' with value '{self.strategy}': must be one of {known}"
            )
        keywords = {name: from_data(value, "embedding") for name, value in self.options.items()}
        if self.strategy != "semantic":  # which has no other mode
            keywords["exact"] = True
        config = getattr(TextSplitterConfig, self.strategy)(
            chunk_size=self.chunk_size,
            chunk_overlap=self.chunk_overlap,
            unit=self.unit,
            encoding=self.encoding,
            **keywords,
        )
        return TextSplitter(config)

    def saved_options(self) -> dict[str, Any]:
        """The options as JSON, the client of the semantic strategy included."""
        return {name: to_data(value) for name, value in self.options.items()}
