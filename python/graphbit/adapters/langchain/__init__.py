"""LangChain: `ChatGraphbit`, `GraphbitEmbeddings`, `GraphbitTextSplitter`, `GraphbitVectorStore`.

>>> from graphbit import LlmConfig
>>> from graphbit.adapters.langchain import ChatGraphbit
>>> ChatGraphbit(LlmConfig.from_callable(lambda messages: "A heron.")).invoke("Name a bird.").text
'A heron.'
"""

from __future__ import annotations

from graphbit.adapters._hosts import missing

try:
    from graphbit.adapters.langchain.chat import ChatGraphbit
    from graphbit.adapters.langchain.embeddings import GraphbitEmbeddings
    from graphbit.adapters.langchain.splitter import GraphbitTextSplitter
    from graphbit.adapters.langchain.store import GraphbitVectorStore
except ModuleNotFoundError as error:
    raise missing(error, ("langchain_core", "langchain_text_splitters"), "langchain") from None

__all__ = ["ChatGraphbit", "GraphbitEmbeddings", "GraphbitTextSplitter", "GraphbitVectorStore"]
