"""What graphbit raises.

Every error is a `GraphbitError`, and also an instance of the built-in exceptions a caller would
expect in that place: those that GraphBit 0.6.8 raised there, and the natural one. So both of these
catch a refused key::

    except graphbit.exceptions.AuthenticationError: ...
    except PermissionError: ...

The class is chosen by cause and HTTP status, never by words in the message. Errors keep the fields
below, and pickle and copy with all of them, so they cross process pools whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphbit._graphbit import LlmResponse, WorkflowResult

__all__ = [
    "BY_KIND",
    "AuthenticationError",
    "BadRequestError",
    "CallbackError",
    "CircuitOpenError",
    "ConfigurationError",
    "DocumentDeniedError",
    "DocumentError",
    "DocumentIsFolderError",
    "DocumentNetworkError",
    "DocumentNotFoundError",
    "DocumentTimeoutError",
    "GraphbitError",
    "GuardRailError",
    "InternalError",
    "MemoryNotFoundError",
    "NetworkError",
    "NotFoundError",
    "ParameterError",
    "PermissionDeniedError",
    "QuotaExhaustedError",
    "RateLimitError",
    "RequestCancelledError",
    "RequestTimeoutError",
    "ResponseError",
    "ServerError",
    "StoreError",
    "StreamError",
    "UnsupportedError",
    "ValidationError",
    "WorkflowError",
]


class GraphbitError(Exception):
    """The root of the tree. `str(error)` is the message.

    Attributes:
        kind: What went wrong, one of the words in `BY_KIND`; `None` for a bare `GraphbitError`.
        provider: Who answered, for example `"openai"`.
        model: The model or deployment that was asked, when one was.
        operation: What was asked for, for example `"complete"`.
        attempts: How many attempts the call made, when it got that far.
        status_code: The HTTP status, when there was one.
        request_id: The provider's own id for the request, when it sent one.
        retry_after: Seconds the server asked us to wait, when it did; what is longer than 120 is cut to it.
        index: Which prompt of `complete_many` failed.
        results: What a call for many things had finished before it raised, `None` in the other places;
            of `embed_array` an array, NaN in the other rows.
    """

    kind: str | None = None
    provider: str | None
    model: str | None
    operation: str | None
    attempts: int | None
    status_code: int | None
    request_id: str | None
    retry_after: float | None
    index: int | None = None
    results: Any = None

    def __init__(
        self,
        message: str = "",
        *,
        kind: str | None = None,
        provider: str | None = None,
        model: str | None = None,
        operation: str | None = None,
        attempts: int | None = None,
        status_code: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        # One positional argument only: with two, OSError would take them for errno and strerror.
        super().__init__(message)
        if kind is not None:
            self.kind = kind
        self.provider = provider
        self.model = model
        self.operation = operation
        self.attempts = attempts
        self.status_code = status_code
        self.request_id = request_id
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[Any, ...]:
        # Spelled out because the branches under OSError would otherwise use OSError's own version.
        return type(self), self.args, self.__dict__.copy()


class ValidationError(GraphbitError, ValueError):
    """An argument is unusable; the message names the field, the value and the rule."""

    kind = "validation"


class ParameterError(GraphbitError, ValueError, RuntimeError):
    """Two parameters contradict each other, such as an overlap larger than the chunk."""

    kind = "parameter"


class ConfigurationError(GraphbitError, ValueError, RuntimeError):
    """The configuration cannot work: an unusable URL, a missing package, an unknown model name."""

    kind = "configuration"


class UnsupportedError(ConfigurationError):
    """The store offers no such operation."""

    kind = "unsupported"


class AuthenticationError(GraphbitError, PermissionError, RuntimeError):
    """HTTP 401: the key is missing or wrong."""

    kind = "authentication"


class PermissionDeniedError(AuthenticationError):
    """HTTP 403: the key is right, the permission is missing."""

    kind = "permission_denied"


class NotFoundError(GraphbitError, FileNotFoundError, RuntimeError):
    """HTTP 404: no such model, deployment or route."""

    kind = "not_found"


class BadRequestError(GraphbitError, ValueError, RuntimeError):
    """Any other refusal of the request itself (the remaining 4xx statuses, and redirects)."""

    kind = "bad_request"


class RateLimitError(GraphbitError, RuntimeError):
    """HTTP 429 after every allowed attempt; `retry_after` is the server's wish, if it said one."""

    kind = "rate_limited"


class QuotaExhaustedError(RateLimitError):
    """HTTP 429 that waiting does not heal: the quota or the credit is used up. Never retried."""

    kind = "quota_exhausted"


class ServerError(GraphbitError, RuntimeError):
    """HTTP 5xx after every allowed attempt."""

    kind = "server"


class NetworkError(GraphbitError, ConnectionError, RuntimeError):
    """No connection, or the connection broke."""

    kind = "network"


class RequestTimeoutError(GraphbitError, TimeoutError, RuntimeError):
    """A time limit of this library fired, or the server said so (HTTP 408).

    Attributes:
        partial_result: What had finished, when it was the time limit of a workflow's run; else `None`.
    """

    kind = "timeout"
    partial_result: WorkflowResult | None = None


class CircuitOpenError(GraphbitError, RuntimeError):
    """The client's circuit breaker is open after repeated failures; nothing was sent."""

    kind = "circuit_open"


class ResponseError(GraphbitError, RuntimeError):
    """The answer is not what the protocol promises: undecodable, or without its main part.

    Attributes:
        response: The whole answer, when it arrived well but is not in the `response_format` asked for.
    """

    kind = "decode"
    response: LlmResponse | None = None


class StreamError(GraphbitError, RuntimeError):
    """A stream broke, stalled, or carried an error of the provider's."""

    kind = "stream"


class RequestCancelledError(GraphbitError, RuntimeError):
    """The work was cancelled before it had finished."""

    kind = "cancelled"


class DocumentError(GraphbitError, ValueError, OSError):
    """A document cannot be read."""

    kind = "document"


class DocumentNotFoundError(DocumentError, FileNotFoundError):
    """There is no such file, or the server says so (HTTP 404, 410)."""

    kind = "document_not_found"


class DocumentDeniedError(DocumentError, PermissionError):
    """The document may not be read.

    By its mode, by the server (HTTP 401, 403), because it lies outside of `root`, or because its
    address is none of the public internet and `deny_private_networks` is set.
    """

    kind = "document_denied"


class DocumentIsFolderError(DocumentError, IsADirectoryError):
    """The path is a folder's."""

    kind = "document_is_folder"


class DocumentNetworkError(DocumentError, ConnectionError):
    """The server of a document could not be reached, or the connection broke."""

    kind = "document_network"


class DocumentTimeoutError(DocumentError, TimeoutError):
    """The server of a document took too long."""

    kind = "document_timeout"


class StoreError(GraphbitError, RuntimeError, ValueError):
    """The vector store or the memory cannot do it, or its file is damaged."""

    kind = "store"


class MemoryNotFoundError(GraphbitError, FileNotFoundError, RuntimeError):
    """There is no memory of this id."""

    kind = "memory_not_found"


class WorkflowError(GraphbitError, RuntimeError):
    """The graph of a workflow cannot run, or its checkpoint cannot be used."""

    kind = "workflow"


class GuardRailError(GraphbitError, ValueError):
    """The policy of guard rails cannot be read or used; `status_code` is the server's, if that is why."""

    kind = "guard_rail"


class CallbackError(GraphbitError, RuntimeError):
    """A call into a Python library failed; what it raised is the `__cause__`.

    What a callable of the caller's raises is passed on as it is instead.
    """

    kind = "callback"


class InternalError(GraphbitError, RuntimeError):
    """A defect in graphbit itself, caught before it could hurt the process. Please report it."""

    kind = "internal"


BY_KIND: dict[str, type[GraphbitError]] = {
    "validation": ValidationError,
    "parameter": ParameterError,
    "configuration": ConfigurationError,
    "unsupported": UnsupportedError,
    "authentication": AuthenticationError,
    "permission_denied": PermissionDeniedError,
    "not_found": NotFoundError,
    "bad_request": BadRequestError,
    "rate_limited": RateLimitError,
    "quota_exhausted": QuotaExhaustedError,
    "server": ServerError,
    "network": NetworkError,
    "timeout": RequestTimeoutError,
    "circuit_open": CircuitOpenError,
    "decode": ResponseError,
    "stream": StreamError,
    "cancelled": RequestCancelledError,
    "document": DocumentError,
    "document_not_found": DocumentNotFoundError,
    "document_denied": DocumentDeniedError,
    "document_is_folder": DocumentIsFolderError,
    "document_network": DocumentNetworkError,
    "document_timeout": DocumentTimeoutError,
    "store": StoreError,
    "memory_not_found": MemoryNotFoundError,
    "workflow": WorkflowError,
    "guard_rail": GuardRailError,
    "callback": CallbackError,
    "internal": InternalError,
}
"""The class for each value of `GraphbitError.kind`."""
