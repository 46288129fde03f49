"""Gemini's chat and embeddings against the simulator: addresses, bodies, answers, streams, the key."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from graphbit import EmbeddingClient, EmbeddingConfig, FinishReason, LlmClient, LlmConfig, LlmUsage
from graphbit import exceptions as errors
from llm_setup import CORE, ECHO
from simulator import Server, expected_embedding

KEY = "AIza-hunter2-secret"
GEMINI = f"{CORE}gemini - "


def chat(server: Server, model: str | None = None, **extra: Any) -> LlmClient:
    return LlmClient(LlmConfig.gemini(KEY, model, base_url=server.base_url + "/v1beta/", **extra))


def embedder(server: Server, model: str | None = None, **extra: Any) -> EmbeddingClient:
    base_url = server.base_url + "/v1beta"
    return EmbeddingClient(EmbeddingConfig.gemini(KEY, model, base_url=base_url, **extra))


def sent(entry: dict[str, Any]) -> Any:
    return json.loads(entry["body"])


def parts(*given: Any, **candidate: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"role": "model", "parts": list(given)}, **candidate}]}


def streamed(*frames: Any) -> str:
    return "".join(f"data: {json.dumps(frame, ensure_ascii=False)}\n\n" for frame in frames)


# ---------------------------------------------------------------- configuration


def test_keys_and_defaults() -> None:
    config = LlmConfig.gemini("12345678")
    assert (config.provider(), config.model()) == ("gemini", "gemini-3.5-flash-lite")
    vectors = EmbeddingConfig.gemini("12345678")
    assert (vectors.provider(), vectors.model()) == ("gemini", "gemini-embedding-001")
    make: Callable[[str], Any]
    for make in (LlmConfig.gemini, EmbeddingConfig.gemini):
        with pytest.raises(ValueError, match=r"^Gemini API key cannot be empty$"):
            make("")
        with pytest.raises(ValueError, match=r"^Gemini API key too short$"):
            make("1234567")
        make("é" * 4)
    with pytest.raises(ValueError, match="dimensions must be greater than 0"):
        EmbeddingConfig.gemini(KEY, dimensions=0)
    with pytest.raises(TypeError):
        EmbeddingConfig.gemini(KEY, "m", 8)  # type: ignore[misc]


# ---------------------------------------------------------------- requests


def test_a_request_names_its_model_in_the_url_and_its_key_in_a_header(server: Server) -> None:
    client = chat(server, headers={"x-team": "blue"})
    assert client.complete("Hi", max_tokens=7, temperature=1.7) == ECHO + "Hi"
    assert "".join(client.stream("Hi", temperature=0.0)) == ECHO + "Hi"
    whole, stream = server.log()
    path = "/v1beta/models/gemini-3.5-flash-lite"
    assert whole["path"] == f"{path}:generateContent"
    assert stream["path"] == f"{path}:streamGenerateContent?alt=sse"
    for entry in (whole, stream):
        assert entry["headers"]["x-goog-api-key"] == KEY
        assert entry["headers"]["x-team"] == "blue"
        assert "authorization" not in entry["headers"]
        said = [entry["path"], entry["body"], *entry["headers"].values()]
        assert sum(KEY in text for text in said) == 1
    contents = [{"role": "user", "parts": [{"text": "Hi"}]}]
    config = {"maxOutputTokens": 7, "temperature": 1.7}
    assert sent(whole) == {"contents": contents, "generationConfig": config}
    assert sent(stream) == {"contents": contents, "generationConfig": {"temperature": 0.0}}


def test_nothing_asked_is_an_empty_configuration(server: Server) -> None:
    chat(server).complete("Hi", enable_prompt_caching=True)
    [entry] = server.log()
    contents = [{"role": "user", "parts": [{"text": "Hi"}]}]
    assert sent(entry) == {"contents": contents, "generationConfig": {}}


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-3.8-flash", "models/gemini-3.8-flash"),
        ("models/x", "models/x"),
        ("tunedModels/mine", "tunedModels/mine"),
        ("a b?c#d", "models/a%20b%3Fc%23d"),
        ("../x", "models/..%2Fx"),
    ],
)
def test_every_form_of_model_name(model: str, path: str, server: Server) -> None:
    response = chat(server, model).complete_full("Hi")
    assert (response.content, response.model) == (ECHO + "Hi", model)
    [entry] = server.log()
    assert entry["path"] == f"/v1beta/{path}:generateContent"


def test_a_conversation_keeps_all_its_system_messages(server: Server) -> None:
    messages = [("system", "one"), ("user", "u"), ("assistant", "a"), ("system", "two"), ("x", "v")]
    client = chat(server)

    async def main() -> str:
        return await client.chat_optimized(messages)

    assert asyncio.run(main()) == ECHO + "v"
    [entry] = server.log()
    assert sent(entry) == {
        "contents": [
            {"role": "user", "parts": [{"text": "u"}]},
            {"role": "model", "parts": [{"text": "a"}]},
            {"role": "user", "parts": [{"text": "v"}]},
        ],
        "systemInstruction": {"parts": [{"text": "one"}, {"text": "two"}]},
        "generationConfig": {},
    }


# ---------------------------------------------------------------- answers


def test_an_answer_in_full(server: Server) -> None:
    answer = parts(
        {"text": "Let me think.", "thought": True},
        {"text": "zażółć "},
        {"text": "🦀"},
        finishReason="STOP",
        citationMetadata={"citationSources": [{"uri": "https://a"}]},
        groundingMetadata={"webSearchQueries": ["q"]},
    )
    usage = {
        "promptTokenCount": 10,
        "candidatesTokenCount": 3,
        "thoughtsTokenCount": 20,
        "cachedContentTokenCount": 4,
    }
    more = {"usageMetadata": usage, "modelVersion": "m-001", "responseId": "r7"}
    server.behaviour(body=answer | more)
    response = chat(server, "m").complete_full("x")
    assert (response.content, response.model, response.id) == ("zażółć 🦀", "m", "r7")
    assert response.finish_reason == FinishReason.stop()
    tokens = response.usage
    assert (tokens.prompt_tokens, tokens.completion_tokens, tokens.total_tokens) == (10, 23, 33)
    assert (tokens.reasoning_tokens, tokens.cache_read_tokens) == (20, 4)
    assert {name: json.loads(value) for name, value in response.metadata.items()} == {
        "reasoning": "Let me think.",
        "citations": {"citationSources": [{"uri": "https://a"}]},
        "grounding": {"webSearchQueries": ["q"]},
        "provider_finish_reason": "STOP",
        "server_model": "m-001",
    }


def test_calls_of_tools(server: Server) -> None:
    first = {"functionCall": {"name": "now"}, "thoughtSignature": "c2ln"}
    second = {"functionCall": {"id": "fc-1", "name": "add", "args": {"b": 1, "a": "é"}}}
    server.behaviour(body=parts(first, second, finishReason="STOP"))
    response = chat(server).complete_full("x")
    now, add = response.tool_calls
    assert (now.name, now.parameters, add.id) == ("now", "{}", "fc-1")
    assert add.parameters == '{"a":"é","b":1}'
    assert now.id.startswith("call_") and len(now.id) == len("call_") + 36
    assert response.content == "" and response.finish_reason == FinishReason.tool_calls()
    assert "c2ln" not in repr(response.tool_calls)


@pytest.mark.parametrize(
    ("candidate", "finish"),
    [
        ({"finishReason": "SAFETY"}, FinishReason.content_filter()),
        ({"content": {"role": "model"}, "finishReason": "MAX_TOKENS"}, FinishReason.length()),
        ({"finishReason": "MALFORMED_FUNCTION_CALL"}, FinishReason.error()),
        ({"content": None}, FinishReason.stop()),
        ({"finishReason": "LANGUAGE"}, FinishReason.other("LANGUAGE")),
    ],
)
def test_candidates_without_content(candidate: Any, finish: FinishReason, server: Server) -> None:
    server.behaviour(body={"candidates": [candidate]})
    response = chat(server).complete_full("x")
    assert (response.content, response.id, response.finish_reason) == ("", "", finish)
    assert response.usage == LlmUsage.empty()


def test_a_blocked_prompt(server: Server) -> None:
    feedback = {"blockReason": "PROHIBITED_CONTENT"}
    server.behaviour(body={"promptFeedback": feedback, "usageMetadata": {"promptTokenCount": 4}})
    response = chat(server).complete_full("x")
    assert (response.content, response.usage) == ("", LlmUsage(4, 0))
    assert response.finish_reason == FinishReason.content_filter()
    assert json.loads(response.metadata["prompt_feedback"]) == feedback


@pytest.mark.parametrize(
    ("body", "text", "kind"),
    [
        ({"candidates": []}, "No candidates in response", "decode"),
        ({}, "No candidates in response", "decode"),
        ("<html>", "Failed to parse response: error decoding response body: ", "decode"),
        ({"error": {"code": 404, "message": f"no {KEY}"}}, "API error: no ***", "not_found"),
    ],
)
def test_no_answer(body: Any, text: str, kind: str, server: Server) -> None:
    server.behaviour(body=body)
    with pytest.raises(errors.GraphbitError) as caught:
        chat(server).complete("x")
    assert str(caught.value).startswith(GEMINI + text)
    assert caught.value.kind == kind


# ---------------------------------------------------------------- streams


@pytest.mark.parametrize("shape", [{}, {"one_packet": True}, {"split_utf8": True}])
def test_every_text_of_every_event_arrives(shape: dict[str, bool], server: Server) -> None:
    events = [
        parts({"text": "hmm", "thought": True}, {"text": "zażółć "}, {"text": "gęślą "}),
        parts({"text": ""}, {"text": "jaźń "}, {"functionCall": {"name": "f"}}),
        parts({"text": "🦀"}, finishReason="STOP")
        | {"usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 9}},
    ]
    # Neither a blank line nor a line end behind the last event.
    server.behaviour(body=streamed(*events).rstrip(), **shape)
    stream = chat(server).stream("x")
    assert list(stream) == ["zażółć ", "gęślą ", "jaźń ", "🦀"]
    assert stream.usage == LlmUsage(1, 9)
    assert stream.finish_reason == FinishReason.tool_calls()
    client = chat(server)

    async def main() -> list[str]:
        return [piece async for piece in client.stream("x")]

    assert asyncio.run(main()) == ["zażółć ", "gęślą ", "jaźń ", "🦀"]


def test_a_stream_of_a_blocked_prompt_is_empty(server: Server) -> None:
    server.behaviour(body=streamed({"promptFeedback": {"blockReason": "SAFETY"}}))
    stream = chat(server).stream("x")
    assert list(stream) == []
    assert stream.finish_reason == FinishReason.content_filter()


def test_a_stream_that_fails_in_the_middle(server: Server) -> None:
    server.behaviour(stream_error_frame=True)
    stream = chat(server).stream("a b c d")
    assert [next(stream), next(stream)] == [ECHO, "a "]
    with pytest.raises(errors.ServerError) as caught:
        next(stream)
    assert str(caught.value) == f"{GEMINI}Stream error: simulated stream failure"
    assert caught.value.status_code == 503
    assert list(stream) == []

    # The service may drop its own framing when it gives up.
    fault = {
        "error": {"code": 429, "message": f"{KEY} is too fast", "status": "RESOURCE_EXHAUSTED"}
    }
    server.behaviour(body=streamed(parts({"text": "a"})) + json.dumps(fault, indent=2))
    stream = chat(server).stream("x")
    assert next(stream) == "a"
    with pytest.raises(errors.RateLimitError, match=r"Stream error: \*\*\* is too fast$"):
        next(stream)


# ---------------------------------------------------------------- errors, and the key in none of them


@pytest.mark.parametrize(
    ("status", "word", "error"),
    [
        (400, "INVALID_ARGUMENT", errors.BadRequestError),
        (401, "UNAUTHENTICATED", errors.AuthenticationError),
        (403, "PERMISSION_DENIED", errors.PermissionDeniedError),
        (404, "NOT_FOUND", errors.NotFoundError),
    ],
)
@pytest.mark.parametrize("listed", [False, True])
def test_a_refusal_keeps_status_and_text(
    status: int, word: str, error: type[Exception], listed: bool, server: Server
) -> None:
    refusal: Any = {"error": {"code": status, "message": f"{KEY}: no", "status": word}}
    refusal = [refusal] if listed else refusal
    server.behaviour(status=[[status, refusal]] * 3)
    expected = json.dumps(refusal, separators=(",", ":")).replace(KEY, "***")
    client = chat(server)
    for ask in (client.complete, lambda prompt: list(client.stream(prompt))):
        with pytest.raises(error) as caught:
            ask("x")
        assert isinstance(caught.value, errors.GraphbitError)
        assert caught.value.status_code == status
        text = str(caught.value)
        assert text.startswith(f"{GEMINI}API error: ")
        assert json.loads(text.removeprefix(f"{GEMINI}API error: ")) == json.loads(expected)
    with pytest.raises(error, match=r"^LLM error: Gemini API error: .*\*\*\*: no"):
        embedder(server).embed("x")
    assert len(server.log()) == 3, "none of them is tried again"


def test_a_simulated_failure_has_google_s_shape_and_is_retried(server: Server) -> None:
    server.behaviour(status=[503, 429])
    assert chat(server).complete("x") == ECHO + "x"
    assert len(server.log()) == 3
    server.behaviour(status=[403])
    with pytest.raises(errors.PermissionDeniedError, match='"status":"PERMISSION_DENIED"'):
        chat(server).complete("x")


def test_a_day_s_quota_is_not_waited_for(server: Server) -> None:
    violation = {"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}
    details = [{"violations": [violation]}, {"retryDelay": "34s"}]
    refusal = {"error": {"code": 429, "message": "quota", "details": details}}
    server.behaviour(status=[[429, refusal], [429, refusal]])
    with pytest.raises(errors.RateLimitError):
        chat(server).complete("x")
    with pytest.raises(errors.RateLimitError):
        embedder(server).embed("x")
    assert len(server.log()) == 2


def test_the_wait_that_a_refusal_names_is_kept_to(server: Server) -> None:
    refusal = {"error": {"code": 429, "message": "slow", "details": [{"retryDelay": "0.5s"}]}}
    server.behaviour(status=[[429, refusal]])
    assert chat(server).complete("x") == ECHO + "x"
    first, second = server.log()
    assert second["started"] - first["started"] >= 0.5


@pytest.mark.parametrize(
    ("behaviour", "arguments"),
    [
        ({}, {"base_url": "http://127.0.0.1:9/v1beta"}),
        ({}, {"base_url": "not a url"}),
        ({}, {"base_url": f"ftp://host/?key={KEY}"}),
        ({"hang": True}, {"timeout": 0.05}),
        ({"reset": True}, {}),
        ({"truncate": True}, {}),
        ({"malformed": True}, {}),
        ({"status": [[400, f"bad {KEY}"]] * 3}, {}),
        ({"status": [[302, "", {"location": f"https://h/?key={KEY}"}]] * 3}, {}),
        ({"body": {"error": {"message": KEY}}}, {}),
        ({"body": {"candidates": KEY, "embeddings": [{"values": KEY}]}}, {}),
        ({"body": KEY, "headers": {"x-request-id": KEY}}, {}),
    ],
)
def test_the_key_is_in_no_text(
    behaviour: dict[str, Any], arguments: dict[str, Any], server: Server
) -> None:
    server.behaviour(**behaviour)
    arguments = {"base_url": server.base_url} | arguments
    config = LlmConfig.gemini(KEY, **arguments)
    vectors = EmbeddingConfig.gemini(KEY, **arguments)
    client, embeddings = LlmClient(config), EmbeddingClient(vectors)

    def texts(ask: Callable[[str], Any]) -> str:
        try:
            return f"no error: {ask('x')}"
        except Exception as error:
            return f"{error} {error!r} {error.__cause__} {vars(error)}"

    asks = [client.complete, lambda prompt: list(client.stream(prompt)), embeddings.embed]
    with ThreadPoolExecutor() as pool:
        whole, stream, vector = pool.map(texts, asks)
    assert "Error" in whole and "Error" in vector
    # A stream in which nothing can be read ends without a word instead.
    assert "Error" in stream or stream == "no error: []"
    assert KEY not in f"{whole}{stream}{vector}{config!r}{vectors!r}{client!r}{embeddings!r}"
    assert all(KEY not in entry["path"] + entry["body"] for entry in server.log())


def test_a_connection_refused_shows_the_url_without_the_key() -> None:
    client = LlmClient(LlmConfig.gemini(KEY, "m", base_url="http://127.0.0.1:9/v1beta"))
    with pytest.raises(ConnectionError) as caught:
        client.complete("x")
    url = "http://127.0.0.1:9/v1beta/models/m:generateContent"
    assert str(caught.value).startswith(
        f"{GEMINI}Request failed: error sending request for url ({url})"
    )


def test_a_time_limit_is_reported_as_such(server: Server) -> None:
    server.behaviour(hang=True)
    with pytest.raises(TimeoutError) as caught:
        chat(server, timeout=0.05).complete("x")
    assert str(caught.value) == "Timeout in 'llm_request' after 50ms: Request timed out"


# ---------------------------------------------------------------- embeddings


def test_an_embedding_request(server: Server) -> None:
    client = embedder(
        server, dimensions=16, task_type="RETRIEVAL_DOCUMENT", headers={"x-team": "b"}
    )
    assert client.embed("alpha") == expected_embedding("alpha", 16)
    embedder(server, "models/other").embed_many(["a", ""])
    first, second = server.log()
    assert first["path"] == "/v1beta/models/gemini-embedding-001:batchEmbedContents"
    assert first["headers"]["x-goog-api-key"] == KEY and first["headers"]["x-team"] == "b"
    assert "authorization" not in first["headers"]
    assert sent(first) == {
        "requests": [
            {
                "model": "models/gemini-embedding-001",
                "content": {"parts": [{"text": "alpha"}]},
                "taskType": "RETRIEVAL_DOCUMENT",
                "outputDimensionality": 16,
            }
        ]
    }
    assert second["path"] == "/v1beta/models/other:batchEmbedContents"
    assert sent(second) == {
        "requests": [
            {"model": "models/other", "content": {"parts": [{"text": text}]}} for text in ("a", "")
        ]
    }


def test_many_texts_keep_their_order_in_batches_of_a_hundred(server: Server) -> None:
    client = embedder(server, dimensions=8)
    texts = [f"tëxt {number}" for number in range(250)]
    expected = [expected_embedding(text, 8) for text in texts]
    array = client.embed_array(texts, batch_size=1000)
    assert (array.dtype, array.shape) == (np.float32, (250, 8))
    assert array.tolist() == expected
    assert client.embed_many(texts) == expected
    sizes = sorted(len(sent(entry)["requests"]) for entry in server.log())
    assert sizes == [50, 50, 100, 100, 100, 100]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            {"embeddings": [{"values": [1]}]},
            "Invalid response format from Gemini: 1 embeddings for 2",
        ),
        (
            {"embeddings": [{"values": [1]}, {"values": []}]},
            "Invalid embedding format: embedding 1",
        ),
        ({"embeddings": [{"values": [1]}, {"values": ["2"]}]}, "Failed to parse Gemini response: "),
        ({"embeddings": []}, "No embeddings returned"),
        ({"error": f"no {KEY}"}, r"Invalid response format from Gemini: .*\*\*\*"),
        ("<html>", "Failed to parse Gemini response: "),
    ],
)
def test_rows_that_do_not_fit_are_refused(body: Any, text: str, server: Server) -> None:
    server.behaviour(body=body)
    with pytest.raises(errors.ResponseError, match=f"^LLM error: {text}") as caught:
        embedder(server).embed_many(["a", "b"])
    assert KEY not in str(caught.value)


def test_vectors_are_the_server_s(server: Server) -> None:
    server.behaviour(body={"embeddings": [{"values": [0.1, -2, 3e-8]}]})
    one = embedder(server).embed("a")
    assert one == [float(np.float32(value)) for value in (0.1, -2, 3e-8)]
    assert math.isclose(EmbeddingClient.similarity(one, one), 1.0, rel_tol=1e-6)
