"""EmbeddingConfig and EmbeddingClient against the simulator: wire, order, errors, batches, arrays."""

from __future__ import annotations

import asyncio
import datetime as dt
import http.server
import json
import math
import shutil
import ssl
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphbit import EmbeddingClient, EmbeddingConfig, exceptions
from simulator import Server, expected_embedding

KEY = "sk-hunter2-0123456789"


def openai(server: Server, **extras: Any) -> EmbeddingClient:
    return EmbeddingClient(EmbeddingConfig.openai(KEY, base_url=server.openai_url, **extras))


def compatible(server: Server, **extras: Any) -> EmbeddingClient:
    return EmbeddingClient(EmbeddingConfig.openai_compatible(server.openai_url, "m", **extras))


def scripted(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"data": rows, "usage": {"prompt_tokens": 2, "total_tokens": 3}}


# ---------------------------------------------------------------- configuration


@pytest.mark.parametrize(
    ("make", "label", "shortest"),
    [
        (lambda key: EmbeddingConfig.openai(key), "OpenAI", 20),
        (lambda key: EmbeddingConfig.azure(key, "d", "https://host"), "Azure", 8),
    ],
)
def test_keys_are_measured_in_bytes(make: Any, label: str, shortest: int) -> None:
    with pytest.raises(ValueError, match=f"^{label} API key cannot be empty$"):
        make("")
    with pytest.raises(ValueError, match=f"^{label} API key too short$"):
        make("x" * (shortest - 1))
    make("x" * shortest)
    make("é" * (shortest // 2))


def test_a_config_says_who_answers_and_never_the_key() -> None:
    config = EmbeddingConfig.openai(
        KEY, headers={"x-api-key": "hunter3"}, http_proxy="http://u:hunter4@h:1"
    )
    assert (config.provider(), config.model()) == ("openai", "text-embedding-3-small")
    assert repr(config) == "EmbeddingConfig(provider='openai', model='text-embedding-3-small')"
    assert "hunter" not in repr(EmbeddingClient(config)) + str(config)
    azure = EmbeddingConfig.azure("12345678", "dep", "https://host")
    assert (azure.provider(), azure.model()) == ("azure", "text-embedding-3-small")
    named = EmbeddingConfig.openai_compatible("http://host", "it's")
    assert repr(named) == "EmbeddingConfig(provider='openai_compatible', model=\"it's\")"


@pytest.mark.parametrize("timeout", [0, -1, math.nan, math.inf, dt.timedelta(0)])
def test_a_timeout_is_positive(timeout: Any) -> None:
    with pytest.raises(ValueError, match="timeout"):
        EmbeddingConfig.openai(KEY, timeout=timeout)


def test_wrong_arguments_are_refused_by_type() -> None:
    client = EmbeddingClient(EmbeddingConfig.openai(KEY))
    for wrong in (
        lambda: EmbeddingConfig(),  # type: ignore[call-arg]
        lambda: EmbeddingConfig.openai(7),
        lambda: EmbeddingConfig.openai(KEY, timeout="fast"),
        lambda: EmbeddingConfig.openai(KEY, headers={"a": 1}),
        lambda: EmbeddingConfig.from_callable(7),
        lambda: EmbeddingClient("openai"),
        lambda: client.embed(["a"]),
        lambda: client.embed_many("text"),
        lambda: client.embed_many([None]),
        lambda: client.embed_batch_parallel(["a", "b"]),
        lambda: client.embed_array(["a"], batch_size=1.5),
        lambda: client.similarity("a", [1.0]),
    ):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(OverflowError):
        client.embed_batch_parallel([["a"]], max_concurrency=-1)
    for name in ("base64url", ""):
        with pytest.raises(ValueError, match="encoding_format"):
            EmbeddingConfig.openai_compatible("http://h", "m", encoding_format=name)
    with pytest.raises(ValueError, match="dimensions"):
        EmbeddingConfig.openai_compatible("http://h", "m", dimensions=0)


# ---------------------------------------------------------------- wire


def test_openai_bodies(server: Server) -> None:
    client = openai(server, headers={"x-team": "blue"})
    client.embed("one")
    client.embed_many(["one"])
    client.embed_many(("one", ""))
    first, second, third = server.log()
    assert first["path"] == "/v1/embeddings"
    assert first["headers"]["authorization"] == f"Bearer {KEY}"
    assert first["headers"]["x-team"] == "blue"
    assert first["headers"]["user-agent"].startswith("graphbit/")
    base = {"model": "text-embedding-3-small", "encoding_format": "base64"}
    bodies = [body(entry) for entry in (first, second, third)]
    assert bodies == [base | {"input": value} for value in ("one", ["one"], ["one", ""])]
    connections = {entry["connection_id"] for entry in (first, second, third)}
    assert len(connections) <= 2, "a second one only where the first was not free again in time"


def test_azure_address_key_and_body(server: Server) -> None:
    config = EmbeddingConfig.azure("12345678", "my-dep", server.base_url + "//", api_version="v9")
    EmbeddingClient(config).embed("one")
    (entry,) = server.log()
    assert entry["path"] == "/openai/deployments/my-dep/embeddings?api-version=v9"
    assert entry["headers"]["api-key"] == "12345678"
    assert "authorization" not in entry["headers"]
    assert body(entry) == {"input": "one", "encoding_format": "base64"}


def test_a_compatible_server_is_asked_for_nothing_unusual(server: Server) -> None:
    compatible(server).embed("one")
    compatible(server, api_key="k", encoding_format="base64", dimensions=8).embed("two")
    plain, full = server.log()
    assert body(plain) == {"model": "m", "input": "one"}
    assert "authorization" not in plain["headers"]
    assert full["headers"]["authorization"] == "Bearer k"
    assert body(full) == {
        "model": "m",
        "input": "two",
        "encoding_format": "base64",
        "dimensions": 8,
    }


def body(entry: dict[str, Any]) -> Any:
    value = entry["body"]
    return json.loads(value) if isinstance(value, str) else value


@pytest.mark.parametrize("encoding", [None, "float", "base64"])
def test_vectors_are_the_servers_to_the_bit(server: Server, encoding: str | None) -> None:
    client = compatible(server, encoding_format=encoding, dimensions=16)
    texts = ["alpha", "beta", "gämmä", ""]
    expected = [expected_embedding(text, 16) for text in texts]
    assert client.embed("alpha") == expected[0]
    assert client.embed_many(texts) == expected
    array = client.embed_array(texts)
    assert (array.dtype, array.shape) == (np.float32, (4, 16))
    assert array.tolist() == expected


def test_the_async_twins_agree(server: Server) -> None:
    client = compatible(server, dimensions=16)

    async def main() -> None:
        one = client.embed_async("alpha")
        assert asyncio.isfuture(one)
        many = client.embed_many_async(["alpha", "beta"])
        array = client.embed_array_async(["alpha", "beta"])
        assert await one == client.embed("alpha")
        assert await many == client.embed_many(["alpha", "beta"])
        assert (await array).tolist() == await many
        with pytest.raises(ValueError, match=r"^Text input cannot be empty$"):
            client.embed_async("")
        with pytest.raises(ValueError, match=r"^Text list cannot be empty$"):
            client.embed_many_async([])
        with pytest.raises(ValueError, match="batch_size"):
            client.embed_array_async(["a"], batch_size=0)

    asyncio.run(main())


def test_rows_are_matched_by_index_and_checked(server: Server) -> None:
    client = openai(server)
    rows = [{"index": 1, "embedding": [3, 4]}, {"index": 0, "embedding": [1, 2]}]
    server.behaviour(body=scripted(rows))
    assert client.embed_many(["a", "b"]) == [[1.0, 2.0], [3.0, 4.0]]
    with pytest.raises(exceptions.ResponseError, match="2 embeddings for 3 texts"):
        client.embed_many(["a", "b", "c"])
    for broken, text in (
        ([{"embedding": ["x"]}], "Failed to parse OpenAI response"),
        ([{"embedding": [None]}], "Failed to parse OpenAI response"),
        ([], "No embeddings returned"),
    ):
        server.behaviour(body=scripted(broken))
        with pytest.raises(RuntimeError, match=f"^LLM error: {text}"):
            client.embed("a")
    server.behaviour(body={"object": "list"})
    with pytest.raises(RuntimeError, match=r"^LLM error: Invalid response format from OpenAI"):
        client.embed("a")


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("status", "classes"),
    [
        (400, (exceptions.BadRequestError, RuntimeError)),
        (401, (exceptions.AuthenticationError, PermissionError, RuntimeError)),
        (404, (exceptions.NotFoundError, FileNotFoundError, RuntimeError)),
    ],
)
def test_a_refusal_keeps_status_text_and_class(
    server: Server, status: int, classes: tuple[type, ...]
) -> None:
    server.behaviour(status=[[status, f"no: {KEY}", {"x-request-id": "req-7"}]])
    with pytest.raises(exceptions.GraphbitError) as caught:
        openai(server).embed("a")
    error = caught.value
    assert isinstance(error, classes)
    assert str(error) == "LLM error: OpenAI API error: no: ***"
    assert (error.status_code, error.request_id, error.provider) == (status, "req-7", "openai")
    assert error.operation == "embed"
    assert len(server.log()) == 1


def test_what_can_heal_is_tried_again(server: Server) -> None:
    client = compatible(server, dimensions=4)
    server.behaviour(status=[503, "reset", [429, "slow", {"retry-after": "0.5"}]])
    started = time.monotonic()
    assert client.embed("alpha") == expected_embedding("alpha", 4)
    assert time.monotonic() - started >= 0.1 + 0.2 + 0.5
    stats = client.get_stats()
    assert (stats["total_requests"], stats["successful_requests"]) == (1, 1)
    assert stats["average_response_time_ms"] >= 800
    server.behaviour(fail_every=1, fail_status=500)
    with pytest.raises(exceptions.ServerError, match="OpenAI-compatible server API error"):
        client.embed("alpha")
    client.reset_stats()
    assert client.get_stats()["total_requests"] == 0


def test_a_silent_server_is_a_timeout(server: Server) -> None:
    server.behaviour(hang=True)
    client = openai(server, timeout=dt.timedelta(milliseconds=50))
    with pytest.raises(TimeoutError, match="Failed to send request to OpenAI") as caught:
        client.embed("a")
    assert isinstance(caught.value, RuntimeError)


def test_unusable_addresses_and_keys_are_named_but_not_shown() -> None:
    def message(config: EmbeddingConfig) -> str:
        with pytest.raises((RuntimeError, ValueError)) as caught:
            EmbeddingClient(config).embed("a")
        return str(caught.value)

    for url in ("", "localhost:1/v1", "ftp://host"):
        text = message(EmbeddingConfig.openai_compatible(url, "m"))
        assert text.startswith("LLM error: Failed to send request to OpenAI-compatible server"), (
            text
        )
    text = message(EmbeddingConfig.openai(KEY + "\n"))
    assert "API key contains a line break" in text and "hunter2" not in text
    url = "http://u:hunter2@127.0.0.1:9/v1?key=hunter2"
    text = message(EmbeddingConfig.openai_compatible(url, "m"))
    assert "127.0.0.1:9" in text and "hunter2" not in text


def test_redirects_are_not_followed(server: Server) -> None:
    location = {"location": server.openai_url + "/elsewhere?key=x"}
    server.behaviour(status=[[307, "", location]])
    with pytest.raises(exceptions.GraphbitError, match="redirects are not followed") as caught:
        openai(server).embed("a")
    assert "key=x" not in str(caught.value)
    assert len(server.log()) == 1


def test_empty_input_is_refused(server: Server) -> None:
    client = compatible(server)
    with pytest.raises(ValueError, match=r"^Text input cannot be empty$"):
        client.embed("")
    with pytest.raises(ValueError, match=r"^Text list cannot be empty$"):
        client.embed_many([])
    with pytest.raises(ValueError, match=r"^Batch cannot be empty$"):
        client.embed_batch_parallel([])
    assert client.embed_array([]).shape[0] == 0
    assert server.log() == []


def test_cancelling_closes_the_connection(server: Server) -> None:
    server.behaviour(hang=True)
    client = openai(server)

    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.embed_async("a"), 0.2)

    asyncio.run(main())
    deadline = time.monotonic() + 5
    while not server.log()[0]["disconnected"] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.log()[0]["disconnected"]


# ---------------------------------------------------------------- batches


def test_batch_result_has_the_shape_of_0_6_8(server: Server) -> None:
    client = compatible(server, dimensions=4)
    result = client.embed_batch_parallel([["a", "b"], ["c"]])
    assert list(result) == ["embeddings", "errors", "duration_ms", "stats"]
    assert result["embeddings"] == [
        [expected_embedding("a", 4), expected_embedding("b", 4)],
        [expected_embedding("c", 4)],
    ]
    assert result["errors"] == []
    assert isinstance(result["duration_ms"], int)
    assert list(result["stats"]) == [
        "successful_requests",
        "failed_requests",
        "avg_response_time_ms",
        "total_embeddings",
        "total_tokens",
    ]
    stats = result["stats"]
    assert (stats["successful_requests"], stats["failed_requests"]) == (2, 0)
    assert stats["total_embeddings"] == 3
    assert stats["avg_response_time_ms"] == result["duration_ms"] / 2


def test_a_failed_inner_batch_leaves_the_others_alone(server: Server) -> None:
    server.behaviour(status=[200, [400, "bad words"], 200])
    batch = [["a"], ["b"], ["c"]]
    result = compatible(server, dimensions=4).embed_batch_parallel(batch, max_concurrency=1)
    assert [len(group) for group in result["embeddings"]] == [1, 0, 1]
    assert result["errors"] == ["Batch 1: LLM error: OpenAI-compatible server API error: bad words"]
    assert result["stats"]["failed_requests"] == 1


def test_batch_limits(server: Server) -> None:
    client = compatible(server, dimensions=4)
    with pytest.raises(ValueError, match="max_concurrency"):
        client.embed_batch_parallel([["a"]], max_concurrency=0)
    server.behaviour(latency_ms=600, dimensions=4)
    batch = [["a"], ["b"], ["c"]]
    result = client.embed_batch_parallel(batch, max_concurrency=1, timeout_ms=1100)
    assert len(result["embeddings"][0]) == 1
    assert result["embeddings"][1:] == [[], []]
    late = "LLM error: Batch request timed out"
    assert result["errors"] == [f"Batch 1: {late}", f"Batch 2: {late}"]
    with pytest.raises(RuntimeError, match=f"^{late}$") as caught:
        client.embed_batch_parallel(batch, timeout_ms=20)
    assert isinstance(caught.value, TimeoutError)
    server.reset()
    server.behaviour(latency_ms=30, dimensions=4)
    client.embed_batch_parallel([["a"]] * 12, max_concurrency=4)
    assert server.stats()["max_in_flight"] == 4


def test_embed_array_batches_in_order_and_reports_progress(server: Server) -> None:
    server.behaviour(latency_ms={"uniform": [0, 30]}, dimensions=4)
    client = openai(server)
    texts = [f"text {number}" for number in range(50)]
    seen: list[tuple[int, int]] = []
    threads = set()

    def progress(done: int, total: int) -> None:
        seen.append((done, total))
        threads.add(threading.current_thread())

    array = client.embed_array(texts, batch_size=7, max_concurrency=3, on_progress=progress)
    assert array.tolist() == [expected_embedding(text, 4) for text in texts]
    assert len(server.log()) == 8
    assert 1 < server.stats()["max_in_flight"] <= 3
    assert seen[-1] == (50, 50) and len(seen) == 8 and seen == sorted(seen)
    assert threading.main_thread() not in threads


def test_embed_array_failures(server: Server) -> None:
    client = openai(server)
    failing = {"dimensions": 4, "status": [200, [400, "bad"], 200]}
    server.behaviour(**failing)
    with pytest.raises(exceptions.BadRequestError, match="bad"):
        client.embed_array(["a", "b", "c"], batch_size=1, max_concurrency=1)
    server.behaviour(**failing)
    texts = ["a", "b", "c"]
    array = client.embed_array(texts, batch_size=1, max_concurrency=1, on_error="nan")
    assert np.isnan(array).all(axis=1).tolist() == [False, True, False]
    with pytest.raises(ValueError, match="on_error"):
        client.embed_array(["a"], on_error="ignore")

    class StopError(Exception):
        pass

    def stop(_: int, __: int) -> None:
        raise StopError

    server.behaviour(dimensions=4)
    with pytest.raises(StopError):
        client.embed_array(texts, on_progress=stop)


# ---------------------------------------------------------------- callables


def lengths(texts: list[str]) -> list[list[float]]:
    return [[float(len(text)), 1.0] for text in texts]


@pytest.mark.parametrize(
    "function",
    [
        lengths,
        lambda texts: np.array(lengths(texts)),
        lambda texts: np.array(lengths(texts), dtype=np.float32, order="F"),
        lambda texts: [np.array(row, dtype=np.float32) for row in lengths(texts)],
        lambda texts: tuple(tuple(row) for row in lengths(texts)),
    ],
)
def test_a_callable_may_return_lists_or_arrays(function: Any) -> None:
    config = EmbeddingConfig.from_callable(function, model="lengths", max_batch=2)
    assert (config.provider(), config.model()) == ("callable", "lengths")
    client = EmbeddingClient(config)
    assert client.embed("abc") == [3.0, 1.0]
    assert client.embed_many(["a", "bb", "ccc"]) == [[1.0, 1.0], [2.0, 1.0], [3.0, 1.0]]
    assert client.embed_array(["a", "bb", "ccc"])[:, 0].tolist() == [1.0, 2.0, 3.0]


def test_what_a_callable_does_wrong_reaches_the_caller() -> None:
    calls = []

    def raising(texts: list[str]) -> Any:
        calls.append(texts)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        EmbeddingClient(EmbeddingConfig.from_callable(raising)).embed("a")
    assert calls == [["a"]]

    def client(function: Any, **extras: Any) -> EmbeddingClient:
        return EmbeddingClient(EmbeddingConfig.from_callable(function, **extras))

    for wrong in (lambda _: 7, lambda _: [1.0, 2.0], lambda _: [["x"]], lambda _: np.zeros(3)):
        with pytest.raises(TypeError, match="list of lists of numbers"):
            client(wrong).embed("a")
    with pytest.raises(RuntimeError, match="1 embeddings for 2 texts"):
        client(lambda _: [[1.0]]).embed_many(["a", "b"])
    with pytest.raises(RuntimeError, match="1 dimensions instead of 3"):
        client(lambda _: [[1.0]], dimensions=3).embed("a")
    with pytest.raises(ValueError, match="max_batch"):
        client(lengths, max_batch=0)


def test_a_callable_may_call_a_client(server: Server) -> None:
    inner = compatible(server, dimensions=4)
    outer = EmbeddingClient(EmbeddingConfig.from_callable(inner.embed_many, max_batch=1))
    texts = [f"text {number}" for number in range(40)]
    expected = [expected_embedding(text, 4) for text in texts]
    assert outer.embed_array(texts, max_concurrency=40).tolist() == expected


# ---------------------------------------------------------------- similarity


def test_similarity() -> None:
    similarity = EmbeddingClient.similarity
    assert similarity([1.0, 0.0], [2.0, 0.0]) == 1.0
    assert similarity([1, 1], (-1, -1)) == pytest.approx(-1.0)
    assert similarity([0.0, 0.0], [1.0, 0.0]) == 0.0
    assert similarity([], []) == 0.0
    assert math.isnan(similarity([math.nan], [1.0]))
    for dtype in (np.float32, np.float64, np.int64):
        assert similarity(np.array([3, 4], dtype), np.array([4, 3], dtype)) == pytest.approx(0.96)
    strided = np.arange(6, dtype=np.float32)[::2]
    assert similarity(strided, strided) == pytest.approx(1.0)
    message = "^Validation error: dimensions - Embedding dimensions must match$"
    with pytest.raises(RuntimeError, match=message):
        similarity([1.0], [1.0, 2.0])


# ---------------------------------------------------------------- processes and threads


def test_a_client_made_before_a_fork_works_on_both_sides(run_child: Any) -> None:
    child = run_child(
        """
        import os
        from graphbit import EmbeddingClient, EmbeddingConfig

        url = os.environ["GRAPHBIT_SIMULATOR_URL"] + "/v1"
        client = EmbeddingClient(EmbeddingConfig.openai_compatible(url, "m", dimensions=4))
        before = client.embed("text")
        pid = os.fork()
        if pid == 0:
            same = client.embed("text") == before
            del client
            os._exit(0 if same else 1)
        _, status = os.waitpid(pid, 0)
        assert client.embed("text") == before
        print("child", os.waitstatus_to_exitcode(status))
        """
    )
    assert (child.returncode, child.stdout) == (0, "child 0\n"), child.stderr


def test_large_answers_leave_the_interpreter_to_others(server: Server) -> None:
    client = openai(server)
    texts = [f"text {number}" for number in range(400)]
    longest = 0.0
    stop = threading.Event()

    def watch() -> None:
        nonlocal longest
        # Seconds that this process computes, so that what others do on the machine counts for nothing.
        while not stop.is_set():
            before = time.process_time()
            time.sleep(0.0005)
            longest = max(longest, time.process_time() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for _ in range(3):
            client.embed_many(texts)
    finally:
        stop.set()
        watcher.join()
    # The conversion of one answer takes far longer than this in one piece.
    assert longest < 0.05


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl for a certificate")
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_certificates_named_in_the_environment_are_trusted(
    run_child: Any, tmp_path: Path, variable: str
) -> None:
    trusted = tmp_path / "trusted"
    trusted.mkdir()
    key, certificate = tmp_path / "key.pem", trusted / "certificate.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    command += " -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE"
    subprocess.run(
        [*command.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True
    )
    subprocess.run(["openssl", "rehash", trusted], check=True, capture_output=True)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            answer = json.dumps(scripted([{"embedding": [1, 2]}])).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        code = f"""
            from graphbit import EmbeddingClient, EmbeddingConfig
            url = "https://localhost:{server.server_port}/v1"
            print(EmbeddingClient(EmbeddingConfig.openai_compatible(url, "m")).embed("a"))
        """
        named = certificate if variable == "SSL_CERT_FILE" else trusted
        trusting = run_child(code, env={variable: str(named)})
        doubting = run_child(code)
        server.shutdown()
    assert trusting.stdout == "[1.0, 2.0]\n", trusting.stderr
    assert "NetworkError" in doubting.stderr and "certificate" in doubting.stderr, doubting.stderr
