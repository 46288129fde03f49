"""Chat models."""

from __future__ import annotations

from typing import Any

from graphbit.providers._answers import output_content
from graphbit.providers._library import imported

__all__ = ["HuggingfaceLLM"]

InferenceClient = imported("huggingface_hub", "InferenceClient", extra="huggingface")


class HuggingfaceLLM:
    """Chat completions; further arguments of the constructor are those of `InferenceClient`.

    Attributes:
        client: The `huggingface_hub.InferenceClient` underneath.
    """

    client: Any

    def __init__(self, token: str, **kwargs: Any) -> None:
        self.client = InferenceClient(token=token, **kwargs)

    def chat(self, model: str, messages: list[dict[str, Any]], **kwargs: Any) -> Any:
        """Return the hub's `chat_completion` result; it takes the other arguments."""
        return self.client.chat_completion(messages=messages, model=model, **kwargs)

    def get_output_content(self, response: Any) -> Any:
        """Return the text of the first choice of what `chat` returned, an object or a mapping."""
        return output_content(response)
