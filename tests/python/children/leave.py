"""Ways to leave a program right after, or in the middle of, asynchronous work.

    python leave.py WAY

Each must end with status 0 and without a word on standard error.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time

import graphbit

URL = os.environ["GRAPHBIT_SIMULATOR_URL"]
HANG = os.environ["GRAPHBIT_HANGING_URL"]


def client(url: str = URL) -> graphbit.LlmClient:
    return graphbit.LlmClient(graphbit.LlmConfig.azurellm("key-0123456789", "prod-chat", url))


def after_async_call() -> None:
    async def run() -> None:
        assert await client().complete_async("ping") == "echo: ping"

    asyncio.run(run())


def with_abandoned_future() -> None:
    async def run() -> None:
        client(HANG).complete_async("never answered")
        await asyncio.sleep(0.01)

    asyncio.run(run())


def with_unawaited_result() -> None:
    async def run() -> None:
        client().complete_async("answered too late")

    asyncio.run(run())


def with_abandoned_stream() -> None:
    async def run() -> None:
        async for _ in client().stream("one two three"):
            break

    asyncio.run(run())


def with_daemon_thread_waiting() -> None:
    threading.Thread(target=lambda: client(HANG).complete("x"), daemon=True).start()
    time.sleep(0.05)


def with_daemon_threads_working() -> None:
    def work() -> None:
        mine = client()
        while True:
            mine.complete("ping")

    for _ in range(8):
        threading.Thread(target=work, daemon=True).start()
    time.sleep(0.1)


def with_callback_running() -> None:
    def slow(messages: list[dict[str, str]], **options: object) -> str:
        time.sleep(0.3)
        return "late"

    config = graphbit.LlmConfig.from_callable(slow)
    run = graphbit.LlmClient(config).complete
    threading.Thread(target=lambda: run("x"), daemon=True).start()
    time.sleep(0.05)


def from_exit_handler() -> None:
    import atexit

    atexit.register(lambda: client().complete("ping"))
    client().complete("ping")


def by_system_exit_in_coroutine() -> None:
    async def run() -> None:
        client(HANG).complete_async("x")
        await client().complete_async("ping")
        raise SystemExit(0)

    asyncio.run(run())


WAYS = {
    way.__name__: way
    for way in (
        after_async_call,
        with_abandoned_future,
        with_unawaited_result,
        with_abandoned_stream,
        with_daemon_thread_waiting,
        with_daemon_threads_working,
        with_callback_running,
        from_exit_handler,
        by_system_exit_in_coroutine,
    )
}

if __name__ == "__main__":
    WAYS[sys.argv[1]]()
