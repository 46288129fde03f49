"""What stands between a call and a provider's weather, as settings of a client.

Each is a small frozen object, given to `LlmClient` or `EmbeddingClient` by keyword. One that limits or
remembers (`RateLimit`, `AdaptiveConcurrency`, `Cache`) is shared by all clients it is given to. A pickle
holds the settings only: the copy in another process limits and remembers by itself, unless it shares a
Redis or a file.

>>> from graphbit import CircuitBreaker, RetryPolicy
>>> RetryPolicy(attempts=8, deadline=300)
RetryPolicy(attempts=8, base_delay=0.1, max_delay=5.0, jitter=True, deadline=300, ...)
>>> CircuitBreaker(failure_rate=1.5)
Traceback (most recent call last):
    ...
graphbit.exceptions.ValidationError: ... 'failure_rate' with value '1.5' ...

The order of the layers and what to set for which symptom: `docs/resilience.md`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from graphbit import _graphbit

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

__all__ = ["AdaptiveConcurrency", "Cache", "CircuitBreaker", "Hedging", "RateLimit", "RetryPolicy"]


class _Settings:
    """Checked when made; pickled and copied as its fields."""

    _kind: ClassVar[str]
    _core: _graphbit.PreparedSettings

    def __post_init__(self) -> None:
        object.__setattr__(self, "_core", _graphbit.prepare_settings(self, self._kind))

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[type, dict[str, Any]]]:
        return _made_again, (type(self), _given(self))


def _given(settings: Any) -> dict[str, Any]:
    return {entry.name: getattr(settings, entry.name) for entry in fields(settings) if entry.init}


def _made_again(kind: type, keywords: dict[str, Any]) -> Any:
    # What a later version has added is passed over.
    known = {entry.name for entry in fields(kind)}
    return kind(**{name: value for name, value in keywords.items() if name in known})


@dataclass(frozen=True, kw_only=True)
class RetryPolicy(_Settings):
    """How often, how fast and how long a client tries again. The defaults are those of every client.

    Tried again are connections that fail or break, 408, 409, 425, 429 and 5xx, and once an answer that
    cannot be read. Never: other 4xx, an exhausted quota, an attempt that may still be worked on (it would
    be paid for twice), a cancelled call.
    """

    _kind: ClassVar[str] = "retry"

    attempts: int = 4
    """All attempts of a call, the first included; at least 1."""
    base_delay: float = 0.1
    """Seconds before the second attempt; the next pauses are 2, 4, 8... times as long."""
    max_delay: float = 5.0
    """The longest pause of our own, in seconds; a server's ``Retry-After`` may be longer."""
    jitter: bool = True
    """Lengthen each pause by a random part of itself, up to the whole."""
    deadline: float | None = None
    """Seconds for the whole call with all attempts, waits and pauses. ``None`` is twice the limit of one
    attempt, and at least 120 s."""
    max_retry_after: float = 120.0
    """The longest wait, in seconds, that a server may ask for; a longer one is cut to it."""
    budget: float = 0.2
    """Fruitless retries that the client may make, as a share of its calls, 0 to 1. A retry that brings
    an answer costs nothing, nor does one after a 429."""
    budget_per_second: float = 10.0
    """How many of them it may make a second however few its calls are; it saves up ten seconds' worth."""
    on_retry: Callable[[int, float, str], object] | None = None
    """Told of each retry, on another thread: the number of the attempt that failed, the pause in seconds,
    the error's ``kind``. What it returns or raises is passed over."""


@dataclass(frozen=True, kw_only=True)
class CircuitBreaker(_Settings):
    """When a client stops asking a server that does not answer. Each endpoint and model has its own.

    Counted are calls with all their retries. Failures are no answer, a time limit, 5xx; a 4xx says that the
    server works. The defaults are those of `LlmClient`; `EmbeddingClient` has none unless given one.
    """

    _kind: ClassVar[str] = "circuit_breaker"

    failure_rate: float = 0.5
    """The share of failed calls that opens it, above 0, at most 1."""
    slow_rate: float = 1.0
    """The share of slow calls that opens it, above 0, at most 1."""
    slow_seconds: float | None = None
    """An answer that takes longer is slow; ``None`` calls none slow."""
    window: int = 100
    """How many of the last calls are looked at, 1 to 1,000,000."""
    minimum_calls: int = 5
    """It stays closed until there were so many calls, 1 to ``window``."""
    open_seconds: float = 60.0
    """How long it stays open. As long a silence empties the window as well."""
    probes: int = 1
    """Calls that may probe at once after that, and that must succeed to close it; 1 to 65,535."""


@dataclass(frozen=True, kw_only=True)
class RateLimit(_Settings):
    """Requests and tokens a minute, shared by the clients it is given to, first come first served.

    A request is charged with our own count of its tokens and of those its answer may have; the answer's
    real usage settles that. With neither number the limits are learned from the provider's headers.
    """

    _kind: ClassVar[str] = "rate_limit"

    requests_per_minute: float | None = None
    """Most requests in a minute."""
    tokens_per_minute: float | None = None
    """Most tokens in a minute, of requests and answers together."""
    burst_seconds: float = 1.0
    """How much may be spent at once after a rest, as seconds at the full rate, 0 to 60."""
    from_headers: bool = True
    """Heed what the provider's ``x-ratelimit-*`` and similar headers say is left."""
    redis: str | None = field(default=None, repr=False)
    """``redis://[:password@]host:port/db``: share the limit with all processes that name the same Redis
    and ``name``. While it cannot be reached, each process keeps the limit by itself."""
    name: str = "graphbit"
    """What the limit is called in Redis."""

    def snapshot(self) -> dict[str, Any]:
        """The rates in force, what may be spent now, how many calls wait, and how long they have waited."""
        return self._core.snapshot()


@dataclass(frozen=True, kw_only=True)
class AdaptiveConcurrency(_Settings):
    """How many requests are under way at once, found out by watching the server.

    Shared by the clients it is given to. A client that is given none has one of its own with these
    defaults: no limit until the first sign of overload.
    """

    _kind: ClassVar[str] = "concurrency"

    algorithm: Literal["aimd", "gradient2", "fixed"] = "aimd"
    """``"aimd"`` heeds 429, 529 and time limits; ``"gradient2"`` heeds rising latency as well, for servers
    of your own; ``"fixed"`` stays at ``initial``."""
    initial: int | None = None
    """The first limit. ``None`` is none until the first sign of overload, and 20 for ``"gradient2"``."""
    minimum: int = 1
    """The limit never falls below it."""
    maximum: int = 10_000
    """The limit never rises above it, once there is one."""
    backoff: float = 0.9
    """What is left of the limit after a few refusals, 0.5 to below 1; after many it is halved."""

    def snapshot(self) -> dict[str, Any]:
        """``limit`` (``None`` while there is none), ``in_flight`` and ``waiting``."""
        return self._core.snapshot()


@dataclass(frozen=True, kw_only=True)
class Hedging(_Settings):
    """A second copy of a request whose answer is late; the first answer counts, the other is cancelled.

    Off unless given: it costs money. Not for streams' later pieces, and never more than one copy a call.
    """

    _kind: ClassVar[str] = "hedging"

    after: float | None = None
    """Seconds after which the copy is sent; ``None`` is the ``percentile`` of what answers took so far."""
    percentile: float = 0.95
    """Which part of the answers came sooner, above 0, below 1."""
    minimum: float = 0.045
    """A measured time is never taken for shorter than so many seconds."""
    budget: float = 0.1
    """Copies as a share of calls, 0 to 1; at 0 none is ever sent."""


@dataclass(frozen=True, kw_only=True)
class Cache(_Settings):
    """Answers and vectors that were paid for once, in memory and, with ``path``, in a file.

    Entries are found by a hash of everything that changes an answer: model, address, options and the whole
    request. Equal requests at the same time are sent once. An answer from the cache says so in its metadata
    (``"cached"``).
    """

    _kind: ClassVar[str] = "cache"

    max_bytes: int = 64 * 1024 * 1024
    """What is kept in memory, in bytes; what was not asked for lately goes first."""
    ttl: float | None = None
    """Seconds that an entry is good for; ``None`` is for ever."""
    path: str | os.PathLike[str] | None = None
    """One file that outlives the process and that several may share. A call returns when its answer is
    in there. A file that is damaged is set aside, with a warning."""
    completions: Literal["deterministic", "all", "none"] = "deterministic"
    """Which answers of language models are kept: those asked for with ``temperature=0``, all, or none.
    Vectors always are."""

    def stats(self) -> dict[str, Any]:
        """``hits``, ``misses``, ``shared``, ``hit_ratio``, ``entries`` and ``bytes`` in memory."""
        return self._core.snapshot()

    def clear(self) -> None:
        """Forget every entry, in memory and in the file."""
        self._core.clear()
