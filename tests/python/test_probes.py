"""Rules that hold for every constructor and every method alike: key lengths, arguments, statistics.

Constructors are found by looking: one that is added later is held to the rules without a word here.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from graphbit import EmbeddingClient, EmbeddingConfig, LlmClient, LlmConfig
from graphbit.exceptions import ValidationError
from llm_setup import config
from simulator import Server

FIELD = "Validation error for field '{}' with value '{}': {}"
NAN, INFINITY = float("nan"), float("inf")


@pytest.fixture
def openai(server: Server) -> LlmClient:
    return LlmClient(config("openai", server))


# keys

# The shortest key in bytes; elsewhere it is 8.
SHORTEST = {"openai": 20, "anthropic": 15, "huggingface": 10}
# How messages call a provider where it is not the constructor's name in other letters.
LABELS = {"LlmConfig.azurellm": "Azure LLM", "openrouter_with_site": "OpenRouter"}
# Their key is optional, and the server's own affair.
UNCHECKED = {"openai_compatible"}

MAKERS = {
    f"{cls.__name__}.{name}": getattr(cls, name)
    for cls in (LlmConfig, EmbeddingConfig)
    for name, member in vars(cls).items()
    if isinstance(member, staticmethod)
    and "api_key" in inspect.signature(getattr(cls, name)).parameters
}


def made(name: str, key: str) -> Any:
    parameters = inspect.signature(MAKERS[name]).parameters.values()
    needed = {each.name: "m" for each in parameters if each.default is each.empty}
    return MAKERS[name](**needed | {"api_key": key})


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins for what the bridges' constructors import."""
    hub, litellm = ModuleType("huggingface_hub"), ModuleType("litellm")
    hub.InferenceClient = lambda **_: None  # type: ignore[attr-defined]
    for name in ("completion", "embedding", "aembedding"):
        setattr(litellm, name, None)
    for name in [name for name in sys.modules if name.startswith("graphbit.providers")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    monkeypatch.setitem(sys.modules, "litellm", litellm)


@pytest.mark.parametrize("name", MAKERS)
def test_a_key_has_its_shortest_length(name: str, libraries: None) -> None:
    provider = name.partition(".")[2]
    if provider in UNCHECKED:
        assert made(name, "k").provider() == "openai_compatible"
        return
    shortest = SHORTEST.get(provider, 8)
    for key in ("k" * shortest, " " * shortest, "é" * -(-shortest // 2)):
        assert made(name, key) is not None
    refused = {"": "cannot be empty", "k" * (shortest - 1): "too short"}
    refused["é" * ((shortest - 1) // 2)] = "too short"
    for key, problem in refused.items():
        with pytest.raises(ValueError) as caught:
            made(name, key)
        label, said = str(caught.value).split(" API key ")
        assert said == problem
        wanted = LABELS.get(name) or LABELS.get(provider) or provider
        assert label.lower() == wanted.lower()


def test_the_lengths_are_graphbits() -> None:
    assert {"openai", "anthropic", "azurellm", "litellm"} <= {n.split(".")[1] for n in MAKERS}
    assert LlmConfig.openai("é" * 10).provider() == "openai"
    for key in (19 * "k", "é" * 9):
        with pytest.raises(ValueError, match=r"^OpenAI API key too short$"):
            LlmConfig.openai(key)


# arguments

Call = Callable[..., Any]
FIRST = {
    "complete": "x",
    "complete_full": "x",
    "complete_async": "x",
    "complete_full_async": "x",
    "stream": "x",
    "complete_stream": "x",
    "complete_batch": ["x"],
    "chat_optimized": [("user", "x")],
}
FULL = {"complete_full", "complete_full_async"}
BAD_TEMPERATURES = {
    "-0.1": -0.1,
    "2.1": 2.1,
    "3": 3,
    "NaN": NAN,
    "inf": INFINITY,
    "-inf": -INFINITY,
}


def refusal(call: Call, *arguments: Any, **named: Any) -> str:
    """What the call itself says: nothing is awaited, and no loop runs."""
    with pytest.raises(ValueError) as caught:
        call(*arguments, **named)
    assert type(caught.value).__mro__.index(ValueError) > 0
    return str(caught.value)


@pytest.mark.parametrize("method", FIRST)
def test_numbers_are_checked_by_the_call_itself(
    method: str, openai: LlmClient, server: Server
) -> None:
    call, first = getattr(openai, method), FIRST[method]
    low, high, most = (
        ("must be positive", "cannot exceed 100,000", 100_000)
        if method in FULL
        else ("must be greater than 0", "is too large", 2**32 - 1)
    )
    for number, text in {0: low, -1: low, -(2**63): low, most + 1: high, 2**63 - 1: high}.items():
        wanted = FIELD.format("max_tokens", number, f"max_tokens {text}")
        assert refusal(call, first, max_tokens=number) == wanted
        # It comes before the temperature.
        assert refusal(call, first, number, NAN) == wanted
    for shown, value in BAD_TEMPERATURES.items():
        wanted = FIELD.format("temperature", shown, "temperature must be between 0.0 and 2.0")
        assert refusal(call, first, temperature=value) == wanted
        assert refusal(call, first, most, value) == wanted
    with pytest.raises(OverflowError):
        call(first, max_tokens=2**63)
    assert server.log() == []


@pytest.mark.parametrize("method", FIRST)
@pytest.mark.parametrize("temperature", [0, 0.0, 1.5, 2.0])
def test_numbers_at_the_limits_are_sent(
    method: str, temperature: float, openai: LlmClient, server: Server
) -> None:
    most = 100_000 if method in FULL else 2**32 - 1

    async def run(limit: int) -> Any:
        answer = getattr(openai, method)(FIRST[method], limit, temperature)
        if inspect.isawaitable(answer):
            return await answer
        return answer if isinstance(answer, str) or method in FULL else list(answer)

    for limit in (1, most):
        assert asyncio.run(run(limit))
        sent = json.loads(server.log()[-1]["body"])
        assert (sent["max_completion_tokens"], sent["temperature"]) == (limit, temperature)


@pytest.mark.parametrize("method", FIRST)
def test_the_first_argument_is_checked_first(
    method: str, openai: LlmClient, server: Server
) -> None:
    empty, text = {
        "complete_batch": (
            [],
            "Validation error for field 'prompts': Prompts list cannot be empty",
        ),
        "chat_optimized": (
            [],
            "Validation error for field 'messages': Messages list cannot be empty",
        ),
    }.get(method, ("", FIELD.format("prompt", "", "Prompt cannot be empty")))
    assert refusal(getattr(openai, method), empty, -1, NAN) == text
    assert server.log() == []


def test_the_batchs_own_arguments(openai: LlmClient, server: Server) -> None:
    batch = openai.complete_batch
    wanted = FIELD.format("prompts", 1001, "Batch size cannot exceed 1000")
    assert refusal(batch, ["x"] * 1001, 0, NAN, 0) == wanted
    wanted = FIELD.format("max_concurrency", 0, "max_concurrency must be greater than 0")
    assert refusal(batch, ["x"], max_concurrency=0) == wanted
    assert "temperature" in refusal(batch, ["x"], None, NAN, 0)
    for wrong in ("x", b"x", None, [1]):
        with pytest.raises(TypeError):
            batch(wrong)
    assert server.log() == []

    async def main() -> list[str]:
        return await batch(("x",) * 1000, max_concurrency=50)

    assert asyncio.run(main()) == ["echo: x"] * 1000


def test_blank_is_not_empty(openai: LlmClient) -> None:
    assert openai.complete(" \n") == "echo:  \n"


def test_roles(openai: LlmClient, server: Server) -> None:
    roles = ["system", "assistant", "user", "tool", "System", ""]

    async def main() -> None:
        await openai.chat_optimized([(role, "x") for role in roles])
        for wrong in (["user", "x"], {"role": "user", "content": "x"}, ("user", 1), "ux"):
            with pytest.raises(TypeError):
                openai.chat_optimized([wrong])  # type: ignore[list-item]
        for wrong in ((), ("user",), ("user", "x", "y")):
            with pytest.raises(ValueError, match="expected tuple of length 2"):
                openai.chat_optimized([wrong])  # type: ignore[list-item]
        # What is wrong with the contents shows when the answer is awaited.
        pending = openai.chat_optimized([("user", ""), ("system", "")])
        with pytest.raises(ValidationError, match="'messages': No valid messages found$"):
            await pending

    asyncio.run(main())
    [entry] = server.log()
    sent = [each["role"] for each in json.loads(entry["body"])["messages"]]
    assert sent == ["system", "assistant", "user", "user", "user", "user"]


# statistics


def test_statistics_from_the_first_call_to_the_open_breaker(
    server: Server, openai: LlmClient
) -> None:
    fresh = openai.get_stats()
    assert list(fresh.items()) == [
        ("total_requests", 0),
        ("successful_requests", 0),
        ("failed_requests", 0),
        ("success_rate", 0.0),
        ("average_response_time_ms", 0.0),
        ("circuit_breaker_state", "Closed (failures: 0)"),
        ("uptime_seconds", 0),
    ]
    assert [type(value) for value in fresh.values()] == [int, int, int, float, float, str, int]
    # Our own time limit: an attempt that is not made again, so that the test need not wait.
    server.behaviour(hang=True)
    openai = LlmClient(config("openai", server, timeout=1.0))
    states = []
    for _ in range(5):
        with pytest.raises(TimeoutError):
            openai.complete("x")
        states.append(openai.get_stats()["circuit_breaker_state"])
    assert states == [*(f"Closed (failures: {number})" for number in range(1, 5)), "Open"]
    with pytest.raises(RuntimeError, match=r"^Circuit breaker is open, request rejected$"):
        openai.complete("x")
    batch = asyncio.run(batch_of_one(openai))
    assert batch == ["Error: RuntimeError: Circuit breaker is open, request rejected"]
    stats = openai.get_stats()
    assert (stats["successful_requests"], stats["success_rate"]) == (0, 0.0)
    openai.reset_stats()
    stats = openai.get_stats()
    assert stats["circuit_breaker_state"] == "Open", "the breaker is no number"
    assert [stats[name] for name in list(fresh)[:5]] == [0, 0, 0, 0.0, 0.0]
    assert len(server.log()) == 5


async def batch_of_one(client: LlmClient) -> list[str]:
    return await client.complete_batch(["x"])


def test_a_success_closes_the_count_of_failures(server: Server, openai: LlmClient) -> None:
    server.behaviour(status=[[500, "down", {"retry-after-ms": "0"}]] * 4)
    with pytest.raises(RuntimeError):
        openai.complete("x")
    openai.complete("x")
    stats = openai.get_stats()
    assert stats["circuit_breaker_state"] == "Closed (failures: 0)"
    assert (stats["total_requests"], stats["failed_requests"], stats["success_rate"]) == (2, 1, 0.5)


def test_clients_are_made_of_configurations_only() -> None:
    for client, wrong in ((LlmClient, "openai"), (EmbeddingClient, LlmConfig.ollama())):
        with pytest.raises(TypeError):
            client(wrong)  # type: ignore[arg-type]
