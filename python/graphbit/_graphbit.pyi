"""The native module. Import its names from `graphbit`.

Methods named `*_async` and those that return a `Future` need a running event loop; the work has
begun when they return, and cancelling the future cancels the request. Blocking methods release the
interpreter and may be called from anywhere, also from callbacks and running event loops. Unless said
otherwise they raise `graphbit.exceptions.GraphbitError` and its subclasses; arguments of a wrong type
raise `TypeError`.
"""

from asyncio import Future
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from os import PathLike
from types import TracebackType
from typing import Any, ClassVar, Literal, TypedDict, final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

_Vector = Sequence[float] | NDArray[np.floating[Any]]

class _Stats(TypedDict):
    total_requests: int
    successful_requests: int
    failed_requests: int
    success_rate: float
    average_response_time_ms: float
    circuit_breaker_state: str
    uptime_seconds: int

# --- module functions -----------------------------------------------------------------------------

def init(
    log_level: str | None = None,
    enable_tracing: bool | None = None,
    debug: bool | None = None,
) -> None:
    """Starts the runtime and, when asked, logging to standard error. Optional; the first call wins.

    Args:
        log_level: `trace`, `debug`, `info`, `warn` (the default and what unknown words mean) or `error`.
        enable_tracing: Switches logging on.
        debug: Switches logging on where `enable_tracing` is not given.
    """

def version() -> str:
    """This package's version."""

def configure_runtime(
    worker_threads: int | None = None,
    max_blocking_threads: int | None = None,
    thread_stack_size_mb: int | None = None,
) -> None:
    """Sets the sizes of the runtime and starts it; ignored once it exists.

    Args:
        worker_threads: Default twice the processors, at least 4, at most 32.
        max_blocking_threads: Default four times the processors.
        thread_stack_size_mb: Default 1.

    Raises:
        ValueError: A value is not positive.
    """

def get_system_info() -> dict[str, Any]:
    """Facts about the library and its runtime; `runtime_*` sizes appear once the runtime exists."""

def health_check() -> dict[str, Any]:
    """Whether the runtime runs and memory is left; `overall_healthy` sums it up."""

def shutdown() -> None:
    """Flushes what is buffered. Everything stays usable; may be called any number of times."""

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
        base_url: str | None = None,
        timeout: float | timedelta | None = None,
        headers: Mapping[str, str] | None = None,
        http_proxy: str | None = None,
    ) -> LlmConfig:
        """OpenAI.

        Args:
            api_key: At least 20 bytes.
            model: Default `gpt-4o-mini`.

        Raises:
            ValidationError: The key is empty or too short.
        """

    @staticmethod
    def azurellm(
        api_key: str,
        deployment_name: str,
        endpoint: str,
        api_version: str | None = None,
        *,
        api: Literal["auto", "chat", "responses"] = "auto",
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

    def provider(self) -> str:
        """The provider's name."""

    def model(self) -> str:
        """The model's or deployment's name."""

    def cleanup(self) -> bool:
        """Always `False`: nothing needs cleaning. Kept for programs that call it."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> bool: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class LlmClient:
    """A client for one configuration. Share it between threads, event loops and forked children.

    Failures that can heal are tried again: four attempts, pauses of 100, 200 and 400 ms or what the
    server asks for. Five failed calls in a row open the circuit breaker for 60 s.

    Args of the calls:
        prompt: Not empty.
        max_tokens: At least 1; default the provider's.
        temperature: 0.0 to 2.0; default the provider's.
        enable_prompt_caching: Kept for providers that have such a switch.
    """

    def __new__(cls, config: LlmConfig, debug: bool | None = None) -> Self:
        """Connects to nothing yet.

        Args:
            config: The model.
            debug: Adds log lines.
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

        Args:
            prompts: 1 to 1000. An empty one is answered by an error in its place, without traffic.
            max_tokens: As above.
            temperature: As above.
            max_concurrency: Requests under way at once; default twice the processors, but 5 to 20.
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
        """Numbers of this client's calls, and its circuit breaker's state."""

    def reset_stats(self) -> None:
        """Sets the counters to zero; circuit breaker and uptime go on."""

@final
class StreamIterator:
    """The text of one answer, piece by piece, for `for` and `async for`. Dropping it cancels.

    There is no limit on the whole, only on silence (30 s between pieces). After the end it goes on
    saying that it has ended.
    """

    def __iter__(self) -> Self: ...
    def __next__(self) -> str: ...
    def __aiter__(self) -> Self: ...
    def __anext__(self) -> Future[str]: ...
    def streaming_response(self) -> Future[str]:
        """Writes each remaining piece to `sys.stdout` and resolves to all of them together."""

    @property
    def usage(self) -> LlmUsage | None:
        """Tokens used, once the stream has ended and if the provider said so."""

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the model stopped, once the stream has ended."""

# --- value types of chat --------------------------------------------------------------------------

@final
class LlmUsage:
    """Tokens of one request, or a sum over several. Compares by value."""

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
    """Why the model stopped. Compares by value."""

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
    """A call the model asked for. Compares by value."""

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
    """A finished answer. Compares by value."""

    def __new__(cls, content: str, model: str) -> Self: ...
    @property
    def content(self) -> str:
        """Empty where the model said nothing, as with tool calls."""

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
        """JSON text by key; a string comes with its quotes."""

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
