"""Embedding models."""

from __future__ import annotations

from typing import Any, overload

from graphbit.providers._answers import part
from graphbit.providers._library import imported
from graphbit.providers.litellm._calls import arguments, failing_as

__all__ = ["LiteLLMEmbeddings"]

embedding = imported("litellm", "embedding", extra="litellm")
aembedding = imported("litellm", "aembedding", extra="litellm")


class LiteLLMEmbeddings:
    """Vectors of texts. Without a key litellm reads the service's environment variable.

    Attributes:
        api_key: The key, or None.
        config: Further arguments of the constructor, which are passed to every call.
    """

    def __init__(self, api_key: str | None = None, **kwargs: Any) -> None:
        self.api_key = api_key
        self.config = kwargs

    @overload
    def embed(
        self,
        model: str,
        text: str,
        dimensions: int | None = None,
        encoding_format: str | None = None,
        input_type: str | None = None,
        **kwargs: Any,
    ) -> list[float]: ...
    @overload
    def embed(
        self,
        model: str,
        text: list[str],
        dimensions: int | None = None,
        encoding_format: str | None = None,
        input_type: str | None = None,
        **kwargs: Any,
    ) -> list[list[float]]: ...
    def embed(
        self,
        model: str,
        text: str | list[str],
        dimensions: int | None = None,
        encoding_format: str | None = None,
        input_type: str | None = None,
        **kwargs: Any,
    ) -> list[float] | list[list[float]]:
        """Return the vector of a text, or one for each text of a list, in order.

        Args:
            model: litellm's name for it, such as ``"cohere/embed-english-v3.0"``.
            text: One text or several.
            dimensions: Length of the vectors; sent when given, as the next two are.
            encoding_format: ``"float"`` or ``"base64"``.
            input_type: What the texts are for, where a service asks.
            kwargs: Anything else `litellm.embedding` takes; wins over the constructor's.

        Raises:
            Exception: ``LiteLLM embedding failed: ...``, without the key, from litellm's own error.
        """
        given = _given(dimensions, encoding_format, input_type)
        call = arguments(self.api_key, self.config, given, kwargs)
        texts = [text] if isinstance(text, str) else text
        with failing_as("LiteLLM embedding failed: ", call.get("api_key")):
            vectors = _vectors(embedding(model=model, input=texts, **call), len(texts))
        return vectors[0] if isinstance(text, str) else vectors

    def embed_many(
        self,
        model: str,
        texts: list[str],
        dimensions: int | None = None,
        encoding_format: str | None = None,
        input_type: str | None = None,
        **kwargs: Any,
    ) -> list[list[float]]:
        """Return one vector for each text, in order; otherwise as `embed`."""
        return self.embed(model, list(texts), dimensions, encoding_format, input_type, **kwargs)

    async def aembed(
        self,
        model: str,
        text: str | list[str],
        dimensions: int | None = None,
        encoding_format: str | None = None,
        input_type: str | None = None,
        **kwargs: Any,
    ) -> list[float] | list[list[float]]:
        """Return what `embed` returns, through `litellm.aembedding`.

        Raises:
            Exception: ``LiteLLM async embedding failed: ...``, without the key.
        """
        given = _given(dimensions, encoding_format, input_type)
        call = arguments(self.api_key, self.config, given, kwargs)
        texts = [text] if isinstance(text, str) else text
        with failing_as("LiteLLM async embedding failed: ", call.get("api_key")):
            vectors = _vectors(await aembedding(model=model, input=texts, **call), len(texts))
        return vectors[0] if isinstance(text, str) else vectors

    def get_embedding_dimension(self, model: str, sample_text: str = "test") -> int:
        """Return how long the model's vectors are, by embedding ``sample_text``.

        Raises:
            Exception: ``Failed to get embedding dimension: ...``
        """
        with failing_as("Failed to get embedding dimension: ", self.api_key):
            return len(self.embed(model, sample_text))


def _given(
    dimensions: int | None, encoding_format: str | None, input_type: str | None
) -> dict[str, Any]:
    return {
        "dimensions": dimensions,
        "encoding_format": encoding_format,
        "input_type": input_type,
    }


def _vectors(response: Any, count: int) -> list[Any]:
    """The vectors in the order of the texts: services may answer in another one."""
    rows = list(part(response, "data"))
    if len(rows) != count:
        raise ValueError(f"{len(rows)} embeddings for {count} texts")
    places = [_place(row) for row in rows]
    if sorted(places) == list(range(count)):
        rows = [row for _, row in sorted(zip(places, rows, strict=True), key=lambda pair: pair[0])]
    return [part(row, "embedding") for row in rows]


def _place(row: Any) -> int:
    """The row's own number, or one that no row can have."""
    try:
        place = part(row, "index")
    except (AttributeError, KeyError):
        return -1
    return place if isinstance(place, int) else -1
