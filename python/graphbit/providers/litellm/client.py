"""Chat and embeddings under one key."""

from __future__ import annotations

from typing import Any

from graphbit.providers.litellm.embeddings import LiteLLMEmbeddings
from graphbit.providers.litellm.llm import LiteLLMLLM

__all__ = ["Litellm"]

# Services refuse an embedding request that says how to sample.
_ONLY_FOR_CHAT = frozenset(
    {
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "n",
        "parallel_tool_calls",
        "presence_penalty",
        "reasoning_effort",
        "response_format",
        "seed",
        "stop",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_k",
        "top_logprobs",
        "top_p",
    }
)


class Litellm:
    """Both halves of one account. Without a key litellm reads the service's environment variable.

    Further arguments are passed to every call of litellm, those about sampling to chat only.

    Attributes:
        api_key: The key, or None.
        llm: Chat, a `LiteLLMLLM`.
        embeddings: Vectors, a `LiteLLMEmbeddings`.
    """

    def __init__(self, api_key: str | None = None, **kwargs: Any) -> None:
        self.api_key = api_key
        self.llm = LiteLLMLLM(api_key, **kwargs)
        shared = {name: value for name, value in kwargs.items() if name not in _ONLY_FOR_CHAT}
        self.embeddings = LiteLLMEmbeddings(api_key, **shared)
