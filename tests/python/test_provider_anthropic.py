"""Anthropic over a real socket: what is sent, what is read, how it streams, how it fails."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from graphbit import FinishReason, LlmClient, LlmConfig, LlmToolCall
from graphbit.exceptions import (
    AuthenticationError,
    GraphbitError,
    RateLimitError,
    ServerError,
)
from llm_setup import CORE, ECHO, KEY, config
from simulator import Server

PATH = "/v1/messages"


@pytest.fixture
def client(server: Server) -> LlmClient:
    return LlmClient(config("anthropic", server))


def sent(entry: dict[str, Any]) -> Any:
    return json.loads(entry["body"])


def events(*frames: dict[str, Any]) -> str:
    return "".join(f"event: {frame['type']}\ndata: {json.dumps(frame)}\n\n" for frame in frames)


# configuration


def test_the_configuration() -> None:
    made = LlmConfig.anthropic("k" * 15)
    assert (made.provider(), made.model()) == ("anthropic", "claude-sonnet-4-6")
    assert LlmConfig.anthropic(KEY, "").model() == ""
    for key, text in [("", "cannot be empty"), ("k" * 14, "too short")]:
        with pytest.raises(ValueError, match=f"^Anthropic API key {text}$"):
            LlmConfig.anthropic(key)


# requests on the wire


def test_a_plain_request(server: Server, client: LlmClient) -> None:
    assert client.complete("Hi") == ECHO + "Hi"
    [entry] = server.log()
    assert entry["path"] == PATH
    assert entry["body"] == (
        '{"model":"m","max_tokens":4096,"messages":[{"role":"user","content":"Hi"}]}'
    )
    headers = entry["headers"]
    assert headers["x-api-key"] == KEY and headers["anthropic-version"] == "2023-06-01"
    assert headers["content-type"] == "application/json"
    assert "authorization" not in headers and "anthropic-beta" not in headers


def test_options_and_caching(server: Server, client: LlmClient) -> None:
    client.complete("Hi", max_tokens=7, temperature=0.7, enable_prompt_caching=True)
    time.sleep(0.05)  # its connection is free again a moment after the answer
    client.complete("Hi")
    cached, plain = server.log()
    assert sent(cached) == {
        "model": "m",
        "max_tokens": 7,
        "messages": [{"role": "user", "content": "Hi"}],
        "temperature": 0.7,
    }
    assert cached["headers"]["anthropic-beta"] == "prompt-caching-2024-07-31"
    assert cached["headers"]["anthropic-version"] == "2023-06-01"
    assert "anthropic-beta" not in plain["headers"]
    assert server.stats()["connections_total"] == 1, "both kinds of request share the pool"


def test_every_system_message_arrives(server: Server, client: LlmClient) -> None:
    messages = [
        ("system", "one"),
        ("user", "a"),
        ("assistant", "b"),
        ("system", "two"),
        ("user", "c"),
    ]

    async def main() -> list[str]:
        return [
            await client.chat_optimized(messages),
            await client.chat_optimized(messages, enable_prompt_caching=True),
        ]

    assert asyncio.run(main()) == [ECHO + "c"] * 2
    plain, cached = (sent(entry) for entry in server.log())
    assert plain["system"] == "one\n\ntwo"
    assert cached["system"] == [
        {"type": "text", "text": "one\n\ntwo", "cache_control": {"type": "ephemeral"}}
    ]
    assert plain["messages"] == [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]


def test_a_streamed_request(server: Server, client: LlmClient) -> None:
    assert "".join(client.stream("Hi", max_tokens=7, temperature=1.7)) == ECHO + "Hi"
    [entry] = server.log()
    assert entry["path"] == PATH
    assert sent(entry) == {
        "model": "m",
        "max_tokens": 7,
        "messages": [{"role": "user", "content": "Hi"}],
        "temperature": 1.7,
        "stream": True,
    }
    assert entry["headers"]["anthropic-version"] == "2023-06-01"


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/"])
def test_the_address_may_end_in_its_version(ending: str, server: Server) -> None:
    made = LlmConfig.anthropic(KEY, "m", base_url=server.base_url + ending)
    assert LlmClient(made).complete("Hi") == ECHO + "Hi"
    assert [entry["path"] for entry in server.log()] == [PATH]


def test_headers_of_the_user_win(server: Server) -> None:
    own = {"Anthropic-Version": "2099-01-01", "anthropic-beta": "mine", "x-team": "blue"}
    client = LlmClient(config("anthropic", server, headers=own))
    client.complete("Hi", enable_prompt_caching=True)
    [entry] = server.log()
    assert entry["headers"]["anthropic-version"] == "2099-01-01"
    assert entry["headers"]["anthropic-beta"] == "mine"
    assert entry["headers"]["x-team"] == "blue"


# answers


def test_an_answer_in_full(server: Server, client: LlmClient) -> None:
    server.behaviour(
        body={
            "id": "msg_1",
            "type": "message",
            "model": "claude-1",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "text", "text": "one"},
                {"type": "text", "text": "two"},
            ],
            "stop_reason": "stop_sequence",
            "stop_sequence": "END",
            "usage": {
                "input_tokens": 5,
                "output_tokens": 4,
                "cache_read_input_tokens": 3,
                "cache_creation_input_tokens": 2,
            },
        }
    )
    response = client.complete_full("x")
    assert (response.content, response.model, response.id) == ("one\ntwo", "m", "msg_1")
    assert response.finish_reason == FinishReason.stop()
    assert response.usage.to_dict() == {
        "prompt_tokens": 5,
        "completion_tokens": 4,
        "total_tokens": 9,
        "cache_read_tokens": 3,
        "cache_creation_tokens": 2,
    }
    assert response.metadata == {
        "provider_finish_reason": '"stop_sequence"',
        "reasoning": '"hm"',
        "server_model": '"claude-1"',
        "stop_sequence": '"END"',
    }


def test_calls_of_tools(server: Server, client: LlmClient) -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"x": 1}}
    server.behaviour(body={"content": [call], "stop_reason": "tool_use", "usage": None})
    response = client.complete_full("x")
    assert response.content == "" and response.id is None
    assert response.tool_calls == [LlmToolCall("toolu_1", "f", '{"x":1}')]
    assert response.finish_reason == FinishReason.tool_calls()
    assert response.finish_reason.is_natural_stop()
    assert response.metadata["provider_finish_reason"] == '"tool_use"'


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("end_turn", FinishReason.stop()),
        (None, FinishReason.stop()),
        ("max_tokens", FinishReason.length()),
        ("refusal", FinishReason.content_filter()),
        ("pause_turn", FinishReason.other("pause_turn")),
    ],
)
def test_reasons_for_stopping(
    word: str | None, reason: FinishReason, server: Server, client: LlmClient
) -> None:
    server.behaviour(body={"content": [{"type": "text", "text": "a"}], "stop_reason": word})
    response = client.complete_full("x")
    assert (response.content, response.finish_reason) == ("a", reason)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "No content in response"),
        ("<html>", "Failed to parse response: error decoding response body: "),
        (
            {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}},
            "API error: no",
        ),
    ],
)
def test_what_is_no_answer(body: Any, text: str, server: Server, client: LlmClient) -> None:
    server.behaviour(body=body)
    with pytest.raises(RuntimeError) as caught:
        client.complete("x")
    assert str(caught.value).startswith(f"{CORE}anthropic - {text}")


# streams

TEXT = "zażółć gęślą jaźń 🦀 日本"


def test_a_stream_tells_how_it_ended(client: LlmClient) -> None:
    stream = client.stream("a b c")
    assert list(stream) == [ECHO, "a ", "b ", "c"]
    assert stream.finish_reason == FinishReason.stop()
    assert stream.usage is not None
    assert (stream.usage.prompt_tokens, stream.usage.completion_tokens) == (3, 4)
    assert stream.usage.cache_read_tokens == 0


@pytest.mark.parametrize("shape", [{}, {"one_packet": True}, {"split_utf8": True}])
def test_a_stream_is_whole_however_it_arrives(
    shape: dict[str, bool], server: Server, client: LlmClient
) -> None:
    server.behaviour(**shape)
    pieces = list(client.stream(TEXT))
    assert "".join(pieces) == ECHO + TEXT and len(pieces) > 1

    async def main() -> list[str]:
        return [piece async for piece in client.stream(TEXT)]

    assert asyncio.run(main()) == pieces


def chopped(body: bytes) -> str:
    """An HTTP answer whose every byte is a chunk of its own."""
    head = (
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    # The simulator takes text; every byte of ASCII is one character of it.
    assert body.isascii()
    return head + "".join(f"1\r\n{chr(byte)}\r\n" for byte in body) + "0\r\n\r\n"


def test_a_stream_is_whole_byte_by_byte(server: Server, client: LlmClient) -> None:
    frames = [
        {"type": "message_start", "message": {"id": "msg_1", "usage": {"input_tokens": 3}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking"}},
        {"type": "content_block_delta", "index": 0, "delta": {"thinking": "hm"}},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
        *(
            {
                "type": "content_block_delta",
                "index": 1,
                "delta": {"type": "text_delta", "text": word},
            }
            for word in TEXT.split(" ")
        ),
        {"type": "ping"},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "max_tokens"},
            "usage": {"output_tokens": 4},
        },
        {"type": "message_stop"},
    ]
    for body in (events(*frames), events(*frames).rstrip("\n")):
        server.behaviour(raw=chopped(body.encode()))
        stream = client.stream("x")
        assert list(stream) == TEXT.split(" ")
        assert stream.finish_reason == FinishReason.length()
        assert stream.usage is not None and stream.usage.total_tokens == 7


def test_an_error_event_is_raised_with_its_kind(server: Server, client: LlmClient) -> None:
    server.behaviour(stream_error_frame=True)
    stream = client.stream("a b c d")
    assert [next(stream), next(stream)] == [ECHO, "a "]
    with pytest.raises(ServerError) as caught:
        next(stream)
    assert str(caught.value) == f"{CORE}anthropic - Stream error: simulated stream failure"
    assert (caught.value.kind, caught.value.provider) == ("server", "anthropic")
    assert list(stream) == [] and len(server.log()) == 1


@pytest.mark.parametrize(
    ("word", "error"),
    [("rate_limit_error", RateLimitError), ("authentication_error", AuthenticationError)],
)
def test_error_events_name_their_kind(
    word: str, error: type[Exception], server: Server, client: LlmClient
) -> None:
    text = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}}
    fault = {"type": "error", "error": {"type": word, "message": "no"}, "request_id": "req_7"}
    server.behaviour(body=events(text, fault))
    stream = client.stream("x")
    assert next(stream) == "a"
    with pytest.raises(error, match="Stream error: no") as caught:
        next(stream)
    assert isinstance(caught.value, GraphbitError) and caught.value.request_id == "req_7"


# refusals


@pytest.mark.parametrize(
    ("status", "error", "built_in", "word"),
    [
        (401, AuthenticationError, PermissionError, "authentication_error"),
        (429, RateLimitError, RuntimeError, "rate_limit_error"),
        (529, ServerError, RuntimeError, "overloaded_error"),
    ],
)
@pytest.mark.parametrize("how", ["complete", "stream"])
def test_refusals_keep_their_status(
    how: str,
    status: int,
    error: type[GraphbitError],
    built_in: type[Exception],
    word: str,
    server: Server,
    client: LlmClient,
) -> None:
    server.behaviour(fail_every=1, fail_status=status, retry_after=0)
    with pytest.raises(error) as caught:
        client.complete("x") if how == "complete" else next(client.stream("x"))
    assert isinstance(caught.value, built_in) and isinstance(caught.value, RuntimeError)
    assert (caught.value.status_code, caught.value.provider) == (status, "anthropic")
    text = str(caught.value)
    assert text.startswith(f"{CORE}anthropic - API error: ") and word in text
    assert len(server.log()) == (1 if status == 401 else 4)


@pytest.mark.parametrize("how", ["complete", "stream"])
def test_no_error_repeats_the_key(how: str, server: Server, client: LlmClient) -> None:
    def failure(client: LlmClient) -> str:
        with pytest.raises(GraphbitError) as caught:
            client.complete("x") if how == "complete" else next(client.stream("x"))
        assert KEY not in repr(caught.value)
        return str(caught.value)

    server.behaviour(status=[[400, f"key {KEY} refused"]])
    assert failure(client) == f"{CORE}anthropic - API error: key *** refused"
    nobody = LlmConfig.anthropic(KEY, base_url="http://127.0.0.1:9")
    assert "error sending request for url (http://127.0.0.1:9/v1/messages)" in failure(
        LlmClient(nobody)
    )
    broken = LlmConfig.anthropic(KEY + "\n", base_url=server.base_url)
    assert KEY not in failure(LlmClient(broken))
    assert KEY not in repr(broken)
