"""An embedding model without a server: vectors that tell texts apart, and a record of what was asked."""

from __future__ import annotations

from string import ascii_lowercase


class LetterEmbedder:
    """Counts the letters of each text, in 26 numbers of which none is zero."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, texts: list[str]) -> list[list[float]]:
        self.texts += texts
        return [[text.lower().count(letter) + 0.01 for letter in ascii_lowercase] for text in texts]
