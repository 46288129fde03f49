"""LlamaIndex: `GraphbitLLM`, `GraphbitEmbedding`, `GraphbitNodeParser`.

>>> from graphbit import LlmConfig
>>> from graphbit.adapters.llama_index import GraphbitLLM
>>> GraphbitLLM(LlmConfig.from_callable(lambda messages: "A heron.")).complete("Name a bird.").text
'A heron.'
"""

from __future__ import annotations

from graphbit.adapters._hosts import missing

try:
    from graphbit.adapters.llama_index.embeddings import GraphbitEmbedding
    from graphbit.adapters.llama_index.llm import GraphbitLLM
    from graphbit.adapters.llama_index.parser import GraphbitNodeParser
except ModuleNotFoundError as error:
    raise missing(error, ("llama_index", "llama_index.core"), "llama-index") from None

__all__ = ["GraphbitEmbedding", "GraphbitLLM", "GraphbitNodeParser"]
