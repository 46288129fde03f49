"""Blocking calls from every context a Python program can make them in.

    python nesting.py CONTEXT ROUNDS WORKERS

The simulator's address is in ``GRAPHBIT_SIMULATOR_URL``. Runs on this package and on GraphBit 0.6.8:
"inside a callback" is a user's function called by a client here, and a tool called by a workflow
there, which is the closest thing that package has. Prints ``ok N`` after N right values; an abort or
a hang is for the parent to see.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import graphbit

URL = os.environ["GRAPHBIT_SIMULATOR_URL"]
OURS = hasattr(graphbit.LlmConfig, "from_callable")
DEPTH = 50
# Both packages can be pointed at a local server through their Azure clients only.
LLM = graphbit.LlmConfig.azurellm("key-0123456789", "prod-chat", URL)
EMBEDDING = graphbit.EmbeddingConfig.azure("key-0123456789", "prod-embed", URL)


def call() -> int:
    """One completion and one embedding, with values checked."""
    answer = graphbit.LlmClient(LLM).complete("ping")
    assert answer == "echo: ping", answer
    vector = graphbit.EmbeddingClient(EMBEDDING).embed("ping")
    assert len(vector) > 1, vector
    return 1


def inside_callback(function: Callable[[], object], entry: str = "sync") -> int:
    """Runs ``function`` in a callback of the library, entered by the given door."""
    return _our_callback(function, entry) if OURS else _their_tool(function, entry)


def _our_callback(function: Callable[[], object], entry: str) -> int:
    config = graphbit.LlmConfig.from_callable(lambda messages, **options: f"got {function()}")
    client = graphbit.LlmClient(config)
    if entry == "sync":
        answer = client.complete("go")
    else:

        async def run() -> str:
            return await client.complete_async("go")

        answer = asyncio.run(run())
    assert answer == "got 1", answer
    return 1


def _their_tool(function: Callable[[], object], entry: str) -> int:
    arguments = {"id": "c1", "type": "function", "function": {"name": "probe", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [arguments]}
    body = {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
    _control({"status": [[200, json.dumps(body), {}]]})
    results: list[object] = []

    @graphbit.tool()
    def probe() -> str:
        """Calls the library from inside a tool."""
        results.append(function())
        return "done"

    workflow = graphbit.Workflow("w")
    workflow.add_node(graphbit.Node.agent("a", "use the tool", tools=[probe]))
    executor = graphbit.Executor(LLM)
    if entry == "sync":
        executor.execute(workflow)
    else:

        async def run() -> None:
            await executor.run_async(workflow)

        asyncio.run(run())
    assert results == [1], results
    return 1


def _control(settings: dict[str, Any]) -> None:
    request = urllib.request.Request(
        f"{URL}/control/behaviour",
        data=json.dumps(settings).encode(),
        headers={"content-type": "application/json"},
        method="POST",
    )
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10).read()


def plain_thread() -> int:
    return call()


def other_thread() -> int:
    done: list[int] = []
    thread = threading.Thread(target=lambda: done.append(call()))
    thread.start()
    thread.join()
    return sum(done)


def thread_pool() -> int:
    with ThreadPoolExecutor(16) as pool:
        return sum(pool.map(lambda _: call(), range(16))) // 16


def asyncio_loop() -> int:
    async def run() -> int:
        return call()

    return asyncio.run(run())


def uvloop_loop() -> int:
    import uvloop

    async def run() -> int:
        return call()

    return uvloop.run(run())


def asyncio_worker_thread() -> int:
    async def run() -> int:
        return await asyncio.to_thread(call)

    return asyncio.run(run())


def callback_of_blocking_call() -> int:
    return inside_callback(call)


def callback_of_async_call() -> int:
    return inside_callback(call, "async")


def event_loop_inside_callback() -> int:
    async def ask() -> str:
        return await graphbit.LlmClient(LLM).complete_async("ping")

    def function() -> int:
        return int(asyncio.run(ask()) == "echo: ping")

    return inside_callback(function)


def thread_inside_callback() -> int:
    return inside_callback(other_thread)


def callback_of_embedding() -> int:
    def embed(texts: list[str]) -> list[list[float]]:
        call()
        return [[1.0, 0.0] for _ in texts]

    config = graphbit.EmbeddingConfig.from_callable(embed)
    assert graphbit.EmbeddingClient(config).embed("x") == [1.0, 0.0]
    return 1


def callbacks_fifty_deep() -> int:
    def nested(depth: int) -> int:
        return call() if depth == 0 else inside_callback(lambda: nested(depth - 1))

    return nested(DEPTH)


def many_callbacks_at_once() -> int:
    with ThreadPoolExecutor(16) as pool:
        return sum(pool.map(lambda _: inside_callback(call), range(16))) // 16


CONTEXTS: dict[str, Callable[[], int]] = {
    function.__name__: function
    for function in (
        plain_thread,
        other_thread,
        thread_pool,
        asyncio_loop,
        uvloop_loop,
        asyncio_worker_thread,
        callback_of_blocking_call,
        callback_of_async_call,
        event_loop_inside_callback,
        thread_inside_callback,
        callback_of_embedding,
        callbacks_fifty_deep,
        many_callbacks_at_once,
    )
}
# What 0.6.8 has no way to express.
OURS_ONLY = {"callback_of_embedding"}


def main() -> None:
    name, rounds, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    graphbit.configure_runtime(worker_threads=workers)
    contexts = list(CONTEXTS) if name == "all" else [name]
    for context in contexts:
        # Fifty nested callbacks are fifty calls: a tenth of the rounds is as many.
        repeats = max(1, rounds // 10) if context == "callbacks_fifty_deep" else rounds
        good = sum(CONTEXTS[context]() for _ in range(repeats))
        assert good == repeats, (context, good, repeats)
        print(f"ok {context} {good}", flush=True)


if __name__ == "__main__":
    main()
