"""Ways to leave a program right after, or in the middle of, asynchronous work.

    python leave.py WAY

Each must end with status 0 and without a word on standard error.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

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


# What a daemon thread gives is read by Python code in the middle of our own: the exit comes meanwhile.
PACE = 0.01  # between two items, of which there are for longer than anybody waits


class Slow(Sequence[Any]):
    """A sequence in Python that takes its time."""

    def __init__(self, item: Any) -> None:
        self.item = item

    def __len__(self) -> int:
        return 5000

    def __getitem__(self, place: Any) -> Any:
        time.sleep(PACE)
        if place >= len(self):
            raise IndexError(place)
        return self.item


class SlowPath:
    def __fspath__(self) -> str:
        for _ in range(40):
            time.sleep(PACE)
        return f"{tempfile.mkdtemp()}/nowhere"


def slow(item: Any) -> Iterator[Any]:
    for _ in range(5000):
        time.sleep(PACE)
        yield item


def leave_during(call: Callable[[], Any]) -> None:
    def run() -> None:
        with contextlib.suppress(graphbit.GraphbitError, ValueError, OSError):
            call()

    threading.Thread(target=run, daemon=True).start()
    time.sleep(0.15)


def model() -> graphbit.LlmClient:
    return graphbit.LlmClient(graphbit.LlmConfig.extractive())


def embedder() -> graphbit.EmbeddingClient:
    config = graphbit.EmbeddingConfig.from_callable(lambda texts: [[1.0]] * len(texts))
    return graphbit.EmbeddingClient(config)


def while_prompts_are_drawn() -> None:
    leave_during(lambda: model().complete_many(slow("q")))


def while_messages_are_drawn() -> None:
    leave_during(lambda: model().chat(slow(("user", "q"))))


def while_parts_are_drawn() -> None:
    leave_during(lambda: model().chat([{"role": "user", "content": slow("q")}]))


def while_events_are_asked_for() -> None:
    leave_during(lambda: model().stream_events(slow(("user", "q"))))


def while_tools_are_drawn() -> None:
    leave_during(
        lambda: model().chat("q", tools=({"name": f"{n}"} for n, _ in enumerate(slow(""))))
    )


def while_stop_is_drawn() -> None:
    leave_during(lambda: model().chat("q", stop=slow("end")))


def while_texts_are_read() -> None:
    leave_during(lambda: embedder().embed_array(Slow("q")))


def while_groups_are_read() -> None:
    leave_during(lambda: embedder().embed_batch_parallel([Slow("q")]))


def while_vectors_are_read() -> None:
    leave_during(lambda: graphbit.VectorStore().add(slow([1.0])))


def while_ids_are_read() -> None:
    leave_during(lambda: graphbit.VectorStore().get(Slow("id")))


def while_texts_are_split() -> None:
    splitter = graphbit.CharacterSplitter(10)
    leave_during(lambda: splitter.split_texts(Slow("text")))


def while_an_iterator_draws() -> None:
    splitter = graphbit.CharacterSplitter(10)
    leave_during(lambda: next(splitter.split_iter(slow("text"), batch_size=5000)))


def while_paths_are_drawn() -> None:
    leave_during(lambda: graphbit.DocumentLoader().load_many(slow("nowhere"), "txt"))


def while_a_path_is_asked() -> None:
    leave_during(lambda: graphbit.VectorStore().save(SlowPath()))


def while_tokens_are_counted() -> None:
    leave_during(lambda: graphbit.count_tokens_many(slow("text")))


def while_a_module_is_imported() -> None:
    assert "numpy" not in sys.modules
    threading.Thread(target=lambda: embedder().embed_array(["q"]), daemon=True).start()
    while "numpy" not in sys.modules:
        time.sleep(0.001)


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
        while_prompts_are_drawn,
        while_messages_are_drawn,
        while_parts_are_drawn,
        while_events_are_asked_for,
        while_tools_are_drawn,
        while_stop_is_drawn,
        while_texts_are_read,
        while_groups_are_read,
        while_vectors_are_read,
        while_ids_are_read,
        while_texts_are_split,
        while_an_iterator_draws,
        while_paths_are_drawn,
        while_a_path_is_asked,
        while_tokens_are_counted,
        while_a_module_is_imported,
    )
}

if __name__ == "__main__":
    WAYS[sys.argv[1]]()
