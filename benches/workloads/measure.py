"""What every workload shares: parameters in, one line of JSON out, threads warm before the clock.

A workload is a program: ``python workload.py '{"url": "http://127.0.0.1:1", "calls": 100}'``. It
imports whatever package its interpreter calls ``graphbit``, so one file measures both.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

KEY = "benchmark-key-0123456789"


def parameters(**defaults: Any) -> SimpleNamespace:
    """The workload's parameters: the first argument, over its defaults."""
    return SimpleNamespace(**(defaults | json.loads(sys.argv[1])))


def chat_config(url: str) -> Any:
    """A chat model both packages can point at a server of ours: Azure takes an endpoint."""
    from graphbit import LlmConfig

    # The name matters: 0.6.8 sends deployments called gpt-something to another route.
    return LlmConfig.azurellm(KEY, "prod-chat", url)


def chat_client(url: str) -> Any:
    """A client of that model."""
    from graphbit import LlmClient

    return LlmClient(chat_config(url))


def embedding_client(url: str) -> Any:
    """The embedding twin of :func:`chat_client`."""
    from graphbit import EmbeddingClient, EmbeddingConfig

    return EmbeddingClient(EmbeddingConfig.azure(KEY, "prod-embed", url))


def served(url: str) -> dict[str, Any]:
    """What the server has counted in this scope so far: requests, connections and more."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{url}/control/stats", timeout=30) as reply:
        return json.loads(reply.read())


def compute_beside() -> None:
    """Computes in one thread more from now on, as parsing and ranking in Python do."""

    def compute() -> None:
        while True:
            sum(range(1000))

    threading.Thread(target=compute, daemon=True).start()


def pipeline_documents(count: int) -> Iterator[tuple[str, str]]:
    """Names and texts of about 10 KB in paragraphs, no two chunks of them alike."""
    for number in range(count):
        name = f"document {number:06}"
        paragraphs = (
            " ".join(
                f"Sentence {line} of part {part} of {name} explains one matter, plainly, at length."
                for line in range(10)
            )
            for part in range(12)
        )
        yield name, "\n\n".join(paragraphs)[:10_000]


class Stopwatch:
    """Wall and CPU seconds of this process between :meth:`start` and :meth:`stop`."""

    def start(self) -> None:
        self._usage = resource.getrusage(resource.RUSAGE_SELF)
        self._start = time.perf_counter()

    def stop(self) -> dict[str, float]:
        seconds = time.perf_counter() - self._start
        now, before = resource.getrusage(resource.RUSAGE_SELF), self._usage
        cpu = now.ru_utime - before.ru_utime + now.ru_stime - before.ru_stime
        return {"seconds": seconds, "cpu_seconds": cpu}


def on_threads(threads: int, calls: int, call: Callable[[], Any]) -> dict[str, float]:
    """Makes ``calls`` calls on ``threads`` threads and times them.

    Each thread is started and has made one call, so its connection is open, before the clock runs;
    then all take their work from one iterator, which balances them at next to no cost of its own.
    """
    work = iter(range(calls))  # next() on a range iterator is atomic
    watch = Stopwatch()
    failures: list[BaseException] = []
    warm = threading.Barrier(threads, action=watch.start)

    def run() -> None:
        try:
            call()
            warm.wait()
            for _ in work:
                call()
        except BaseException as error:
            failures.append(error)
            warm.abort()

    pool = [threading.Thread(target=run) for _ in range(threads)]
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join()
    result = watch.stop() if not failures else {}
    if failures:
        # A broken barrier is only the echo of the failure that matters.
        raise min(failures, key=lambda error: isinstance(error, threading.BrokenBarrierError))
    return result


def report(**result: Any) -> None:
    """Prints the result and ends the process at once.

    0.6.8 may crash while the interpreter shuts down after async use; that has a table of its own.
    """
    print(json.dumps(result), flush=True)
    os._exit(0)
