"""Haystack: a chat generator, embedders of texts and documents, and a splitter, as components.

>>> from graphbit import LlmConfig
>>> from graphbit.adapters.haystack import GraphbitChatGenerator
>>> generator = GraphbitChatGenerator(LlmConfig.from_callable(lambda messages: "A heron."))
>>> generator.run("Name a bird.")["replies"][0].text
'A heron.'
"""

from __future__ import annotations

from graphbit.adapters._hosts import missing

try:
    from graphbit.adapters.haystack.chat import GraphbitChatGenerator
    from graphbit.adapters.haystack.embedders import GraphbitDocumentEmbedder, GraphbitTextEmbedder
    from graphbit.adapters.haystack.splitter import GraphbitDocumentSplitter
except ModuleNotFoundError as error:
    raise missing(error, ("haystack",), "haystack") from None

__all__ = [
    "GraphbitChatGenerator",
    "GraphbitDocumentEmbedder",
    "GraphbitDocumentSplitter",
    "GraphbitTextEmbedder",
]
