"""The chat-completions family against the simulator: what each sends, and all that each must read.

The families' servers disagree about what an answer has to hold; one decoder reads them all.
"""

from __future__ import annotations

import asyncio
import copy
import json
import urllib.request
from typing import Any

import pytest
from graphbit import FinishReason, LlmClient, LlmConfig, LlmUsage
from llm_setup import CORE, ECHO, KEY, KINDS, config
from simulator import Server

# Constructor: model when none is named, extra arguments, the headers that those become.
SITE = {"site_url": "https://example.org/a", "site_name": "A name"}
FAMILY: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
    "openai": ("gpt-4o-mini", {}, {}),
    "ai21": ("jamba-mini", {"organization": "org-7"}, {"ai21-organization": "org-7"}),
    "bytedance": ("seed-1-6-250915", {}, {}),
    "deepseek": ("deepseek-flash", {}, {}),
    "fireworks": ("accounts/fireworks/models/llama-v3p1-8b-instruct", {}, {}),
    "mistralai": ("mistral-large-latest", {}, {}),
    "openrouter": ("openai/gpt-4o-mini", {}, {}),
    "openrouter_with_site": (
        "openai/gpt-4o-mini",
        SITE,
        {"http-referer": SITE["site_url"], "x-title": SITE["site_name"]},
    ),
    "perplexity": ("sonar", {}, {}),
    "togetherai": ("openai/gpt-oss-20b", {}, {}),
    "xai": ("grok-4", {}, {}),
}
# Those documented to take `stream_options`; the others report usage unasked, or never.
TOLD_TO_REPORT_USAGE = {
    *("openai", "bytedance", "deepseek", "fireworks", "openrouter", "openrouter_with_site"),
    *("togetherai", "xai"),
}
EVERY_EXTRA_HEADER = {name for _, _, headers in FAMILY.values() for name in headers}


def family(name: str, server: Server, **extra: Any) -> LlmConfig:
    if name == "azure":
        return config("azure-chat", server, **extra)
    return getattr(LlmConfig, name)(KEY, base_url=server.openai_url, **extra)


def sent(entry: dict[str, Any]) -> Any:
    return json.loads(entry["body"])


# ---------------------------------------------------------------- requests


@pytest.mark.parametrize("name", FAMILY)
def test_request(name: str, server: Server) -> None:
    """D-2, D-21, D-22: the temperature as it was given, the organization in its header."""
    model, arguments, headers = FAMILY[name]
    client = LlmClient(family(name, server, **arguments))
    assert client.complete("Hi", max_tokens=7, temperature=0.7) == ECHO + "Hi"
    assert client.complete("Hi") == ECHO + "Hi"
    full, plain = server.log()
    messages = [{"role": "user", "content": "Hi"}]
    limit = "max_completion_tokens" if name == "openai" else "max_tokens"
    assert sent(full) == {"model": model, "messages": messages, limit: 7, "temperature": 0.7}
    assert '"temperature":0.7}' in full["body"], "0.7, not the nearest 32-bit float"
    assert sent(plain) == {"model": model, "messages": messages}
    for entry in (full, plain):
        assert (entry["method"], entry["path"]) == ("POST", "/v1/chat/completions")
        found = entry["headers"]
        assert found["authorization"] == f"Bearer {KEY}"
        assert found["content-type"] == "application/json"
        assert {name: found[name] for name in EVERY_EXTRA_HEADER & set(found)} == headers


@pytest.mark.parametrize("name", FAMILY)
def test_streamed_request(name: str, server: Server) -> None:
    """D-39: the whole family streams."""
    stream = LlmClient(family(name, server)).stream("a b", max_tokens=7, temperature=0.7)
    assert "".join(stream) == ECHO + "a b"
    assert stream.finish_reason == FinishReason.stop()
    [entry] = server.log()
    limit = "max_completion_tokens" if name == "openai" else "max_tokens"
    body = {
        "model": FAMILY[name][0],
        "messages": [{"role": "user", "content": "a b"}],
        limit: 7,
        "temperature": 0.7,
        "stream": True,
    }
    if name in TOLD_TO_REPORT_USAGE:
        body["stream_options"] = {"include_usage": True}
        assert stream.usage is not None and stream.usage.completion_tokens == 3
    assert sent(entry) == body
    assert entry["headers"]["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("name", FAMILY)
def test_roles_of_a_chat(name: str, server: Server) -> None:
    client = LlmClient(family(name, server))
    chat = [("system", "s"), ("user", "u"), ("assistant", "a"), ("user", "Hi")]

    async def main() -> str:
        return await client.chat_optimized(chat)

    assert asyncio.run(main()) == ECHO + "Hi"
    [entry] = server.log()
    assert sent(entry)["messages"] == [{"role": role, "content": content} for role, content in chat]


def test_only_the_part_of_a_site_that_is_given_is_named(server: Server) -> None:
    LlmClient(family("openrouter_with_site", server, site_name="A name")).complete("Hi")
    LlmClient(family("ai21", server)).complete("Hi")
    named, bare = (entry["headers"] for entry in server.log())
    assert named["x-title"] == "A name" and "http-referer" not in named
    assert not EVERY_EXTRA_HEADER & set(bare)


# ---------------------------------------------------------------- answers

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
ABSENT = object()
PARTS = [{"type": "text", "text": "two "}, {"type": "text", "text": "parts"}]


def answer(**changes: Any) -> dict[str, Any]:
    """An answer that every server could give, but for the changes; dots are underscores here."""
    body: dict[str, Any] = {
        "id": "r1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "yes"},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
    }
    choice = body["choices"][0]
    places = {"id": body, "usage": body, "finish_reason": choice}
    for name, value in changes.items():
        place = places.get(name, choice["message"])
        place.pop(name, None)
        if value is not ABSENT:
            place[name] = value
    return body


def calling(content: Any = None, without: str = "", **function: str) -> dict[str, Any]:
    call: dict[str, Any] = copy.deepcopy(CALL)
    call["function"] |= function
    call.pop(without, None)
    return answer(content=content, tool_calls=[call], finish_reason="tool_calls")


# Row of the matrix: the body, and what is read from it where that is not what `answer` says.
ROWS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "content null": (answer(content=None), {"content": ""}),
    "content absent": (answer(content=ABSENT), {"content": ""}),
    "content in parts": (answer(content=PARTS), {"content": "two parts"}),
    "content null, calls": (calling(), {"content": "", "calls": [("c1", "f", '{"x":1}')]}),
    "content blank, calls": (calling(""), {"content": "", "calls": [("c1", "f", '{"x":1}')]}),
    "content absent, calls": (calling(ABSENT), {"content": "", "calls": [("c1", "f", '{"x":1}')]}),
    "arguments not JSON": (
        calling(arguments="x = 1"),
        {"content": "", "calls": [("c1", "f", '{"raw_arguments":"x = 1"}')]},
    ),
    "arguments empty": (calling(arguments=""), {"content": "", "calls": [("c1", "f", "{}")]}),
    "call without a type": (
        calling(without="type"),
        {"content": "", "calls": [("c1", "f", '{"x":1}')]},
    ),
    "role absent": (answer(role=ABSENT), {}),
    "usage absent": (answer(usage=ABSENT), {"usage": (0, 0, 0)}),
    "usage null": (answer(usage=None), {"usage": (0, 0, 0)}),
    "id absent": (answer(id=ABSENT), {"id": None}),
    "calls null": (answer(tool_calls=None), {}),
    "finish unknown": (answer(finish_reason="eos"), {"finish": FinishReason.other("eos")}),
    "finish length": (answer(finish_reason="length"), {"finish": FinishReason.length()}),
    "finish content_filter": (
        answer(content=None, finish_reason="content_filter"),
        {"content": "", "finish": FinishReason.content_filter()},
    ),
    "finish null": (answer(finish_reason=None), {}),
    "finish absent": (answer(finish_reason=ABSENT), {}),
}


@pytest.mark.parametrize("name", [*FAMILY, "azure"])
@pytest.mark.parametrize("row", ROWS)
def test_answers_are_read_alike(name: str, row: str, server: Server) -> None:
    """D-4, D-23, D-38: every cell of the matrix is an answer, nothing in it is invented."""
    body, expected = ROWS[row]
    server.behaviour(body=body)
    response = LlmClient(family(name, server)).complete_full("x")
    usage = response.usage
    calls = expected.get("calls", [])
    finish = FinishReason.tool_calls() if calls else FinishReason.stop()
    assert {
        "content": response.content,
        "calls": [(call.id, call.name, call.parameters) for call in response.tool_calls],
        "usage": (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens),
        "id": response.id,
        "finish": response.finish_reason,
    } == {
        "content": "yes",
        "calls": calls,
        "usage": (3, 4, 7),
        "id": "r1",
        "finish": finish,
    } | expected
    assert len(server.log()) == 1


def test_azure_counts_as_its_server_does(server: Server) -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 9}
    server.behaviour(body=answer(usage=usage))
    assert LlmClient(family("azure", server)).complete_full("x").usage.total_tokens == 9
    assert LlmClient(family("xai", server)).complete_full("x").usage.total_tokens == 7


# ---------------------------------------------------------------- streams

STREAMING = [*KINDS, *(name for name in FAMILY if name != "openai")]
TEXT = "zażółć gęślą jaźń 🦀"


@pytest.mark.parametrize("kind", STREAMING)
def test_streams_are_the_same_however_they_are_cut(kind: str, server: Server) -> None:
    """D-7, D-32: packets are no part of the text."""
    client = LlmClient(config(kind, server) if kind in KINDS else family(kind, server))

    def read() -> tuple[list[str], FinishReason | None]:
        stream = client.stream(TEXT)
        return list(stream), stream.finish_reason

    whole = read()
    assert "".join(whole[0]) == ECHO + TEXT and len(whole[0]) > 1
    assert whole[1] == FinishReason.stop()
    for shape in ("one_packet", "split_utf8"):
        server.behaviour(**{shape: True})
        assert read() == whole, shape
    server.behaviour()
    frames = replayed(server)
    # The simulator cuts documents, not streams, to pieces; behind a blank line it sees no stream.
    pieces = {"chunks": len(frames) + 1, "delay_ms": 0}
    server.behaviour(body="\n" + frames.decode(), slow_stream=pieces)
    assert read() == whole, "byte by byte"


@pytest.mark.parametrize("name", [*FAMILY, "azure"])
def test_odd_frames_are_read(name: str, server: Server) -> None:
    """D-32: `null` for no calls, comments, other line ends; a last frame without its end."""
    frames = [
        ": keep-alive\n\n",
        'data: {"choices":[{"delta":{"role":"assistant","content":null}}],"usage":null}\n\n',
        'data:{"choices":[{"delta":{"content":"a ","tool_calls":null}}]}\r\n\r\n',
        'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n',
        'data: {"choices":[{"delta":{"content":"b"},"finish_reason":"length"}]}',
    ]
    server.behaviour(body="".join(frames))
    stream = LlmClient(family(name, server)).stream("x")
    assert list(stream) == ["a ", "b"]
    assert stream.finish_reason == FinishReason.length()
    assert stream.usage == LlmUsage(3, 4)


@pytest.mark.parametrize("name", [*FAMILY, "azure"])
def test_refusals_name_the_provider(name: str, server: Server) -> None:
    """D-9: status and provider are fields of the error, whole or streamed."""
    provider = {"openrouter_with_site": "openrouter", "azure": "azurellm"}.get(name, name)
    server.behaviour(fail_every=1, fail_status=401)
    client = LlmClient(family(name, server))
    for ask in (client.complete, lambda text: list(client.stream(text))):
        with pytest.raises(PermissionError) as caught:
            ask("x")
        assert str(caught.value).startswith(f"{CORE}{provider} - API error: ")
        assert (caught.value.provider, caught.value.status_code) == (provider, 401)  # type: ignore[attr-defined]
    assert len(server.log()) == 2


def replayed(server: Server) -> bytes:
    """What the server answers to the last request of its log."""
    entry = server.log()[-1]
    address = server.base_url + entry["path"]
    request = urllib.request.Request(address, entry["body"].encode(), entry["headers"])
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as reply:
        return reply.read()
