"""The native module. Import its names from `graphbit`.

Methods named `*_async` and those that return a `Future` need a running event loop; the work has
begun when they return, and cancelling the future cancels the request. Blocking methods release the
interpreter and may be called from anywhere, also from callbacks and running event loops. Unless said
otherwise they raise `graphbit.exceptions.GraphbitError` and its subclasses; arguments of a wrong type
raise `TypeError`.
"""

from asyncio import Future
from collections.abc import (
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from datetime import timedelta
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import (
    Any,
    ClassVar,
    Literal,
    Protocol,
    TypeAlias,
    TypedDict,
    final,
    overload,
    type_check_only,
)

import numpy as np
from numpy.typing import NDArray
from typing_extensions import NotRequired, Self, disjoint_base

from graphbit.exceptions import GraphbitError
from graphbit.resilience import (
    AdaptiveConcurrency,
    Cache,
    CircuitBreaker,
    Hedging,
    RateLimit,
    RetryPolicy,
)
from graphbit.stores import Backend
from graphbit.tools import ToolExecutor

__all__ = [
    "Answer",
    "AnswerStream",
    "BackedStore",
    "CharacterSplitter",
    "Citation",
    "DocumentContent",
    "DocumentLoader",
    "DocumentLoaderConfig",
    "DocumentOutcome",
    "EmbeddingClient",
    "EmbeddingConfig",
    "Executor",
    "Filter",
    "FinishReason",
    "GuardRailPolicyConfig",
    "IngestProgress",
    "IngestReport",
    "IngestStream",
    "LlmClient",
    "LlmConfig",
    "LlmResponse",
    "LlmToolCall",
    "LlmUsage",
    "MemoryClient",
    "MemoryConfig",
    "Node",
    "ParallelRAG",
    "PgVectorStore",
    "PreparedSettings",
    "PyMemory",
    "PyMemoryHistory",
    "PyScoredMemory",
    "QdrantVectorStore",
    "RecursiveSplitter",
    "SearchHit",
    "SentenceSplitter",
    "StoredEntry",
    "StreamEvent",
    "TextChunk",
    "TextSplitter",
    "TextSplitterConfig",
    "TokenSplitter",
    "VectorStore",
    "Workflow",
    "WorkflowResult",
    "WorkflowStreamIterator",
    "_find_documents",
    "_read_document",
    "_read_documents",
    "configure_runtime",
    "count_tokens",
    "count_tokens_many",
    "decode_tokens",
    "encode_tokens",
    "get_prices",
    "get_system_info",
    "health_check",
    "init",
    "prepare_settings",
    "set_prices",
    "shutdown",
    "truncate_tokens",
    "version",
    "without_key",
]

_Vector: TypeAlias = Sequence[float] | NDArray[np.floating[Any]]

_Message: TypeAlias = Mapping[str, Any] | tuple[str, str] | LlmResponse
_Messages: TypeAlias = str | Iterable[_Message]

_ResponseFormat: TypeAlias = Literal["json", "json_object", "text"] | Mapping[str, Any] | type[Any]

@type_check_only
class _Price(TypedDict):
    input: float
    output: float
    cached_input: NotRequired[float]
    cache_write: NotRequired[float]

class _RouteStats(TypedDict):
    provider: str
    model: str
    calls: int
    attempts: int
    hedged: int
    circuit_breaker_state: str
    in_flight: int | None
    concurrency_limit: int | None

class _Resilience(TypedDict):
    routes: list[_RouteStats]
    cache: _CacheStats | None

class _CacheStats(TypedDict):
    hits: int
    disk_hits: int
    misses: int
    shared: int
    hit_ratio: float
    entries: int
    bytes: int

class _Stats(TypedDict):
    total_requests: int
    successful_requests: int
    failed_requests: int
    success_rate: float
    average_response_time_ms: float
    circuit_breaker_state: str
    uptime_seconds: int

@final
class PreparedSettings:
    """What the core made of an object of `graphbit.resilience`."""

    def snapshot(self) -> dict[str, Any]: ...
    def clear(self) -> None: ...

def prepare_settings(settings: object, kind: str) -> PreparedSettings:
    """Checks an object of `graphbit.resilience`; `kind` is what its class calls itself."""

# --- module functions -----------------------------------------------------------------------------

def init(
    log_level: str | None = None,
    enable_tracing: bool | None = None,
    debug: bool | None = None,
) -> None:
    """Starts the runtime and, when asked, logging to standard error. Optional; the first call wins.

    Python's `logging` hears the same without it, under the names `graphbit.*`.

    Args:
        log_level: `trace`, `debug`, `info`, `warn` (the default and what unknown words mean) or `error`.
        enable_tracing: Switches logging on.
        debug: Switches logging on where `enable_tracing` is not given.
    """

def without_key(text: str, key: str) -> str:
    """`text` with `***` in place of `key`, in whatever form it is quoted."""

def version() -> str:
    """This package's version."""

def configure_runtime(
    worker_threads: int | None = None,
    max_blocking_threads: int | None = None,
    thread_stack_size_mb: int | None = None,
) -> None:
    """Sets the sizes of the runtime and starts it; ignored once it exists.

    Args:
        worker_threads: Default one a processor, at most 32.
        max_blocking_threads: Default four times the processors.
        thread_stack_size_mb: Default 2.

    Raises:
        ValueError: A value is not positive.
    """

def get_system_info() -> dict[str, Any]:
    """Facts about the library and its runtime; `runtime_*` sizes appear once the runtime exists."""

def health_check() -> dict[str, Any]:
    """Whether the runtime runs and memory is left; `overall_healthy` sums it up."""

def set_prices(prices: Mapping[str, _Price], replace: bool = False) -> None:
    """Sets what tokens cost, for `LlmResponse.cost`. Applies to the whole process.

    Args:
        prices: US dollars for a million tokens by model, for example
            `{"gpt-4o-mini": {"input": 0.15, "output": 0.6, "cached_input": 0.075}}`. A key
            `provider:model` (`"openai:gpt-4o-mini"`) counts for that provider only, and wins.
            `cached_input` and `cache_write` default to `input`.
        replace: Forgets every other price, the built-in ones included.

    Raises:
        ValidationError: A price is negative, missing or unknown; nothing is changed then.
    """

def get_prices() -> dict[str, _Price]:
    """A copy of the prices in force, in the form that `set_prices` takes.

    At first these are list prices of models whose vendors publish one figure a token; see the
    vendor's page before relying on them.
    """

def shutdown() -> None:
    """Flushes what is buffered. Everything stays usable; may be called any number of times."""

# --- tokens ---------------------------------------------------------------------------------------

def count_tokens(text: str, encoding: str = "cl100k_base") -> int:
    """How many tokens OpenAI's models see in `text`; exactly tiktoken's count, without a network.

    Args:
        text: Any text. The names of special tokens such as `<|endoftext|>` count as ordinary text.
        encoding: `cl100k_base`, `o200k_base`, `p50k_base`, `r50k_base` or `gpt2`, or the name of an
            OpenAI model, which picks the one it uses.

    Raises:
        ParameterError: No encoding or known model has that name.
    """

def count_tokens_many(
    texts: Iterable[str], encoding: str = "cl100k_base", *, max_workers: int | None = None
) -> list[int]:
    """How many tokens each text has, in order. Large batches use all cores, other threads run meanwhile.

    Args:
        texts: Any iterable; what it raises is raised.
        encoding: As for `count_tokens`.
        max_workers: At most so many threads; by default one a core.

    Raises:
        ParameterError: No encoding or known model has that name, or `max_workers` is 0.
    """

def truncate_tokens(text: str, n: int, encoding: str = "cl100k_base") -> str:
    """The longest beginning of `text` that ends with a token and counts at most `n` tokens.

    It consists of whole characters; `n` of 0 gives the empty text. Takes time in proportion to what is
    returned.

    Args:
        text: Any text.
        n: The most tokens `count_tokens` may find in the result.
        encoding: As for `count_tokens`.

    Raises:
        ParameterError: No encoding or known model has that name.
        OverflowError: `n` is negative or beyond 64 bits.
    """

def encode_tokens(text: str, encoding: str = "cl100k_base") -> list[int]:
    """The ids of the tokens of `text`, those of tiktoken's `encode_ordinary`.

    Raises:
        ParameterError: No encoding or known model has that name.
    """

def decode_tokens(ids: Sequence[int], encoding: str = "cl100k_base") -> str:
    """The text of tokens; bytes that are no UTF-8, half a character for instance, become U+FFFD.

    Raises:
        ValidationError: An id is no token of the encoding.
        ParameterError: No encoding or known model has that name.
    """

# --- language models ------------------------------------------------------------------------------

@final
class LlmConfig:
    """Which model answers. Made by its static methods only; compares by value, never shows the key.

    Keyword arguments that several of them take:

    - `base_url` replaces the provider's address; a trailing slash does not matter.
    - `timeout` limits one attempt, in seconds or as a `timedelta`; default 60 s.
    - `headers` are sent with every request.
    - `http_proxy` is the proxy's address; by default the environment decides.

    Addresses and headers are judged by the first request, which then raises `ConfigurationError`.
    """

    @staticmethod
    def openai(
        api_key: str,
        model: str | None = None,
        *,
        api: Literal["chat", "responses"] = "chat",
        base_url: str | None = None,
        timeout: float | timedelta | None = None,
        headers: Mapping[str, str] | None = None,
        http_proxy: str | None = None,
    ) -> LlmConfig:
        """OpenAI.

        Args:
            api_key: At least 20 bytes.
            model: Default `gpt-4o-mini`.
            api: Chat completions, or the Responses API, which knows no seed and no stop texts.

        Raises:
            ValidationError: The key is empty or too short, or `api` is another word.
        """

    @staticmethod
    def anthropic(
        api_key: str,
        model: str | None = None,
        *,
        base_url: str | None = None,
        timeout: float | timedelta | None = None,
        headers: Mapping[str, str] | None = None,
        http_proxy: str | None = None,
    ) -> LlmConfig:
        """Anthropic. The key has at least 15 bytes; the model defaults to `claude-sonnet-4-6`."""

    @staticmethod
    def deepseek(
        api_key: str,
        model: str | None = None,
        *,
        base_url: str | None = None,
        timeout: float | timedelta | None = None,
        headers: Mapping[str, str] | None = None,
        http_proxy: str | None = None,
    ) -> LlmConfig:
        """DeepSeek. The key has at least 8 bytes; the model defaults to `deepseek-flash`."""

    @staticmethod
    def perplexity(
        api_key: str,
        model: str | None = None,
        *,
        base_url: str | None = None,
        timeout: float | timedelta | None = None,
        headers: Mapping[str, str] | None = None,
        http_proxy: str | None = None,
    ) -> LlmConfig:
        """Perplexity. The key has at least 8 bytes; the model defaults to `sonar`."""

    @staticmethod
    def openrouter(
        api_key: str,
        model: str | None = None,
        *,
        base_url: str | None = None,
        timeout: float | timedelta | None = None,
        headers: Mapping[str, str] | None = None,
        http_proxy: str | None = None,
    ) -> LlmConfig:
        """OpenRouter. The key has at least 8 bytes; the model defaults to `openai/gpt-4o-mini`."""

    @staticmethod
    def fireworks(
        api_key: str,
        model: str | None = None,
        *,
        base_url: str | None = None,
        timeout: float | timedelta | None = None,
        headers: Mapping[str, str] | None = None,
        http_proxy: str | None = None,
    ) -> LlmConfig:
        """Fireworks. The key has at least 8 bytes.

        The model defaults to `accounts/fireworks/models/llama-v3p1-8b-instruct`.
        """

    @staticmethod
    def togetherai(
        api_key: str,
        model: str | None = None,
        *,
        base_url: str | None = None,
        timeout: float | timedelta | None = None,
        headers: Mapping[str, str] | None = None,
        http_proxy: str | None = None,
    ) -> LlmConfig:
        """Together. The key has at least 8 bytes; the model defaults to `openai/gpt-oss-20b`."""

    @staticmethod
    def xai(
        api_key: str,
        model: str | None = None,
        *,
        base_url: str | None = None,
        timeout: float | timedelta | None = None,
        headers: Mapping[str, str] | None = None,
        http_proxy: str | None = None,
    ) -> LlmConfig:
        """Grok, by xAI. The key has at least 8 bytes; the model defaults to `grok-4`."""

    @staticmethod
    def mistralai(
        api_key: str,
        model: str | None = None,
        *,
        base_url: str | None = None,
        timeout: float | timedelta | None = None,
        headers: Mapping[str, str] | None = None,
        http_proxy: str | None = None,
    ) -> LlmConfig:
        """Mistral. The key has at least 8 bytes; the model defaults to `mistral-large-latest`."""

    @staticmethod
    def gemini(
        api_key: str,
        model: str | None = None,
        *,
        base_url: str | None = None,
        timeout: float | timedelta | None = None,
        headers: Mapping[str, str] | None = None,
        http_proxy: str | None = None,
    ) -> LlmConfig:
        """Gemini. The key has at least 8 bytes; the model defaults to `gemini-3.5-flash-lite`."""

    @staticmethod
    def openrouter_with_site(
        api_key: str,
        model: str | None = None,
        site_url: str | None = None,
        site_name: str | None = None,
        *,
        base_url: str | None = None,
        timeout: float | timedelta | None = None,
        headers: Mapping[str, str] | None = None,
        http_proxy: str | None = None,
    ) -> LlmConfig:
        """OpenRouter, told in headers which site calls it."""

    @staticmethod
    def ai21(
        api_key: str,
        model: str | None = None,
        organization: str | None = None,
        *,
        base_url: str | None = None,
        timeout: float | timedelta | None = None,
        headers: Mapping[str, str] | None = None,
        http_proxy: str | None = None,
    ) -> LlmConfig:
        """AI21. The key has at least 8 bytes; the model defaults to `jamba-mini`.

        The organization travels in a header.
        """

    @staticmethod
    def replicate(
        api_key: str,
        model: str | None = None,
        version: str | None = None,
        *,
        base_url: str | None = None,
        timeout: float | timedelta | None = None,
        headers: Mapping[str, str] | None = None,
        http_proxy: str | None = None,
    ) -> LlmConfig:
        """Replicate. One call makes one prediction, waits for it, and cancels it when nobody waits any more.

        Args:
            api_key: At least 8 bytes.
            model: Default `openai/gpt-5`.
            version: Runs that version instead of the model's latest.
            timeout: How long to wait for a prediction; default 300 s.
        """

    @staticmethod
    def bytedance(
        api_key: str,
        model: str | None = None,
        base_url: str | None = None,
        *,
        timeout: float | timedelta | None = None,
        headers: Mapping[str, str] | None = None,
        http_proxy: str | None = None,
    ) -> LlmConfig:
        """ByteDance's ModelArk. The key has at least 8 bytes; the model defaults to `seed-1-6-250915`.

        The region is part of `base_url`.
        """

    @staticmethod
    def azurellm(
        api_key: str,
        deployment_name: str,
        endpoint: str,
        api_version: str | None = None,
        *,
        api: Literal["auto", "chat", "responses"] = "auto",
        base_url: str | None = None,
        timeout: float | timedelta | None = None,
        headers: Mapping[str, str] | None = None,
        http_proxy: str | None = None,
    ) -> LlmConfig:
        """An Azure OpenAI deployment.

        Args:
            api_key: At least 8 bytes.
            deployment_name: Stands for the model.
            endpoint: The resource's address, `https://<name>.openai.azure.com`.
            api_version: Default `2024-10-21` on the chat route.
            api: The route; `auto` guesses it from the deployment's name.
        """

    @staticmethod
    def ollama(
        model: str | None = None,
        *,
        base_url: str | None = None,
        timeout: float | timedelta | None = None,
        headers: Mapping[str, str] | None = None,
        http_proxy: str | None = None,
    ) -> LlmConfig:
        """Ollama, at `base_url`, else at `OLLAMA_HOST`, else on this machine.

        Args:
            model: Default `llama3.2`. It is not downloaded.
        """

    @staticmethod
    def huggingface(
        api_key: str,
        model: str | None = None,
        *,
        base_url: str | None = None,
        timeout: float | timedelta | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> LlmConfig:
        """Hugging Face's inference providers, through the package `huggingface_hub`.

        Requests go to `chat` of a `graphbit.providers.huggingface.llm.HuggingfaceLLM`, which is made
        here and gets the keyword arguments; `provider()` is `python_bridge`. No streaming. Equal only
        to itself.

        Args:
            api_key: At least 10 bytes.
            model: Default `microsoft/DialoGPT-medium`.

        Raises:
            ImportError: The package is missing: `pip install 'graphbit[huggingface]'`.
            RuntimeError: The class refused its arguments.
        """

    @staticmethod
    def litellm(
        api_key: str | None = None,
        model: str | None = None,
        *,
        base_url: str | None = None,
        timeout: float | timedelta | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> LlmConfig:
        """Whatever the package `litellm` speaks to.

        As `huggingface`, through `graphbit.providers.litellm.llm.LiteLLMLLM`. The key and the keyword
        arguments are passed to every call of litellm (`base_url` as `api_base`, `headers` as
        `extra_headers`); no environment variable is written.

        Args:
            api_key: At least 8 bytes. Without it litellm reads the service's environment variable.
            model: litellm's name for it, such as `anthropic/claude-sonnet-4-5`; default `gpt-3.5-turbo`.

        Raises:
            ImportError: The package is missing: `pip install 'graphbit[litellm]'`.
            RuntimeError: The class refused its arguments.
        """

    @staticmethod
    def openai_compatible(
        base_url: str,
        model: str,
        api_key: str | None = None,
        *,
        timeout: float | timedelta | None = None,
        headers: Mapping[str, str] | None = None,
        http_proxy: str | None = None,
    ) -> LlmConfig:
        """Any server that speaks OpenAI's chat completions below `base_url`.

        Args:
            base_url: Without `/chat/completions`, for example `http://localhost:8000/v1`.
            model: What the server calls it.
            api_key: Sent as bearer token when given.
        """

    @staticmethod
    def from_callable(function: Callable[..., Any], *, model: str = "callable") -> LlmConfig:
        """A function of yours in place of a provider.

        Args:
            function: Called as `function(messages, **options)` with OpenAI-shaped message dicts and
                the options that were set (`max_tokens`, `temperature`). Returns a `str`, a mapping
                or an `LlmResponse`. May be a coroutine function, may block, and may call clients; it
                runs on a thread of its own. What it raises, the call raises.
            model: The name to report.
        """

    @staticmethod
    def extractive() -> LlmConfig:
        """No language model: quotes the sentences of the given passages that fit the question best.

        Needs no key and no network, and its answers say what they are.
        """

    @staticmethod
    def from_env(
        provider: str | None = None,
        model: str | None = None,
        *,
        timeout: float | timedelta | None = None,
        headers: Mapping[str, str] | None = None,
        http_proxy: str | None = None,
    ) -> LlmConfig:
        """What the environment describes.

        Args:
            provider: A name such as `"openai"` or `"azurellm"`. Unset: `GRAPHBIT_PROVIDER`, else the first
                provider whose key is set, else Ollama if `OLLAMA_HOST` is set, else the compatible
                server at `OPENAI_BASE_URL`.
            model: Unset: `OPENAI_MODEL`, `OLLAMA_MODEL`, `AZURE_OPENAI_DEPLOYMENT` for theirs, else
                `GRAPHBIT_MODEL`, else the provider's default. Where `GRAPHBIT_PROVIDER` is set,
                `GRAPHBIT_MODEL` is meant for that provider only.
            timeout: Seconds, or a `timedelta`, for one attempt.
            headers: Sent with every request.
            http_proxy: The proxy's address.

        Raises:
            ConfigurationError: Nothing usable is set; the message names the variables.
        """

    def with_portable_key(self) -> LlmConfig:
        """An equal configuration whose pickles carry the key.

        Without it, a pickle holds everything but the key, which is read from the environment where the
        pickle is loaded; a configuration with credentials in its headers or proxy, or with a key that no
        variable could hold, refuses to pickle (`ConfigurationError`). Treat such a pickle like the key.
        """

    def __copy__(self) -> Self: ...
    def __deepcopy__(self, memo: Any, /) -> Self: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    def provider(self) -> str:
        """The provider's name."""

    def model(self) -> str:
        """The model's or deployment's name."""

    def cleanup(self) -> bool:
        """Kept for programs that call it; nothing needs cleaning, and clients go on working.

        `True` the first time on a `huggingface` configuration, else `False`.
        """

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> bool: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

_Llm: TypeAlias = LlmConfig | LlmClient

@final
class LlmClient:
    """A client for one configuration. Share it between threads, event loops and forked children.

    It pickles as its configuration and settings; the copy has a circuit breaker and statistics of its
    own.

    Failures that can heal are tried again: four attempts, pauses from 100, 200 and 400 ms on or what the
    server asks for. When half of the last calls failed, five at least, the circuit breaker opens for 60 s.
    After a refusal with 429 fewer requests are under way at once. `graphbit.resilience` has the settings.

    Args of the calls:
        prompt: Not empty.
        max_tokens: At least 1; default the provider's.
        temperature: 0.0 to 2.0; default the provider's.
        enable_prompt_caching: Kept for providers that have such a switch.
    """

    def __new__(
        cls,
        config: _Llm | Sequence[_Llm],
        debug: bool | None = None,
        *,
        retry: RetryPolicy | None = None,
        circuit_breaker: CircuitBreaker | Literal[False] | None = None,
        rate_limit: RateLimit | None = None,
        concurrency: AdaptiveConcurrency | Literal[False] | None = None,
        hedging: Hedging | None = None,
        cache: Cache | None = None,
        fallbacks: _Llm | Sequence[_Llm] | None = None,
        order: Literal["ordered", "weighted", "cheapest"] = "ordered",
        weights: Sequence[float] | None = None,
    ) -> Self:
        """Connects to nothing yet.

        Args:
            config: The model, or several: the next is asked when one has no answer.
            debug: Adds log lines.
            retry: How often, how fast and how long to try.
            circuit_breaker: When to stop asking a server that does not answer; `False` is never.
            rate_limit: Requests and tokens a minute, of the first model.
            concurrency: Requests under way at once, of the first model; `False` is no limit for any.
            hedging: Send a second copy when an answer is late.
            cache: Keep answers. They are those of the first model, whoever gave them.
            fallbacks: Models to ask after those of `config`. One that is given as a client brings its own
                settings; one that is given as a configuration has retry, breaker and hedging of its
                own with these settings, the usual limit of concurrency, and no rate limit.
            order: As they are listed, drawn by `weights`, or the cheapest first by `get_prices`.
            weights: For `order="weighted"`, one for each model.

        Raises:
            TypeError: A model or settings of another class.
            ValueError: No model, or an order and weights that do not fit together.
        """

    def complete(
        self,
        prompt: str,
        max_tokens: int | None = None,
        temperature: float | None = None,
        enable_prompt_caching: bool = False,
    ) -> str:
        """One answer's text. Blocks; the interpreter is released and Ctrl-C is heard."""

    def complete_async(
        self,
        prompt: str,
        max_tokens: int | None = None,
        temperature: float | None = None,
        enable_prompt_caching: bool = False,
    ) -> Future[str]:
        """`complete` without blocking."""

    def complete_full(
        self,
        prompt: str,
        max_tokens: int | None = None,
        temperature: float | None = None,
        enable_prompt_caching: bool = False,
    ) -> LlmResponse:
        """One answer with usage, finish reason and the rest. `max_tokens` at most 100,000."""

    def complete_full_async(
        self,
        prompt: str,
        max_tokens: int | None = None,
        temperature: float | None = None,
        enable_prompt_caching: bool = False,
    ) -> Future[LlmResponse]:
        """`complete_full` without blocking."""

    def complete_batch(
        self,
        prompts: Sequence[str],
        max_tokens: int | None = None,
        temperature: float | None = None,
        max_concurrency: int | None = None,
    ) -> Future[list[str]]:
        """One entry for each prompt, in their order; a failed one reads `Error: <Type>: <message>`.

        A future that was cancelled has the attribute `results`, with `None` for what was not finished.

        Args:
            prompts: 1 to 1000. An empty one is answered by an error in its place, without traffic.
            max_tokens: As above.
            temperature: As above.
            max_concurrency: Requests under way at once; default twice the processors, but 5 to 20.
        """

    @overload
    def complete_many(
        self,
        prompts: Iterable[str],
        max_tokens: int | None = None,
        temperature: float | None = None,
        *,
        max_concurrency: int | None = None,
        on_error: Literal["raise"] = "raise",
        on_progress: Callable[[int, int], object] | None = None,
        enable_prompt_caching: bool = False,
        full: Literal[False] = False,
    ) -> list[str]:
        """One answer for each prompt, in their order, however many they are.

        A request is made when its turn has come, so a million prompts cost their texts and their
        answers. Each is tried again as `complete` does.

        Args:
            prompts: Any iterable of str, read to its end first. Empty gives an empty list.
            max_tokens: As above.
            temperature: As above.
            max_concurrency: Requests under way at once, each with a connection of its own; default
                256, which leaves room in the usual limit of 1024 open files.
            on_error: `"raise"` cancels the rest at the first failure and raises it; an empty prompt is
                then refused before anything is sent. `"return"` puts exceptions into the list.
            on_progress: Called with `(done, total)` at most 20 times a second and once at the end, on a
                thread of its own. What it raises ends the call.
            enable_prompt_caching: As above.
            full: Whole `LlmResponse`s instead of texts.

        Raises:
            GraphbitError: The first failure. Its `index` is that of the prompt, and its `results`
                hold what was finished by then, `None` in the other places.
            KeyboardInterrupt: Ctrl-C. It, and whatever a signal's handler raises, has `results` as well.
        """

    @overload
    def complete_many(
        self,
        prompts: Iterable[str],
        max_tokens: int | None = None,
        temperature: float | None = None,
        *,
        max_concurrency: int | None = None,
        on_error: Literal["raise"] = "raise",
        on_progress: Callable[[int, int], object] | None = None,
        enable_prompt_caching: bool = False,
        full: Literal[True],
    ) -> list[LlmResponse]: ...
    @overload
    def complete_many(
        self,
        prompts: Iterable[str],
        max_tokens: int | None = None,
        temperature: float | None = None,
        *,
        max_concurrency: int | None = None,
        on_error: Literal["return"],
        on_progress: Callable[[int, int], object] | None = None,
        enable_prompt_caching: bool = False,
        full: Literal[False] = False,
    ) -> list[str | Exception]: ...
    @overload
    def complete_many(
        self,
        prompts: Iterable[str],
        max_tokens: int | None = None,
        temperature: float | None = None,
        *,
        max_concurrency: int | None = None,
        on_error: Literal["return"],
        on_progress: Callable[[int, int], object] | None = None,
        enable_prompt_caching: bool = False,
        full: Literal[True],
    ) -> list[LlmResponse | Exception]: ...
    @overload
    def complete_many(
        self,
        prompts: Iterable[str],
        max_tokens: int | None = None,
        temperature: float | None = None,
        *,
        max_concurrency: int | None = None,
        on_error: Literal["raise", "return"] = "raise",
        on_progress: Callable[[int, int], object] | None = None,
        enable_prompt_caching: bool = False,
        full: bool = False,
    ) -> list[Any]: ...
    @overload
    def complete_many_async(
        self,
        prompts: Iterable[str],
        max_tokens: int | None = None,
        temperature: float | None = None,
        *,
        max_concurrency: int | None = None,
        on_error: Literal["raise"] = "raise",
        on_progress: Callable[[int, int], object] | None = None,
        enable_prompt_caching: bool = False,
        full: Literal[False] = False,
    ) -> Future[list[str]]:
        """`complete_many` without blocking.

        Cancelling the future cancels every request and gives it the attribute `results`: the list, with
        `None` for what was not finished.
        """

    @overload
    def complete_many_async(
        self,
        prompts: Iterable[str],
        max_tokens: int | None = None,
        temperature: float | None = None,
        *,
        max_concurrency: int | None = None,
        on_error: Literal["raise"] = "raise",
        on_progress: Callable[[int, int], object] | None = None,
        enable_prompt_caching: bool = False,
        full: Literal[True],
    ) -> Future[list[LlmResponse]]: ...
    @overload
    def complete_many_async(
        self,
        prompts: Iterable[str],
        max_tokens: int | None = None,
        temperature: float | None = None,
        *,
        max_concurrency: int | None = None,
        on_error: Literal["return"],
        on_progress: Callable[[int, int], object] | None = None,
        enable_prompt_caching: bool = False,
        full: Literal[False] = False,
    ) -> Future[list[str | Exception]]: ...
    @overload
    def complete_many_async(
        self,
        prompts: Iterable[str],
        max_tokens: int | None = None,
        temperature: float | None = None,
        *,
        max_concurrency: int | None = None,
        on_error: Literal["return"],
        on_progress: Callable[[int, int], object] | None = None,
        enable_prompt_caching: bool = False,
        full: Literal[True],
    ) -> Future[list[LlmResponse | Exception]]: ...
    @overload
    def complete_many_async(
        self,
        prompts: Iterable[str],
        max_tokens: int | None = None,
        temperature: float | None = None,
        *,
        max_concurrency: int | None = None,
        on_error: Literal["raise", "return"] = "raise",
        on_progress: Callable[[int, int], object] | None = None,
        enable_prompt_caching: bool = False,
        full: bool = False,
    ) -> Future[list[Any]]: ...
    def chat(
        self,
        messages: _Messages,
        tools: Iterable[Any] | None = None,
        tool_choice: str | Mapping[str, Any] | None = None,
        response_format: _ResponseFormat | None = None,
        stop: str | Iterable[str] | None = None,
        seed: int | None = None,
        top_p: float | None = None,
        extra_body: Mapping[str, Any] | None = None,
        *,
        max_tokens: int | None = None,
        temperature: float | None = None,
        enable_prompt_caching: bool = False,
        include_raw: bool = False,
    ) -> LlmResponse:
        """Answers a conversation, with tools, formats and the other options of chat models.

        To go on, append the answer itself (its tool calls come with it) and what is said next::

            messages += [answer, {"role": "tool", "tool_call_id": call.id, "content": "21 degrees"}]

        Args:
            messages: A str for one prompt, or the turns, oldest first. Each is an OpenAI-shaped mapping
                (`role` is `system`, `user`, `assistant` or `tool`, or `developer`, which is sent as
                `system`; `content` is text, a
                list of text parts put together as they are, or nothing beside `tool_calls`), a
                `(role, content)` tuple, or an `LlmResponse` for the assistant's turn. `name` and
                unknown keys are not sent.
            tools: OpenAI-shaped mappings, flat ones with `name`, `description` and `parameters` (a JSON
                schema), or objects with `to_dict()` or these attributes. Other keys are not sent.
            tool_choice: `"auto"` (the default), `"none"`, `"required"`, a tool's name, or OpenAI's
                mapping. Needs tools.
            response_format: The answer is JSON: `"json"` for any object, a JSON schema, OpenAI's
                mappings, or a pydantic model class. `LlmResponse.parsed` then holds what it was read
                as. Providers that can are asked to guarantee the schema wherever it allows that.
            stop: Texts that end the answer.
            seed: Makes sampling repeatable, where the provider has one.
            top_p: 0.0 to 1.0.
            extra_body: Fields added to the request's body; they win over those of this call.
            max_tokens: As above.
            temperature: As above.
            enable_prompt_caching: As above.
            include_raw: Keeps the server's whole answer in `LlmResponse.raw`.

        Raises:
            ValidationError: An argument is unusable; it names the place, such as
                `messages[2].content`. Only text can be sent.
            ResponseError: The answer is not in the format asked for; `error.response` is that answer.
        """

    def chat_async(
        self,
        messages: _Messages,
        tools: Iterable[Any] | None = None,
        tool_choice: str | Mapping[str, Any] | None = None,
        response_format: _ResponseFormat | None = None,
        stop: str | Iterable[str] | None = None,
        seed: int | None = None,
        top_p: float | None = None,
        extra_body: Mapping[str, Any] | None = None,
        *,
        max_tokens: int | None = None,
        temperature: float | None = None,
        enable_prompt_caching: bool = False,
        include_raw: bool = False,
    ) -> Future[LlmResponse]:
        """`chat` without blocking."""

    def stream_events(
        self,
        messages: _Messages,
        tools: Iterable[Any] | None = None,
        tool_choice: str | Mapping[str, Any] | None = None,
        response_format: _ResponseFormat | None = None,
        stop: str | Iterable[str] | None = None,
        seed: int | None = None,
        top_p: float | None = None,
        extra_body: Mapping[str, Any] | None = None,
        *,
        max_tokens: int | None = None,
        temperature: float | None = None,
        enable_prompt_caching: bool = False,
    ) -> EventIterator:
        """`chat` as typed events while they arrive. The request is sent on first use.

        The last event, of type `done`, holds the whole answer as `response`. With a
        `response_format`, `ResponseError` is raised in its place if the answer does not fit.
        """

    def chat_optimized(
        self,
        messages: Sequence[tuple[str, str]],
        max_tokens: int | None = None,
        temperature: float | None = None,
        enable_prompt_caching: bool = False,
    ) -> Future[str]:
        """Answers a conversation.

        Args:
            messages: `(role, content)` tuples with the roles `system`, `assistant` and `user`; any
                other counts as `user`. Entries without content are skipped.
            max_tokens: As above.
            temperature: As above.
            enable_prompt_caching: As above.

        Raises:
            ValidationError: At once for an empty list, when awaited if no entry has content.
        """

    def stream(
        self,
        prompt: str,
        max_tokens: int | None = None,
        temperature: float | None = None,
    ) -> StreamIterator:
        """The answer's text as it arrives. The request is sent on first use."""

    def complete_stream(
        self,
        prompt: str,
        max_tokens: int | None = None,
        temperature: float | None = None,
    ) -> StreamIterator:
        """The same as `stream`."""

    def warmup(self) -> Future[str]:
        """Sends one small request, once, so that the first real one finds a connection."""

    def get_stats(self) -> _Stats:
        """Numbers of this client's calls, and its circuit breaker's state (the first model's)."""

    def get_resilience(self) -> _Resilience:
        """What the layers before each model were doing, and the cache, if there is one."""

    def reset_stats(self) -> None:
        """Sets the counters to zero; circuit breaker and uptime go on."""

    def __getnewargs_ex__(self) -> tuple[tuple[Any, ...], dict[str, Any]]: ...

@final
class StreamIterator:
    """The text of one answer, piece by piece, for `for` and `async for`. Dropping it cancels.

    There is no limit on the whole, only on silence (30 s between pieces). After the end it goes on
    saying that it has ended. A stream counts in `LlmClient.get_stats` when it has ended.
    """

    def __iter__(self) -> Self: ...
    def __next__(self) -> str: ...
    def __aiter__(self) -> Self: ...
    def __anext__(self) -> Future[str]: ...
    def streaming_response(self) -> Future[str]:
        """Writes each remaining piece to `sys.stdout` and resolves to all of them together."""

    def close(self) -> None:
        """Ends the stream: the request is cancelled and its connection freed. May be called twice."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None: ...
    def __aenter__(self) -> Future[Self]: ...
    def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> Future[None]: ...
    @property
    def usage(self) -> LlmUsage | None:
        """Tokens used, once the stream has ended and if the provider said so."""

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the model stopped, once the stream has ended."""

    @property
    def response(self) -> LlmResponse | None:
        """The whole answer, put together from the stream, once it has ended well."""

@final
class EventIterator:
    """The events of one answer, for `for` and `async for`. Dropping it cancels, as with text streams."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> StreamEvent: ...
    def __aiter__(self) -> Self: ...
    def __anext__(self) -> Future[StreamEvent]: ...
    def close(self) -> None:
        """Ends the stream: the request is cancelled and its connection freed. May be called twice."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None: ...
    def __aenter__(self) -> Future[Self]: ...
    def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> Future[None]: ...
    @property
    def response(self) -> LlmResponse | None:
        """The whole answer, once the stream has ended well."""

@final
class StreamEvent:
    """One event of a streamed answer. Compares by value; fields of other types are `None`.

    | type | fields |
    |---|---|
    | `text` | `text`, a piece of the answer |
    | `reasoning` | `text`, a piece of what the model thinks; no part of the answer |
    | `tool_call` | `index`, `arguments` (a piece of JSON text), and `id` and `name` in the first piece |
    | `done` | `finish_reason`, `usage` if the provider says so, `metadata`, `response` |
    """

    @property
    def type(self) -> Literal["text", "reasoning", "tool_call", "done"]: ...
    @property
    def text(self) -> str | None:
        """Never empty."""

    @property
    def index(self) -> int | None:
        """Pieces with the same index belong to the same call."""

    @property
    def id(self) -> str | None: ...
    @property
    def name(self) -> str | None: ...
    @property
    def arguments(self) -> str | None: ...
    @property
    def usage(self) -> LlmUsage | None: ...
    @property
    def finish_reason(self) -> FinishReason | None: ...
    @property
    def metadata(self) -> dict[str, str] | None:
        """What else the provider said: JSON text by key."""

    @property
    def response(self) -> LlmResponse | None:
        """The whole answer, in the same shape as one that was not streamed."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

# --- value types of chat --------------------------------------------------------------------------

@final
class LlmUsage:
    """Tokens of one request, or a sum over several. Compares by value, copies and pickles."""

    def __new__(cls, prompt_tokens: int, completion_tokens: int) -> Self: ...
    @staticmethod
    def empty() -> LlmUsage:
        """All zero."""

    @staticmethod
    def from_dict(data: dict[str, Any]) -> LlmUsage:
        """Reads `prompt_tokens` and `completion_tokens`; other keys are ignored.

        Raises:
            KeyError: One of them is missing.
        """

    @property
    def prompt_tokens(self) -> int: ...
    @property
    def completion_tokens(self) -> int: ...
    @property
    def total_tokens(self) -> int: ...
    @property
    def cache_read_tokens(self) -> int | None: ...
    @property
    def cache_creation_tokens(self) -> int | None: ...
    @property
    def reasoning_tokens(self) -> int | None:
        """Part of the completion spent on reasoning, where the provider reports it."""

    def to_dict(self) -> dict[str, int | None]: ...
    def add(self, other: LlmUsage) -> None:
        """Adds in place."""

    def __add__(self, other: LlmUsage, /) -> LlmUsage: ...
    def __radd__(self, other: LlmUsage, /) -> LlmUsage: ...
    def __iadd__(self, other: LlmUsage, /) -> Self: ...
    def __eq__(self, other: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class FinishReason:
    """Why the model stopped. Compares by value, copies and pickles."""

    @staticmethod
    def stop() -> FinishReason: ...
    @staticmethod
    def length() -> FinishReason: ...
    @staticmethod
    def tool_calls() -> FinishReason: ...
    @staticmethod
    def content_filter() -> FinishReason: ...
    @staticmethod
    def error() -> FinishReason: ...
    @staticmethod
    def other(reason: str) -> FinishReason:
        """A provider's own word. `other("stop")` prints like `stop()` but is not a natural stop."""

    def is_natural_stop(self) -> bool:
        """True for `stop` and `tool_calls`."""

    def is_truncated(self) -> bool:
        """True for `length`."""

    def is_error(self) -> bool:
        """True for `content_filter` and `error`."""

    def to_string(self) -> str: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class LlmToolCall:
    """A call the model asked for. Compares by value, copies and pickles.

    What a provider wants back with the call when the conversation goes on (a thought's signature)
    stays inside.
    """

    def __new__(cls, id: str, name: str, parameters: str) -> Self:
        """Raises `ValueError` when `parameters` is not JSON text."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def parameters(self) -> str:
        """Compact JSON text with sorted keys."""

    def to_dict(self) -> dict[str, str]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class LlmResponse:
    """A finished answer. Compares by value, copies and pickles."""

    def __new__(cls, content: str, model: str) -> Self: ...
    @property
    def content(self) -> str:
        """Empty where the model said nothing, as with tool calls."""

    @property
    def provider(self) -> str | None:
        """Who answered; `None` for an answer made by a program."""

    @property
    def model(self) -> str:
        """The configured model or deployment."""

    @property
    def id(self) -> str | None: ...
    @property
    def tool_calls(self) -> list[LlmToolCall]: ...
    @property
    def usage(self) -> LlmUsage:
        """A copy."""

    @property
    def finish_reason(self) -> FinishReason: ...
    @property
    def metadata(self) -> dict[str, str]:
        """What else the provider said: JSON text by key.

        `provider_finish_reason` is its own word, `server_model` the model that answered. Further keys
        are `reasoning`, `refusal`, `citations` and `search_results`, where there are any.
        """

    @property
    def raw(self) -> dict[str, Any] | None:
        """The server's whole answer, if `include_raw` asked for it."""

    @property
    def parsed(self) -> Any:
        """What the content was read as, if a `response_format` asked for JSON.

        An instance of the pydantic class, else what the JSON says. `None` when the answer calls tools.
        """

    @property
    def cost(self) -> float | None:
        """US dollars, by the prices in force (`set_prices`).

        `None` when no price is known for the model, or the provider did not count tokens. Tokens read
        from the provider's cache have their own price; those spent on reasoning are part of the answer.
        """

    def has_tool_calls(self) -> bool: ...
    def is_truncated(self) -> bool: ...
    def total_tokens(self) -> int: ...
    def with_usage(self, usage: LlmUsage) -> Self:
        """Changes in place and returns the object, like the other `with_*` methods."""

    def with_tool_calls(self, tool_calls: Sequence[LlmToolCall]) -> Self: ...
    def with_finish_reason(self, finish_reason: FinishReason) -> Self: ...
    def with_id(self, id: str) -> Self: ...
    def with_metadata(self, key: str, value: str) -> Self:
        """Adds one entry; `value` is JSON text, else `ValueError`."""

    def to_dict(self) -> dict[str, Any]: ...
    def __eq__(self, other: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

# --- embeddings -----------------------------------------------------------------------------------

class _GroupStats(TypedDict):
    successful_requests: int
    failed_requests: int
    avg_response_time_ms: float
    total_embeddings: int
    total_tokens: int

class _Groups(TypedDict):
    embeddings: list[list[list[float]]]
    errors: list[str]
    duration_ms: int
    stats: _GroupStats

class _EmbeddingStats(TypedDict):
    total_requests: int
    successful_requests: int
    failed_requests: int
    success_rate: float
    average_response_time_ms: float
    uptime_seconds: int

@final
class EmbeddingConfig:
    """Which embedding model answers. Made by its static methods only; never shows the key.

    `base_url`, `timeout` (seconds for one request; default 30, with Ollama 120), `headers` and `http_proxy`
    are as for `LlmConfig`. A key is measured in bytes: an empty or short one is a `ValueError`. Equal
    arguments make equal configurations.

    Keywords of several providers:
        dimensions: Values a vector shall have, for models that can; an answer of another length is a
            `ResponseError`. Default: the model's own.
        encoding_format: How vectors travel. `base64` is smaller and quicker to read and the default where the
            provider knows it; numbers are understood all the same, and a server that refuses the word is
            asked again without it.
        truncate: Whether the server may cut a text that is too long for the model. By default it is
            refused, since the vector of half a text looks like any other.

    A configuration pickles without its key, which is read from the provider's environment variable where
    the pickle is loaded (`ConfigurationError` if it is not set there). See `with_portable_key`.
    """

    @staticmethod
    def openai(
        api_key: str,
        model: str | None = None,
        *,
        dimensions: int | None = None,
        encoding_format: Literal["base64", "float"] | None = None,
        base_url: str | None = None,
        timeout: float | timedelta | None = None,
        headers: Mapping[str, str] | None = None,
        http_proxy: str | None = None,
    ) -> EmbeddingConfig:
        """OpenAI.

        Args:
            api_key: At least 20 bytes.
            model: Default `text-embedding-3-small`.
        """

    @staticmethod
    def azure(
        api_key: str,
        deployment_name: str,
        endpoint: str,
        model: str | None = None,
        api_version: str | None = None,
        *,
        dimensions: int | None = None,
        encoding_format: Literal["base64", "float"] | None = None,
        base_url: str | None = None,
        timeout: float | timedelta | None = None,
        headers: Mapping[str, str] | None = None,
        http_proxy: str | None = None,
    ) -> EmbeddingConfig:
        """A deployment of Azure OpenAI.

        Args:
            api_key: At least 8 bytes.
            deployment_name: Stands for the model.
            endpoint: The resource's address; `base_url` replaces it.
            model: For display only.
            api_version: Default `2024-02-01`.
        """

    @staticmethod
    def huggingface(
        api_key: str,
        model: str | None = None,
        *,
        base_url: str | None = None,
        timeout: float | timedelta | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> EmbeddingConfig:
        """Hugging Face's inference providers, as `LlmConfig.huggingface`.

        Requests go to `embed` and `embed_many` of a
        `graphbit.providers.huggingface.embeddings.HuggingfaceEmbeddings`.

        Args:
            api_key: At least 10 bytes.
            model: Default `sentence-transformers/all-MiniLM-L6-v2`.
        """

    @staticmethod
    def litellm(
        api_key: str,
        model: str | None = None,
        *,
        base_url: str | None = None,
        timeout: float | timedelta | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> EmbeddingConfig:
        """Whatever the package `litellm` speaks to, as `LlmConfig.litellm`.

        Requests go to `embed` and `embed_many` of a
        `graphbit.providers.litellm.embeddings.LiteLLMEmbeddings`.

        Args:
            api_key: At least 8 bytes.
            model: Default `text-embedding-3-small`.
        """

    @staticmethod
    def openai_compatible(
        base_url: str,
        model: str,
        api_key: str | None = None,
        *,
        timeout: float | timedelta | None = None,
        headers: Mapping[str, str] | None = None,
        http_proxy: str | None = None,
        encoding_format: Literal["base64", "float"] | None = None,
        dimensions: int | None = None,
    ) -> EmbeddingConfig:
        """Any server that answers `POST {base_url}/embeddings` as OpenAI does.

        Args:
            base_url: For example `http://localhost:8000/v1`.
            model: What the server calls it.
            api_key: Sent as bearer token when given.
            encoding_format: Sent only when given, as is `dimensions`.
        """

    @staticmethod
    def ollama(
        model: str | None = None,
        *,
        dimensions: int | None = None,
        truncate: bool = False,
        base_url: str | None = None,
        timeout: float | timedelta | None = None,
        headers: Mapping[str, str] | None = None,
        http_proxy: str | None = None,
    ) -> EmbeddingConfig:
        """Ollama (`/api/embed`), at `base_url`, else at `OLLAMA_HOST`, else on this machine.

        Args:
            model: Default `nomic-embed-text`. It is not downloaded: a missing one is a `NotFoundError`.
        """

    @staticmethod
    def cohere(
        api_key: str,
        model: str | None = None,
        *,
        input_type: str | None = None,
        dimensions: int | None = None,
        encoding_format: Literal["base64", "float"] | None = None,
        truncate: bool = False,
        base_url: str | None = None,
        timeout: float | timedelta | None = None,
        headers: Mapping[str, str] | None = None,
        http_proxy: str | None = None,
    ) -> EmbeddingConfig:
        """Cohere (`/v2/embed`); vectors travel as numbers unless `base64` is asked for.

        Args:
            api_key: At least 8 bytes.
            model: Default `embed-v4.0`.
            input_type: What the texts are for: `search_document` (the default), `search_query`,
                `classification`, `clustering`.
        """

    @staticmethod
    def voyage(
        api_key: str,
        model: str | None = None,
        *,
        input_type: str | None = None,
        dimensions: int | None = None,
        encoding_format: Literal["base64", "float"] | None = None,
        truncate: bool = False,
        base_url: str | None = None,
        timeout: float | timedelta | None = None,
        headers: Mapping[str, str] | None = None,
        http_proxy: str | None = None,
    ) -> EmbeddingConfig:
        """Voyage.

        Args:
            api_key: At least 8 bytes.
            model: Default `voyage-4`.
            input_type: `query`, `document`, or nothing (the default).
        """

    @staticmethod
    def mistral(
        api_key: str,
        model: str | None = None,
        *,
        dimensions: int | None = None,
        encoding_format: Literal["base64", "float"] | None = None,
        base_url: str | None = None,
        timeout: float | timedelta | None = None,
        headers: Mapping[str, str] | None = None,
        http_proxy: str | None = None,
    ) -> EmbeddingConfig:
        """Mistral; vectors travel as numbers.

        Args:
            api_key: At least 8 bytes.
            model: Default `mistral-embed`, which has 1024 dimensions and no others.
        """

    @staticmethod
    def jina(
        api_key: str,
        model: str | None = None,
        *,
        task: str | None = None,
        dimensions: int | None = None,
        encoding_format: Literal["base64", "float"] | None = None,
        truncate: bool = False,
        base_url: str | None = None,
        timeout: float | timedelta | None = None,
        headers: Mapping[str, str] | None = None,
        http_proxy: str | None = None,
    ) -> EmbeddingConfig:
        """Jina.

        Args:
            api_key: At least 8 bytes.
            model: Default `jina-embeddings-v3`.
            task: What the vectors are for, such as `retrieval.passage`, `retrieval.query`, `text-matching`;
                default nothing.
        """

    @staticmethod
    def from_env(provider: str | None = None, model: str | None = None) -> EmbeddingConfig:
        """A provider with its key, and its address if one is set, from the environment.

        Args:
            provider: A provider's name, such as `openai`. Default: the first of openai, azure, cohere,
                voyage, mistral, jina and ollama whose variables are set.
            model: Default the provider's own. For Azure, the deployment's name.

        Raises:
            ConfigurationError: The variables are not set (the message names them), or there is no such
                provider.
        """

    @staticmethod
    def gemini(
        api_key: str,
        model: str | None = None,
        *,
        dimensions: int | None = None,
        task_type: str | None = None,
        base_url: str | None = None,
        timeout: float | timedelta | None = None,
        headers: Mapping[str, str] | None = None,
        http_proxy: str | None = None,
    ) -> EmbeddingConfig:
        """Gemini.

        Args:
            api_key: At least 8 bytes.
            model: Default `gemini-embedding-001`.
            dimensions: Shortens the vectors, which are then not of unit length.
            task_type: What the vectors are for, such as `RETRIEVAL_DOCUMENT`; sent as given.
        """

    @staticmethod
    def from_callable(
        function: Callable[[list[str]], Sequence[Sequence[float]] | NDArray[np.floating[Any]]],
        *,
        model: str = "callable",
        dimensions: int | None = None,
        max_batch: int = 256,
    ) -> EmbeddingConfig:
        """A function of yours in place of a provider.

        Args:
            function: Takes texts, returns as many rows: a list of lists or a 2-D array. Runs on
                threads of its own, several calls at once; what it raises, the call raises.
            model: The name to report.
            dimensions: What every row must have; unchecked when not given.
            max_batch: Texts a call.
        """

    @staticmethod
    def local(
        model: str | None = None,
        *,
        path: str | PathLike[str] | None = None,
        tokenizer: str | PathLike[str] | None = None,
    ) -> EmbeddingConfig:
        """A model that needs no key and no network.

        The reports that ONNX Runtime would make of `minilm` to its maker are turned off, unless
        `ORT_DISABLE_TELEMETRY` says otherwise or the program imported `onnxruntime` before.

        Args:
            model: `wordllama` (the default, `graphbit[local]`: static vectors, 256 dimensions, thousands of
                texts a second) or `minilm` (`graphbit[minilm]`: 384 dimensions, better and slower).
            path: A safetensors file of static vectors of your own instead.
            tokenizer: Its tokenizer; default `tokenizer.json` beside it.

        Raises:
            ConfigurationError: The package that carries the weights is not installed.
        """

    def provider(self) -> str:
        """Who answers, such as `openai`."""

    def model(self) -> str:
        """The model's name."""

    def with_portable_key(self) -> EmbeddingConfig:
        """An equal configuration whose pickles carry the key.

        Without it, a configuration with credentials in its headers or proxy, or with a key that no variable
        could hold, refuses to pickle (`ConfigurationError`). Treat such a pickle like the key itself.
        """

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, memo: Any, /) -> Self: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

_Embedding: TypeAlias = EmbeddingConfig | EmbeddingClient

@final
class EmbeddingClient:
    """Embeds texts, with retries. Share it between threads, event loops and forked children.

    No request holds more texts or tokens than its provider takes; one that is refused as too large is
    divided. A text that is too long by itself is a `BadRequestError` that names its position. Errors are told
    apart by status: `AuthenticationError`, `NotFoundError`, `RateLimitError`, `ServerError`, ...
    A client pickles as its configuration and settings.
    """

    def __new__(
        cls,
        config: _Embedding | Sequence[_Embedding],
        *,
        retry: RetryPolicy | None = None,
        circuit_breaker: CircuitBreaker | Literal[False] | None = None,
        rate_limit: RateLimit | None = None,
        concurrency: AdaptiveConcurrency | Literal[False] | None = None,
        hedging: Hedging | None = None,
        cache: Cache | None = None,
        fallbacks: _Embedding | Sequence[_Embedding] | None = None,
        order: Literal["ordered", "weighted"] = "ordered",
        weights: Sequence[float] | None = None,
    ) -> Self:
        """As `LlmClient`, but without a circuit breaker unless one is given.

        `fallbacks` are other servers of the same model with the same dimensions; any other model is a
        `ValueError`. With a `cache` each text is sent once, however often it occurs.
        """

    def embed(self, text: str) -> list[float]:
        """The vector of one text. An empty text is a `ValueError`."""

    def embed_async(self, text: str) -> Future[list[float]]:
        """`embed` without blocking."""

    def embed_many(self, texts: Sequence[str]) -> list[list[float]]:
        """The vectors of many texts, in order, in as few requests as the provider allows.

        No texts at all are a `ValueError`, one string in place of a list a `TypeError`. What ends the
        call early, a failure or Ctrl-C, has `results`: the vectors there are, `None` for the others.
        """

    def embed_many_async(self, texts: Sequence[str]) -> Future[list[list[float]]]:
        """`embed_many` without blocking. A future that was cancelled has the attribute `results`."""

    def embed_batch_parallel(
        self,
        texts_batch: Sequence[Sequence[str]],
        max_concurrency: int | None = None,
        timeout_ms: int | None = None,
    ) -> _Groups:
        """One request for each inner list.

        Args:
            texts_batch: The inner lists.
            max_concurrency: Requests under way at once; at least 1, default 10.
            timeout_ms: When it is over, finished inner lists are kept and the others fail.

        Returns:
            A dict of `embeddings`, `errors`, `duration_ms` and `stats`. A failed inner list is `[]` in
            `embeddings` and named in `errors`.

        Raises:
            ValueError: No inner lists, or a `max_concurrency` of 0.
            TimeoutError: Nothing at all was finished in time.
            KeyboardInterrupt: Ctrl-C. It, and whatever a signal's handler raises, has `results`: for
                each inner list its vectors, the exception it failed with, or `None`.
        """

    def embed_batch_parallel_async(
        self,
        texts_batch: Sequence[Sequence[str]],
        max_concurrency: int | None = None,
        timeout_ms: int | None = None,
    ) -> Future[_Groups]:
        """`embed_batch_parallel` without blocking. A future that was cancelled has `results`."""

    def embed_array(
        self,
        texts: Sequence[str],
        *,
        batch_size: int | None = None,
        max_concurrency: int | None = None,
        on_error: Literal["raise", "nan"] = "raise",
        on_progress: Callable[[int, int], object] | None = None,
    ) -> NDArray[np.float32]:
        """The vectors of many texts as one array of shape (texts, dimensions), in order.

        Args:
            texts: The texts.
            batch_size: Texts a request; default 256, and never more than the provider takes.
            max_concurrency: Requests under way at once; default 16.
            on_error: `raise` raises a failed request's error and cancels the others; `nan` leaves NaN in
                the rows of failed texts and raises only when every request failed.
            on_progress: Called as `on_progress(done, total)` after each request, on another thread;
                what it raises ends the call.

        Raises:
            GraphbitError: The first failure. Its `results` is the array as far as it was finished, NaN
                in the other rows; `None` when no request was.
            KeyboardInterrupt: Ctrl-C. It, and whatever a signal's handler raises, has `results` as well.
        """

    def embed_array_async(
        self,
        texts: Sequence[str],
        *,
        batch_size: int | None = None,
        max_concurrency: int | None = None,
        on_error: Literal["raise", "nan"] = "raise",
        on_progress: Callable[[int, int], object] | None = None,
    ) -> Future[NDArray[np.float32]]:
        """`embed_array` without blocking. A future that was cancelled has the attribute `results`."""

    @staticmethod
    def similarity(a: _Vector, b: _Vector) -> float:
        """Cosine similarity of two vectors of equal length; 0.0 when either has no length."""

    @staticmethod
    def similarity_many(
        query: _Vector, vectors: Sequence[_Vector] | NDArray[np.floating[Any]]
    ) -> NDArray[np.float32]:
        """Cosine similarity of one vector with each of many, in 32-bit arithmetic.

        Args:
            query: The vector.
            vectors: A 2-D array with a vector a row, which is read in place when it is of float32 and
                contiguous (leave it alone meanwhile), or a list of vectors.

        Returns:
            One number a vector; 0.0 where either has no length.

        Raises:
            ParameterError: The lengths differ.
        """

    def get_stats(self) -> _EmbeddingStats:
        """Numbers of this client's requests."""

    def get_resilience(self) -> _Resilience:
        """As `LlmClient.get_resilience`."""

    def reset_stats(self) -> None:
        """Sets the counters to zero; the uptime goes on."""

    def __getnewargs_ex__(self) -> tuple[tuple[Any, ...], dict[str, Any]]: ...

# --- splitters ------------------------------------------------------------------------------------

@final
class TextChunk:
    """A piece of a text and its place there. Compares by value."""

    @property
    def content(self) -> str: ...
    @property
    def start_index(self) -> int:
        """First byte in the UTF-8 form of the text, as GraphBit 0.6.8 counts."""

    @property
    def end_index(self) -> int:
        """One past the last byte in the UTF-8 form of the text, as GraphBit 0.6.8 counts."""

    @property
    def start_byte(self) -> int:
        """First byte of the content in the UTF-8 form of the text."""

    @property
    def end_byte(self) -> int:
        """One past the last byte of the content."""

    @property
    def start_char(self) -> int:
        """`text[start_char:end_char]` is the content whenever the content is a slice of the text."""

    @property
    def end_char(self) -> int:
        """See `start_char`."""

    @property
    def chunk_index(self) -> int:
        """Position in the result."""

    @property
    def metadata(self) -> dict[str, str]:
        """What is known of the chunk, all of it strings.

        `length` in characters; `token_count` or `sentence_count`; `headings` above a Markdown chunk,
        outermost first, joined with `" > "`.
        """

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

_Unit: TypeAlias = Literal["chars", "graphemes", "bytes", "words", "tokens"]

@type_check_only
class _Splitting:
    """What all splitters have."""

    def split_text(self, text: str) -> list[TextChunk]:
        """The chunks of `text`, in order. Other threads run meanwhile."""

    def split_texts(self, texts: Sequence[str]) -> list[list[TextChunk]]:
        """The chunks of each text, in order; large batches use all cores."""

    def split_texts_parallel(
        self, texts: Iterable[str], max_workers: int | None = None
    ) -> list[list[TextChunk]]:
        """The chunks of each text, in order, cut by several threads; other Python threads run too.

        Args:
            texts: Any iterable of strings, generators included; not itself a string.
            max_workers: Threads that cut, the calling one among them; default and most one a core.

        Raises:
            ParameterError: `max_workers` is 0.
            TypeError: `texts` is no iterable of strings; names the position of a wrong element.
            UnicodeEncodeError: A text holds a lone surrogate.
            Exception: Whatever the iterable raises.
        """

    def split_iter(self, texts: Iterable[str], batch_size: int = 64) -> Iterator[list[TextChunk]]:
        """The chunks of one text after the other, drawing texts only when they are needed.

        Texts are drawn and split a window at a time: `batch_size` texts, or fewer when they reach
        32 MB of UTF-8. Nothing is drawn before the first `next()`. What drawing raises is raised
        after the chunks of the texts before it, and ends the iteration.

        Args:
            texts: Any iterable of strings; not itself a string.
            batch_size: Texts drawn ahead at most; at least 1.

        Raises:
            ParameterError: `batch_size` is 0.
            TypeError: `texts` is no iterable; or, while iterating, an element is no string.
        """

@final
class CharacterSplitter(_Splitting):
    """Splits by characters, after white space where there is some."""

    def __new__(
        cls,
        chunk_size: int,
        chunk_overlap: int = 0,
        *,
        exact: bool = False,
        unit: _Unit | None = None,
        encoding: str | None = None,
    ) -> Self:
        """Makes a splitter.

        Args:
            chunk_size: Characters a chunk; at least 1.
            chunk_overlap: Characters that neighbours share; less than `chunk_size`.
            exact: Every chunk is a slice of the text and holds at most `chunk_size` units, overlap
                included; nothing but white space at its ends is left out. A unit or an encoding
                asks for it too.
            unit: What size and overlap count: `chars` (code points, the default), `graphemes`,
                `bytes` (of UTF-8), `words` (UAX #29) or `tokens`.
            encoding: Whose tokens: an encoding's or a model's name; `cl100k_base` by default.

        Raises:
            ParameterError: The sizes contradict each other, or a name is not known.
        """

    @property
    def chunk_size(self) -> int: ...
    @property
    def chunk_overlap(self) -> int: ...

@final
class TokenSplitter(_Splitting):
    """Splits by tokens.

    Tokens are the BPE tokens of an `encoding`, the matches of a pattern, or runs of word characters, of
    white space and of others.
    """

    def __new__(
        cls,
        chunk_size: int,
        chunk_overlap: int = 0,
        token_pattern: str | None = None,
        *,
        exact: bool = False,
        unit: _Unit | None = None,
        encoding: str | None = None,
    ) -> Self:
        """Makes a splitter.

        Args:
            chunk_size: Tokens a chunk; at least 1.
            chunk_overlap: Tokens that neighbours share; less than `chunk_size`.
            token_pattern: A regular expression whose matches are the tokens.
            exact: Every chunk is a slice of the text and holds at most `chunk_size` units, overlap
                included; nothing but white space at its ends is left out. A unit or an encoding
                asks for it too.
            unit: What size and overlap count: `chars` (code points, the default), `graphemes`,
                `bytes` (of UTF-8), `words` (UAX #29) or `tokens`.
            encoding: Whose tokens: an encoding's or a model's name; `cl100k_base` by default.

        Raises:
            ParameterError: The sizes contradict each other, the pattern is no regular expression or stands
                beside an encoding, or a name is not known.
        """

    @property
    def chunk_size(self) -> int: ...
    @property
    def chunk_overlap(self) -> int: ...

@final
class SentenceSplitter(_Splitting):
    """Splits by sentences. The size counts UTF-8 bytes, the overlap sentences.

    In the exact mode both count `unit`, sentences are those of UAX #29, abbreviations considered, and
    only a sentence that exceeds the size is cut.
    """

    def __new__(
        cls,
        chunk_size: int,
        chunk_overlap: int = 0,
        sentence_endings: Sequence[str] | None = None,
        *,
        exact: bool = False,
        unit: _Unit | None = None,
        encoding: str | None = None,
    ) -> Self:
        """Makes a splitter.

        Args:
            chunk_size: Bytes at which a chunk stops growing; at least 1.
            chunk_overlap: Sentences that neighbours share; capped so that each chunk ends later than
                the one before.
            sentence_endings: Regular expressions in place of the usual endings.
            exact: Every chunk is a slice of the text and holds at most `chunk_size` units, overlap
                included; nothing but white space at its ends is left out. A unit or an encoding
                asks for it too.
            unit: What size and overlap count: `chars` (code points, the default), `graphemes`,
                `bytes` (of UTF-8), `words` (UAX #29) or `tokens`.
            encoding: Whose tokens: an encoding's or a model's name; `cl100k_base` by default.

        Raises:
            ParameterError: The size is 0, an ending is no regular expression, a name is not known; in the
                exact mode, the overlap is not below the size.
        """

    @property
    def chunk_size(self) -> int: ...
    @property
    def chunk_overlap(self) -> int: ...

@final
class RecursiveSplitter(_Splitting):
    """Splits by the coarsest separator that will do. Sizes count UTF-8 bytes."""

    def __new__(
        cls,
        chunk_size: int,
        chunk_overlap: int = 0,
        separators: Sequence[str] | None = None,
        *,
        exact: bool = False,
        unit: _Unit | None = None,
        encoding: str | None = None,
    ) -> Self:
        """Makes a splitter.

        Args:
            chunk_size: Bytes a chunk, overlap not counted; at least 1.
            chunk_overlap: Bytes taken from each neighbour, on top of `chunk_size`.
            separators: Coarse to fine; default paragraph, line, sentence, word.
            exact: Every chunk is a slice of the text and holds at most `chunk_size` units, overlap
                included; nothing but white space at its ends is left out. A unit or an encoding
                asks for it too.
            unit: What size and overlap count: `chars` (code points, the default), `graphemes`,
                `bytes` (of UTF-8), `words` (UAX #29) or `tokens`.
            encoding: Whose tokens: an encoding's or a model's name; `cl100k_base` by default.

        Raises:
            ParameterError: The size is 0, the list is empty, a name is not known; in the exact mode, the
                overlap is not below the size.
        """

    @property
    def chunk_size(self) -> int: ...
    @property
    def chunk_overlap(self) -> int: ...
    @property
    def separators(self) -> list[str]:
        """Coarse to fine; a new list each time."""

@final
class TextSplitterConfig:
    """A strategy, its sizes and three flags. Made by its static methods only.

    All of them take the exact mode's keywords; see `CharacterSplitter`. `paragraph`, `markdown`, `code`
    and `regex` have only the exact mode.
    """

    @staticmethod
    def character(
        chunk_size: int,
        chunk_overlap: int = 0,
        *,
        exact: bool = False,
        unit: _Unit | None = None,
        encoding: str | None = None,
    ) -> TextSplitterConfig: ...
    @staticmethod
    def token(
        chunk_size: int,
        chunk_overlap: int = 0,
        token_pattern: str | None = None,
        *,
        exact: bool = False,
        unit: _Unit | None = None,
        encoding: str | None = None,
    ) -> TextSplitterConfig: ...
    @staticmethod
    def sentence(
        chunk_size: int,
        chunk_overlap: int = 0,
        sentence_endings: Sequence[str] | None = None,
        *,
        exact: bool = False,
        unit: _Unit | None = None,
        encoding: str | None = None,
    ) -> TextSplitterConfig: ...
    @staticmethod
    def recursive(
        chunk_size: int,
        chunk_overlap: int = 0,
        separators: Sequence[str] | None = None,
        *,
        exact: bool = False,
        unit: _Unit | None = None,
        encoding: str | None = None,
    ) -> TextSplitterConfig: ...
    @staticmethod
    def paragraph(
        chunk_size: int,
        chunk_overlap: int = 0,
        min_paragraph_length: int | None = None,
        *,
        exact: bool = True,
        unit: _Unit | None = None,
        encoding: str | None = None,
    ) -> TextSplitterConfig: ...
    @staticmethod
    def markdown(
        chunk_size: int,
        chunk_overlap: int = 0,
        split_by_headers: bool = True,
        *,
        exact: bool = True,
        unit: _Unit | None = None,
        encoding: str | None = None,
    ) -> TextSplitterConfig: ...
    @staticmethod
    def code(
        chunk_size: int,
        chunk_overlap: int = 0,
        language: str | None = None,
        *,
        exact: bool = True,
        unit: _Unit | None = None,
        encoding: str | None = None,
    ) -> TextSplitterConfig: ...
    @staticmethod
    def regex(
        pattern: str,
        chunk_size: int,
        chunk_overlap: int = 0,
        *,
        exact: bool = True,
        unit: _Unit | None = None,
        encoding: str | None = None,
    ) -> TextSplitterConfig: ...
    @staticmethod
    def semantic(
        client: EmbeddingClient,
        chunk_size: int,
        chunk_overlap: int = 0,
        *,
        percentile: float = 95.0,
        threshold: float | None = None,
        window: int = 1,
        min_chunk_size: int = 0,
        unit: _Unit | None = None,
        encoding: str | None = None,
    ) -> TextSplitterConfig:
        """By meaning: a chunk ends where the embeddings of neighbouring sentences grow apart.

        Every sentence is embedded together with its neighbours; the sentences of many texts share
        requests. No chunk spans a place where the similarity drops, overlap included; between two
        such places the chunks end at sentences and keep to `chunk_size`. Always exact. A text of one
        sentence is not embedded. `TextSplitter` waits for the client in each of its methods, with
        other threads running, and raises what the client raises; `max_workers` makes no difference.
        `ParallelRAG` refuses such a splitter.

        Args:
            client: Embeds the sentences: of a provider, a local model or a function.
            chunk_size: Units of a chunk at most, overlap included.
            chunk_overlap: Units repeated at most, where a chunk ends because it is full.
            percentile: From 0 to 100. Distances (1 - cosine) at or above this percentile of those of
                the text are drops. Equal ones are drops together, but none is where all are equal.
            threshold: From -1 to 1. Cosines below it are drops, whatever the percentile.
            window: Neighbours on each side that a sentence is embedded with, from 0 to 10.
            min_chunk_size: Units. A shorter stretch between two drops joins the next one, the last
                one that before it. At most `chunk_size`.
            unit: "chars" (the default), "graphemes", "bytes", "words" or "tokens".
            encoding: Of the tokens; an encoding's or a model's name. Default cl100k_base.

        Raises:
            ParameterError: A number out of its range, an unknown unit or encoding.
            TypeError: `client` is no `EmbeddingClient`.
        """

    @property
    def chunk_size(self) -> int: ...
    @property
    def chunk_overlap(self) -> int: ...
    @property
    def strategy_type(self) -> str:
        """The name of the static method that made it."""

    @property
    def preserve_word_boundaries(self) -> bool: ...
    @property
    def trim_whitespace(self) -> bool: ...
    @property
    def include_metadata(self) -> bool: ...
    def set_preserve_word_boundaries(self, preserve: bool) -> None:
        """Only the character strategy can cut inside words."""

    def set_trim_whitespace(self, trim: bool) -> None:
        """Keep or remove white space at the ends of chunks."""

    def set_include_metadata(self, include: bool) -> None:
        """Fill or leave empty each chunk's metadata."""

@final
class TextSplitter(_Splitting):
    """The splitter that a `TextSplitterConfig` describes."""

    def __new__(cls, config: TextSplitterConfig) -> Self: ...
    def create_documents(self, text: str) -> list[dict[str, str]]:
        """The chunks as dicts of strings: `content`, `start_index`, `end_index`, `chunk_index`."""

# --- vector store ---------------------------------------------------------------------------------

_Path: TypeAlias = str | PathLike[str]
_Scalar: TypeAlias = str | int | float | bool | None

def _find_documents(path: _Path, without: _Path | None = None) -> list[Path]:
    """The files that a path, a folder or a pattern stands for, without those in one folder."""

def _read_document(path: _Path) -> str:
    """The text of a file, as an ingest takes it."""

def _read_documents() -> None:
    """What the processes do in which documents are read: answer on standard output until nobody asks."""

@final
class DocumentLoaderConfig:
    """How documents are loaded. Compares by value, copies and pickles.

    A loader keeps the settings it was made with. Only the first four can be assigned to.

    Args:
        max_file_size: Bytes of a file or of what a server sends; 10 MiB. Nothing beyond is read.
        default_encoding: How texts are written, by Python's or the web's name; `"utf-8"`. A charset that
            a server names helps where this fails. A name that is not known counts as UTF-8.
        preserve_formatting: With `full`: texts keep their blanks and line breaks, and JSON comes as it
            is written; False.
        full: Everything that is in a document, instead of the text that GraphBit 0.6.8 extracts. A
            byte-order mark, and then a server's charset, win over `default_encoding`. URLs are read as
            files are.
        root: A folder that files must lie in, symbolic links resolved. Relative paths start there.
        deny_private_networks: Load from addresses of the public internet only. Each redirect is judged,
            and the address that a name resolves to; connections are direct, without a proxy.
        max_text_bytes: UTF-8 bytes of the text; 256 MiB.
        max_unpacked_bytes: Bytes that a DOCX, XLSX or XLSB is unpacked to; 256 MiB.
        max_pages: Pages of a PDF; 20,000.
        max_cells: Cells of all sheets or tables of a document; 10 million.
        max_depth: Elements within elements; 256.
        max_seconds: Seconds of extracting, without reading and downloading; 60.
        isolate: Read PDF, DOCX and workbooks in a process that may die of them, with 2 GiB of memory at most;
            None does so for PDF, whose libraries follow references in circles and believe sizes.

    Raises:
        ValueError: `max_file_size` or a limit is 0, or `default_encoding` is blank.
        OverflowError: A number is negative.
    """

    def __new__(
        cls,
        max_file_size: int | None = None,
        default_encoding: str | None = None,
        preserve_formatting: bool | None = None,
        *,
        full: bool = False,
        root: _Path | None = None,
        deny_private_networks: bool = False,
        max_text_bytes: int | None = None,
        max_unpacked_bytes: int | None = None,
        max_pages: int | None = None,
        max_cells: int | None = None,
        max_depth: int | None = None,
        max_seconds: float | None = None,
        isolate: bool | None = None,
    ) -> Self: ...
    @property
    def max_file_size(self) -> int: ...
    @max_file_size.setter
    def max_file_size(self, size: int) -> None: ...
    @property
    def default_encoding(self) -> str: ...
    @default_encoding.setter
    def default_encoding(self, encoding: str) -> None: ...
    @property
    def preserve_formatting(self) -> bool: ...
    @preserve_formatting.setter
    def preserve_formatting(self, preserve: bool) -> None: ...
    @property
    def extraction_settings(self) -> dict[str, Any]:
        """Your own values, kept and pickled; nothing reads them. A new dict each time.

        Raises:
            TypeError: Something in it is none of None, bool, int, float, str, list and dict.
            ValueError: A number is not finite, or the values are nested more than 128 levels deep.
        """

    @extraction_settings.setter
    def extraction_settings(self, settings: dict[str, Any]) -> None: ...
    @property
    def full(self) -> bool: ...
    @property
    def root(self) -> str | None: ...
    @property
    def deny_private_networks(self) -> bool: ...
    @property
    def isolate(self) -> bool | None: ...
    @property
    def max_text_bytes(self) -> int: ...
    @property
    def max_unpacked_bytes(self) -> int: ...
    @property
    def max_pages(self) -> int: ...
    @property
    def max_cells(self) -> int: ...
    @property
    def max_depth(self) -> int: ...
    @property
    def max_seconds(self) -> float: ...
    def __eq__(self, other: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class DocumentContent:
    """A document that was loaded. It never changes, compares by value, and pickles."""

    @property
    def source(self) -> str:
        """The path or URL, as it was given."""

    @property
    def document_type(self) -> str:
        """The type, as it was given; the one of the extension when none was."""

    @property
    def content(self) -> str: ...
    @property
    def file_size(self) -> int:
        """Bytes of the document itself."""

    @property
    def extracted_at(self) -> int:
        """Seconds since 1970, UTC."""

    @property
    def metadata(self) -> dict[str, _Scalar]:
        """A new dict each time.

        `file_size` and `file_path`, or of a URL `url`, without user and password, and `content_type`.
        `parse_fallback` says why the content is the raw text, when it is because the document is
        damaged.
        """

    def content_length(self) -> int:
        """UTF-8 bytes of the content."""

    def is_empty(self) -> bool:
        """True when there is nothing but white space."""

    def preview(self, max_length: int = 500) -> str:
        """The first `max_length` characters, and `...` when there are more.

        Raises:
            OverflowError: `max_length` is negative.
        """

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class DocumentLoader:
    """Loads documents from files and `http://` or `https://` URLs. Pickles with its settings.

    Reading, downloading and parsing happen without the interpreter, and Ctrl-C ends them. `full`
    overrules the setting of that name for one call.

    What cannot be loaded raises a `graphbit.exceptions.DocumentError`, always a `ValueError` and of the
    natural class, too: `FileNotFoundError`, `PermissionError`, `IsADirectoryError`, `ConnectionError` or
    `TimeoutError`. Names and types that cannot be are a `ValidationError`.
    """

    def __new__(cls, config: DocumentLoaderConfig | None = None) -> Self: ...
    @staticmethod
    def supported_types() -> list[str]:
        """`txt`, `pdf`, `docx`, `json`, `csv`, `xml`, `html`, `xlsb`, `xlsx` and `xls`."""

    @staticmethod
    def detect_document_type(file_path: _Path) -> str | None:
        """What the extension says, in lower case; None for one that is not supported.

        Only the name is looked at. A URL with a query or a fragment has no extension here.
        """

    @staticmethod
    def validate_document_source(source_path: _Path, document_type: str) -> None:
        """Checks that the type is supported, in lower case, and that the file exists.

        URLs are not looked at.

        Raises:
            ValidationError: The type is none of `supported_types()`.
            DocumentNotFoundError: There is neither a file nor a folder of that name.
        """

    def load_document(
        self, source_path: _Path, document_type: str, *, full: bool | None = None
    ) -> DocumentContent:
        """One document, read as `document_type`, in whatever case and whatever the extension.

        Args:
            source_path: A path, or a URL if it is a `str`. A server has 30 seconds for everything; up to
                10 redirects are followed.
            document_type: One of `supported_types()`.

        Raises:
            ValidationError: The path or the type is blank, the type is not supported, or the URL is of
                another scheme.
            DocumentError: The document cannot be had or read, or costs more than a limit.
        """

    def load_document_async(
        self, source_path: _Path, document_type: str, *, full: bool | None = None
    ) -> Future[DocumentContent]:
        """As `load_document`."""

    def load_many(
        self,
        paths: Iterable[_Path],
        document_type: str | None = None,
        max_workers: int | None = None,
        *,
        full: bool | None = None,
    ) -> list[DocumentContent | GraphbitError]:
        """All of them, loaded side by side; for each its document or its error, in the order given.

        Args:
            paths: Any iterable of paths and URLs; not itself a path.
            document_type: The type of all; None goes by each extension, of a URL by that of its path.
            max_workers: How many are loaded at once; four more than there are processors, 32 at most.

        Raises:
            ValidationError: `max_workers` is 0.
            KeyboardInterrupt: Ctrl-C, with the outcomes so far in `results`, None for the others.
        """

    def load_many_async(
        self,
        paths: Iterable[_Path],
        document_type: str | None = None,
        max_workers: int | None = None,
        *,
        full: bool | None = None,
    ) -> Future[list[DocumentContent | GraphbitError]]:
        """As `load_many`; a future that is cancelled has the outcomes so far in `results`."""

    def load_iter(
        self,
        paths: Iterable[_Path],
        document_type: str | None = None,
        max_workers: int | None = None,
        *,
        full: bool | None = None,
    ) -> Iterator[DocumentContent | GraphbitError]:
        """As `load_many`, one outcome after the other; at most `max_workers` are loaded ahead.

        Paths are drawn when they are needed. What drawing raises is raised after the outcomes of the
        paths before it, and ends the iteration. An iterator cannot be used in a forked child.

        Raises:
            ValidationError: `max_workers` is 0.
        """

_Vectors: TypeAlias = Sequence[_Vector] | NDArray[np.floating[Any]]

@final
class SearchHit:
    """One answer to a search."""

    @property
    def id(self) -> str: ...
    @property
    def score(self) -> float:
        """More is better: the cosine, the dot product, or the distance with its sign turned."""

    @property
    def text(self) -> str: ...
    @property
    def metadata(self) -> dict[str, str]:
        """A new dict each time."""

    @property
    def index(self) -> int:
        """The how-manieth vector of the store this was when it was added, from 0."""

@final
class StoredEntry:
    """What is stored beside a vector, and its place in the order of insertion."""

    @property
    def id(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def metadata(self) -> dict[str, str]:
        """A new dict each time."""

    @property
    def index(self) -> int:
        """The how-manieth vector of the store this was when it was added, from 0."""

@type_check_only
class _Store:
    """What every store can do.

    `where` narrows a call to entries by their metadata: a dict of conditions, all of which must hold. A
    condition is `"key": value` or `"key": {...}` with `eq`, `ne`, `in`, `lt`, `le`, `gt`, `ge` and `prefix`;
    `"any"` and `"all"` take a list of such dicts, `"not"` takes one. A number compares with the values that
    are numbers written out, a text with all of them, character by character. What is not understood
    raises ValidationError.
    """

    def add(
        self,
        vectors: _Vectors,
        texts: Sequence[str] | None = None,
        ids: Sequence[str] | None = None,
        metadatas: Sequence[dict[str, str]] | None = None,
    ) -> list[str]:
        """Stores one vector a row and returns the ids. All rows are stored, or none.

        Args:
            vectors: One vector a row.
            texts: One for each row; default empty.
            ids: One for each row; those that exist are replaced. By default free numbers are given.
            metadatas: One for each row; default empty.
        """

    def add_async(
        self,
        vectors: _Vectors,
        texts: Sequence[str] | None = None,
        ids: Sequence[str] | None = None,
        metadatas: Sequence[dict[str, str]] | None = None,
    ) -> Future[list[str]]:
        """As `add`."""

    def replace(
        self,
        stale: Sequence[str],
        vectors: _Vectors,
        texts: Sequence[str] | None = None,
        ids: Sequence[str] | None = None,
        metadatas: Sequence[dict[str, str]] | None = None,
    ) -> list[str]:
        """Removes entries and stores others, in one change that is seen whole; returns the ids of the new ones.

        Args:
            stale: Ids to remove. One that comes again in `ids` keeps its place; unknown ones are passed over.
            vectors: One vector a row.
            texts: One for each row; default empty.
            ids: One for each row; those that exist are replaced. By default free numbers are given.
            metadatas: One for each row; default empty.
        """

    def replace_async(
        self,
        stale: Sequence[str],
        vectors: _Vectors,
        texts: Sequence[str] | None = None,
        ids: Sequence[str] | None = None,
        metadatas: Sequence[dict[str, str]] | None = None,
    ) -> Future[list[str]]:
        """As `replace`."""

    def search(
        self,
        vector: _Vector,
        top_k: int = 5,
        *,
        where: Mapping[str, Any] | None = None,
        ef_search: int | None = None,
    ) -> list[SearchHit]:
        """The `top_k` entries most like `vector`, best first, among those that `where` means.

        Args:
            vector: As many values as the store's vectors have.
            top_k: From 1.
            where: By default all.
            ef_search: Vectors that a walk through a graph keeps in sight, from 1, and never less than `top_k`: more
                find more and take longer. Where there is no graph it changes nothing. Default 160, or what a
                `PgVectorStore` was told.
        """

    def search_async(
        self,
        vector: _Vector,
        top_k: int = 5,
        *,
        where: Mapping[str, Any] | None = None,
        ef_search: int | None = None,
    ) -> Future[list[SearchHit]]:
        """As `search`."""

    def search_many(
        self,
        vectors: _Vectors,
        top_k: int = 5,
        *,
        where: Mapping[str, Any] | None = None,
        ef_search: int | None = None,
    ) -> list[list[SearchHit]]:
        """`search` for every row of `vectors`, side by side."""

    def search_many_async(
        self,
        vectors: _Vectors,
        top_k: int = 5,
        *,
        where: Mapping[str, Any] | None = None,
        ef_search: int | None = None,
    ) -> Future[list[list[SearchHit]]]:
        """As `search_many`."""

    def get(self, ids: Sequence[str]) -> list[StoredEntry | None]:
        """The entries with these ids, in this order; `None` for an id that there is not."""

    def get_async(self, ids: Sequence[str]) -> Future[list[StoredEntry | None]]:
        """As `get`."""

    def entries(
        self,
        where: Mapping[str, Any] | None = None,
        *,
        after: int | None = None,
        limit: int = 1000,
    ) -> list[StoredEntry]:
        """A page of the entries that `where` means, in the order they were added.

        Args:
            where: By default all.
            after: The `index` of the last entry of the page before. Changes between two pages neither hide
                nor repeat an entry that stays.
            limit: Entries at most, from 1; a page with fewer is the last.
        """

    def entries_async(
        self,
        where: Mapping[str, Any] | None = None,
        *,
        after: int | None = None,
        limit: int = 1000,
    ) -> Future[list[StoredEntry]]:
        """As `entries`."""

    def count(self, where: Mapping[str, Any] | None = None) -> int:
        """How many entries `where` means; by default all."""

    def count_async(self, where: Mapping[str, Any] | None = None) -> Future[int]:
        """As `count`."""

    def delete(
        self, ids: Sequence[str] | None = None, *, where: Mapping[str, Any] | None = None
    ) -> int:
        """Removes the entries with these ids, or those that `where` means, and says how many there were.

        Args:
            ids: Unknown ones are passed over.
            where: Instead of `ids`; `{}` stands for every entry.

        Raises:
            ValidationError: Neither is given, or both.
        """

    def delete_async(
        self, ids: Sequence[str] | None = None, *, where: Mapping[str, Any] | None = None
    ) -> Future[int]:
        """As `delete`."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        _class: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
        /,
    ) -> None:
        """Closes it."""

    @property
    def dimensions(self) -> int | None:
        """Values a vector, or `None` before the first one."""

    @property
    def metric(self) -> str:
        """`cosine`, `dot` or `l2`."""

    def __len__(self) -> int: ...

@final
class VectorStore(_Store):
    """A vector store, in memory or in a folder. Searches see a consistent state while others add.

    By default a search compares with every vector and misses nothing. With `index="hnsw"` it walks a graph of near
    neighbours instead once there are 8192 vectors: many times faster in large stores, and nearly all of the best are
    found. Each change then also links what it added, on all cores, before it returns; Ctrl-C ends the linking, and what
    is not linked is compared with as ever.

    Vectors are lists of numbers or arrays of any real type; they are kept as float32, or with a `precision` of
    `f16` or `i8` in half or a quarter of that, in memory and in files. Scores are exact for what is kept.
    """

    def __new__(
        cls,
        dimensions: int | None = None,
        *,
        metric: Literal["cosine", "dot", "l2"] = "cosine",
        precision: Literal["f32", "f16", "i8"] = "f32",
        index: Literal["exact", "hnsw"] = "exact",
    ) -> Self:
        """An empty store in memory.

        Args:
            dimensions: Values a vector; by default the first vectors decide.
            metric: What a score is.
            precision: Four bytes a value, two (eleven binary digits of each) or one (255 steps between the
                vector's greatest value and its negative).
            index: How it is searched.
        """

    def save(self, path: str | PathLike[str]) -> None:
        """Writes one file; what was there before is replaced in one step or stays untouched."""

    @staticmethod
    def load(
        path: str | PathLike[str], *, index: Literal["exact", "hnsw"] = "exact"
    ) -> VectorStore:
        """Reads what `save` wrote.

        Args:
            path: The file. It holds no graph: with `index="hnsw"` all of it is linked now.
            index: How it is searched.

        Raises:
            StoreError: The file is damaged; nothing was loaded.
        """

    @staticmethod
    def open(
        path: str | PathLike[str],
        *,
        dimensions: int | None = None,
        metric: Literal["cosine", "dot", "l2"] | None = None,
        precision: Literal["f32", "f16", "i8"] | None = None,
        index: Literal["exact", "hnsw"] = "exact",
        read_only: bool = False,
        sync: bool = False,
    ) -> VectorStore:
        """The store in a folder, which is made when it is not there.

        Each change is written down before the call returns: killing the process at any moment loses nothing
        that was acknowledged. All of the store is held in memory as well.

        Args:
            path: The folder.
            dimensions: Values a vector of a new store; by default the first vectors decide. An existing one
                must agree.
            metric: Of a new store, default cosine. An existing one must agree.
            precision: Of a new store, default f32. An existing one must agree.
            index: How this process searches it. With `hnsw` what the folder's graph does not hold is linked now.
            read_only: Change nothing, and let another process write; `refresh` follows it.
            sync: Return from a change only when the device has it, so that a power cut loses nothing either.

        Raises:
            StoreError: Another process writes to it, it cannot be used, or its files are damaged.
            ValidationError: It has another metric or precision.
        """

    def refresh(self) -> bool:
        """Takes in what the folder's writer has changed since, and says whether there was anything.

        Only a store opened with `read_only=True` can be behind.
        """

    def close(self) -> None:
        """Lets go of the folder, so that another process may write to it.

        Searches go on; changes raise StoreError. In memory it does nothing.
        """

    @property
    def precision(self) -> str:
        """`f32`, `f16` or `i8`."""

    @property
    def index(self) -> str:
        """`exact` or `hnsw`."""

@final
class PgVectorStore(_Store):
    """A vector store in a table of PostgreSQL, with the extension pgvector. Any number of processes read and write.

    What one call changes is seen whole or not at all. Rows are numbered in the order they were added, with gaps.
    Texts with a NUL character are refused, since PostgreSQL cannot hold them. Without an index a search compares
    with every row. Words are looked for by PostgreSQL's own search, configuration `simple`, and ranked by its
    `ts_rank`, which is not BM25. It cannot be pickled, and neither `repr` nor errors show the connection string.
    """

    @staticmethod
    def connect(
        dsn: str,
        table: str = "graphbit",
        *,
        dimensions: int | None = None,
        metric: Literal["cosine", "dot", "l2"] = "cosine",
        connections: int = 4,
        timeout: float = 60.0,
        ef_search: int = 40,
    ) -> PgVectorStore:
        """Connects, and makes extension and table where they are missing.

        Args:
            dsn: `postgresql://user:password@host:port/database` or `host=.. user=.. dbname=..`. `PGPASSWORD`
                stands in for a password that it lacks. `sslmode` is `disable`, `prefer`, `require`, or, to have the
                certificate checked, `verify-full`, with the authority's certificate in the file `sslrootcert`.
            table: Its name, or a schema's and its name: `app.documents`.
            dimensions: Values a vector. By default an existing table knows, and a new one is made by the first
                vectors.
            metric: What a score is. It is not written down in the table.
            connections: Connections at most, 1 to 1000; as many batches are written at once.
            timeout: Seconds that a statement may take.
            ef_search: Candidates that an HNSW index looks at, 1 to 1000: more find more of the best.

        Raises:
            ValidationError: An argument is out of its range, or `dsn` is not understood.
            NetworkError: There is no connection.
            AuthenticationError: The server does not know the user or the password.
            StoreError: The table has another form or other dimensions.
        """

    @staticmethod
    def connect_async(
        dsn: str,
        table: str = "graphbit",
        *,
        dimensions: int | None = None,
        metric: Literal["cosine", "dot", "l2"] = "cosine",
        connections: int = 4,
        timeout: float = 60.0,
        ef_search: int = 40,
    ) -> Future[PgVectorStore]:
        """As `connect`."""

    def create_index(
        self,
        kind: Literal["hnsw", "words"] = "hnsw",
        *,
        m: int | None = None,
        ef_construction: int | None = None,
    ) -> None:
        """Makes an index, while others go on reading and writing. One that is there is left as it is.

        Args:
            kind: `hnsw` makes searches by vector fast, which may then miss some of the best; `words` those by words.
            m: Neighbours a row in `hnsw`, 2 to 100; the server's default is 16.
            ef_construction: Candidates while `hnsw` is built, 4 to 1000 and at least twice `m`; default 64.

        Raises:
            StoreError: There is no table yet, or the vectors have more than 2000 values.
        """

    def create_index_async(
        self,
        kind: Literal["hnsw", "words"] = "hnsw",
        *,
        m: int | None = None,
        ef_construction: int | None = None,
    ) -> Future[None]:
        """As `create_index`."""

    def close(self) -> None:
        """Lets go of the connections; every later call raises StoreError."""

    @property
    def table(self) -> str: ...
    @property
    def connections(self) -> int: ...
    @property
    def ef_search(self) -> int:
        """Candidates that an HNSW index looks at; may be set, for the searches to come."""

    @ef_search.setter
    def ef_search(self, value: int, /) -> None: ...
    def __bool__(self) -> bool: ...

@final
class QdrantVectorStore(_Store):
    """A vector store in a collection of Qdrant, over its REST interface. Any number of processes read and write.

    A call of at most 1000 entries and 6 MiB is one request, and as whole as the server makes it; a larger one is
    several, and may be seen in part. New entries come before what they take the place of goes, so that the same
    call again puts right what was broken off. Entries without an id get a random UUID. Words are ranked by BM25 with
    a fixed average length. It cannot be pickled, and neither `repr` nor errors show the key.
    """

    @staticmethod
    def connect(
        url: str,
        collection: str = "graphbit",
        *,
        api_key: str | None = None,
        insecure: bool = False,
        dimensions: int | None = None,
        metric: Literal["cosine", "dot", "l2"] = "cosine",
        writers: int = 4,
        timeout: float = 60.0,
        ef_search: int | None = None,
        shard_number: int | None = None,
        replication_factor: int | None = None,
        on_disk: bool = False,
    ) -> QdrantVectorStore:
        """Looks at the collection, and makes it if it is missing and the dimensions are known.

        Args:
            url: The server with its port: `https://qdrant.example:6333`.
            collection: Its name; a new one is made by the first vectors.
            api_key: The server's key; default `QDRANT_API_KEY` of the environment. An empty one is none.
            insecure: Whether the key may go to another machine by plain HTTP.
            dimensions: Values a vector. By default an existing collection knows, and a new one is made by the
                first vectors.
            metric: What a score is; it is the collection's distance.
            writers: Batches that an ingest writes at once, and searches of `search_many`, 1 to 256.
            timeout: Seconds that a request may take.
            ef_search: What a walk through the server's graph keeps in sight; more find more of the best. By
                default the server decides.
            shard_number: Of a new collection: its shards.
            replication_factor: Of a new collection: copies of each shard.
            on_disk: Of a new collection: whether its vectors stay on disk.

        Raises:
            ValidationError: An argument is out of its range, or the key would go to another machine by plain HTTP.
            ConfigurationError: The URL is unusable.
            NetworkError: The server cannot be reached, or stays too busy.
            AuthenticationError: The server does not take the key, or the key may not do this.
            StoreError: The collection has other vectors, another distance or other dimensions.
        """

    @staticmethod
    def connect_async(
        url: str,
        collection: str = "graphbit",
        *,
        api_key: str | None = None,
        insecure: bool = False,
        dimensions: int | None = None,
        metric: Literal["cosine", "dot", "l2"] = "cosine",
        writers: int = 4,
        timeout: float = 60.0,
        ef_search: int | None = None,
        shard_number: int | None = None,
        replication_factor: int | None = None,
        on_disk: bool = False,
    ) -> Future[QdrantVectorStore]:
        """As `connect`."""

    def create_index(self, key: str) -> None:
        """Has the server index one key of the metadata, so that conditions on it are fast.

        Args:
            key: Such as `"source"`, by which a pipeline deletes. An index that is there is left as it is.

        Raises:
            StoreError: There is no collection yet.
        """

    def create_index_async(self, key: str) -> Future[None]:
        """As `create_index`."""

    def close(self) -> None:
        """Every later call raises StoreError."""

    @property
    def url(self) -> str:
        """The server, without credentials."""

    @property
    def collection(self) -> str: ...
    @property
    def writers(self) -> int: ...
    @property
    def ef_search(self) -> int | None: ...
    def __bool__(self) -> bool: ...

@disjoint_base
class BackedStore(_Store):
    """All methods of a store over an object that has the few of `graphbit.stores.Backend`.

    Arguments are checked before the object sees them, and what it answers before anybody else does: an answer that
    cannot be right raises StoreError with the method's name. Rows without an id get a random one. The object is called
    on threads that may wait, never on one that runs an event loop.
    """

    def __new__(cls, backend: Backend) -> Self:
        """A store over an object.

        Args:
            backend: The object. Its `metric` and `writers` are read now, the rest when it is needed.

        Raises:
            TypeError: It lacks methods; the message names them.
        """

    @property
    def backend(self) -> Any:
        """The object."""

    def close(self) -> None:
        """Calls the object's `close`, if it has one."""

@final
class Filter:
    """Says which entries are meant by conditions, for those who write stores."""

    def __new__(cls, where: Mapping[str, Any] | None = None) -> Self:
        """Reads conditions as `VectorStore.search` takes them; `None` means every entry.

        Raises:
            ValidationError: A condition is not understood.
        """

    def matches(self, metadata: dict[str, str]) -> bool:
        """Whether an entry with this metadata is meant."""

# --- retrieval ------------------------------------------------------------------------------------

class _HasText(Protocol):
    @property
    def text(self) -> str: ...

class _HasPageContent(Protocol):
    @property
    def page_content(self) -> str: ...

_Document: TypeAlias = (
    str | PathLike[str] | tuple[str, str] | Mapping[str, Any] | _HasText | _HasPageContent
)
_Splitter: TypeAlias = (
    CharacterSplitter | TokenSplitter | SentenceSplitter | RecursiveSplitter | TextSplitter
)

class _StageSeconds(TypedDict):
    load: float
    split: float
    embed: float
    store: float
    wall: float

class _RagStats(TypedDict):
    documents: int
    chunks: int
    failed_documents: int
    embedded_tokens: int
    questions: int

@final
class PyMemory:
    """One thing remembered. Compares by value, copies and pickles."""

    @property
    def id(self) -> str:
        """A UUID, hyphenated and in small letters."""

    @property
    def content(self) -> str:
        """The fact itself."""

    @property
    def user_id(self) -> str | None: ...
    @property
    def agent_id(self) -> str | None: ...
    @property
    def run_id(self) -> str | None: ...
    @property
    def created_at(self) -> str:
        """RFC 3339, in UTC."""

    @property
    def updated_at(self) -> str:
        """RFC 3339, in UTC: the moment of the last change."""

    @property
    def metadata(self) -> dict[str, str]:
        """Whatever stands beside it in the file; a new dict each time. Empty for what `add` stores."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class PyScoredMemory:
    """A memory that was found. Compares by value, copies and pickles."""

    @property
    def memory(self) -> PyMemory: ...
    @property
    def score(self) -> float:
        """Cosine similarity to the query."""

    def __eq__(self, other: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class PyMemoryHistory:
    """One change of a memory. Compares by value, copies and pickles."""

    @property
    def memory_id(self) -> str: ...
    @property
    def old_content(self) -> str:
        """The content before; empty for a memory that was added."""

    @property
    def new_content(self) -> str:
        """The content after; empty for a memory that was deleted."""

    @property
    def action(self) -> str:
        """`"ADD"`, `"UPDATE"` or `"DELETE"`."""

    @property
    def timestamp(self) -> str:
        """RFC 3339, in UTC."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class MemoryConfig:
    """The models of a memory, and its file. Pickles as its arguments."""

    def __new__(
        cls,
        llm_config: LlmConfig | LlmClient,
        embedding_config: EmbeddingConfig | EmbeddingClient,
        db_path: str | PathLike[str] | None = None,
        similarity_threshold: float | None = None,
    ) -> Self:
        """Opens nothing yet.

        Args:
            llm_config: Finds the facts in conversations and decides on them. A client brings its own retries, limits
                and cache.
            embedding_config: Makes the vectors.
            db_path: Default `graphbit_memory.db` in the working folder; `":memory:"` for no file.
            similarity_threshold: Memories less like a query are no answer to it. 0 to 1, default 0.7; what lies
                outside is taken as the nearer end.
        """

@final
class MemoryClient:
    """Long-term memory in an SQLite file, which any number of clients and processes may share.

    Share a client freely between threads, event loops and forked children. In all methods `user_id`, `agent_id` and
    `run_id` are the scope: what is given must be equal, what is left out stands for all.
    """

    def __new__(cls, config: MemoryConfig) -> Self:
        """Opens the file, or creates it. Nothing is sent.

        Raises:
            StoreError: The file cannot be opened, or is none of SQLite's.
            ValidationError: `similarity_threshold` is not a number.
        """

    def add(
        self,
        messages: Sequence[tuple[str, str]],
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
    ) -> list[PyMemory]:
        """Remembers what is worth it of a conversation.

        One request finds the facts, a second one decides what becomes of each (add, update or delete a memory of
        the scope, or nothing), a third one embeds what is new. Then all of it is stored at once, with the scope.

        Args:
            messages: Pairs of role and text, oldest first. Roles other than `system` and `assistant` count as
                `user`. Without any, nothing is sent.

        What is decided is not lost when the embedding model merely cannot be reached, is busy or is down: it is
        stored without vectors, with a warning in the log, and the next search in its scope embeds it first.

        Returns:
            What was added or updated, in the order of the decisions. A reply that cannot be understood changes
            nothing.

        Raises:
            GraphbitError: Those of the language model, and those of the embedding model that another try does not
                help, such as a wrong key; nothing is stored then. The message says which step failed.
            StoreError: The file cannot be read or written.
        """

    def add_async(
        self,
        messages: Sequence[tuple[str, str]],
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
    ) -> Future[list[PyMemory]]: ...
    def search(
        self,
        query: str,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        top_k: int | None = None,
    ) -> list[PyScoredMemory]:
        """The memories of the scope that are most like the query, best first.

        Memories without a vector, or with one of another model, are embedded first: what another program wrote, and
        what `add` stored while the embedding model was down. What others change meanwhile has the score of what it
        says when it is returned.

        Args:
            query: Not empty.
            top_k: How many at most, default 10.

        Raises:
            GraphbitError: Those of the embedding client; `ValidationError` for an empty query.
            StoreError: The file cannot be read or written.
        """

    def search_async(
        self,
        query: str,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        top_k: int | None = None,
    ) -> Future[list[PyScoredMemory]]: ...
    def get(self, memory_id: str) -> PyMemory | None:
        """The memory of this id.

        Raises:
            ValidationError: The id is no UUID.
        """

    def get_async(self, memory_id: str) -> Future[PyMemory | None]: ...
    def get_all(
        self,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
    ) -> list[PyMemory]:
        """All memories of the scope, in the order in which they were added."""

    def get_all_async(
        self,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
    ) -> Future[list[PyMemory]]: ...
    def update(self, memory_id: str, content: str) -> PyMemory:
        """Gives a memory another content, and returns it. An empty one is never found by a search.

        Raises:
            ValidationError: The id is no UUID.
            MemoryNotFoundError: There is no such memory; nothing was sent.
            GraphbitError: Those of the embedding client; the memory is unchanged then.
        """

    def update_async(self, memory_id: str, content: str) -> Future[PyMemory]: ...
    def delete(self, memory_id: str, *, keep_history: bool = True) -> None:
        """Deletes a memory, if there is one.

        Args:
            keep_history: Keep the changes of its content, and this one, for `history`. `False` leaves nothing of
                it, also of a memory that was deleted before.

        Raises:
            ValidationError: The id is no UUID.
        """

    def delete_async(self, memory_id: str, *, keep_history: bool = True) -> Future[None]: ...
    def delete_all(
        self,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        *,
        keep_history: bool = True,
    ) -> None:
        """Deletes all memories of the scope: without any of it, every memory of the file.

        Args:
            keep_history: As for `delete`. `False` without a scope also leaves nothing of memories that were
                deleted before.
        """

    def delete_all_async(
        self,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        *,
        keep_history: bool = True,
    ) -> Future[None]: ...
    def history(self, memory_id: str) -> list[PyMemoryHistory]:
        """The changes of a memory, oldest first; of a deleted one, too. Empty for an unknown id.

        Raises:
            ValidationError: The id is no UUID.
        """

    def history_async(self, memory_id: str) -> Future[list[PyMemoryHistory]]: ...
    def close(self) -> None:
        """Lets the file go when what is under way is done.

        Every later call raises `StoreError`; closing again does nothing. A `with` statement closes at its end.
        """

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None: ...

@final
class ParallelRAG:
    """Ingests documents in parallel and answers questions about them, with citations."""

    def __new__(
        cls,
        embedding: EmbeddingConfig | EmbeddingClient | None = None,
        llm: LlmConfig | LlmClient | None = None,
        *,
        splitter: _Splitter | None = None,
        store: VectorStore
        | PgVectorStore
        | QdrantVectorStore
        | BackedStore
        | Backend
        | None = None,
        top_k: int = 4,
        batch_size: int = 64,
        max_concurrency: int | None = None,
        prompt: str | None = None,
    ) -> Self:
        """Connects to nothing yet.

        Args:
            embedding: Default the local `wordllama` model.
            llm: Default OpenAI where `OPENAI_API_KEY` is set, Ollama where `OLLAMA_HOST` is, else quotes
                without a language model.
            splitter: Default recursive, 1000 characters with 100 of overlap.
            store: One of the stores, or an object with the methods of `graphbit.stores.Backend`; default an empty cosine
                store.
            top_k: Passages a question retrieves, 1 to 1000.
            batch_size: Chunks an embedding request.
            max_concurrency: Embedding requests under way at once; default 16, or the number of cores for
                a local model.
            prompt: What a model is told, with `{question}` and `{passages}` where these belong; all other
                braces are text. Default to answer from the numbered passages only, and to cite them.

        Raises:
            ValidationError: A number is out of its range, or `prompt` lacks a placeholder, which is named.
        """

    def ingest(
        self,
        documents: _Document | Iterable[_Document],
        *,
        on_progress: Callable[[IngestProgress], object] | None = None,
        progress: bool | None = None,
        delete_missing: bool = False,
    ) -> IngestReport:
        """Loads, splits, embeds and stores. A document that fails is an outcome, not an exception.

        A source ingested before is replaced, in one step, unless the store has it as it is now: then it is
        `unchanged`, and nothing of it is embedded. Texts and vectors under way take 128 MiB at most, and each
        reader holds a document besides.

        Args:
            documents: A path, an HTTP URL, `{name: text}`, or an iterable of paths, URLs, `(name, text)` pairs,
                `{"source", "text", "metadata"}` dicts and objects with `text` or `page_content`. A folder
                stands for the files below it, a pattern (`docs/**/*.pdf`) for those it matches. Lists, tuples and
                mappings are checked before any work starts; other iterables are drawn from on a thread of
                their own, as there is room.
            on_progress: Called on a thread of its own, at most 20 times a second, at least once a second,
                and at the end; what it raises is reported through `sys.unraisablehook`.
            progress: `False` hides the bar that is drawn when standard error is a terminal (with `rich` where
                it is installed) and in notebooks (with `tqdm` where it is installed).
            delete_missing: Delete what the store holds of the folders and patterns among `documents` and that
                was not found there any more.

        Raises:
            Exception: Whatever an iterator raises, after what it gave before is settled.
        """

    def ingest_async(
        self,
        documents: _Document | Iterable[_Document] | AsyncIterable[_Document],
        *,
        on_progress: Callable[[IngestProgress], object] | None = None,
        progress: bool | None = None,
        delete_missing: bool = False,
    ) -> Future[IngestReport]:
        """`ingest` without blocking. An asynchronous iterable is drawn from on the running event loop."""

    def ingest_stream(
        self,
        documents: _Document | Iterable[_Document] | AsyncIterable[_Document],
        *,
        on_progress: Callable[[IngestProgress], object] | None = None,
    ) -> IngestStream:
        """`ingest`, but gives each outcome as soon as its document is stored, in the order of the documents.

        The iterable need never end and is drawn from no faster than the outcomes are read. A name that comes
        again replaces its document. Nothing begins before the first outcome is asked for.

        Args:
            documents: As for `ingest`; an asynchronous iterable needs `async for`.
            on_progress: As for `ingest`.
        """

    def ask(
        self,
        question: str,
        *,
        top_k: int | None = None,
        mode: Literal["vector", "lexical", "hybrid"] = "vector",
        where: Mapping[str, Any] | None = None,
        diversity: float | None = None,
        rerank: Callable[[str, list[str]], Iterable[float]] | None = None,
        min_score: float | None = None,
        max_context_tokens: int | None = None,
    ) -> Answer:
        """Answers from the passages that are found for the question.

        Args:
            question: Not blank.
            top_k: Passages given to the model, 1 to 1000; default the pipeline's.
            mode: `"vector"` finds what means the same, `"lexical"` what shares words (BM25; nothing is
                embedded), `"hybrid"` both, fused by their ranks.
            where: Only passages whose metadata meet these conditions, as in `VectorStore.search`.
            diversity: 0 to 1: how much passages should differ rather than be the best (maximal marginal
                relevance). Default not at all.
            rerank: Called with the question and the texts of 4 * `top_k` candidates (20 at least), on a
                thread of its own; returns a score for each, more is better.
            min_score: The least score of a passage: the reranker's, else BM25 in lexical mode, else the
                similarity. When no passage has it, no model is asked, and `Answer.found` is false.
            max_context_tokens: At most so many tokens of passages are given to the model, the best first.

        Raises:
            ValidationError: The question is blank, a number is out of its range, `rerank` returned another
                number of scores, or the best passage alone has too many tokens.
            StoreError: Nothing has been ingested.
        """

    def ask_async(
        self,
        question: str,
        *,
        top_k: int | None = None,
        mode: Literal["vector", "lexical", "hybrid"] = "vector",
        where: Mapping[str, Any] | None = None,
        diversity: float | None = None,
        rerank: Callable[[str, list[str]], Iterable[float]] | None = None,
        min_score: float | None = None,
        max_context_tokens: int | None = None,
    ) -> Future[Answer]:
        """`ask` without blocking."""

    @overload
    def ask_many(
        self,
        questions: Iterable[str],
        *,
        top_k: int | None = None,
        mode: Literal["vector", "lexical", "hybrid"] = "vector",
        where: Mapping[str, Any] | None = None,
        diversity: float | None = None,
        rerank: Callable[[str, list[str]], Iterable[float]] | None = None,
        min_score: float | None = None,
        max_context_tokens: int | None = None,
        max_concurrency: int | None = None,
        on_error: Literal["raise"] = "raise",
    ) -> list[Answer]:
        """One answer for each question, in their order; questions are embedded in batches.

        Args:
            questions: Any iterable of str, read to its end first. Empty gives an empty list.
            top_k: This and the following as for `ask`.
            mode: See there.
            where: See there.
            diversity: See there.
            rerank: See there.
            min_score: See there.
            max_context_tokens: See there.
            max_concurrency: Questions under way at once; default 256.
            on_error: `"raise"` cancels the rest at the first failure and raises it, `"return"` puts
                exceptions into the list.

        Raises:
            GraphbitError: The first failure. Its `index` is that of the question, and its `results` hold
                what was finished by then, `None` in the other places.
            KeyboardInterrupt: Ctrl-C. It, and whatever a signal's handler raises, has `results` as well.
        """

    @overload
    def ask_many(
        self,
        questions: Iterable[str],
        *,
        top_k: int | None = None,
        mode: Literal["vector", "lexical", "hybrid"] = "vector",
        where: Mapping[str, Any] | None = None,
        diversity: float | None = None,
        rerank: Callable[[str, list[str]], Iterable[float]] | None = None,
        min_score: float | None = None,
        max_context_tokens: int | None = None,
        max_concurrency: int | None = None,
        on_error: Literal["return"],
    ) -> list[Answer | Exception]: ...
    @overload
    def ask_many(
        self,
        questions: Iterable[str],
        *,
        top_k: int | None = None,
        mode: Literal["vector", "lexical", "hybrid"] = "vector",
        where: Mapping[str, Any] | None = None,
        diversity: float | None = None,
        rerank: Callable[[str, list[str]], Iterable[float]] | None = None,
        min_score: float | None = None,
        max_context_tokens: int | None = None,
        max_concurrency: int | None = None,
        on_error: Literal["raise", "return"] = "raise",
    ) -> list[Any]: ...
    @overload
    def ask_many_async(
        self,
        questions: Iterable[str],
        *,
        top_k: int | None = None,
        mode: Literal["vector", "lexical", "hybrid"] = "vector",
        where: Mapping[str, Any] | None = None,
        diversity: float | None = None,
        rerank: Callable[[str, list[str]], Iterable[float]] | None = None,
        min_score: float | None = None,
        max_context_tokens: int | None = None,
        max_concurrency: int | None = None,
        on_error: Literal["raise"] = "raise",
    ) -> Future[list[Answer]]:
        """`ask_many` without blocking; a cancelled future has `results`."""

    @overload
    def ask_many_async(
        self,
        questions: Iterable[str],
        *,
        top_k: int | None = None,
        mode: Literal["vector", "lexical", "hybrid"] = "vector",
        where: Mapping[str, Any] | None = None,
        diversity: float | None = None,
        rerank: Callable[[str, list[str]], Iterable[float]] | None = None,
        min_score: float | None = None,
        max_context_tokens: int | None = None,
        max_concurrency: int | None = None,
        on_error: Literal["return"],
    ) -> Future[list[Answer | Exception]]: ...
    @overload
    def ask_many_async(
        self,
        questions: Iterable[str],
        *,
        top_k: int | None = None,
        mode: Literal["vector", "lexical", "hybrid"] = "vector",
        where: Mapping[str, Any] | None = None,
        diversity: float | None = None,
        rerank: Callable[[str, list[str]], Iterable[float]] | None = None,
        min_score: float | None = None,
        max_context_tokens: int | None = None,
        max_concurrency: int | None = None,
        on_error: Literal["raise", "return"] = "raise",
    ) -> Future[list[Any]]: ...
    def ask_stream(
        self,
        question: str,
        *,
        top_k: int | None = None,
        mode: Literal["vector", "lexical", "hybrid"] = "vector",
        where: Mapping[str, Any] | None = None,
        diversity: float | None = None,
        rerank: Callable[[str, list[str]], Iterable[float]] | None = None,
        min_score: float | None = None,
        max_context_tokens: int | None = None,
    ) -> AnswerStream:
        """Finds the passages as `ask` does, and returns the answer piece by piece."""

    def ask_stream_async(
        self,
        question: str,
        *,
        top_k: int | None = None,
        mode: Literal["vector", "lexical", "hybrid"] = "vector",
        where: Mapping[str, Any] | None = None,
        diversity: float | None = None,
        rerank: Callable[[str, list[str]], Iterable[float]] | None = None,
        min_score: float | None = None,
        max_context_tokens: int | None = None,
    ) -> Future[AnswerStream]:
        """`ask_stream` without blocking."""

    def search(
        self,
        question: str,
        *,
        top_k: int | None = None,
        mode: Literal["vector", "lexical", "hybrid"] = "vector",
        where: Mapping[str, Any] | None = None,
        diversity: float | None = None,
        rerank: Callable[[str, list[str]], Iterable[float]] | None = None,
        min_score: float | None = None,
    ) -> list[Citation]:
        """The passages that `ask` would give to a model, best first, without asking one."""

    def search_async(
        self,
        question: str,
        *,
        top_k: int | None = None,
        mode: Literal["vector", "lexical", "hybrid"] = "vector",
        where: Mapping[str, Any] | None = None,
        diversity: float | None = None,
        rerank: Callable[[str, list[str]], Iterable[float]] | None = None,
        min_score: float | None = None,
    ) -> Future[list[Citation]]:
        """`search` without blocking."""

    def stats(self) -> _RagStats:
        """What is held and what was done."""

    def __len__(self) -> int:
        """Chunks held."""

    def __bool__(self) -> bool:
        """Always true; only `len()` tells an empty one from a full one."""

@final
class IngestProgress:
    """How far an ingest is."""

    @property
    def documents_total(self) -> int:
        """Documents found so far; 0 until the folders have been read."""

    @property
    def documents_done(self) -> int:
        """Documents stored, or found unchanged."""

    @property
    def documents_failed(self) -> int: ...
    @property
    def chunks_total(self) -> int:
        """Chunks cut so far."""

    @property
    def chunks_done(self) -> int:
        """Chunks so far that have a vector, or failed to get one."""

    @property
    def tokens(self) -> int:
        """Tokens embedded so far."""

    @property
    def cost(self) -> float | None:
        """US dollars for the embeddings so far, by `get_prices()`.

        `None` when a price is not known or a server does not count tokens, never 0 for that.
        """

    @property
    def retries(self) -> int:
        """Embedding requests so far that were sent again because they had failed."""

    @property
    def seconds(self) -> float:
        """Since the ingest began."""

    @property
    def documents_per_second(self) -> float:
        """Documents stored, found unchanged or failed a second, over the last ten seconds."""

    @property
    def chunks_per_second(self) -> float:
        """Chunks embedded a second, over the last ten seconds."""

    @property
    def eta_seconds(self) -> float | None:
        """Seconds to go, 0.0 in the last report.

        `None` while folders are read, while an iterator may give more, and before anything has got far enough
        to tell.
        """

    @property
    def finished(self) -> bool:
        """Whether this is the last report."""

    def __eq__(self, other: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class IngestStream:
    """The outcomes of an ingest, for `for` and `async for`.

    Closing or dropping it ends the ingest; what was stored stays, and the documents under way are given up.
    """

    def __iter__(self) -> Self: ...
    def __next__(self) -> DocumentOutcome: ...
    def __aiter__(self) -> Self: ...
    def __anext__(self) -> Future[DocumentOutcome]: ...
    def close(self) -> None:
        """Ends the ingest."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None: ...
    def __aenter__(self) -> Future[Self]: ...
    def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> Future[None]: ...

@final
class IngestReport:
    """What an ingest did."""

    @property
    def documents(self) -> int:
        """Documents without an error, unchanged ones among them."""

    @property
    def unchanged(self) -> int:
        """Documents that the store had already, as they are now."""

    @property
    def deleted(self) -> int:
        """Documents deleted because they are gone."""

    @property
    def chunks(self) -> int:
        """Chunks stored by this ingest."""

    @property
    def tokens(self) -> int:
        """Tokens embedded."""

    @property
    def cost(self) -> float | None:
        """US dollars for the embeddings, by `get_prices()`.

        `None` when a price is not known or a server does not count tokens, never 0 for that.
        """

    @property
    def retries(self) -> int:
        """Embedding requests that were sent again because they had failed."""

    @property
    def outcomes(self) -> list[DocumentOutcome]:
        """One a document, in the order given."""

    @property
    def failed(self) -> list[DocumentOutcome]:
        """The outcomes with an error."""

    @property
    def seconds(self) -> _StageSeconds:
        """Seconds each stage was busy; stages overlap. `wall` is the whole time."""

    def __eq__(self, other: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class DocumentOutcome:
    """How it went for one document."""

    @property
    def source(self) -> str:
        """The path or name given."""

    @property
    def chunks(self) -> int:
        """Chunks the store holds of it."""

    @property
    def unchanged(self) -> bool:
        """Whether the store had it already, as it is now."""

    @property
    def error(self) -> str | None:
        """Why nothing of it was stored; what the store had of it before is then still there."""

    @property
    def ok(self) -> bool:
        """Whether the store has it."""

    def __eq__(self, other: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class Answer:
    """An answer and the passages it rests on. `str()` is its text."""

    @property
    def text(self) -> str: ...
    @property
    def citations(self) -> list[Citation]:
        """The passages given to the model, best first."""

    @property
    def sources(self) -> list[str]:
        """The documents the text cites, each once, in the order of the passages."""

    @property
    def usage(self) -> LlmUsage: ...
    @property
    def model(self) -> str:
        """The model that answered; empty when none was asked."""

    @property
    def found(self) -> bool:
        """Whether there were passages to answer from.

        If not, no model was asked, and the text is "Nothing relevant to the question was found."
        """

@final
class AnswerStream:
    """An answer piece by piece, for `for` and `async for`. Dropping it cancels. Never constructed."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> str: ...
    def __aiter__(self) -> Self: ...
    def __anext__(self) -> Future[str]: ...
    def close(self) -> None:
        """Ends the stream: the request is cancelled and its connection freed. May be called twice."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None: ...
    def __aenter__(self) -> Future[Self]: ...
    def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> Future[None]: ...
    @property
    def citations(self) -> list[Citation]:
        """The passages given to the model, at once; which of them are cited is known at the end."""

    @property
    def found(self) -> bool:
        """Whether there were passages to answer from; if not, the only piece says so."""

    @property
    def answer(self) -> Answer | None:
        """The whole answer, once the stream has ended well."""

@final
class Citation:
    """A passage, with the number that marks it in an answer."""

    @property
    def number(self) -> int:
        """From 1, best first; `[1]` in the answer's text."""

    @property
    def source(self) -> str:
        """The document's path or name."""

    @property
    def text(self) -> str: ...
    @property
    def start_char(self) -> int:
        """First character of the passage in the document."""

    @property
    def end_char(self) -> int:
        """One past its last character."""

    @property
    def score(self) -> float:
        """The reranker's score if there is one, else BM25 in lexical mode, else the similarity."""

    @property
    def cited(self) -> bool:
        """Whether the answer's text carries this passage's number."""

    def __eq__(self, other: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

# --- workflows --------------------------------------------------------------------------------------

@type_check_only
class _ExecutorStats(TypedDict):
    total_executions: int
    successful_executions: int
    failed_executions: int
    success_rate: float
    average_duration_ms: float
    total_duration_ms: int
    uptime_seconds: int
    execution_mode: str
    timeout_seconds: int
    max_retries: int
    metrics_enabled: bool

@final
class Node:
    """One box of a workflow: an agent, a condition or a transform. Never changes once it is made.

    `repr` is `Node(id='...', name='...', type='Agent')`.
    """

    @staticmethod
    def agent(
        name: str,
        prompt: str,
        context: str | None = None,
        agent_id: str | None = None,
        output_name: str | None = None,
        tools: list[Any] | None = None,
        system_prompt: str | None = None,
        llm_config: LlmConfig | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        max_iterations: int | None = None,
        enable_prompt_caching: bool = False,
    ) -> Node:
        """Ask a model, run the tools it asks for, and ask again until it asks for none.

        The message is `context`, the outputs of the direct parents (the last connected first) and
        `prompt`, with blank lines between them. In `context` and `prompt`, `{{node.<name>}}`,
        `{{node.<name>.<key>}}` and `{<name>}` stand for outputs of finished nodes, by name, id or
        `output_name`; the node waits for those that it names. What cannot be resolved stays as it is
        written.

        The output is the text of the last answer; of an agent without tools, its JSON value if it is
        JSON other than a number.

        Args:
            name: Not blank; need not be unique.
            prompt: Not blank.
            context: A text in front of everything else.
            agent_id: A UUID, or a text that stands for one; unique in a workflow.
            output_name: A further name of the output.
            tools: Callables that the model may call; no others. Up to 16 calls of one answer run at a
                time, each on a thread of its own. Coroutine functions are awaited.
            system_prompt: Sent as it is.
            llm_config: The model, if it is not the executor's.
            temperature: 0.0 to 2.0; unset, it is not sent.
            max_tokens: At least 1, for each answer; unset, it is not sent.
            max_iterations: Rounds of tool calls, 1 to 100; 10 unless set. After the last round the text
                of the answer is the output, and the calls in it are not run.
            enable_prompt_caching: For providers that have such a switch.

        Raises:
            ValidationError: For values outside these bounds.
            ValueError: If two tools have the same name.
            TypeError: If a tool cannot be called, or `tools` is no list.
            OverflowError: If `max_tokens` or `max_iterations` is negative or beyond 32 bits.
        """

    @staticmethod
    def condition(
        name: str,
        handler: Callable[[dict[str, Any]], str] | Callable[[dict[str, Any]], Awaitable[str]],
    ) -> Node:
        """Go on with one successor; what is below the others, and not below it, is skipped.

        The node needs exactly one parent. Its output is the name of the successor.

        Args:
            name: Not blank.
            handler: Returns the name of a direct successor; blanks around it do not count. A coroutine
                function is awaited. It runs on a thread of its own and gets a dict: `parent_node_id`;
                `parent_output`, a string or what its JSON says; `node_outputs`, all outputs so far by id
                and name; `variables`, the same as text; `metadata`, with `node_response_<id or name>` of
                each agent so far, `node_dependencies` and `node_id_to_name`. What it raises, and a name
                that no successor has, fails the node.

        Raises:
            ValidationError: For a blank name.
            TypeError: If `handler` cannot be called.
        """

    @staticmethod
    def transform(name: str, transformation: str) -> Node:
        """Change the text of the parents, without a model.

        Args:
            name: Not blank.
            transformation: A row of operations (`"trim | uppercase"`), or a template with the placeholders
                of `agent`, in which `{input}` is the text of the parents: blank lines between several, the
                last connected first. Operations: `capitalize`, `collapse_whitespace`, `extract_json`,
                `first_line`, `last_line`, `length`, `lower`, `lowercase`, `reverse`, `sort_lines`,
                `strip`, `title`, `trim`, `upper`, `uppercase`, `word_count`. `length` and `word_count`
                give numbers, `extract_json` the first object or array in the text.

        Raises:
            ValidationError: For a blank name or transformation. An unknown operation is refused by
                `Workflow.validate`.
        """

    def id(self) -> str:
        """A random UUID, fixed when the node was made."""

    def name(self) -> str: ...
    def has_tools(self) -> bool:
        """Whether it was given a list of tools, be it empty."""

    def get_tool_names(self) -> list[str]: ...
    def get_config(self) -> str:
        """What was set, as indented JSON text; `{}` for conditions and transforms.

        Keys: `output_name`, `system_prompt`, `llm_config`, `temperature`, `max_tokens`, `max_iterations`,
        `enable_prompt_caching`, `tools` (names) and `tool_schemas`. Of a key it only shows that there is
        one.
        """

    def create_tool_executor(self) -> ToolExecutor:
        """An executor over the tools of this node, with the default configuration."""

    def execute_tools(self, tool_calls: list[Any]) -> str:
        """Run tool calls one after another and list what came of them, a line each below a heading.

        Args:
            tool_calls: Dicts with `name`, and perhaps `id` and `parameters`; their JSON texts; or
                `LlmToolCall` objects.

        Raises:
            ValueError: If the node has no tools.
            TypeError: If `tool_calls` is no list.
        """

@final
class Workflow:
    """Nodes and edges. A run works on the graph as it was when the run began."""

    def __new__(cls, name: str) -> Self: ...
    def name(self) -> str: ...
    def node_count(self) -> int: ...
    def add_node(self, node: Node) -> str:
        """Add a node and return its id. Names need not be unique.

        Raises:
            WorkflowError: If this very node is part of the workflow already.
        """

    def connect(self, from_id: str, to_id: str) -> None:
        """Let one node follow another. Each is named by its id, or by its name (the first added of it).

        Cycles are found by `validate`.

        Raises:
            ValidationError: If there is no such node.
        """

    def validate(self) -> None:
        """Look for everything that can be wrong before a run. Executors do so themselves.

        Raises:
            WorkflowError: For cycles, unknown text operations, successors of a condition with one name,
                agents with one `agent_id`, and, where they are required, names that are not unique.
        """

    def set_graph_metadata(self, key: str, value: bool) -> None:
        """`enforce_unique_node_names` makes two nodes of one name an error; other keys mean nothing."""

@final
class WorkflowResult:
    """What became of each node. Obtained from an executor, never constructed."""

    def is_success(self) -> bool:
        """Whether every node completed or was rightly skipped."""

    def is_completed(self) -> bool:
        """As `is_success`."""

    def is_failed(self) -> bool:
        """Whether a node failed."""

    def state(self) -> str:
        """`Completed`, `Failed { error: "..." }`, or `Cancelled` for a partial result."""

    def error(self) -> str | None:
        """What failed first, with the name of the node; `None` if nothing did."""

    def output(self) -> str | None:
        """The output of the node that finished last, as text; `None` if none did."""

    def execution_time_ms(self) -> int:
        """Milliseconds from begin to end, tools included."""

    def get_node_output(self, node_name: str) -> str | None:
        """A node's output by its id, name or `output_name`: a string as it is, other JSON compact.

        `None` for nodes that are unknown or did not complete, and for JSON's `null`.
        """

    def get_all_node_outputs(self) -> dict[str, str]:
        """All outputs under all their names, in the order in which the nodes finished."""

    def get_all_nodes_outputs(self) -> dict[str, str]:
        """As `get_all_node_outputs`."""

    def get_variable(self, key: str) -> str | None:
        """The text of an output under one of its names; `null` is a text here."""

    def get_all_variables(self) -> dict[str, str]:
        """All of them, by id, name and `output_name`, in the order in which the nodes finished."""

    def variables(self) -> list[tuple[str, str]]:
        """`get_all_variables` as pairs."""

    def get_node_response_metadata(self, node_id: str) -> dict[str, Any] | None:
        """What an agent did, by its id or name.

        `success` and `error`; `user_input`, its prompt with placeholders filled, and `final_output`;
        `executions`, each request (`type` `"llm_call"`) and tool call (`"tool_call"`) in its order;
        `total_usage` in tokens; `total_iterations`, requests but one; `total_tool_calls`, `tools_used`,
        `total_retries`; `duration_ms` in milliseconds, `start_time` and `end_time` as RFC 3339 text.

        `None` for other kinds of nodes and for agents that did not run.
        """

    def get_all_node_response_metadata(self) -> dict[str, Any]:
        """What is told of the whole run, with the metadata of its agents under `nodes`.

        `workflow_state` is `"completed"`, `"failed"` or `"cancelled"`; `total_usage` and
        `total_tool_calls` are sums; `duration_ms` is in milliseconds.
        """

@final
class WorkflowStreamIterator:
    """The events of a run, for `for` and `async for`, each a dict. Dropping or closing it ends the run.

    `Executor.get_stream_event_schema` describes them. The last one is `workflow_completed` or
    `workflow_failed`. `KeyboardInterrupt`, `SystemExit` and their like out of a tool or handler are raised
    in its place. 256 events wait for a slow listener, then the run does.
    """

    def __iter__(self) -> Self: ...
    def __next__(self) -> dict[str, Any]: ...
    def __aiter__(self) -> Self: ...
    def __anext__(self) -> Future[dict[str, Any]]: ...
    @property
    def result(self) -> WorkflowResult | None:
        """What has become of the nodes so far, however the run ended; `None` before it has begun."""

    def close(self) -> None:
        """End the run; its requests are cancelled."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None: ...
    def __aenter__(self) -> Future[Self]: ...
    def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> Future[None]: ...

@final
class GuardRailPolicyConfig:
    """What no model may read, and whether it is put back into answers. Made by its static methods only.

    The document is a JSON object, every part of which may be left out::

        {"policy_name": "contacts", "policy_version": "1.0.0", "active": true,
         "guardrail_policy": {"pii_rules": [{"type": "regex", "name": "EMAIL", "pattern": "..."}],
                              "masking": true, "mapping": true}}

    `active` is true unless given, if there is a `guardrail_policy`. A pattern is a regular expression without
    look-around and references back. `masking` hides what a rule matches, unless it is false; `mapping`, false
    unless given, also puts it back into outputs and the arguments of tools. What is not known is passed
    over, and a rule that is passed over is a warning in the log; JSON that is no object is the default.

    Policies compare, hash and pickle by their document.
    """

    @staticmethod
    def from_json(json_str: str) -> GuardRailPolicyConfig:
        """The policy in a JSON text.

        Raises:
            GuardRailError: A `ValueError`, if it is no JSON, its name or version is empty, or a pattern cannot
                be used.
        """

    @staticmethod
    def from_file(path: str | PathLike[str]) -> GuardRailPolicyConfig:
        """The policy in a file of at most 4 MiB.

        Raises:
            GuardRailError: A `ValueError`, if it cannot be read, and as for `from_json`.
        """

    @staticmethod
    def from_url(url: str) -> GuardRailPolicyConfig:
        """The policy that a server gives: one GET of at most 4 MiB within 30 s, redirects followed.

        Raises:
            GuardRailError: A `ValueError`, if there is no answer of status 200 to 299, with `status_code` where
                that is why, and as for `from_json`.
        """

    @staticmethod
    def default_config() -> GuardRailPolicyConfig:
        """A policy that is not active."""

    def policy_name(self) -> str:
        """Its name; `"default"` unless given."""

    def policy_version(self) -> str:
        """Its version; `"0.0.0"` unless given."""

    def is_active(self) -> bool:
        """What the document says. An active policy may still do nothing: without rules, or with `masking` off."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Executor:
    """Runs workflows. Share it freely between threads, event loops and callbacks."""

    def __new__(
        cls,
        config: LlmConfig,
        lightweight_mode: bool | None = None,
        timeout_seconds: int | None = None,
        debug: bool | None = None,
        *,
        max_concurrency: int | None = None,
    ) -> Self:
        """An executor whose agents ask `config` unless they have a model of their own.

        Args:
            config: The model.
            lightweight_mode: Remembered; changes nothing.
            timeout_seconds: For a whole run, 1 to 3600 s; 300 unless set.
            debug: Logs the choice.
            max_concurrency: Requests of one run that are under way at a time, at least 1; 64 unless set.
                An agent whose tools are running is not counted.

        Raises:
            ValidationError: For values outside these bounds.
        """

    def configure(
        self,
        timeout_seconds: int | None = None,
        max_retries: int | None = None,
        enable_metrics: bool | None = None,
        debug: bool | None = None,
        *,
        max_concurrency: int | None = None,
    ) -> None:
        """Change the limits of runs to come; what is left out stays.

        Args:
            timeout_seconds: As for the constructor.
            max_retries: Further attempts of a request where trying again can help, 1 to 10; 3 unless set.
                Pauses grow from 1 s to 30 s, or are what the server asks for.
            enable_metrics: Whether runs are counted.
            debug: Logs the limits.
            max_concurrency: As for the constructor.

        Raises:
            ValidationError: For values outside these bounds; nothing is changed then.
        """

    def execute(
        self,
        workflow: Workflow,
        policy: GuardRailPolicyConfig | None = None,
        *,
        checkpoint: str | PathLike[str] | None = None,
    ) -> WorkflowResult:
        """Run a workflow to its end. A failed node is told by the result, not raised.

        Args:
            workflow: What to run.
            policy: What no model may read; see `GuardRailPolicyConfig`.
            checkpoint: A file of finished nodes. A run that is repeated with it, after a kill too, asks
                only for what is missing or has changed. The code of tools and handlers is not part of
                that. One run at a time has the file.

        Raises:
            ValidationError: If the workflow is empty or not valid.
            WorkflowError: If no node is an agent, or the checkpoint cannot be used.
            RequestTimeoutError: After the time limit. It, `KeyboardInterrupt` and `SystemExit` carry what
                had finished as `partial_result`, a `WorkflowResult`.
            TypeError: If `policy` is neither `None` nor a `GuardRailPolicyConfig`.
        """

    def run_async(
        self,
        workflow: Workflow,
        policy: GuardRailPolicyConfig | None = None,
        *,
        checkpoint: str | PathLike[str] | None = None,
    ) -> Future[WorkflowResult]:
        """`execute` as a future; cancelling it ends the run. Coroutine tools run on the caller's loop.

        An empty workflow, too, is a `WorkflowError` of the future; one that is not valid raises at once.

        Raises:
            RuntimeError: If no event loop is running.
        """

    def execute_streaming(
        self,
        workflow: Workflow,
        policy: GuardRailPolicyConfig | None = None,
        stream_mode: str | None = None,
        *,
        checkpoint: str | PathLike[str] | None = None,
    ) -> WorkflowStreamIterator:
        """Begin a run and return its events.

        Args:
            workflow: What to run.
            policy: What no model may read; see `GuardRailPolicyConfig`.
            stream_mode: `"updates"` (everything but tokens, the default), `"messages"` (tokens and the
                terminal event) or `"all"`.
            checkpoint: As for `execute`.

        Raises:
            ValidationError: If the workflow is empty or not valid, or the mode unknown. What `execute` raises
                else, the iterator raises; the time limit is a `workflow_failed` event instead.
        """

    def get_stats(self) -> _ExecutorStats:
        """The numbers so far, of `execute`, `run_async` and `execute_streaming`.

        A run in which no node failed is successful; failed, cancelled and late ones are not.
        `success_rate` is 0.0 to 1.0.
        """

    def reset_stats(self) -> None:
        """Sets the numbers and the uptime to zero."""

    def get_execution_mode(self) -> str:
        """Always `"Balanced"`."""

    def set_lightweight_mode(self, enabled: bool) -> None:
        """Remember the switch; it changes nothing."""

    def is_lightweight_mode(self) -> bool: ...
    @staticmethod
    def get_stream_event_schema() -> dict[str, Any]:
        """What events there are and what they hold.

        `events` has a dict for each, with `event`, `description`, `category_value`, `phase_value` and
        `fields`, dicts with `name`, `type` and `description`; `event_groups` their names by category;
        `stream_modes` the modes.
        """
