"""Images from text."""

from __future__ import annotations

from typing import Any

from graphbit.providers._library import imported

__all__ = ["HuggingfaceInference"]

InferenceClient = imported("huggingface_hub", "InferenceClient", extra="huggingface")


class HuggingfaceInference:
    """Tasks other than chat and embeddings.

    Attributes:
        client: The `huggingface_hub.InferenceClient` underneath.
    """

    client: Any

    def __init__(self, token: str) -> None:
        self.client = InferenceClient(token=token)

    def generate_image(self, model: str, prompt: str, **kwargs: Any) -> Any:
        """Return the hub's `text_to_image` result, a PIL image; it takes the other arguments."""
        return self.client.text_to_image(prompt=prompt, model=model, **kwargs)
