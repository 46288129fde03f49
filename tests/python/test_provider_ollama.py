"""Ollama against the simulator: what is sent, and what is told beside the answer."""

from __future__ import annotations

import json

import pytest
from graphbit import FinishReason, LlmClient, LlmToolCall, LlmUsage
from llm_setup import CORE, ECHO, config
from simulator import Server


@pytest.fixture
def ollama(server: Server) -> LlmClient:
    return LlmClient(config("ollama", server))


def test_options_travel_as_options(server: Server, ollama: LlmClient) -> None:
    assert ollama.complete("Hi", max_tokens=7, temperature=1.7) == ECHO + "Hi"
    assert list(ollama.stream("Hi", max_tokens=7)) == [ECHO, "Hi"]
    whole, streamed = (json.loads(entry["body"]) for entry in server.log())
    messages = [{"role": "user", "content": "Hi"}]
    assert whole == {
        "model": "llama3.2",
        "messages": messages,
        "stream": False,
        "options": {"temperature": 1.7, "num_predict": 7},
    }
    assert streamed == {
        "model": "llama3.2",
        "messages": messages,
        "stream": True,
        "options": {"num_predict": 7},
    }


def test_everything_said_is_kept(server: Server, ollama: LlmClient) -> None:
    call = {"function": {"name": "f", "arguments": {"x": 1}}}
    server.behaviour(
        body={
            "model": "llama3.2:latest",
            "message": {"content": "yes", "thinking": "hm", "tool_calls": [call]},
            "done": True,
            "done_reason": "stop",
            "prompt_eval_count": 3,
            "eval_count": 4,
        }
    )
    response = ollama.complete_full("x")
    assert (response.content, response.usage) == ("yes", LlmUsage(3, 4))
    [made] = response.tool_calls
    assert made == LlmToolCall(made.id, "f", '{"x":1}') and made.id.startswith("ollama_")
    assert response.finish_reason == FinishReason.tool_calls()
    assert response.metadata == {
        "provider_finish_reason": '"stop"',
        "reasoning": '"hm"',
        "server_model": '"llama3.2:latest"',
    }


def test_thoughts_are_no_part_of_a_streamed_text(server: Server, ollama: LlmClient) -> None:
    lines = [
        {"message": {"content": "", "thinking": "hm"}, "done": False},
        {"message": {"content": "yes"}, "done": False},
        {"message": {"content": ""}, "done": True, "done_reason": "length", "eval_count": 2},
    ]
    server.behaviour(body="".join(json.dumps(line) + "\n" for line in lines))
    stream = ollama.stream("x")
    assert list(stream) == ["yes"]
    assert stream.finish_reason == FinishReason.length()
    assert stream.usage == LlmUsage(0, 2)


def test_an_error_in_the_middle_of_a_stream(server: Server, ollama: LlmClient) -> None:
    server.behaviour(stream_error_frame=True)
    stream = ollama.stream("a b c d")
    assert [next(stream), next(stream)] == [ECHO, "a "]
    with pytest.raises(RuntimeError, match=f"{CORE}ollama - Stream error: simulated"):
        next(stream)
