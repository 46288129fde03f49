"""Streams of LLM clients against the simulator: `for`, `async for`, ends, errors, cancelling."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import pytest
from graphbit import FinishReason, LlmClient, LlmConfig
from llm_setup import CORE, ECHO, KINDS, config, wait_until
from simulator import Server


@pytest.fixture
def openai(server: Server) -> LlmClient:
    return LlmClient(config("openai", server))


@pytest.fixture(params=KINDS)
def streaming(request: pytest.FixtureRequest, server: Server) -> LlmClient:
    return LlmClient(config(request.param, server))


@pytest.mark.parametrize("shape", [{}, {"one_packet": True}, {"split_utf8": True}])
def test_streams_are_whole_however_they_arrive(
    shape: dict[str, bool], server: Server, streaming: LlmClient
) -> None:
    server.behaviour(**shape)
    text = "zażółć gęślą jaźń 🦀"
    pieces = list(streaming.stream(text))
    assert "".join(pieces) == ECHO + text and len(pieces) > 1 and all(pieces)
    assert asyncio.run(collect(streaming.complete_stream(text))) == pieces


async def collect(stream: Any) -> list[str]:
    return [piece async for piece in stream]


def test_a_stream_starts_on_first_use_and_ends_for_good(
    server: Server, streaming: LlmClient
) -> None:
    stream = streaming.stream("a b")
    assert server.log() == [] and stream.usage is None
    assert "".join(stream) == ECHO + "a b"
    assert list(stream) == []

    async def again() -> None:
        for _ in range(3):
            with pytest.raises(StopAsyncIteration):
                await stream.__anext__()
        assert await stream.streaming_response() == ""

    asyncio.run(again())
    assert stream.finish_reason == FinishReason.stop()
    assert len(server.log()) == 1


def test_openai_streams_report_usage(openai: LlmClient) -> None:
    stream = openai.stream("a b c")
    assert list(stream) == [ECHO, "a ", "b ", "c"], "no empty piece at the end"
    assert stream.usage is not None and stream.usage.completion_tokens == 4


def test_streams_share_a_connection(server: Server, openai: LlmClient) -> None:
    for number in range(1, 4):
        assert list(openai.stream("a b"))
        wait_until(lambda number=number: sum(bool(e["finished"]) for e in server.log()) == number)
        time.sleep(0.05)  # the end of the body has to reach us, too
    assert server.stats()["connections_total"] == 1


def test_streaming_response_writes_to_stdout(
    openai: LlmClient, capsys: pytest.CaptureFixture[str]
) -> None:
    async def main() -> str:
        stream = openai.stream("one two three")
        assert await stream.__anext__() == ECHO
        return await stream.streaming_response()

    assert asyncio.run(main()) == "one two three"
    assert capsys.readouterr().out == "one two three"


def test_outstanding_requests_for_items_keep_their_order(server: Server, openai: LlmClient) -> None:
    server.behaviour(slow_stream={"chunks": 26, "delay_ms": 1})
    text = "abcdefghijklmnopqrst"

    async def main() -> str:
        stream = openai.stream(text)
        return "".join(await asyncio.gather(*(stream.__anext__() for _ in ECHO + text)))

    assert asyncio.run(main()) == ECHO + text


def test_a_stream_that_cannot_open_can_be_asked_again(server: Server, openai: LlmClient) -> None:
    server.behaviour(status=[[400, "no"], [400, "still no"]])
    stream = openai.stream("a b")

    async def main() -> str:
        with pytest.raises(RuntimeError, match="API error: no"):
            await stream.__anext__()
        with pytest.raises(RuntimeError, match="API error: still no"):
            next(stream)
        return "".join([piece async for piece in stream])

    assert asyncio.run(main()) == ECHO + "a b"


def test_opening_is_retried(server: Server, openai: LlmClient) -> None:
    server.behaviour(status=[503])
    assert "".join(openai.stream("a b")) == ECHO + "a b"
    assert len(server.log()) == 2


def test_an_error_in_the_middle_is_raised_once(server: Server, openai: LlmClient) -> None:
    server.behaviour(stream_error_frame=True)
    stream = openai.stream("a b c d")
    assert [next(stream), next(stream)] == [ECHO, "a "]
    with pytest.raises(RuntimeError, match=f"{CORE}openai - Stream error: simulated"):
        next(stream)
    assert list(stream) == [], "what was delivered is not replayed"
    assert len(server.log()) == 1


@pytest.mark.parametrize("how", ["break", "cancel"])
def test_dropping_a_stream_closes_the_connection(
    how: str, server: Server, openai: LlmClient
) -> None:
    server.behaviour(slow_stream={"chunks": 1000, "delay_ms": 20})
    stream = openai.stream("x" * 1000)

    async def main(stream: Any) -> None:
        await stream.__anext__()
        pending = asyncio.ensure_future(collect(stream))
        await asyncio.sleep(0.1)
        pending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pending

    if how == "break":
        next(stream)
    else:
        asyncio.run(main(stream))
    del stream
    wait_until(lambda: server.stats()["disconnects"] == 1)


def test_functions_do_not_stream() -> None:
    stream = LlmClient(LlmConfig.from_callable(lambda messages: "x")).stream("x")
    with pytest.raises(ValueError, match="Streaming not supported by this provider"):
        next(stream)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_stream_begun_before_a_fork_stays_with_the_parent(run_child: Any) -> None:
    child = run_child(
        """
        import os, graphbit
        url = os.environ["GRAPHBIT_SIMULATOR_URL"] + "/v1"
        client = graphbit.LlmClient(graphbit.LlmConfig.openai_compatible(url, "m"))
        begun, fresh = client.stream("a b c"), client.stream("d e")
        assert next(begun) == "echo: "
        pid = os.fork()
        if pid == 0:
            assert list(fresh) == ["echo: ", "d ", "e"]
            try:
                next(begun)
            except RuntimeError as error:
                assert "fork" in str(error)
                os._exit(0)
            os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0
        assert list(begun) == ["a ", "b ", "c"]
        print("done")
        """
    )
    assert (child.returncode, child.stdout, child.timed_out) == (0, "done\n", False), child.stderr
