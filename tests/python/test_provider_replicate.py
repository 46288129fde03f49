"""Replicate against the simulator: one prediction a call, looked at, cancelled, streamed."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Child
from graphbit import FinishReason, LlmClient, LlmConfig, LlmUsage
from graphbit.exceptions import ServerError
from llm_setup import CORE, ECHO, KEY, config, wait_until
from simulator import Server

MODEL = "openai/gpt-5"
FAILED = f"{CORE}replicate - "
PREDICTIONS = "/v1/predictions"
FIRST = f"{PREDICTIONS}/prediction-0"


def client(server: Server, **extra: Any) -> LlmClient:
    return LlmClient(config("replicate", server, **extra))


def asked(server: Server) -> list[str]:
    return [f"{entry['method']} {entry['path']}" for entry in server.log()]


def made(server: Server) -> int:
    return asked(server).count(f"POST {PREDICTIONS}")


def wait_for_cancel(server: Server, path: str = FIRST) -> None:
    wait_until(lambda: f"POST {path}/cancel" in asked(server))


def test_a_configuration_names_its_model() -> None:
    made = LlmConfig.replicate("12345678")
    assert (made.provider(), made.model()) == ("replicate", MODEL)
    with pytest.raises(ValueError, match="Replicate API key too short"):
        LlmConfig.replicate("1234567")


def test_the_request(server: Server) -> None:
    answer = client(server).complete("Hi", max_tokens=7, temperature=1.7)
    assert answer == ECHO + "Hi"
    [entry] = server.log()
    assert (entry["method"], entry["path"]) == ("POST", PREDICTIONS)
    headers = entry["headers"]
    assert headers["authorization"] == f"Bearer {KEY}"
    assert (headers["prefer"], headers["cancel-after"]) == ("wait", "330s")
    assert json.loads(entry["body"]) == {
        "version": MODEL,
        "input": {
            "prompt": "User: Hi\nAssistant: ",
            "max_new_tokens": 7,
            "temperature": 1.7,
        },
    }


def test_a_version_runs_instead_of_the_model(server: Server) -> None:
    chosen = LlmConfig.replicate(KEY, "meta/llama", "5c7d", base_url=server.openai_url)
    assert chosen.model() == "meta/llama"
    assert LlmClient(chosen).complete_full("Hi").model == "meta/llama"
    assert json.loads(server.log()[0]["body"])["version"] == "5c7d"


def test_a_conversation_is_one_prompt(server: Server) -> None:
    turns = [("system", "be brief"), ("user", "1+1?"), ("assistant", "2"), ("user", "sure?")]

    async def main() -> str:
        return await client(server).chat_optimized(turns)

    assert asyncio.run(main()) == ECHO + "sure?"
    prompt = json.loads(server.log()[0]["body"])["input"]["prompt"]
    assert prompt == "System: be brief\nUser: 1+1?\nAssistant: 2\nUser: sure?\nAssistant: "


def test_the_answer_in_full(server: Server) -> None:
    response = client(server).complete_full("three little words")
    assert (response.content, response.model) == (ECHO + "three little words", MODEL)
    assert response.id == "prediction-0"
    assert response.finish_reason == FinishReason.stop()
    assert response.usage == LlmUsage(5, 4)
    assert response.metadata["predict_time_seconds"] == "0.25"
    server.behaviour(body={"status": "succeeded", "output": ["two ", "words"]})
    counted = client(server).complete_full("x")
    assert (counted.content, counted.usage, counted.id) == ("two words", LlmUsage(0, 2), None)


def test_a_prediction_is_looked_at_with_growing_pauses(server: Server) -> None:
    server.behaviour(polls=2)
    assert client(server).complete("Hi") == ECHO + "Hi"
    assert asked(server) == [f"POST {PREDICTIONS}", f"GET {FIRST}", f"GET {FIRST}"]
    created, first, second = server.log()
    assert first["headers"]["authorization"] == f"Bearer {KEY}"
    assert "prefer" not in first["headers"] and "cancel-after" not in first["headers"]
    pauses = (first["started"] - created["finished"], second["started"] - first["finished"])
    assert 0.4 < pauses[0] < 3 and 0.9 < pauses[1] < 4


@pytest.mark.parametrize("status", ["starting", "processing", "queued"])
def test_every_state_on_the_way_is_waited_out(status: str, server: Server) -> None:
    done = {"id": "p7", "status": "succeeded", "output": "done"}
    server.behaviour(status=[[201, {"id": "p7", "status": status}], [200, done]])
    assert client(server).complete("x") == "done"
    assert asked(server)[1:] == [f"GET {PREDICTIONS}/p7"]


def test_trouble_while_looking_is_borne_and_nothing_made_twice(server: Server) -> None:
    server.behaviour(polls=1, status=[200, 503, "reset"])
    assert client(server).complete("Hi") == ECHO + "Hi"
    assert asked(server) == [f"POST {PREDICTIONS}", *[f"GET {FIRST}"] * 3]


def test_trouble_until_the_end_is_reported_and_nothing_made_twice(server: Server) -> None:
    server.behaviour(polls=1, status=[200, *[[502, "bad gateway"]] * 9])
    with pytest.raises(ServerError) as caught:
        client(server, timeout=1.6).complete("x")
    assert str(caught.value) == f"{FAILED}Polling API error: bad gateway"
    assert caught.value.status_code == 502
    wait_for_cancel(server)
    assert made(server) == 1


def test_a_refused_look_ends_the_call(server: Server) -> None:
    server.behaviour(polls=1, status=[200, [401, f"who is {KEY}?"]])
    with pytest.raises(PermissionError, match=r"Polling API error: who is \*\*\*\?$"):
        client(server).complete("x")
    wait_for_cancel(server)
    assert made(server) == 1


def test_a_call_whose_time_is_up_cancels_its_prediction(server: Server) -> None:
    server.behaviour(polls=1000)
    started = time.monotonic()
    with pytest.raises(TimeoutError) as caught:
        client(server, timeout=0.8).complete("x")
    assert 0.7 < time.monotonic() - started < 4
    assert str(caught.value) == f"{FAILED}Prediction timed out after 0.8s"
    wait_for_cancel(server)
    assert made(server) == 1
    entry = server.log()[-1]
    assert entry["headers"]["authorization"] == f"Bearer {KEY}"


def test_a_short_time_is_shared_between_waiting_and_looking(server: Server) -> None:
    assert client(server, timeout=20).complete("x") == ECHO + "x"
    headers = server.log()[0]["headers"]
    assert (headers["prefer"], headers["cancel-after"]) == ("wait=10", "50s")


def test_a_cancelled_call_cancels_its_prediction(server: Server) -> None:
    server.behaviour(polls=1000)

    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client(server).complete_async("x"), 0.3)

    asyncio.run(main())
    wait_for_cancel(server)
    assert made(server) == 1


def test_a_call_cancelled_before_its_prediction_has_a_name(server: Server) -> None:
    server.behaviour(polls=1000, latency_ms=300)

    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client(server).complete_async("x"), 0.1)

    asyncio.run(main())
    assert asked(server) == [f"POST {PREDICTIONS}"]
    wait_for_cancel(server)
    assert server.stats()["disconnects"] == 0


def test_nothing_over_is_cancelled(server: Server) -> None:
    server.behaviour(polls=1)
    client(server).complete("x")
    "".join(client(server).stream("x"))
    time.sleep(0.2)
    assert not [line for line in asked(server) if line.endswith("/cancel")]


def test_ctrl_c_cancels_the_prediction(server: Server, run_child: Callable[..., Child]) -> None:
    server.behaviour(polls=1000)
    child = run_child("""
        import os, signal, threading
        from graphbit import LlmClient, LlmConfig

        url = os.environ["GRAPHBIT_SIMULATOR_URL"] + "/v1"
        client = LlmClient(LlmConfig.replicate("r8_0123456789", base_url=url))
        threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()
        client.complete("x")
    """)
    assert "KeyboardInterrupt" in child.stderr and not child.timed_out
    wait_for_cancel(server)
    assert made(server) == 1


@pytest.mark.parametrize(
    ("prediction", "text"),
    [
        ({"status": "failed", "error": "CUDA out of memory"}, "CUDA out of memory"),
        ({"status": "failed", "error": None}, "Prediction failed with status: failed"),
        ({"status": "canceled"}, "Prediction failed with status: canceled"),
        ({"status": "aborted"}, "Prediction failed with status: aborted"),
        ({"status": "dreaming", "id": "p7"}, "Unknown prediction status: dreaming"),
        ({"status": "succeeded", "output": None}, "No output in successful prediction"),
        ({"status": "starting"}, "Failed to parse response: the prediction has no usable id"),
        ("<html>", "Failed to parse response: error decoding response body: "),
    ],
)
def test_a_failed_prediction_is_never_repeated(prediction: Any, text: str, server: Server) -> None:
    server.behaviour(body=prediction)
    with pytest.raises(RuntimeError) as caught:
        client(server).complete("x")
    assert str(caught.value).startswith(FAILED + text)
    assert made(server) == 1


def test_a_prediction_that_fails_while_it_is_looked_at(server: Server) -> None:
    failed = {"id": "p7", "status": "failed", "error": "out of memory"}
    server.behaviour(status=[[201, {"id": "p7", "status": "starting"}], [200, failed]])
    with pytest.raises(ServerError) as caught:
        client(server).complete("x")
    assert str(caught.value) == f"{FAILED}out of memory"
    assert asked(server) == [f"POST {PREDICTIONS}", f"GET {PREDICTIONS}/p7"]


@pytest.mark.parametrize(
    ("step", "times"),
    [
        ([429, "slow down", {"retry-after-ms": "0"}], 2),
        ([503, "later", {"retry-after-ms": "0"}], 2),
        ([422, "bad input"], 1),
        ([500, "oops"], 1),
        ([502, "gateway"], 1),
        ([504, "gateway"], 1),
        ("reset", 1),
        ("truncate", 1),
        ("malformed", 1),
    ],
)
def test_only_a_clear_refusal_is_tried_again(step: Any, times: int, server: Server) -> None:
    server.behaviour(status=[step])
    if times > 1:
        assert client(server).complete("x") == ECHO + "x"
    else:
        with pytest.raises(RuntimeError) as caught:
            client(server).complete("x")
        if isinstance(step, list):
            assert str(caught.value) == f"{FAILED}API error: {step[1]}"
    assert made(server) == times


def test_a_server_that_was_never_reached_is_tried_again() -> None:
    nobody = LlmConfig.replicate(KEY, base_url="http://127.0.0.1:9/v1")
    started = time.monotonic()
    with pytest.raises(ConnectionError, match="Request failed: error sending request for url"):
        LlmClient(nobody).complete("x")
    assert time.monotonic() - started >= 0.7, "the pauses of 100, 200 and 400 ms"


def test_the_key_goes_to_no_other_server(server: Server) -> None:
    done = {"id": "p7", "status": "succeeded", "output": "done"}
    for address, path in [
        (f"{server.openai_url}/elsewhere/p7", "/v1/elsewhere/p7"),
        ("http://127.0.0.1:9/elsewhere", f"{PREDICTIONS}/p7"),
        (None, f"{PREDICTIONS}/p7"),
    ]:
        server.reset()
        begun = {"id": "p7", "status": "starting", "urls": {"get": address}}
        server.behaviour(status=[[201, begun], [200, done]])
        assert client(server).complete("x") == "done"
        assert asked(server)[1:] == [f"GET {path}"]


# streams


@pytest.mark.parametrize("shape", [{}, {"one_packet": True}, {"split_utf8": True}])
def test_a_stream_is_whole_however_it_arrives(shape: dict[str, bool], server: Server) -> None:
    server.behaviour(**shape)
    text = "zażółć gęślą\n\njaźń 🦀"
    stream = client(server).stream(text)
    assert server.log() == []
    pieces = list(stream)
    assert "".join(pieces) == ECHO + text and len(pieces) > 2
    assert stream.finish_reason == FinishReason.stop()
    assert stream.usage is not None and stream.usage.completion_tokens == 5
    assert asked(server) == [f"POST {PREDICTIONS}", f"GET {FIRST}/stream", f"GET {FIRST}"]
    created = server.log()[0]
    assert json.loads(created["body"])["stream"] is True
    assert "prefer" not in created["headers"]


def test_a_model_that_cannot_stream_is_waited_for(server: Server) -> None:
    begun = {"id": "p7", "status": "processing", "urls": {}}
    done = {"id": "p7", "status": "succeeded", "output": ["all ", "at once"]}
    server.behaviour(status=[[201, begun], [200, done]])
    stream = client(server).stream("x")
    assert list(stream) == ["all at once"]
    assert stream.usage is not None and stream.usage.completion_tokens == 3


def test_a_stream_that_cannot_be_opened_is_waited_for(server: Server) -> None:
    server.behaviour(status=[200, 500], polls=1)
    assert "".join(client(server).stream("a b")) == ECHO + "a b"
    assert made(server) == 1


def test_a_stream_on_another_host_gets_no_key(server: Server, simulator: Any) -> None:
    other = Server(simulator, simulator.new_scope("other"))
    other.behaviour(body="event: output\ndata: from afar\n\nevent: done\ndata: {}\n\n")
    # The same process under another name is another origin.
    address = other.base_url.replace("127.0.0.1", "localhost") + "/stream/p7"
    begun = {"id": "p7", "status": "starting", "urls": {"stream": address}}
    done = {"id": "p7", "status": "succeeded", "output": "from afar"}
    server.behaviour(status=[[201, begun], [200, done]])
    stream = client(server, headers={"x-team-secret": "hunter2"}).stream("x")
    assert list(stream) == ["from afar"]
    [entry] = other.log()
    assert entry["headers"]["accept"] == "text/event-stream"
    assert "authorization" not in entry["headers"] and "x-team-secret" not in entry["headers"]


def test_an_error_in_a_stream_is_raised_and_never_repeated(server: Server) -> None:
    server.behaviour(stream_error_frame=True)
    stream = client(server).stream("a b c d")
    assert [next(stream), next(stream)] == [ECHO, "a "]
    with pytest.raises(RuntimeError, match=f"{FAILED}Stream error: simulated stream failure"):
        next(stream)
    assert list(stream) == []
    assert made(server) == 1


def test_a_dropped_stream_cancels_its_prediction(server: Server) -> None:
    server.behaviour(slow_stream={"chunks": 1000, "delay_ms": 20})
    stream = client(server).stream("x" * 1000)
    next(stream)
    del stream
    wait_for_cancel(server)
    assert made(server) == 1
