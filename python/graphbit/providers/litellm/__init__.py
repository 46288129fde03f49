"""The hundred services that litellm speaks to."""

from graphbit.providers.litellm.client import Litellm
from graphbit.providers.litellm.embeddings import LiteLLMEmbeddings
from graphbit.providers.litellm.llm import LiteLLMLLM

__all__ = ["LiteLLMEmbeddings", "LiteLLMLLM", "Litellm"]
