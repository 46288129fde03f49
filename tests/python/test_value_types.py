"""Usage, finish reasons, tool calls and responses: what 0.6.8 has, with equality by value."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import graphbit
import pytest
from graphbit import FinishReason, LlmClient, LlmResponse, LlmToolCall, LlmUsage
from llm_setup import config
from simulator import Server


def test_usage_counts_and_prints() -> None:
    usage = LlmUsage(3, 4)
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (3, 4, 7)
    assert usage.cache_read_tokens is None and usage.cache_creation_tokens is None
    shown = "LlmUsage(prompt_tokens=3, completion_tokens=4, total_tokens=7)"
    assert repr(usage) == str(usage) == shown
    assert usage.to_dict() == {
        "prompt_tokens": 3,
        "completion_tokens": 4,
        "total_tokens": 7,
        "cache_read_tokens": None,
        "cache_creation_tokens": None,
    }
    assert LlmUsage.empty() == LlmUsage(0, 0)


def test_usage_adds() -> None:
    usage = LlmUsage(1, 2)
    same = usage
    assert usage.add(LlmUsage(10, 20)) is None
    assert usage == LlmUsage(11, 22)
    usage += LlmUsage(1, 1)
    assert usage is same and usage == LlmUsage(12, 23)
    assert usage + LlmUsage(1, 0) == LlmUsage(13, 23)
    usage.add(usage)
    assert usage == LlmUsage(24, 46)
    with pytest.raises(TypeError):
        usage + 3  # type: ignore[operator]


def test_usage_totals_beyond_32_bits_do_not_wrap() -> None:
    assert LlmUsage(2**32 - 1, 2**32 - 1).total_tokens == 2**33 - 2


@pytest.mark.parametrize("arguments", [(-1, 2), (1, -2), (2**32, 0)])
def test_usage_refuses_what_32_bits_cannot_hold(arguments: tuple[int, int]) -> None:
    with pytest.raises(OverflowError):
        LlmUsage(*arguments)
    keys = ("prompt_tokens", "completion_tokens")
    with pytest.raises(OverflowError):
        LlmUsage.from_dict(dict(zip(keys, arguments, strict=True)))


def test_usage_from_dict() -> None:
    data = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 99, "cache_read_tokens": 5}
    assert LlmUsage.from_dict(data) == LlmUsage(1, 2)
    with pytest.raises(KeyError, match="Missing 'completion_tokens'"):
        LlmUsage.from_dict({"prompt_tokens": 1})
    with pytest.raises(TypeError):
        LlmUsage.from_dict({"prompt_tokens": "1", "completion_tokens": 2})
    with pytest.raises(TypeError):
        LlmUsage.from_dict([1, 2])  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        LlmUsage(1.5, 2)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("reason", "word", "natural", "truncated", "error"),
    [
        (FinishReason.stop(), "stop", True, False, False),
        (FinishReason.length(), "length", False, True, False),
        (FinishReason.tool_calls(), "tool_calls", True, False, False),
        (FinishReason.content_filter(), "content_filter", False, False, True),
        (FinishReason.error(), "error", False, False, True),
        (FinishReason.other("x"), "x", False, False, False),
        (FinishReason.other("stop"), "stop", False, False, False),
    ],
)
def test_finish_reasons(
    reason: FinishReason, word: str, natural: bool, truncated: bool, error: bool
) -> None:
    assert str(reason) == reason.to_string() == word
    assert repr(reason) == f"FinishReason({word})"
    said = (reason.is_natural_stop(), reason.is_truncated(), reason.is_error())
    assert said == (natural, truncated, error)


def test_finish_reasons_compare_by_value() -> None:
    assert FinishReason.stop() == FinishReason.stop() != FinishReason.other("stop")
    assert len({FinishReason.other("a"), FinishReason.other("a"), FinishReason.stop()}) == 2
    with pytest.raises(TypeError):
        FinishReason()
    with pytest.raises(AttributeError):
        FinishReason.stop().extra = 1  # type: ignore[attr-defined]


def test_tool_calls_keep_canonical_json() -> None:
    call = LlmToolCall("i", "n", '{"b": 1, "a": [1, 2.50]}')
    assert call.parameters == '{"a":[1,2.5],"b":1}'
    assert call.to_dict() == {"id": "i", "name": "n", "parameters": call.parameters}
    assert repr(call) == """LlmToolCall(id='i', name='n', parameters={"a":[1,2.5],"b":1})"""
    assert {call} == {LlmToolCall("i", "n", '{"a":[1,2.5],"b":1}')}
    assert json.loads(LlmToolCall("i", "n", "123456789012345678901234567890").parameters) > 1e29
    with pytest.raises(ValueError, match="Invalid JSON parameters: "):
        LlmToolCall("i", "n", "{bad")
    with pytest.raises(TypeError):
        LlmToolCall("i", "n", {})  # type: ignore[arg-type]


def test_responses_change_in_place_and_chain() -> None:
    response = LlmResponse("hello", "m")
    call = LlmToolCall("i", "n", "{}")
    chained = (
        response.with_usage(LlmUsage(1, 2))
        .with_tool_calls((call,))  # type: ignore[arg-type]  # any sequence
        .with_finish_reason(FinishReason.length())
        .with_id("r1")
        .with_metadata("k", '"v"')
    )
    assert chained is response
    assert response.total_tokens() == 3 and response.is_truncated() and response.has_tool_calls()
    assert response.tool_calls == [call] and response.tool_calls is not response.tool_calls
    assert response.metadata == {"k": '"v"'}
    assert list(response.to_dict().items()) == [
        ("content", "hello"),
        ("model", "m"),
        ("id", "r1"),
        ("tool_calls", [call.to_dict()]),
        ("usage", LlmUsage(1, 2).to_dict()),
        ("finish_reason", "length"),
        ("metadata", {"k": '"v"'}),
    ]
    response.usage.add(LlmUsage(9, 9))
    assert response.usage == LlmUsage(1, 2)
    with pytest.raises(ValueError, match="Invalid JSON value: "):
        response.with_metadata("k", "bad")
    with pytest.raises(TypeError):
        response.with_usage(5)  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        response.content = "x"  # type: ignore[misc]


def test_responses_compare_by_value() -> None:
    assert LlmResponse("a", "m") == LlmResponse("a", "m") != LlmResponse("b", "m")
    assert LlmResponse("a", "m").finish_reason == FinishReason.stop()


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ("hello", "hello..."),
        ("a" * 50, "a" * 50 + "..."),
        ("a" * 51, "a" * 50 + "......"),
        ("a" * 49 + "é", "a" * 49 + "......"),
        ("日" * 40, "日" * 16 + "......"),
    ],
)
def test_repr_never_cuts_a_character(content: str, shown: str) -> None:
    text = f"content='{shown}', model='m', usage=LlmUsage(total=0), finish_reason=stop"
    assert repr(LlmResponse(content, "m")) == f"LlmResponse({text})"


def copies(value: Any) -> list[Any]:
    pickled = [pickle.loads(pickle.dumps(value, number)) for number in range(2, 6)]
    return [*pickled, copy.copy(value), copy.deepcopy(value)]


@pytest.mark.parametrize(
    "value",
    [
        LlmUsage(1, 2),
        LlmUsage(2**32 - 1, 2**32 - 1) + LlmUsage(1, 1),
        FinishReason.stop(),
        FinishReason.content_filter(),
        FinishReason.other("stop"),
        LlmToolCall("i", "n", '{"a": 1}'),
        LlmResponse("a", "m"),
        LlmResponse("a", "m")
        .with_usage(LlmUsage(1, 2))
        .with_tool_calls([LlmToolCall("i", "n", "[]")])
        .with_finish_reason(FinishReason.other("x"))
        .with_id("r")
        .with_metadata("k", '{"deep": [1, null]}'),
    ],
)
def test_values_copy_and_pickle(value: Any) -> None:
    for copied in copies(value):
        assert copied == value and repr(copied) == repr(value) and type(copied) is type(value)
        if isinstance(value, (FinishReason, LlmToolCall)):
            assert hash(copied) == hash(value)
        else:
            with pytest.raises(TypeError):
                hash(value)
    if isinstance(value, LlmResponse):
        copy.copy(value).with_id("another")
        assert value.id != "another"


def test_a_call_keeps_what_its_provider_wants_back() -> None:
    signed = LlmToolCall._restore("i", "n", "{}", "opaque")  # type: ignore[attr-defined]
    assert signed != LlmToolCall("i", "n", "{}")
    for copied in copies(LlmResponse("", "m").with_tool_calls([signed])):
        assert copied.tool_calls == [signed]


def test_answers_copy_and_pickle_with_all_they_hold(server: Server) -> None:
    usage = {
        "prompt_tokens": 5,
        "completion_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    body = {
        "id": "r",
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"message": {"content": '{"x": [1]}'}}],
        "usage": usage,
    }
    server.behaviour(body=body)
    response = LlmClient(config("openai", server)).chat(
        "x", response_format="json", include_raw=True
    )
    assert response.cost is not None
    for copied in copies(response):
        assert copied == response and copied.cost == response.cost
        assert copied.raw == body and copied.parsed == {"x": [1]}
        assert copied.usage.cache_read_tokens == 3 and copied.usage.reasoning_tokens == 2
        assert copied.metadata == response.metadata
    assert list(response.to_dict()) == [
        "content", "model", "id", "tool_calls", "usage", "finish_reason", "metadata",
    ]  # fmt: skip
    assert "reasoning_tokens" not in response.to_dict()["usage"]


def test_value_types_are_final() -> None:
    values = (LlmUsage, FinishReason, LlmToolCall, LlmResponse, graphbit.StreamEvent)
    for base in (*values, graphbit.LlmConfig):
        with pytest.raises(TypeError):
            type("Derived", (base,), {})
