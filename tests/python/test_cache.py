"""Answers and vectors that are paid for once: in memory, in a file, and while they are on their way."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from graphbit import Cache, EmbeddingClient, EmbeddingConfig, LlmClient, LlmConfig
from llm_setup import ECHO, KEY, config, wait_until
from simulator import Server, expected_embedding


def client(server: Server, cache: Cache, **extra: Any) -> LlmClient:
    return LlmClient(config("openai", server, **extra), cache=cache)


def embedder(server: Server, cache: Cache, model: str = "e") -> EmbeddingClient:
    server_model = EmbeddingConfig.openai_compatible(server.openai_url, model, dimensions=4)
    return EmbeddingClient(server_model, cache=cache)


def texts_sent(server: Server) -> list[str]:
    return [text for entry in server.log() for text in json.loads(entry["body"])["input"]]


def test_an_answer_at_temperature_zero_is_paid_for_once(server: Server) -> None:
    cache = Cache()
    asked = client(server, cache)
    first, second = (asked.complete_full("x", temperature=0.0) for _ in range(2))
    assert (first.content, first.usage, first.id) == (second.content, second.usage, second.id)
    assert first.provider == second.provider == "openai"
    assert "cached" not in first.metadata and second.metadata["cached"] == "true"
    assert len(server.log()) == 1
    stats = cache.stats()
    assert (stats["hits"], stats["misses"], stats["hit_ratio"]) == (1, 1, 0.5)
    assert asked.get_stats()["total_requests"] == 2


def test_other_answers_are_not_kept_unless_asked_for(server: Server) -> None:
    for completions, temperature, requests in [
        ("deterministic", None, 2),
        ("deterministic", 0.7, 2),
        ("all", None, 1),
        ("none", 0.0, 2),
    ]:
        server.reset()
        asked = client(server, Cache(completions=completions))  # type: ignore[arg-type]
        for _ in range(2):
            asked.complete("x", temperature=temperature)
        assert len(server.log()) == requests, (completions, temperature)


def test_whatever_changes_the_answer_is_part_of_the_key(server: Server) -> None:
    cache = Cache(completions="all")
    one = client(server, cache)
    tool = {"type": "function", "function": {"name": "f", "description": "", "parameters": {}}}
    asks: list[Any] = [
        lambda: one.complete("x"),
        lambda: one.complete("y"),
        lambda: one.complete("x", max_tokens=7),
        lambda: one.complete("x", temperature=0.5),
        lambda: one.chat("x", seed=1),
        lambda: one.chat("x", stop=["z"]),
        lambda: one.chat("x", top_p=0.5),
        lambda: one.chat("x", tools=[tool]),
        lambda: one.chat("x", extra_body={"a": 1}),
        lambda: one.chat([("system", "s"), ("user", "x")]),
        lambda: LlmClient(
            LlmConfig.openai(KEY, "n", base_url=server.openai_url), cache=cache
        ).complete("x"),
        lambda: client(server, cache, headers={"x-routing": "b"}).complete("x"),
        lambda: LlmClient(config("anthropic", server), cache=cache).complete("x"),
    ]
    for count, ask in enumerate(asks, 1):
        ask()
        ask()
        assert len(server.log()) == count, f"ask number {count}"
    # A new key asks for the same answers.
    LlmClient(
        LlmConfig.openai("sk-another-key-0123456789", "m", base_url=server.openai_url), cache=cache
    ).complete("x")
    assert len(server.log()) == len(asks)


def test_a_thousand_equal_calls_send_one_request(server: Server) -> None:
    server.behaviour(latency_ms=100)
    cache = Cache()
    asked = client(server, cache)

    async def together() -> list[str]:
        calls = [asked.complete_async("x", temperature=0.0) for _ in range(1000)]
        return await asyncio.gather(*calls)

    assert asyncio.run(together()) == [ECHO + "x"] * 1000
    assert len(server.log()) == 1
    assert cache.stats()["hit_ratio"] == 0.999


def test_a_failure_is_everybodys_and_is_not_kept(server: Server) -> None:
    server.behaviour(latency_ms=50, status=[[400, "bad"]])
    asked = client(server, Cache())

    async def together() -> list[Any]:
        calls = [asked.complete_async("x", temperature=0.0) for _ in range(50)]
        return await asyncio.gather(*calls, return_exceptions=True)

    errors = asyncio.run(together())
    assert all(isinstance(error, ValueError) and "bad" in str(error) for error in errors) or all(
        error.status_code == 400 for error in errors
    )
    assert len(server.log()) == 1
    assert asked.complete("x", temperature=0.0) == ECHO + "x"


def test_one_that_leaves_does_not_cancel_the_others(server: Server) -> None:
    server.behaviour(latency_ms=200)
    asked = client(server, Cache())

    async def one_leaves() -> str:
        first = asked.complete_async("x", temperature=0.0)
        second = asked.complete_async("x", temperature=0.0)
        await asyncio.sleep(0.05)
        first.cancel()
        return await second

    assert asyncio.run(one_leaves()) == ECHO + "x"
    assert len(server.log()) == 1


def test_texts_of_a_batch_are_embedded_once(server: Server) -> None:
    cache = Cache()
    asked = embedder(server, cache)
    texts = [f"text {number % 50}" for number in range(100)]
    progress: list[tuple[int, int]] = []
    array = asked.embed_array(texts, batch_size=10, on_progress=lambda *now: progress.append(now))
    expected = [expected_embedding(text, 4) for text in texts]
    assert array.tolist() == expected
    assert sorted(texts_sent(server)) == sorted(set(texts))
    assert progress[-1] == (100, 100)
    # Half of these are known.
    more = [f"text {number}" for number in range(100)]
    assert asked.embed_many(more) == [expected_embedding(text, 4) for text in more]
    assert sorted(texts_sent(server)) == sorted(more)
    assert asked.embed("text 7") == expected_embedding("text 7", 4)
    assert len(server.log()) == 6
    assert embedder(server, cache, "other").embed("text 7")
    assert len(server.log()) == 7, "another model has other vectors"


def test_half_repeated_inputs_are_half_hits(server: Server) -> None:
    cache = Cache()
    asked = embedder(server, cache)
    asked.embed_array([f"text {number}" for number in range(500)])
    asked.embed_array([f"text {number}" for number in range(500)])
    assert cache.stats()["hit_ratio"] >= 0.5


def test_a_failed_batch_keeps_what_was_answered(server: Server) -> None:
    asked = embedder(server, Cache())
    server.behaviour(status=[200, [400, "no"]])
    array = asked.embed_array(
        [f"text {number}" for number in range(20)],
        batch_size=10,
        max_concurrency=1,
        on_error="nan",
    )
    assert array[:10].tolist() == [expected_embedding(f"text {number}", 4) for number in range(10)]
    assert (array[10:] != array[10:]).all()
    asked.embed_array([f"text {number}" for number in range(20)])
    assert texts_sent(server)[20:] == [f"text {number}" for number in range(10, 20)]


def test_a_file_outlives_the_process_and_is_shared(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "answers.db"
    assert client(server, Cache(path=path)).complete("x", temperature=0.0) == ECHO + "x"
    again = Cache(path=str(path))
    assert client(server, again).complete("x", temperature=0.0) == ECHO + "x"
    assert len(server.log()) == 1 and again.stats()["disk_hits"] == 1
    again.clear()
    client(server, Cache(path=path)).complete("x", temperature=0.0)
    assert len(server.log()) == 2


def test_what_was_answered_survives_kill_9(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "answers.db"
    server.behaviour(latency_ms=5)
    program = textwrap.dedent(f"""
        from graphbit import Cache, LlmClient, LlmConfig
        config = LlmConfig.openai({KEY!r}, "m", base_url={server.openai_url!r})
        client = LlmClient(config, cache=Cache(path={str(path)!r}))
        for number in range(10_000):
            client.complete(f"prompt {{number}}", temperature=0.0)
            print(number, flush=True)
    """)
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    with child:
        assert child.stdout is not None
        for _ in range(100):
            child.stdout.readline()
        os.kill(child.pid, signal.SIGKILL)
        acknowledged = 100 + len(child.stdout.read().splitlines())
    paid = len(server.log())
    assert acknowledged <= paid <= acknowledged + 1
    asked = client(server, Cache(path=path))
    for number in range(acknowledged):
        assert asked.complete(f"prompt {number}", temperature=0.0) == f"{ECHO}prompt {number}"
    assert len(server.log()) == paid, "nothing that was acknowledged is asked for again"


def test_a_damaged_file_is_set_aside_with_a_warning(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "answers.db"
    path.write_bytes(b"this is no database" * 1000)
    with caplog.at_level("WARNING", logger="graphbit"):
        asked = client(server, Cache(path=path))
        assert asked.complete("x", temperature=0.0) == ECHO + "x"
        wait_until(
            lambda: any(
                "set aside" in record.message or "corrupt" in record.message
                for record in caplog.records
            )
        )
    assert [kept for kept in tmp_path.iterdir() if "corrupt" in kept.name]
    assert sqlite3.connect(path).execute("pragma integrity_check").fetchone() == ("ok",)


def test_entries_end_with_their_time(server: Server) -> None:
    asked = client(server, Cache(ttl=0.2))
    asked.complete("x", temperature=0.0)
    asked.complete("x", temperature=0.0)
    assert len(server.log()) == 1
    time.sleep(0.25)
    asked.complete("x", temperature=0.0)
    assert len(server.log()) == 2


def test_memory_stays_within_its_bound(server: Server) -> None:
    cache = Cache(max_bytes=100_000, completions="all")
    asked = client(server, cache)
    asked.complete_many([f"{number} " + "word " * 200 for number in range(500)])
    assert 0 < cache.stats()["bytes"] <= 100_000
