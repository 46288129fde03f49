"""Clients made of what an adapter was given, and their form as plain data.

Frameworks save a pipeline as JSON or YAML. A client is then the constructors and keywords that make it
again, without any key: it is read from the environment where the data is loaded, as with pickles.

>>> from graphbit import LlmConfig
>>> to_data(llm_client(LlmConfig.ollama("qwen3"), {}))
{'of': {'format': 1, 'constructor': 'ollama', 'model': 'qwen3'}}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, TypeGuard

from graphbit import EmbeddingClient, EmbeddingConfig, LlmClient, LlmConfig, resilience
from graphbit._pickling import embedding_config, llm_config
from graphbit.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

Llm: TypeAlias = "LlmConfig | LlmClient"
Embedding: TypeAlias = "EmbeddingConfig | EmbeddingClient"

_SETTINGS = tuple(getattr(resilience, name) for name in resilience.__all__)


class ClientSettings(TypedDict, total=False):
    """The keywords that `LlmClient` and `EmbeddingClient` share."""

    retry: resilience.RetryPolicy | None
    circuit_breaker: resilience.CircuitBreaker | Literal[False] | None
    rate_limit: resilience.RateLimit | None
    concurrency: resilience.AdaptiveConcurrency | Literal[False] | None
    hedging: resilience.Hedging | None
    cache: resilience.Cache | None
    weights: Sequence[float] | None


class LlmSettings(ClientSettings, total=False):
    """The keywords of `LlmClient`."""

    debug: bool | None
    fallbacks: Llm | Sequence[Llm] | None
    order: Literal["ordered", "weighted", "cheapest"]


class EmbeddingSettings(ClientSettings, total=False):
    """The keywords of `EmbeddingClient`."""

    fallbacks: Embedding | Sequence[Embedding] | None
    order: Literal["ordered", "weighted"]


def llm_client(llm: Any, settings: LlmSettings) -> LlmClient:
    """A client for configurations; a client as it is; one that was written as data, made again."""
    given = from_data(llm, "llm")
    if isinstance(given, LlmClient) and not settings:
        return given
    return LlmClient(given, **settings)


def embedding_client(embedding: Any, settings: EmbeddingSettings) -> EmbeddingClient:
    """As `llm_client`."""
    given = from_data(embedding, "embedding")
    if isinstance(given, EmbeddingClient) and not settings:
        return given
    return EmbeddingClient(given, **settings)


def llm_settings(keywords: dict[str, Any]) -> LlmSettings:
    """Takes the keywords of `LlmClient` out of those of an adapter."""
    names = LlmSettings.__annotations__.keys() | ClientSettings.__annotations__.keys()
    taken: Any = {name: keywords.pop(name) for name in names & keywords.keys()}
    return taken


def embedding_settings(keywords: dict[str, Any]) -> EmbeddingSettings:
    """Takes the keywords of `EmbeddingClient` out of those of an adapter."""
    names = EmbeddingSettings.__annotations__.keys() | ClientSettings.__annotations__.keys()
    taken: Any = {name: keywords.pop(name) for name in names & keywords.keys()}
    return taken


def first_config(client: LlmClient | EmbeddingClient) -> LlmConfig | EmbeddingConfig:
    """The configuration that is asked first."""
    given: Any = client
    while not isinstance(given, LlmConfig | EmbeddingConfig):
        given = given.__getnewargs_ex__()[0][0] if isinstance(given, _CLIENTS) else given[0]
    return given


def streams(client: LlmClient) -> bool:
    """Whether answers come in pieces: functions and Python libraries give whole ones only."""
    return first_config(client).provider() not in ("callable", "python_bridge")


def to_data(value: Any) -> Any:
    """Clients, configurations and settings as JSON; other values, and lists of them, as they are.

    Raises:
        ConfigurationError: The environment could not give back a credential, and none is written down.
    """
    if isinstance(value, LlmConfig | EmbeddingConfig):
        return _keyless(value)
    if isinstance(value, _CLIENTS):
        (config,), settings = value.__getnewargs_ex__()
        return {"of": to_data(config)} | {name: to_data(each) for name, each in settings.items()}
    if isinstance(value, _SETTINGS):
        _, (kind, fields) = value.__reduce__()
        if "@" in (fields.get("redis") or ""):
            raise ConfigurationError(
                "Configuration error: the address of a rate limit's Redis has a password, which is not saved; "
                "give the limit to the client where the data is loaded"
            )
        return {"settings": kind.__name__} | fields
    return [to_data(each) for each in value] if _is_sequence(value) else value


def from_data(value: Any, kind: Literal["llm", "embedding"]) -> Any:
    """What `to_data` was given; a value that is no such data comes back as it is."""
    if _is_sequence(value):
        return [from_data(each, kind) for each in value]
    if not _is_mapping(value):
        return value
    if "constructor" in value:
        return llm_config(value) if kind == "llm" else embedding_config(value)
    if value.get("settings") in resilience.__all__:
        fields = {name: each for name, each in value.items() if name != "settings"}
        return getattr(resilience, value["settings"])(**fields)
    if "of" in value:
        made = {name: from_data(each, kind) for name, each in value.items()}
        config = made.pop("of")
        return (LlmClient if kind == "llm" else EmbeddingClient)(config, **made)
    return value


def _is_sequence(value: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    return isinstance(value, list | tuple)


def _is_mapping(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


_CLIENTS = (LlmClient, EmbeddingClient)


def _keyless(config: LlmConfig | EmbeddingConfig) -> dict[str, Any]:
    make_again, (settings,) = config.__reduce__()
    if settings.get("portable"):
        # A pickle may be trusted with the key. What a framework saves is read, mailed and committed.
        _, (settings,) = make_again({**settings, "portable": False}).__reduce__()
    return dict(settings)
