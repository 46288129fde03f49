"""LLM configurations and clients against the simulator, seen from Python."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from graphbit import FinishReason, LlmClient, LlmConfig, LlmResponse, LlmToolCall, LlmUsage
from graphbit.exceptions import GraphbitError
from llm_setup import CORE, ECHO, KEY, KINDS, config, wait_until
from simulator import Server


@pytest.fixture
def openai(server: Server) -> LlmClient:
    return LlmClient(config("openai", server))


# configuration


def test_configurations_name_provider_and_model() -> None:
    openai = LlmConfig.openai(KEY)
    assert (openai.provider(), openai.model()) == ("openai", "gpt-4o-mini")
    assert LlmConfig.openai(KEY, "").model() == ""
    azure = LlmConfig.azurellm("12345678", "dep", "")
    assert (azure.provider(), azure.model()) == ("azurellm", "dep")
    ollama = LlmConfig.ollama()
    assert (ollama.provider(), ollama.model()) == ("ollama", "llama3.2")
    compatible = LlmConfig.openai_compatible("http://host/v1", "m")
    assert (compatible.provider(), compatible.model()) == ("openai_compatible", "m")


def test_configurations_compare_and_hide_the_key() -> None:
    one = LlmConfig.openai(KEY, headers={"x-secret": "hunter2"}, timeout=5)
    same = LlmConfig.openai(KEY, headers={"x-secret": "hunter2"}, timeout=timedelta(seconds=5))
    assert one == same and hash(one) == hash(same)
    assert one != LlmConfig.openai(KEY)
    assert repr(one) == "LlmConfig(provider='openai', model='gpt-4o-mini')"
    with one as entered:
        assert entered is one
    assert one.cleanup() is False and one.__exit__() is False


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: LlmConfig.openai(""), "OpenAI API key cannot be empty"),
        (lambda: LlmConfig.openai("k" * 19), "OpenAI API key too short"),
        (lambda: LlmConfig.azurellm("1234567", "d", "e"), "Azure LLM API key too short"),
        (lambda: LlmConfig.azurellm("12345678", "d", "e", api="grpc"), "api must be 'auto'"),
        (lambda: LlmConfig.openai(KEY, timeout=0), "timeout must be a positive"),
        (lambda: LlmConfig.openai(KEY, timeout=float("nan")), "timeout must be a positive"),
        (lambda: LlmConfig.openai(KEY, timeout=timedelta(seconds=-1)), "timeout must be"),
    ],
)
def test_unusable_configurations_are_refused(make: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make()


def test_keys_are_measured_in_bytes() -> None:
    assert LlmConfig.openai("é" * 10).provider() == "openai"
    with pytest.raises(TypeError):
        LlmConfig.openai(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        LlmClient(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        LlmConfig()


# requests on the wire


def sent(entry: dict[str, Any]) -> Any:
    return json.loads(entry["body"])


def test_openai_request(server: Server) -> None:
    client = LlmClient(config("openai", server, headers={"x-team": "blue"}))
    assert client.complete("Hi", max_tokens=7, temperature=1.7) == ECHO + "Hi"
    [entry] = server.log()
    assert entry["path"] == "/v1/chat/completions"
    assert entry["headers"]["authorization"] == f"Bearer {KEY}"
    assert entry["headers"]["x-team"] == "blue"
    assert sent(entry) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "max_completion_tokens": 7,
        "temperature": 1.7,
    }


def test_azure_requests(server: Server) -> None:
    LlmClient(config("azure-chat", server)).complete("Hi", max_tokens=7)
    LlmClient(config("azure-responses", server)).complete("Hi", max_tokens=7)
    forced = LlmConfig.azurellm(KEY, "gpt-4o", server.base_url, "2024-06-01", api="chat")
    LlmClient(forced).complete("Hi")
    chat, responses, chosen = server.log()
    path = "/openai/deployments/prod-chat/chat/completions?api-version=2024-10-21"
    assert chat["path"] == path
    assert chat["headers"]["api-key"] == KEY and "authorization" not in chat["headers"]
    messages = [{"role": "user", "content": "Hi"}]
    assert sent(chat) == {"messages": messages, "max_tokens": 7}
    assert responses["path"] == "/openai/responses?api-version=2025-04-01-preview"
    assert sent(responses) == {"model": "gpt-4o", "input": messages, "max_output_tokens": 7}
    path = "/openai/deployments/gpt-4o/chat/completions?api-version=2024-06-01"
    assert chosen["path"] == path


def test_ollama_request_and_host(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", server.base_url.removeprefix("http://"))
    client = LlmClient(LlmConfig.ollama())
    assert client.complete("Hi", max_tokens=7, temperature=0.5) == ECHO + "Hi"
    [entry] = server.log()
    assert entry["path"] == "/api/chat", "nothing is listed or pulled first"
    assert sent(entry) == {
        "model": "llama3.2",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": False,
        "options": {"temperature": 0.5, "num_predict": 7},
    }


@pytest.mark.parametrize("kind", KINDS)
def test_every_provider_answers_in_full(kind: str, server: Server) -> None:
    client = LlmClient(config(kind, server))
    response = client.complete_full("three little words")
    assert response.content == ECHO + "three little words"
    assert response.model == client_model(kind)
    assert response.usage.completion_tokens == 4
    assert response.finish_reason == FinishReason.stop()
    assert response.id


def client_model(kind: str) -> str:
    return {"azure-chat": "prod-chat", "azure-responses": "gpt-4o", "ollama": "llama3.2"}.get(
        kind, "m"
    )


def test_tool_call_replies_without_content(server: Server, openai: LlmClient) -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": '{"x": 1}'}}
    message = {"content": None, "tool_calls": [call]}
    server.behaviour(body={"choices": [{"message": message, "finish_reason": "tool_calls"}]})
    response = openai.complete_full("x")
    assert response.content == "" and response.id is None
    assert response.tool_calls == [LlmToolCall("c", "f", '{"x":1}')]
    assert response.finish_reason == FinishReason.tool_calls()
    assert response.metadata["provider_finish_reason"] == '"tool_calls"'


def test_accounting_survives(server: Server, openai: LlmClient) -> None:
    usage = {
        "prompt_tokens": 5,
        "completion_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    body = {"model": "m-2024", "choices": [{"message": {"content": "a"}}], "usage": usage}
    server.behaviour(body=body)
    response = openai.complete_full("x")
    assert response.model == "m" and response.metadata["server_model"] == '"m-2024"'
    assert response.usage.cache_read_tokens == 3 and response.usage.reasoning_tokens == 2
    assert repr(response.usage).endswith("total_tokens=9, cache_read_tokens=3)")


# argument validation: the same in every variant, raised by the call itself


METHODS = ["complete", "complete_full", "complete_async", "complete_full_async", "stream"]


@pytest.mark.parametrize("method", [*METHODS, "complete_stream"])
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"prompt": "", "max_tokens": -1}, "field 'prompt' with value '': Prompt cannot be empty"),
        ({"prompt": "x", "max_tokens": 0, "temperature": 9}, "field 'max_tokens' with value '0'"),
        ({"prompt": "x", "max_tokens": -1}, "field 'max_tokens' with value '-1'"),
        ({"prompt": "x", "max_tokens": 2**32}, "field 'max_tokens' with value '4294967296'"),
        ({"prompt": "x", "temperature": 3.0}, "value '3': temperature must be between 0.0 and 2.0"),
        ({"prompt": "x", "temperature": -0.1}, "temperature must be between"),
        ({"prompt": "x", "temperature": float("nan")}, "value 'NaN'"),
        ({"prompt": "x", "temperature": float("inf")}, "value 'inf'"),
    ],
)
def test_arguments_are_checked_at_once(
    method: str, arguments: dict[str, Any], text: str, openai: LlmClient, server: Server
) -> None:
    with pytest.raises(ValueError, match=text):
        getattr(openai, method)(**arguments)
    assert server.log() == []


def test_the_full_variants_have_a_lower_limit(openai: LlmClient) -> None:
    for method in (openai.complete_full, openai.complete_full_async):
        with pytest.raises(ValueError, match="max_tokens cannot exceed 100,000"):
            method("x", max_tokens=100_001)
        with pytest.raises(ValueError, match="max_tokens must be positive"):
            method("x", max_tokens=0)
    with pytest.raises(ValueError, match="max_tokens must be greater than 0"):
        openai.complete("x", max_tokens=0)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"prompt": 5}, TypeError),
        ({"prompt": "x", "max_tokens": 1.5}, TypeError),
        ({"prompt": "x", "max_tokens": 2**63}, OverflowError),
        ({"prompt": "x", "temperature": "hot"}, TypeError),
        ({"prompt": "x", "enable_prompt_caching": None}, TypeError),
        ({"prompt": "x", "tokens": 5}, TypeError),
        ({}, TypeError),
    ],
)
def test_wrong_types_are_type_errors(
    arguments: dict[str, Any], error: type[Exception], openai: LlmClient
) -> None:
    with pytest.raises(error):
        openai.complete(**arguments)


def test_batch_and_chat_arguments(openai: LlmClient) -> None:
    for arguments, text in [
        (([],), "Prompts list cannot be empty"),
        ((["a"] * 1001,), "value '1001': Batch size cannot exceed 1000"),
        ((["a"], 0), "max_tokens must be greater than 0"),
        ((["a"], None, 5.0), "temperature must be"),
        ((["a"], None, None, 0), "max_concurrency must be greater than 0"),
    ]:
        with pytest.raises(ValueError, match=text):
            openai.complete_batch(*arguments)
    with pytest.raises(OverflowError):
        openai.complete_batch(["a"], max_concurrency=-1)
    with pytest.raises(TypeError):
        openai.complete_batch("abc")
    with pytest.raises(ValueError, match="Messages list cannot be empty"):
        openai.chat_optimized([])
    with pytest.raises(TypeError):
        openai.chat_optimized([["user", "x"]])
    with pytest.raises(ValueError, match="length 2"):
        openai.chat_optimized([("user", "x", "y")])
    with pytest.raises(RuntimeError, match="no running event loop"):
        openai.complete_async("x")


# asyncio


def test_async_variants(server: Server, openai: LlmClient) -> None:
    async def main() -> None:
        future = openai.complete_async("a")
        assert asyncio.isfuture(future)
        assert await future == ECHO + "a"
        assert (await openai.complete_full_async("b c")).usage.completion_tokens == 3
        messages = [("System", "s"), ("user", ""), ("assistant", "t"), ("user", "u")]
        assert await openai.chat_optimized(messages, temperature=0.2) == ECHO + "u"
        messages = sent(server.log()[-1])["messages"]
        assert [(each["role"], each["content"]) for each in messages] == [
            ("user", "s"),
            ("assistant", "t"),
            ("user", "u"),
        ]
        pending = openai.chat_optimized([("user", "")])
        with pytest.raises(ValueError, match="field 'messages': No valid messages found"):
            await pending
        before = len(server.log())
        for _ in range(2):
            assert await openai.warmup() == "Client warmed up successfully"
        assert len(server.log()) == before + 1

    asyncio.run(main())


def test_cancelling_closes_the_connection(server: Server, openai: LlmClient) -> None:
    server.behaviour(hang=True)

    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(openai.complete_async("x"), 0.2)

    asyncio.run(main())
    wait_until(lambda: server.stats()["disconnects"] == 1)


def test_batch_keeps_order_and_answers_every_prompt(server: Server) -> None:
    def answer(messages: list[dict[str, Any]], **_: Any) -> str:
        prompt = messages[-1]["content"]
        if prompt == "boom":
            raise KeyError("gone")
        time.sleep(0.05 if prompt == "slow" else 0)
        return prompt.upper()

    client = LlmClient(LlmConfig.from_callable(answer))

    async def main() -> None:
        refused = "Validation error for field 'prompt' with value '': Prompt cannot be empty"
        assert await client.complete_batch(["slow", "", "boom", "b"]) == [
            "SLOW",
            f"Error: ValueError: {refused}",
            "Error: KeyError: 'gone'",
            "B",
        ]
        assert len(await client.complete_batch([""])) == 1

    asyncio.run(main())


def test_batch_failures_name_the_built_in(server: Server, openai: LlmClient) -> None:
    server.behaviour(status=[[401, "no"]])

    async def main() -> list[str]:
        return await openai.complete_batch(["a", "b"], max_concurrency=1)

    failed, answered = asyncio.run(main())
    assert failed == f"Error: RuntimeError: {CORE}openai - API error: no"
    assert answered == ECHO + "b"


def test_batch_keeps_to_its_concurrency(server: Server, openai: LlmClient) -> None:
    server.behaviour(latency_ms=20)

    async def main() -> None:
        texts = [str(n) for n in range(12)]
        answers = await openai.complete_batch(texts, max_concurrency=3)
        assert answers == [ECHO + text for text in texts]

    asyncio.run(main())
    assert server.stats()["max_in_flight"] == 3


# errors and resilience


@pytest.mark.parametrize(
    ("status", "built_in", "kind"),
    [
        (400, RuntimeError, "bad_request"),
        (401, PermissionError, "authentication"),
        (403, PermissionError, "permission_denied"),
        (404, RuntimeError, "not_found"),
    ],
)
def test_refusals_are_not_retried(
    status: int, built_in: type[Exception], kind: str, server: Server, openai: LlmClient
) -> None:
    server.behaviour(status=[[status, f"key {KEY} refused", {"x-request-id": "r7"}]])
    with pytest.raises(built_in) as caught:
        openai.complete("x")
    error = caught.value
    assert isinstance(error, RuntimeError) and isinstance(error, GraphbitError)
    assert str(error) == f"{CORE}openai - API error: key *** refused"
    assert (error.kind, error.status_code, error.provider) == (kind, status, "openai")
    assert error.request_id == "r7"
    assert len(server.log()) == 1
    assert openai.get_stats()["circuit_breaker_state"] == "Closed (failures: 0)"


def test_a_server_failure_is_tried_again(server: Server, openai: LlmClient) -> None:
    server.behaviour(status=[503, "reset"])
    assert openai.complete("x") == ECHO + "x"
    stats = openai.get_stats()
    assert list(stats) == [
        "total_requests",
        "successful_requests",
        "failed_requests",
        "success_rate",
        "average_response_time_ms",
        "circuit_breaker_state",
        "uptime_seconds",
    ]
    assert (stats["total_requests"], stats["successful_requests"]) == (1, 1)
    assert stats["average_response_time_ms"] >= 300, "the pauses of 100 and 200 ms count"
    assert len(server.log()) == 3
    openai.reset_stats()
    assert openai.get_stats()["total_requests"] == 0


def test_five_failed_calls_open_the_breaker(server: Server, openai: LlmClient) -> None:
    fast = {"retry-after-ms": "0"}
    server.behaviour(status=[[500, "down", fast]] * 20)
    for number in range(1, 6):
        with pytest.raises(RuntimeError, match="API error: down"):
            openai.complete("x")
        state = "Open" if number == 5 else f"Closed (failures: {number})"
        assert openai.get_stats()["circuit_breaker_state"] == state
    with pytest.raises(RuntimeError, match=r"^Circuit breaker is open, request rejected$"):
        openai.complete("x")
    assert len(server.log()) == 20


def test_our_time_limit_ends_the_call_instead_of_paying_again(server: Server) -> None:
    server.behaviour(hang=True)
    client = LlmClient(config("azure-chat", server, timeout=1.5))
    with pytest.raises(TimeoutError) as caught:
        client.complete("x")
    assert str(caught.value) == "Timeout in 'llm_request' after 1500ms: Request timed out"
    assert len(server.log()) == 1


def test_ollama_explains_itself(server: Server) -> None:
    server.behaviour(status=[[404, {"error": "model 'llama3.2' not found"}]])
    client = LlmClient(config("ollama", server))
    with pytest.raises(FileNotFoundError) as caught:
        client.complete("x")
    text = str(caught.value)
    assert text.startswith(f"{CORE}ollama - HTTP 404 Not Found: ")
    assert "ollama pull llama3.2" in text
    assert len(server.log()) == 1
    nobody = LlmClient(LlmConfig.ollama(base_url="http://127.0.0.1:9"))
    with pytest.raises(
        ConnectionError, match=r"Make sure Ollama is running on http://127\.0\.0\.1:9$"
    ):
        nobody.complete("x")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"choices": []}, "No choices in response"),
        ("<html>", "Failed to parse response: error decoding response body: "),
    ],
)
def test_garbled_answers(body: Any, text: str, server: Server, openai: LlmClient) -> None:
    server.behaviour(body=body)
    with pytest.raises(RuntimeError) as caught:
        openai.complete("x")
    assert str(caught.value).startswith(f"{CORE}openai - {text}")


@pytest.mark.parametrize(
    ("url", "key"),
    [("ftp://host", KEY), ("not a url", KEY), ("", KEY), ("http://host", KEY + "\nx")],
)
def test_unusable_addresses_and_keys_fail_in_the_call(url: str, key: str) -> None:
    client = LlmClient(LlmConfig.openai_compatible(url, "m", key))
    with pytest.raises(RuntimeError) as caught:
        client.complete("x")
    text = str(caught.value)
    assert text.startswith(f"{CORE}openai_compatible - Request failed: builder error")
    assert KEY not in text


# functions as models


def test_a_function_answers() -> None:
    seen: list[Any] = []

    def answer(messages: list[dict[str, Any]], **options: Any) -> Any:
        seen.append((messages, options, threading.current_thread() is threading.main_thread()))
        return {
            "content": "hi",
            "tool_calls": [{"id": "c", "name": "f", "parameters": {"x": 1}}],
            "finish_reason": "tool_calls",
            "usage": {"prompt_tokens": 1, "completion_tokens": 2},
        }

    made = LlmConfig.from_callable(answer, model="mine")
    assert (made.provider(), made.model()) == ("callable", "mine")
    response = LlmClient(made).complete_full("x", max_tokens=5)
    assert seen == [([{"role": "user", "content": "x"}], {"max_tokens": 5}, False)]
    assert (response.content, response.model) == ("hi", "mine")
    assert response.tool_calls == [LlmToolCall("c", "f", '{"x":1}')]
    assert response.usage == LlmUsage(1, 2)
    assert response.finish_reason == FinishReason.tool_calls()


async def coroutine(messages: list[dict[str, Any]]) -> str:
    await asyncio.sleep(0)
    return "from a coroutine"


@pytest.mark.parametrize(
    ("function", "content"),
    [
        (lambda messages: "text", "text"),
        (lambda messages: LlmResponse("mine", "m"), "mine"),
        (lambda messages: {"choices": [{"message": {"content": "wire"}}]}, "wire"),
        (coroutine, "from a coroutine"),
    ],
)
def test_a_function_may_answer_in_many_shapes(function: Any, content: str) -> None:
    assert LlmClient(LlmConfig.from_callable(function)).complete("x") == content


def test_a_function_that_fails() -> None:
    calls = []

    def fail(messages: Any) -> str:
        calls.append(1)
        raise LookupError("no such thing")

    with pytest.raises(LookupError, match="no such thing"):
        LlmClient(LlmConfig.from_callable(fail)).complete("x")
    assert len(calls) == 1
    for answer in (7, None, ["text"], {"text": "?"}):
        with pytest.raises((TypeError, RuntimeError)):
            LlmClient(LlmConfig.from_callable(lambda messages, answer=answer: answer)).complete("x")
    with pytest.raises(TypeError, match="not callable"):
        LlmConfig.from_callable("text")  # type: ignore[arg-type]


def test_functions_nest(server: Server, openai: LlmClient) -> None:
    client = openai
    for _ in range(20):
        inner = client
        client = LlmClient(
            LlmConfig.from_callable(
                lambda messages, inner=inner: inner.complete(messages[0]["content"]) + "!"
            )
        )
    assert client.complete("x") == ECHO + "x" + "!" * 20
