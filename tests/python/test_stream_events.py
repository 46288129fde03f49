"""`stream_events`: typed events, the answer put together from them, and letting go early."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from typing import Any

import pytest
from graphbit import FinishReason, LlmClient, LlmConfig, LlmResponse, LlmToolCall, StreamEvent
from graphbit.exceptions import ResponseError
from llm_setup import CORE, ECHO, KINDS, config, wait_until
from simulator import Server
from test_structured import Point


@pytest.fixture
def client(server: Server) -> LlmClient:
    return LlmClient(config("openai", server))


def frames(*deltas: dict[str, Any], finish: str = "tool_calls", **last: Any) -> str:
    bodies = [{"id": "r1", "model": "m-1", "choices": [{"delta": delta}]} for delta in deltas]
    bodies.append({"choices": [{"delta": {}, "finish_reason": finish}], **last})
    return "".join(f"data: {json.dumps(body)}\n\n" for body in bodies) + "data: [DONE]\n\n"


def piece(index: int, arguments: str, **first: str) -> dict[str, Any]:
    function = {"arguments": arguments}
    call: dict[str, Any] = {"index": index, "function": function}
    if first:
        call["id"] = first["id"]
        function["name"] = first["name"]
    return {"tool_calls": [call]}


async def collect(stream: Any) -> list[Any]:
    return [event async for event in stream]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [{}, {"one_packet": True}, {"split_utf8": True}])
def test_texts_and_the_end(kind: str, shape: dict[str, bool], server: Server) -> None:
    server.behaviour(**shape)
    client = LlmClient(config(kind, server))
    events = client.stream_events([("system", "s"), ("user", "zażółć gęślą 🦀")])
    assert server.log() == [] and events.response is None
    *texts, done = events
    assert {event.type for event in texts} == {"text"} and len(texts) > 1
    assert "".join(event.text or "" for event in texts) == ECHO + "zażółć gęślą 🦀"
    assert done.type == "done" and done.finish_reason == FinishReason.stop()
    assert done.response is not None and done.response == events.response
    assert done.response.content == ECHO + "zażółć gęślą 🦀"
    assert list(events) == []
    whole = client.chat([("system", "s"), ("user", "zażółć gęślą 🦀")])
    assert (whole.content, whole.model) == (done.response.content, done.response.model)
    # Servers of unknown make are not asked for it: some refuse to be.
    assert (done.usage is None) == (kind == "compatible")
    assert done.usage is None or done.usage == whole.usage == done.response.usage
    again = asyncio.run(
        collect(client.stream_events([("system", "s"), ("user", "zażółć gęślą 🦀")]))
    )
    assert [event.text for event in again] == [event.text for event in (*texts, done)]


def test_tool_calls_come_in_pieces(server: Server, client: LlmClient) -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 4}
    server.behaviour(
        body=frames(
            {"reasoning_content": "Two cities."},
            {"content": "One moment."},
            piece(0, "", id="c0", name="weather"),
            piece(0, '{"city":'),
            piece(1, '{"city":"Rome"}', id="c1", name="weather"),
            piece(0, '"Oslo"}'),
            usage=usage,
        )
    )
    tools = [{"name": "weather"}]
    events = list(client.stream_events("How warm?", tools=tools, tool_choice="required"))
    assert json.loads(server.log()[-1]["body"])["tool_choice"] == "required"
    seen = [(e.type, e.text, e.index, e.id, e.name, e.arguments) for e in events]
    assert seen == [
        ("reasoning", "Two cities.", None, None, None, None),
        ("text", "One moment.", None, None, None, None),
        ("tool_call", None, 0, "c0", "weather", ""),
        ("tool_call", None, 0, None, None, '{"city":'),
        ("tool_call", None, 1, "c1", "weather", '{"city":"Rome"}'),
        ("tool_call", None, 0, None, None, '"Oslo"}'),
        ("done", None, None, None, None, None),
    ]
    done = events[-1]
    assert done.usage is not None and done.usage.total_tokens == 7
    assert done.metadata is not None and done.metadata["server_model"] == '"m-1"'
    response = done.response
    assert isinstance(response, LlmResponse)
    assert (response.id, response.content) == ("r1", "One moment.")
    assert response.finish_reason == FinishReason.tool_calls()
    assert response.tool_calls == [
        LlmToolCall("c0", "weather", '{"city": "Oslo"}'),
        LlmToolCall("c1", "weather", '{"city": "Rome"}'),
    ]
    assert response.metadata["reasoning"] == '"Two cities."'
    assert response.usage == done.usage
    # The answer goes back like one that was not streamed.
    server.behaviour()
    client.chat([("user", "How warm?"), response, *(tool_result(c) for c in response.tool_calls)])
    sent = json.loads(server.log()[-1]["body"])["messages"]
    assert [call["id"] for call in sent[1]["tool_calls"]] == ["c0", "c1"]


def tool_result(call: LlmToolCall) -> dict[str, str]:
    return {"role": "tool", "tool_call_id": call.id, "content": "21"}


def test_tool_calls_of_ollama(server: Server) -> None:
    call = {"function": {"name": "f", "arguments": {"a": 1}}}
    lines = [
        {"message": {"content": "Well"}, "done": False},
        {"message": {"content": "", "tool_calls": [call]}, "done": False},
        {"message": {"content": ""}, "done": True, "done_reason": "stop", "eval_count": 2},
    ]
    server.behaviour(body="".join(json.dumps(line) + "\n" for line in lines))
    text, tool, done = LlmClient(config("ollama", server)).stream_events("x", tools=[{"name": "f"}])
    assert (text.type, tool.type, done.type) == ("text", "tool_call", "done")
    assert (tool.index, tool.name, tool.arguments) == (0, "f", '{"a":1}') and tool.id
    assert done.response is not None
    assert done.response.tool_calls == [LlmToolCall(tool.id, "f", '{"a":1}')]


def test_text_streams_leave_a_response_too(server: Server, client: LlmClient) -> None:
    stream = client.stream("a b")
    assert next(stream) == ECHO and stream.response is None
    list(stream)
    assert stream.response is not None
    assert stream.response.content == ECHO + "a b"
    assert stream.response.usage == stream.usage
    assert stream.response == asyncio.run(drained(client.stream("a b")))
    # Tool calls are no text, and are not lost either.
    server.behaviour(body=frames({"content": "a"}, piece(0, "{}", id="c", name="f")))
    stream = client.stream("x")
    assert list(stream) == ["a"]
    assert stream.response is not None and stream.response.tool_calls == [
        LlmToolCall("c", "f", "{}")
    ]


async def drained(stream: Any) -> LlmResponse:
    await collect(stream)
    return stream.response


def test_a_format_is_read_at_the_end(server: Server, client: LlmClient) -> None:
    server.behaviour(body=frames({"content": '{"x"'}, {"content": ": 4}"}, finish="stop"))
    events = client.stream_events("Where?", response_format=Point)
    *_, done = events
    assert done.response is not None and done.response.parsed == Point(4)
    assert events.response is not None and events.response.parsed == Point(4)
    assert (
        asyncio.run(collect(client.stream_events("x", response_format="json")))[-1].type == "done"
    )
    server.behaviour(body=frames({"content": "Four."}, finish="stop"))
    events = client.stream_events("Where?", response_format=Point)
    assert next(events).text == "Four."
    with pytest.raises(ResponseError) as caught:
        next(events)
    assert caught.value.response is not None and caught.value.response.content == "Four."
    assert list(events) == []


def test_errors(server: Server, client: LlmClient) -> None:
    server.behaviour(stream_error_frame=True)
    events = client.stream_events("a b c d")
    assert [next(events).text, next(events).text] == [ECHO, "a "]
    with pytest.raises(RuntimeError, match=f"{CORE}openai - Stream error: simulated"):
        next(events)
    assert list(events) == [] and events.response is None
    stats = client.get_stats()
    assert (stats["total_requests"], stats["failed_requests"]) == (1, 1)
    server.behaviour(status=[[400, "no"]])
    with pytest.raises(RuntimeError, match="API error: no"):
        next(client.stream_events("x"))
    function = LlmClient(LlmConfig.from_callable(lambda messages: "x"))
    with pytest.raises(ValueError, match="Streaming not supported by this provider"):
        next(function.stream_events("x"))


def test_streams_count_when_they_end(server: Server, client: LlmClient) -> None:
    # Slowly, or the end would be here, and read ahead, before anybody looks.
    server.behaviour(slow_stream={"chunks": 3, "delay_ms": 150})
    events, text = client.stream_events("a b"), client.stream("a b")
    assert client.get_stats()["total_requests"] == 0
    next(events), next(text)
    stats = client.get_stats()
    assert (stats["total_requests"], stats["successful_requests"]) == (2, 0)
    list(events), list(text)
    assert client.get_stats()["successful_requests"] == 2


# letting go


def endless(server: Server) -> None:
    server.behaviour(slow_stream={"chunks": 1000, "delay_ms": 20})


def open_stream(kind: str, client: LlmClient) -> Any:
    return client.stream("x" * 1000) if kind == "text" else client.stream_events("x" * 1000)


@pytest.mark.parametrize("kind", ["text", "events"])
@pytest.mark.parametrize("how", ["drop", "close", "with", "raise"])
def test_letting_go_frees_the_connection(
    how: str, kind: str, server: Server, client: LlmClient
) -> None:
    endless(server)
    stream = open_stream(kind, client)
    next(stream)
    if how == "drop":
        del stream
    elif how == "close":
        stream.close()
        stream.close()
        assert list(stream) == [] and stream.response is None
    elif how == "with":
        with stream as entered:
            assert entered is stream
        assert list(stream) == []
    else:
        with pytest.raises(KeyError, match="mine"), stream:
            raise KeyError("mine")
    wait_until(lambda: server.stats()["disconnects"] == 1)
    stats = client.get_stats()
    assert (stats["total_requests"], stats["failed_requests"]) == (1, 0)


@pytest.mark.parametrize("kind", ["text", "events"])
@pytest.mark.parametrize("how", ["with", "break", "cancel", "close in between"])
def test_letting_go_in_asyncio(how: str, kind: str, server: Server, client: LlmClient) -> None:
    endless(server)

    async def main() -> None:
        stream = open_stream(kind, client)
        if how == "with":
            async with stream as entered:
                assert entered is stream
                await stream.__anext__()
            with pytest.raises(StopAsyncIteration):
                await stream.__anext__()
        elif how == "break":
            async for _ in stream:
                break
        elif how == "cancel":
            pending = asyncio.ensure_future(collect(stream))
            await asyncio.sleep(0.1)
            pending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await pending
        else:
            await stream.__anext__()
            server_is_silent = asyncio.ensure_future(collect(stream))
            await asyncio.sleep(0.05)
            stream.close()
            await server_is_silent

    asyncio.run(main())
    wait_until(lambda: server.stats()["disconnects"] == 1)


def test_closing_before_the_start_sends_nothing(server: Server, client: LlmClient) -> None:
    stream = client.stream_events("x")
    stream.close()
    assert list(stream) == [] and server.log() == []


def test_closing_while_the_server_is_silent(server: Server, client: LlmClient) -> None:
    server.behaviour(hang=True)

    async def main() -> None:
        stream = client.stream_events("x")
        waiting = asyncio.ensure_future(collect(stream))
        await asyncio.sleep(0.1)
        stream.close()
        assert await asyncio.wait_for(waiting, 5) == []

    asyncio.run(main())
    wait_until(lambda: server.stats()["disconnects"] == 1)


def test_a_silent_server_is_given_up(server: Server) -> None:
    server.behaviour(hang=True)
    client = LlmClient(config("openai", server, timeout=0.2))
    with pytest.raises(TimeoutError):
        next(client.stream_events("x"))


def test_outstanding_requests_for_events_keep_their_order(
    server: Server, client: LlmClient
) -> None:
    async def main() -> list[StreamEvent]:
        events = client.stream_events("a b c")
        return await asyncio.gather(*(events.__anext__() for _ in range(5)))

    told = asyncio.run(main())
    assert [event.text for event in told] == [ECHO, "a ", "b ", "c", None]


# events as values


def test_events_compare_copy_and_pickle(server: Server, client: LlmClient) -> None:
    body = frames(
        {"reasoning_content": "r"}, {"content": "a"}, piece(0, "{}", id="c", name="f"), id="r9"
    )
    server.behaviour(body=body)
    events, again = list(client.stream_events("x")), list(client.stream_events("x"))
    assert events == again and [hash(e) for e in events] == [hash(e) for e in again]
    assert len(set(events)) == 4 and events[0] != events[1] != "a"
    for event in events:
        for copied in (pickle.loads(pickle.dumps(event)), copy.copy(event), copy.deepcopy(event)):
            assert copied == event and copied.response == event.response
            assert copied.metadata == event.metadata
        with pytest.raises(AttributeError):
            event.text = "x"  # type: ignore[misc]
    assert [repr(event) for event in events] == [
        "StreamEvent(type='reasoning', text='r')",
        "StreamEvent(type='text', text='a')",
        "StreamEvent(type='tool_call', index=0, id='c', name='f', arguments='{}')",
        "StreamEvent(type='done', finish_reason=tool_calls)",
    ]
    with pytest.raises(TypeError):
        StreamEvent()
