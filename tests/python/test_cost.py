"""What answers cost: the price table, and the tokens it is applied to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import graphbit
import pytest
from graphbit import LlmClient, LlmConfig, LlmResponse, LlmUsage
from graphbit.exceptions import ValidationError
from llm_setup import KEY
from simulator import Server

USAGE = {"prompt_tokens": 1000, "completion_tokens": 100}


@pytest.fixture(autouse=True)
def list_prices() -> Iterator[None]:
    """The table belongs to the process: every test puts it back."""
    before = graphbit.get_prices()
    yield
    graphbit.set_prices(before, replace=True)


def ask(server: Server, model: str, usage: Any = USAGE, served: str | None = None) -> LlmResponse:
    server.behaviour(
        body={"model": served, "choices": [{"message": {"content": "a"}}], "usage": usage}
    )
    client = LlmClient(LlmConfig.openai(KEY, model, base_url=server.openai_url))
    return client.chat("x")


def test_known_models_have_a_price(server: Server) -> None:
    response = ask(server, "gpt-4o-mini")
    assert response.cost == pytest.approx((1000 * 0.15 + 100 * 0.6) / 1e6)
    assert ask(server, "gpt-4o-mini-2024-07-18").cost == response.cost
    assert ask(server, "alias", served="gpt-4o-mini-2024-07-18").cost == response.cost
    assert ask(server, "gpt-4o").cost == pytest.approx((1000 * 2.5 + 100 * 10) / 1e6)


def test_unknown_is_not_free(server: Server) -> None:
    assert ask(server, "gpt-4o-mini-audio").cost is None
    assert ask(server, "gpt-4o-mini", usage=None).cost is None
    assert LlmResponse("a", "gpt-4o-mini").with_usage(LlmUsage(1, 1)).cost is None
    local = LlmClient(LlmConfig.openai_compatible(server.openai_url, "gpt-4o-mini"))
    assert local.chat("x").cost is None, "whoever serves it sets the price"


def test_cached_and_reasoning_tokens(server: Server) -> None:
    usage = USAGE | {
        "prompt_tokens_details": {"cached_tokens": 400},
        "completion_tokens_details": {"reasoning_tokens": 90},
    }
    expected = (600 * 0.15 + 400 * 0.075 + 100 * 0.6) / 1e6
    assert ask(server, "gpt-4o-mini", usage).cost == pytest.approx(expected)


def test_prices_can_be_added_and_replaced(server: Server) -> None:
    graphbit.set_prices(
        {"gpt-4o-mini": {"input": 1, "output": 2}, "mine": {"input": 0, "output": 3}}
    )
    assert ask(server, "gpt-4o-mini").cost == pytest.approx(0.00021), "the qualified price wins"
    assert ask(server, "mine-2025-01-31").cost == pytest.approx(0.0003)
    graphbit.set_prices({"openai:gpt-4o-mini": {"input": 1, "output": 2, "cached_input": 0.5}})
    assert ask(server, "gpt-4o-mini").cost == pytest.approx(0.0012)
    assert graphbit.get_prices()["openai:gpt-4o-mini"]["cached_input"] == 0.5
    graphbit.set_prices({"free": {"input": 0.0, "output": 0.0, "cache_write": None}}, replace=True)  # type: ignore[dict-item,typeddict-item]
    assert graphbit.get_prices() == {"free": {"input": 0.0, "output": 0.0}}
    assert ask(server, "gpt-4o-mini").cost is None
    assert ask(server, "free").cost == 0.0


def test_the_table_is_a_copy() -> None:
    table = graphbit.get_prices()
    assert len(table) > 20
    for name, row in table.items():
        # Embeddings have nothing to pay for but what goes in.
        assert row["input"] > 0
        assert row["output"] == 0 if "embedding" in name else row["output"] >= row["input"]
    table.clear()
    assert graphbit.get_prices()
    before = graphbit.get_prices()
    graphbit.set_prices(before, replace=True)
    assert graphbit.get_prices() == before


@pytest.mark.parametrize(
    ("prices", "text"),
    [
        ({"m": {"input": 1}}, r"prices\['m'\].output': is missing"),
        ({"m": {"input": -1, "output": 1}}, r"prices\['m'\].input' with value '-1'"),
        ({"m": {"input": float("nan"), "output": 1}}, r"prices\['m'\].input' with value 'NaN'"),
        ({"m": {"input": 1, "output": 1, "cached": 1}}, r"prices\['m'\]' with value 'cached'"),
        ({"m": 5}, r"prices\['m'\]': must be a model's name"),
        ({"": {"input": 1, "output": 1}}, r"prices\[''\]': must be a model's name"),
    ],
)
def test_bad_prices_change_nothing(prices: Any, text: str) -> None:
    before = graphbit.get_prices()
    with pytest.raises(ValidationError, match=text):
        graphbit.set_prices(prices, replace=True)
    assert graphbit.get_prices() == before


@pytest.mark.parametrize("prices", [5, [("m", {})], {5: {}}, {"m": {"input": "1", "output": 1}}])
def test_prices_of_a_wrong_type(prices: Any) -> None:
    with pytest.raises(TypeError):
        graphbit.set_prices(prices)


def test_streams_and_batches_have_a_price(server: Server) -> None:
    client = LlmClient(LlmConfig.openai(KEY, "gpt-4o-mini", base_url=server.openai_url))
    whole = client.chat("a b")
    [full] = client.complete_many(["a b"], full=True)
    *_, done = client.stream_events("a b")
    assert done.response is not None
    assert whole.cost is not None and whole.cost > 0
    assert whole.cost == full.cost == done.response.cost
