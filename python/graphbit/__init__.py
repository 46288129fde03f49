"""LLM, embedding, splitting and retrieval clients over one shared Rust runtime.

A blocking call works from any thread, also from a callback, a running event loop or a forked child;
every verb that waits has an `_async` twin or returns an awaitable. Importing does no work: the
runtime starts with the first call that needs it.

>>> import graphbit
>>> splitter = graphbit.RecursiveSplitter(40, 0)
>>> [chunk.content for chunk in splitter.split_text("A paragraph of one sentence. And another one.")]
['A paragraph of one sentence', 'And another one.']
"""

from graphbit import exceptions as exceptions
from graphbit import graphbit as graphbit
from graphbit._graphbit import (
    Answer,
    CharacterSplitter,
    Citation,
    DocumentOutcome,
    EmbeddingClient,
    EmbeddingConfig,
    FinishReason,
    IngestProgress,
    IngestReport,
    LlmClient,
    LlmConfig,
    LlmResponse,
    LlmToolCall,
    LlmUsage,
    ParallelRAG,
    RecursiveSplitter,
    SearchHit,
    SentenceSplitter,
    StreamEvent,
    TextChunk,
    TextSplitter,
    TextSplitterConfig,
    TokenSplitter,
    VectorStore,
    configure_runtime,
    count_tokens,
    count_tokens_many,
    decode_tokens,
    encode_tokens,
    get_prices,
    get_system_info,
    health_check,
    init,
    set_prices,
    shutdown,
    truncate_tokens,
    version,
)
from graphbit.exceptions import GraphbitError

__version__ = version()
__author__ = "The graphbit contributors"
__description__ = "LLM, embedding, splitting and retrieval clients over one shared Rust runtime"

__all__ = [
    "Answer",
    "CharacterSplitter",
    "Citation",
    "DocumentOutcome",
    "EmbeddingClient",
    "EmbeddingConfig",
    "FinishReason",
    "GraphbitError",
    "IngestProgress",
    "IngestReport",
    "LlmClient",
    "LlmConfig",
    "LlmResponse",
    "LlmToolCall",
    "LlmUsage",
    "ParallelRAG",
    "RecursiveSplitter",
    "SearchHit",
    "SentenceSplitter",
    "StreamEvent",
    "TextChunk",
    "TextSplitter",
    "TextSplitterConfig",
    "TokenSplitter",
    "VectorStore",
    "__author__",
    "__description__",
    "__version__",
    "configure_runtime",
    "count_tokens",
    "count_tokens_many",
    "decode_tokens",
    "encode_tokens",
    "exceptions",
    "get_prices",
    "get_system_info",
    "health_check",
    "init",
    "set_prices",
    "shutdown",
    "truncate_tokens",
    "version",
]
