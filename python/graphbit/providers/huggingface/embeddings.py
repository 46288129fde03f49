"""Embedding models and sentence similarity."""

from __future__ import annotations

from typing import Any

from graphbit.providers._library import imported

__all__ = ["HuggingfaceEmbeddings"]

InferenceClient = imported("huggingface_hub", "InferenceClient", extra="huggingface")


class HuggingfaceEmbeddings:
    """Vectors of texts; further arguments of the constructor are those of `InferenceClient`.

    Attributes:
        client: The `huggingface_hub.InferenceClient` underneath.
    """

    client: Any

    def __init__(self, token: str, **kwargs: Any) -> None:
        self.client = InferenceClient(token=token, **kwargs)

    def embed(self, model: str, text: str, **kwargs: Any) -> Any:
        """Return the hub's `feature_extraction` of one text, as lists of floats.

        Models made for sentences answer with one vector, others with one for each token.
        """
        return _listed(self.client.feature_extraction(text=text, model=model, **kwargs))

    def embed_many(self, model: str, text: list[str], **kwargs: Any) -> Any:
        """Return the hub's `feature_extraction` of many texts, as one list for each."""
        return _listed(self.client.feature_extraction(text=text, model=model, **kwargs))

    def similarity(
        self, model: str, sentence: str, other_sentences: list[str], **kwargs: Any
    ) -> Any:
        """Return how similar each of ``other_sentences`` is to ``sentence``, as a list of floats."""
        return _listed(
            self.client.sentence_similarity(
                sentence=sentence, other_sentences=other_sentences, model=model, **kwargs
            )
        )


def _listed(result: Any) -> Any:
    return result.tolist() if hasattr(result, "tolist") else result
