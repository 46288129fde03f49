"""Everything Hugging Face offers, under one token."""

from __future__ import annotations

from graphbit.providers.huggingface.embeddings import HuggingfaceEmbeddings
from graphbit.providers.huggingface.inference import HuggingfaceInference
from graphbit.providers.huggingface.llm import HuggingfaceLLM

__all__ = ["Huggingface"]


class Huggingface:
    """Chat, embeddings and images of one account.

    Attributes:
        api_token: The token.
        inference: Images, a `HuggingfaceInference`.
        llm: Chat, a `HuggingfaceLLM`.
        embeddings: Vectors, a `HuggingfaceEmbeddings`.
    """

    def __init__(self, api_token: str) -> None:
        self.api_token = api_token
        self.inference = HuggingfaceInference(api_token)
        self.llm = HuggingfaceLLM(api_token)
        self.embeddings = HuggingfaceEmbeddings(api_token)
