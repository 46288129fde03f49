"""`complete_many`: order, failures, progress, thousands at once, and letting go early."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import threading
import time
from typing import Any

import pytest
from graphbit import LlmClient, LlmConfig, LlmResponse
from graphbit.exceptions import (
    AuthenticationError,
    BadRequestError,
    GraphbitError,
    ServerError,
    ValidationError,
)
from llm_setup import CORE, ECHO, config, wait_until
from simulator import Server


@pytest.fixture
def client(server: Server) -> LlmClient:
    return LlmClient(config("openai", server))


@pytest.fixture(params=["sync", "async"])
def many(request: pytest.FixtureRequest) -> Any:
    """``many(client, prompts, **options)`` in both colours."""

    def run(client: LlmClient, *arguments: Any, **options: Any) -> Any:
        if request.param == "sync":
            return client.complete_many(*arguments, **options)

        async def main() -> Any:
            return await client.complete_many_async(*arguments, **options)

        return asyncio.run(main())

    return run


def picky(messages: list[dict[str, Any]], **_: Any) -> str:
    """A model that fails, waits or answers as it is told."""
    prompt = messages[-1]["content"]
    word, _, rest = prompt.partition(" ")
    if word == "wait":
        time.sleep(float(rest))
    if word == "raise":
        raise LookupError(rest)
    return prompt.upper()


def test_order_holds_whoever_is_first(many: Any, server: Server, client: LlmClient) -> None:
    server.behaviour(latency_ms={"uniform": [0, 60]})
    prompts = [f"prompt {number}" for number in range(300)]
    assert many(client, prompts) == [ECHO + prompt for prompt in prompts]
    assert client.get_stats()["successful_requests"] == 300
    assert server.stats()["max_in_flight"] > 50


def test_options_reach_every_request(many: Any, server: Server, client: LlmClient) -> None:
    assert many(client, ["a", "b"], 7, 0.5, enable_prompt_caching=True) == [ECHO + "a", ECHO + "b"]
    bodies = sorted((json.loads(entry["body"]) for entry in server.log()), key=str)
    assert bodies == [
        {
            "model": "m",
            "messages": [{"role": "user", "content": prompt}],
            "max_completion_tokens": 7,
            "temperature": 0.5,
        }
        for prompt in "ab"
    ]


def test_whole_responses(many: Any, client: LlmClient) -> None:
    [one, two] = many(client, ("a", "b c"), full=True)
    assert isinstance(one, LlmResponse)
    assert (one.content, two.content) == (ECHO + "a", ECHO + "b c")
    assert two.usage.completion_tokens == 3 and two == client.complete_full("b c")


@pytest.mark.parametrize(
    "prompts", [[], (), iter(()), {"a": 1}, (letter for letter in "abc"), {"a"}, ["é🦀"]]
)
def test_any_iterable_of_str(prompts: Any, many: Any, client: LlmClient) -> None:
    given = list(prompts)
    asked = (prompt for prompt in given) if not isinstance(prompts, (list, dict)) else prompts
    assert many(client, asked) == [ECHO + prompt for prompt in given]


def test_concurrency_is_bounded(many: Any, server: Server, client: LlmClient) -> None:
    server.behaviour(latency_ms=20)
    many(client, ["x"] * 12, max_concurrency=3)
    assert server.stats()["max_in_flight"] == 3
    server.reset()
    server.behaviour(latency_ms=400)
    many(client, ["x"] * 300)
    assert server.stats()["max_in_flight"] == 256, "the default"


# failures


def test_the_first_failure_ends_it_and_nothing_finished_is_lost(
    many: Any, server: Server, client: LlmClient
) -> None:
    server.behaviour(status=[200, 200, [401, "no"]])
    with pytest.raises(AuthenticationError, match=f"{CORE}openai - API error: no") as caught:
        many(client, ["a", "b", "c", "d", "e"], max_concurrency=1)
    error = caught.value
    assert error.index == 2
    assert error.results == [ECHO + "a", ECHO + "b", None, None, None]
    assert len(server.log()) == 3
    copied = pickle.loads(pickle.dumps(error))
    assert (copied.index, copied.results, copied.status_code) == (2, error.results, 401)


def test_the_others_are_cancelled(many: Any, server: Server) -> None:
    client = LlmClient(config("openai", server))
    server.behaviour(status=["hang", "hang", [400, "no"]])
    started = time.monotonic()
    with pytest.raises(BadRequestError) as caught:
        many(client, ["x"] * 50, max_concurrency=3, full=True)
    assert time.monotonic() - started < 5
    assert caught.value.results is not None and len(caught.value.results) == 50
    wait_until(lambda: server.stats()["in_flight"] == 0)
    assert len(server.log()) < 10


def test_finished_responses_come_along_whole(many: Any, server: Server, client: LlmClient) -> None:
    server.behaviour(status=[200, [400, "no"]])
    with pytest.raises(BadRequestError) as caught:
        many(client, ["a", "b"], max_concurrency=1, full=True)
    assert caught.value.results is not None
    first, second = caught.value.results
    assert first.content == ECHO + "a" and second is None


def test_failures_may_stand_in_their_places(many: Any, server: Server, client: LlmClient) -> None:
    server.behaviour(
        status=[200, [401, "no"], 200, [429, {"error": {"code": "insufficient_quota"}}]]
    )
    answers = many(client, ["a", "b", "", "c", "d", "e"], max_concurrency=1, on_error="return")
    a, b, empty, c, d, e = answers
    assert (a, c, e) == (ECHO + "a", ECHO + "c", ECHO + "e")
    assert isinstance(b, AuthenticationError) and b.index == 1
    assert isinstance(empty, ValidationError) and empty.index == 2
    refused = "Validation error for field 'prompts[2]' with value '': Prompt cannot be empty"
    assert str(empty) == refused
    assert isinstance(d, GraphbitError) and d.kind == "quota_exhausted"
    assert len(server.log()) == 5
    assert many(client, [""], on_error="return")[0].kind == "validation"


def test_what_a_model_raises_itself(many: Any) -> None:
    client = LlmClient(LlmConfig.from_callable(picky))
    with pytest.raises(LookupError, match="gone") as caught:
        many(client, ["a", "raise gone", "b"], max_concurrency=1)
    assert caught.value.index == 1  # type: ignore[attr-defined]
    assert caught.value.results == ["A", None, None]  # type: ignore[attr-defined]
    a, error, b = many(client, ["a", "raise gone", "b"], on_error="return")
    assert (a, b) == ("A", "B") and isinstance(error, LookupError)


def test_retries_are_made_for_each(many: Any, server: Server, client: LlmClient) -> None:
    server.behaviour(status=[503, 503])
    assert many(client, ["a", "b"], max_concurrency=2) == [ECHO + "a", ECHO + "b"]
    assert len(server.log()) == 4
    assert client.get_stats()["total_requests"] == 2
    server.behaviour(status=[503] * 4)
    with pytest.raises(ServerError):
        many(client, ["a"])


@pytest.mark.parametrize(
    ("arguments", "options", "text"),
    [
        ((["a", "", ""], 0), {}, r"'prompts\[1\]' with value '': Prompt cannot be empty"),
        ((["a"], 0, 9.0), {}, "max_tokens must be greater than 0"),
        ((["a"], 2**32), {}, "max_tokens is too large"),
        ((["a"], None, 9.0), {}, "temperature must be between"),
        ((["a"],), {"max_concurrency": 0}, "max_concurrency must be greater than 0"),
        ((["a"],), {"on_error": "ignore"}, "on_error must be 'raise' or 'return'"),
    ],
)
def test_arguments_are_checked_at_once(
    arguments: Any, options: Any, text: str, server: Server, client: LlmClient
) -> None:
    for method in (client.complete_many, client.complete_many_async):
        with pytest.raises(ValidationError, match=text) as caught:
            method(*arguments, **options)
        if "prompts" in text:
            assert (caught.value.index, caught.value.results) == (1, [None] * 3)
    assert server.log() == []


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"prompts": "abc"}, TypeError),
        ({"prompts": b"abc"}, TypeError),
        ({"prompts": 5}, TypeError),
        ({"prompts": ["a", 5]}, TypeError),
        ({"prompts": ["a", None]}, TypeError),
        ({"prompts": ["a"], "max_concurrency": -1}, OverflowError),
        ({"prompts": ["a"], "on_progress": 5}, TypeError),
        ({"prompts": ["a"], "full": 1}, TypeError),
        ({}, TypeError),
    ],
)
def test_wrong_types(arguments: dict[str, Any], error: type[Exception], client: LlmClient) -> None:
    with pytest.raises(error):
        client.complete_many(**arguments)


def test_a_wrong_prompt_is_named(client: LlmClient) -> None:
    with pytest.raises(TypeError, match=r"prompts\[2\] must be a str, not 'int'"):
        client.complete_many(["a", "b", 3])  # type: ignore[list-item]

    def broken() -> Any:
        yield "a"
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        client.complete_many(broken())


# progress


def test_progress_is_told(many: Any, server: Server, client: LlmClient) -> None:
    server.behaviour(latency_ms={"uniform": [0, 300]})
    told: list[tuple[int, int]] = []
    threads: set[threading.Thread] = set()

    def on_progress(done: int, total: int) -> None:
        threads.add(threading.current_thread())
        told.append((done, total))

    started = time.monotonic()
    many(client, ["x"] * 200, on_progress=on_progress)
    seconds = time.monotonic() - started
    assert told[-1] == (200, 200) and told.count((200, 200)) == 1
    assert told == sorted(told) and 3 <= len(told) <= 20 * seconds + 2
    assert threading.main_thread() not in threads


def test_progress_counts_failures_and_may_call_clients(many: Any, server: Server) -> None:
    client = LlmClient(LlmConfig.from_callable(picky))
    told: list[Any] = []
    many(
        client,
        ["a", "", "raise x", "wait 0.2"],
        on_error="return",
        on_progress=lambda done, total: told.append((done, total, client.complete("nested"))),
    )
    assert told[-1] == (4, 4, "NESTED")


def test_what_progress_raises_ends_it(many: Any, server: Server) -> None:
    client = LlmClient(LlmConfig.from_callable(picky))

    def on_progress(done: int, total: int) -> None:
        raise LookupError(f"{done} of {total} is enough")

    with pytest.raises(LookupError, match="is enough") as caught:
        many(client, ["a", "wait 30", "b"], on_progress=on_progress, max_concurrency=2)
    assert caught.value.results == ["A", None, "B"]  # type: ignore[attr-defined]
    with pytest.raises(LookupError, match="1 of 1"):
        many(client, ["a"], on_progress=on_progress)


# many


def test_five_thousand_at_once(many: Any, server: Server, client: LlmClient) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 12_000:
        pytest.skip("needs more open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        server.behaviour(latency_ms=1500)
        prompts = [f"prompt {number}" for number in range(5000)]
        answers = many(client, prompts, max_concurrency=5000)
        assert answers == [ECHO + prompt for prompt in prompts]
        assert server.stats()["max_in_flight"] > 2500
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_other_threads_run_beside_a_large_conversion(server: Server) -> None:
    client = LlmClient(LlmConfig.extractive())
    stop, gaps = threading.Event(), [0.0]

    def watch() -> None:
        # Seconds that this process computes, so that what others do on the machine counts for nothing.
        last = time.process_time()
        while not stop.is_set():
            time.sleep(0.001)
            now = time.process_time()
            gaps.append(now - last)
            last = now

    watcher = threading.Thread(target=watch)
    watcher.start()
    prompts = ["One sentence."] * 100_000
    answers = client.complete_many(prompts)
    stop.set()
    watcher.join()
    assert len(answers) == 100_000
    assert max(gaps) < 0.25, f"{max(gaps):.3f} s without a turn"


# letting go


def test_cancelling_frees_every_connection(server: Server, client: LlmClient) -> None:
    server.behaviour(hang=True)

    async def main() -> None:
        future = client.complete_many_async(["x"] * 100, max_concurrency=20)
        while server.stats()["in_flight"] < 20:
            await asyncio.sleep(0.02)
        future.cancel()
        with pytest.raises(asyncio.CancelledError):
            await future

    asyncio.run(main())
    wait_until(lambda: server.stats()["in_flight"] == 0)
    assert server.stats()["disconnects"] == 20
    stats = client.get_stats()
    assert (stats["total_requests"], stats["failed_requests"]) == (20, 0)


@pytest.mark.skipif(os.name == "nt", reason="signals of another kind")
@pytest.mark.parametrize("model", ["server", "callable", "extractive"])
def test_ctrl_c_ends_it(model: str, server: Server, run_child: Any) -> None:
    server.behaviour(hang=True)
    child = run_child(
        """
        import os, signal, sys, threading, time
        from graphbit import LlmClient, LlmConfig
        url = os.environ["GRAPHBIT_SIMULATOR_URL"] + "/v1"
        config = {
            "server": lambda: LlmConfig.openai_compatible(url, "m"),
            "callable": lambda: LlmConfig.from_callable(lambda messages: time.sleep(0.01) or "x"),
            "extractive": LlmConfig.extractive,
        }[sys.argv[1]]()
        def press():
            time.sleep(0.5)
            sent.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)
        sent = []
        client = LlmClient(config)
        prompts = ["One sentence. Another one."] * 3_000_000
        threading.Thread(target=press).start()
        try:
            client.complete_many(prompts, max_concurrency=8)
            print("it ended by itself")
        except KeyboardInterrupt:
            print("late" if time.perf_counter() - sent[0] > 3 else "in time")
        """,
        arguments=(model,),
        timeout=60,
    )
    assert (child.returncode, child.stdout) == (0, "in time\n"), child.stderr
