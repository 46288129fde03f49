"""The simulator keeps its promises on the wire; every other test leans on them."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import struct
import time
from urllib.parse import urlsplit

import pytest
from simulator import Server, Simulator, expected_embedding

HELLO = {"model": "m", "messages": [{"role": "user", "content": "hello wörld 🙂"}]}


def connect(server: Server) -> tuple[http.client.HTTPConnection, str]:
    address = urlsplit(server.base_url)
    assert address.hostname
    return http.client.HTTPConnection(address.hostname, address.port, timeout=5), address.path


def post(
    server: Server, path: str = "/v1/chat/completions", body: object = HELLO
) -> tuple[http.client.HTTPResponse, bytes]:
    connection, prefix = connect(server)
    with contextlib.closing(connection):
        connection.request("POST", prefix + path, json.dumps(body), {"Authorization": "Bearer k"})
        with connection.getresponse() as reply:
            return reply, reply.read()


def send_raw(server: Server, body: object = HELLO) -> socket.socket:
    """A request on a bare socket, so that a test sees packets and can vanish."""
    address = urlsplit(server.base_url)
    data = json.dumps(body).encode()
    head = f"POST {address.path}/v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
    wire = socket.create_connection((address.hostname, address.port), timeout=5)
    wire.sendall(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)
    return wire


def wait_for(check: object, seconds: float = 2.0) -> None:
    end = time.monotonic() + seconds
    while not check():  # type: ignore[operator]
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)


def test_log_and_stats_tell_what_happened(server: Server) -> None:
    before = time.time()
    _reply, body = post(server)
    assert json.loads(body)["choices"][0]["message"]["content"] == "echo: hello wörld 🙂"
    (entry,) = server.log()
    assert entry["method"] == "POST"
    assert entry["path"] == "/v1/chat/completions"
    assert entry["headers"]["authorization"] == "Bearer k"
    assert json.loads(entry["body"]) == HELLO
    assert before - 0.01 <= entry["started"] <= entry["finished"] <= time.time() + 0.01
    assert entry["status"] == 200
    assert not entry["disconnected"]
    stats = server.stats()
    assert stats["requests"] == 1
    assert stats["connections_total"] == 1
    assert stats["in_flight"] == 0
    server.reset()
    assert server.log() == []
    assert server.stats()["requests"] == 0


def test_embeddings_match_the_documented_function(server: Server) -> None:
    request = {"model": "e", "input": ["", "zwölf 🙂"], "dimensions": 33}
    _, body = post(server, "/v1/embeddings", request)
    rows = json.loads(body)["data"]
    for row, text in zip(rows, request["input"], strict=True):
        rounded = [struct.unpack("f", struct.pack("f", x))[0] for x in row["embedding"]]
        assert rounded == expected_embedding(text, 33)
    _, body = post(server, "/v1/embeddings", request | {"encoding_format": "base64"})
    packed = base64.b64decode(json.loads(body)["data"][1]["embedding"])
    assert list(struct.unpack("<33f", packed)) == expected_embedding("zwölf 🙂", 33)


def test_scripted_statuses_then_normal(server: Server) -> None:
    server.behaviour(status=[503, [429, "slow down", {"Retry-After": "7"}], [200, {"a": 1}]])
    reply, body = post(server)
    assert reply.status == 503
    assert json.loads(body)["error"]["type"] == "server_error"
    reply, body = post(server)
    assert (reply.status, body, reply.headers["retry-after"]) == (429, b"slow down", "7")
    assert post(server)[1] == b'{"a":1}'
    assert b"echo" in post(server)[1]


def test_latency_is_kept(server: Server) -> None:
    server.behaviour(latency_ms=300)
    start = time.perf_counter()
    post(server)
    assert 0.3 <= time.perf_counter() - start < 1
    assert 300 <= server.stats()["mean_service_ms"] < 600


def test_reset_truncate_raw_and_malformed(server: Server) -> None:
    server.behaviour(reset=True)
    with pytest.raises(ConnectionResetError):
        post(server)
    server.behaviour(truncate=True)
    with pytest.raises(http.client.IncompleteRead) as cut:
        post(server)
    assert cut.value.partial.startswith(b'{"id":')
    server.behaviour(raw="nonsense\r\n\r\n")
    with pytest.raises(http.client.BadStatusLine):
        post(server)
    server.behaviour(malformed=True)
    with pytest.raises(json.JSONDecodeError):
        json.loads(post(server)[1])
    assert not any(entry["disconnected"] for entry in server.log())


def test_headers_without_a_body_and_headers_without_an_end(server: Server) -> None:
    server.behaviour(fault="hang_in_body")
    with send_raw(server) as wire:
        assert wire.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
        wire.settimeout(0.2)
        with pytest.raises(TimeoutError):
            wire.recv(1)
    server.behaviour(fault="slow_headers")
    with send_raw(server) as wire:
        head = b""
        while len(head) < 70:
            piece = wire.recv(65536)
            assert 1 <= len(piece) < 20, "a byte now and then"
            head += piece
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\n\r\n" not in head
        assert server.stats()["in_flight"] == 1
    wait_for(lambda: server.stats()["disconnects"] == 2)
    assert server.stats()["in_flight"] == 0


def test_a_reset_in_the_body_comes_after_most_of_it(server: Server) -> None:
    for body in (HELLO, HELLO | {"stream": True}):
        server.behaviour(fault="reset_in_body")
        with send_raw(server, body) as wire:
            received = b""
            with pytest.raises(ConnectionResetError):
                while piece := wire.recv(65536):
                    received += piece
        assert received.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b'{"id"' in received


def test_answers_that_are_none(server: Server) -> None:
    server.behaviour(status=["garbage", "html"])
    reply, body = post(server)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    with pytest.raises(UnicodeDecodeError):
        body.decode()
    reply, body = post(server)
    assert (reply.status, reply.headers["content-type"]) == (200, "text/html")
    assert body.startswith(b"<!DOCTYPE html>")


def test_trouble_for_some(server: Server) -> None:
    server.behaviour(only="hello", status=[503])
    other = {"model": "m", "messages": [{"role": "user", "content": "somebody else"}]}
    assert [post(server, body=body)[0].status for body in (other, HELLO, HELLO)] == [200, 503, 200]
    server.reset()
    server.behaviour(fail_rate=0.5, fail_status=502, seed=7)
    statuses = [post(server)[0].status for _ in range(60)]
    assert 10 < statuses.count(502) < 50
    server.behaviour(fail_rate=0.5, fail_status=502, seed=7)
    assert [post(server)[0].status for _ in range(60)] == statuses
    stats = server.stats()
    assert stats["failed"] == 2 * statuses.count(502)
    assert stats["answered"] == stats["requests"] - stats["failed"]


def test_a_rate_that_changes_holds_at_once(server: Server) -> None:
    server.behaviour(rate_limit={"per_second": 0.001, "burst": 3})
    assert [post(server)[0].status for _ in range(4)] == [200, 200, 200, 429]
    server.behaviour(rate_limit={"per_second": 0.002, "burst": 100})
    assert post(server)[0].status == 429, "a change is no second burst"
    server.behaviour(rate_limit={"per_second": 10_000, "burst": 1})
    time.sleep(0.01)
    assert post(server)[0].status == 200
    stats = server.stats()
    assert (stats["answered"], stats["refused"], stats["failed"]) == (4, 2, 0)


def test_a_killed_server_comes_back_in_its_place() -> None:
    first = Simulator()
    first.kill()
    with pytest.raises(OSError):
        first.stats()
    with Simulator(port=first.port) as second:
        assert second.address == first.address
        assert second.stats()["requests"] == 0


@pytest.mark.parametrize(
    "settings",
    [
        {"hang": True},
        {"latency_ms": 5000},
        {"slow_stream": {"chunks": 100, "delay_ms": 100}},
    ],
)
def test_a_vanished_client_is_noticed(server: Server, settings: dict[str, object]) -> None:
    server.behaviour(**settings)
    wire = send_raw(server, HELLO | {"stream": True})
    wait_for(lambda: server.stats()["in_flight"] == 1)
    time.sleep(0.05)
    assert server.log()[0]["finished"] is None
    gone = time.time()
    wire.close()
    wait_for(lambda: server.log()[0]["disconnected"])
    assert server.log()[0]["finished"] - gone < 0.1
    stats = server.stats()
    assert stats["disconnects"] == 1
    assert stats["in_flight"] == 0
    wait_for(lambda: server.stats()["connections_open"] == 0)


def packets(server: Server) -> list[bytes]:
    with send_raw(server, HELLO | {"stream": True}) as wire:
        received = []
        while not b"".join(received).endswith(b"0\r\n\r\n"):
            received.append(wire.recv(1 << 20))
            assert received[-1], "closed early"
            time.sleep(0.01) if not received[1:] else None
        return received


def stream_text(server: Server) -> str:
    _, body = post(server, body=HELLO | {"stream": True})
    frames = [line[6:] for line in body.decode().splitlines() if line.startswith("data: {")]
    deltas = [json.loads(frame)["choices"][0]["delta"] for frame in frames]
    return "".join(delta.get("content", "") for delta in deltas)


def test_streams_are_the_same_however_they_are_cut(server: Server) -> None:
    for settings in [
        {},
        {"one_packet": True},
        {"split_utf8": True},
        {"slow_stream": {"chunks": 4, "delay_ms": 5}},
        {"slow_stream": {"chunks": 4, "delay_ms": 5}, "split_utf8": True},
    ]:
        server.behaviour(**settings)
        assert stream_text(server) == "echo: hello wörld 🙂"


def test_packets_fall_where_they_should(server: Server) -> None:
    server.behaviour(slow_stream={"chunks": 4, "delay_ms": 20})
    assert len(packets(server)) >= 6
    server.behaviour(one_packet=True)
    assert len(packets(server)) <= 2
    server.behaviour(split_utf8=True, slow_stream={"chunks": 4, "delay_ms": 20})
    assert any(part.endswith(b"\xc3\r\n") for part in packets(server))


def test_truncated_and_failing_streams(server: Server) -> None:
    server.behaviour(truncate=True)
    with pytest.raises(http.client.IncompleteRead) as cut:
        post(server, body=HELLO | {"stream": True})
    assert b"echo" in cut.value.partial
    assert b"[DONE]" not in cut.value.partial
    server.behaviour(stream_error_frame=True)
    _, body = post(server, body=HELLO | {"stream": True})
    assert b'data: {"error"' in body
    assert b"[DONE]" not in body


def test_unknown_settings_are_refused_and_scopes_do_not_mix(
    server: Server, simulator: Simulator
) -> None:
    with pytest.raises(ValueError, match="latncy"):
        server.behaviour(latncy_ms=3)
    other = Server(simulator, simulator.new_scope("other"))
    other.behaviour(fail_every=1, retry_after=3)
    assert post(server)[0].status == 200
    reply, _ = post(other)
    assert reply.status == 500
    assert reply.headers["retry-after"] == "3"
    assert len(server.log()) == len(other.log()) == 1


def test_it_does_not_outlive_its_parent() -> None:
    running = Simulator()
    process = running._process
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(timeout=5) == 0
    running.close()


def test_children_are_killed_in_time(run_child: object) -> None:
    start = time.monotonic()
    child = run_child("import os, time; os.fork(); time.sleep(60)", timeout=1)  # type: ignore[operator]
    assert child.timed_out
    assert child.returncode == -9
    assert time.monotonic() - start < 10
    child = run_child(
        "import os; print(os.environ['GRAPHBIT_SIMULATOR_URL'], flush=True); os.abort()"
    )  # type: ignore[operator]
    assert child.stdout.startswith("http://127.0.0.1:")
    assert child.returncode == -6
