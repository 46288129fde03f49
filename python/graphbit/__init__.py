"""LLM, embedding, splitting and retrieval clients over one shared Rust runtime.

A blocking call works from any thread, also from a callback, a running event loop or a forked child;
every verb that waits has an `_async` twin or returns an awaitable. Importing does no work: the
runtime starts with the first call that needs it.

>>> import graphbit
>>> splitter = graphbit.RecursiveSplitter(40, 0)
>>> [chunk.content for chunk in splitter.split_text("A paragraph of one sentence. And another one.")]
['A paragraph of one sentence', 'And another one.']
"""

from typing import TYPE_CHECKING

from graphbit import exceptions as exceptions
from graphbit import graphbit as graphbit
from graphbit._graphbit import (
    Answer,
    AnswerStream,
    CharacterSplitter,
    Citation,
    DocumentContent,
    DocumentLoader,
    DocumentLoaderConfig,
    DocumentOutcome,
    EmbeddingClient,
    EmbeddingConfig,
    Executor,
    FinishReason,
    IngestProgress,
    IngestReport,
    IngestStream,
    LlmClient,
    LlmConfig,
    LlmResponse,
    LlmToolCall,
    LlmUsage,
    Node,
    ParallelRAG,
    PgVectorStore,
    QdrantVectorStore,
    RecursiveSplitter,
    SearchHit,
    SentenceSplitter,
    StoredEntry,
    StreamEvent,
    TextChunk,
    TextSplitter,
    TextSplitterConfig,
    TokenSplitter,
    VectorStore,
    Workflow,
    WorkflowResult,
    WorkflowStreamIterator,
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

if TYPE_CHECKING:
    from graphbit.resilience import (
        AdaptiveConcurrency,
        Cache,
        CircuitBreaker,
        Hedging,
        RateLimit,
        RetryPolicy,
    )
    from graphbit.tools import (
        ExecutorConfig,
        ToolDecorator,
        ToolExecutor,
        ToolRegistry,
        ToolResult,
        ToolResultCollection,
        clear_tools,
        execute_production_tool_calls,
        execute_tool,
        execute_workflow_tool_calls,
        get_registered_tools,
        get_tool_registry,
        sync_global_tools_to_workflow,
        tool,
    )
    from graphbit.workflows import WorkflowContext
else:
    from graphbit._lazy import resolver

    __getattr__, __dir__ = resolver(__name__)

__version__ = version()
__author__ = "The graphbit contributors"
__description__ = "LLM, embedding, splitting and retrieval clients over one shared Rust runtime"

__all__ = [
    "AdaptiveConcurrency",
    "Answer",
    "AnswerStream",
    "Cache",
    "CharacterSplitter",
    "CircuitBreaker",
    "Citation",
    "DocumentContent",
    "DocumentLoader",
    "DocumentLoaderConfig",
    "DocumentOutcome",
    "EmbeddingClient",
    "EmbeddingConfig",
    "Executor",
    "ExecutorConfig",
    "FinishReason",
    "GraphbitError",
    "Hedging",
    "IngestProgress",
    "IngestReport",
    "IngestStream",
    "LlmClient",
    "LlmConfig",
    "LlmResponse",
    "LlmToolCall",
    "LlmUsage",
    "Node",
    "ParallelRAG",
    "PgVectorStore",
    "QdrantVectorStore",
    "RateLimit",
    "RecursiveSplitter",
    "RetryPolicy",
    "SearchHit",
    "SentenceSplitter",
    "StoredEntry",
    "StreamEvent",
    "TextChunk",
    "TextSplitter",
    "TextSplitterConfig",
    "TokenSplitter",
    "ToolDecorator",
    "ToolExecutor",
    "ToolRegistry",
    "ToolResult",
    "ToolResultCollection",
    "VectorStore",
    "Workflow",
    "WorkflowContext",
    "WorkflowResult",
    "WorkflowStreamIterator",
    "__author__",
    "__description__",
    "__version__",
    "clear_tools",
    "configure_runtime",
    "count_tokens",
    "count_tokens_many",
    "decode_tokens",
    "encode_tokens",
    "exceptions",
    "execute_production_tool_calls",
    "execute_tool",
    "execute_workflow_tool_calls",
    "get_prices",
    "get_registered_tools",
    "get_system_info",
    "get_tool_registry",
    "health_check",
    "init",
    "set_prices",
    "shutdown",
    "sync_global_tools_to_workflow",
    "tool",
    "truncate_tokens",
    "version",
]
