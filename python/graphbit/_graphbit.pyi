"""The native module. Import its names from `graphbit`.

Methods named `*_async` and those that return a `Future` need a running event loop; the work has
begun when they return, and cancelling the future cancels the request. Blocking methods release the
interpreter and may be called from anywhere, also from callbacks and running event loops. Unless said
otherwise they raise `graphbit.exceptions.GraphbitError` and its subclasses; arguments of a wrong type
raise `TypeError`.
"""

from asyncio import Future
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from os import PathLike
from types import TracebackType
from typing import Any, Literal, TypedDict, final

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
