"""OpenAI through the Responses API, against the simulator."""

from __future__ import annotations

import json
from typing import Any

import pytest
from graphbit import FinishReason, LlmClient, LlmConfig, LlmToolCall, LlmUsage
from llm_setup import CORE, ECHO, KEY, config
from simulator import Server


@pytest.fixture
def responses(server: Server) -> LlmClient:
    return LlmClient(config("openai-responses", server))


def test_the_api_is_chosen_by_name(server: Server) -> None:
    assert LlmConfig.openai(KEY, api="chat") == LlmConfig.openai(KEY)
    assert LlmConfig.openai(KEY, api="responses") != LlmConfig.openai(KEY)
    assert LlmConfig.openai(KEY, api="responses").provider() == "openai"
    for wrong in ("auto", "", "Responses"):
        with pytest.raises(ValueError, match="api must be 'chat' or 'responses'"):
            LlmConfig.openai(KEY, api=wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="OpenAI API key too short"):
        LlmConfig.openai("short", api="responses")


def test_the_request(server: Server, responses: LlmClient) -> None:
    assert responses.complete("Hi", max_tokens=7, temperature=1.7) == ECHO + "Hi"
    [entry] = server.log()
    assert (entry["method"], entry["path"]) == ("POST", "/v1/responses")
    assert entry["headers"]["authorization"] == f"Bearer {KEY}"
    assert "api-key" not in entry["headers"]
    assert json.loads(entry["body"]) == {
        "model": "m",
        "input": [{"role": "user", "content": "Hi"}],
        "max_output_tokens": 7,
        "temperature": 1.7,
    }


def test_everything_said_is_kept(server: Server, responses: LlmClient) -> None:
    call = {
        "type": "function_call",
        "id": "fc",
        "call_id": "c",
        "name": "f",
        "arguments": '{"x":1}',
    }
    server.behaviour(
        body={
            "id": "resp_1",
            "model": "m-2025",
            "status": "completed",
            "output": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
                {"type": "message", "content": [{"type": "output_text", "text": "a"}]},
                call,
            ],
            "usage": {
                "input_tokens": 5,
                "output_tokens": 4,
                "total_tokens": 9,
                "input_tokens_details": {"cached_tokens": 3},
                "output_tokens_details": {"reasoning_tokens": 2},
            },
        }
    )
    response = responses.complete_full("x")
    assert (response.content, response.model, response.id) == ("a", "m", "resp_1")
    assert response.tool_calls == [LlmToolCall("c", "f", '{"x":1}')]
    assert response.finish_reason == FinishReason.tool_calls()
    assert (response.usage.prompt_tokens, response.usage.completion_tokens) == (5, 4)
    assert (response.usage.cache_read_tokens, response.usage.reasoning_tokens) == (3, 2)
    assert response.metadata["reasoning"] == '"hm"'
    assert response.metadata["server_model"] == '"m-2025"'
    assert response.metadata["provider_finish_reason"] == '"completed"'


@pytest.mark.parametrize(
    ("body", "finish"),
    [
        ({"incomplete_details": {"reason": "max_output_tokens"}}, FinishReason.length()),
        ({"incomplete_details": {"reason": "content_filter"}}, FinishReason.content_filter()),
        ({}, FinishReason.other("unknown")),
    ],
)
def test_an_incomplete_answer_says_why(
    body: dict[str, Any], finish: FinishReason, server: Server, responses: LlmClient
) -> None:
    server.behaviour(body={"status": "incomplete", **body})
    assert responses.complete_full("x").finish_reason == finish


@pytest.mark.parametrize(
    ("error", "built_in"),
    [
        ({"code": "invalid_prompt", "message": "no"}, RuntimeError),
        ({"code": "authentication_error", "message": "no"}, PermissionError),
    ],
)
def test_a_failed_answer_is_raised(
    error: dict[str, str], built_in: type[Exception], server: Server, responses: LlmClient
) -> None:
    server.behaviour(body={"status": "failed", "error": error})
    with pytest.raises(built_in) as caught:
        responses.complete("x")
    assert str(caught.value) == f"{CORE}openai - Responses API failed: no"
    assert len(server.log()) == 1


def test_a_refusal_keeps_the_server_s_words(server: Server, responses: LlmClient) -> None:
    server.behaviour(status=[[400, "unknown parameter"]])
    with pytest.raises(RuntimeError) as caught:
        responses.complete("x")
    assert str(caught.value) == f"{CORE}openai - API error: unknown parameter"


def sse(*events: dict[str, Any]) -> str:
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)


def test_a_stream(server: Server, responses: LlmClient) -> None:
    stream = responses.stream("a b c")
    assert list(stream) == [ECHO, "a ", "b ", "c"]
    assert stream.usage is not None and stream.usage.completion_tokens == 4
    assert stream.finish_reason == FinishReason.stop()
    [entry] = server.log()
    body = json.loads(entry["body"])
    assert (entry["path"], body["stream"]) == ("/v1/responses", True)


def test_a_stream_of_every_kind_of_event(server: Server, responses: LlmClient) -> None:
    answer = {"status": "completed", "usage": {"input_tokens": 1, "output_tokens": 2}}
    server.behaviour(
        body=sse(
            {"type": "response.created", "response": {"status": "in_progress"}},
            {"type": "response.reasoning_summary_text.delta", "delta": "hm"},
            {"type": "response.output_text.delta", "output_index": 1, "delta": "one"},
            {"type": "response.output_text.delta", "output_index": 2, "delta": "two"},
            {"type": "response.surprise", "delta": "?"},
            {"type": "response.completed", "response": answer},
        )
    )
    stream = responses.stream("x")
    assert "".join(stream) == "one\ntwo", "thoughts are no part of the text"
    assert stream.usage == LlmUsage(1, 2)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({"type": "error", "code": "server_error", "message": "boom"}, "Stream error: boom"),
        (
            {"type": "response.failed", "response": {"error": {"message": "boom"}}},
            "Responses API failed: boom",
        ),
    ],
)
def test_a_failing_stream_raises(
    event: dict[str, Any], text: str, server: Server, responses: LlmClient
) -> None:
    server.behaviour(body=sse({"type": "response.output_text.delta", "delta": "a"}, event))
    stream = responses.stream("x")
    assert next(stream) == "a"
    with pytest.raises(RuntimeError) as caught:
        next(stream)
    assert str(caught.value) == f"{CORE}openai - {text}"
    assert list(stream) == []
