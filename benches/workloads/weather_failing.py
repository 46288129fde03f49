"""Calls to a server that fails everything, then its recovery: what do they cost the server?"""

import asyncio
import json
import time
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any

from measure import KEY, chat_client, chat_config, parameters, report, served

given = parameters(client="ours", calls=4000, at_once=50)
#: How long our breaker stays open, in seconds. 0.6.8's 60 s cannot be changed, so it is not waited for.
OPEN = 1.0


def behave(**settings: Any) -> None:
    """Changes the weather."""
    request = urllib.request.Request(
        f"{given.url}/control/behaviour", json.dumps(settings).encode(), method="POST"
    )
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30).close()


def caller() -> Callable[[], Awaitable[Any]]:
    """A call of the package under test."""
    if given.client == "openai":
        from openai import AsyncOpenAI

        client = AsyncOpenAI(api_key=KEY, base_url=given.url + "/v1")
        hello: Any = [{"role": "user", "content": "Say hello."}]
        return lambda: client.chat.completions.create(model="m", messages=hello)
    if given.client == "0.6.8":
        peer = chat_client(given.url)
        return lambda: peer.complete_async("Say hello.")
    from graphbit import CircuitBreaker, LlmClient

    breaker = CircuitBreaker(open_seconds=OPEN) if given.client == "ours" else False
    mine = LlmClient(chat_config(given.url), circuit_breaker=breaker)
    return lambda: mine.complete_async("Say hello.")


async def main() -> dict[str, float]:
    call = caller()
    gate = asyncio.Semaphore(given.at_once)
    calls, opened = 0, float("inf")

    async def one() -> None:
        nonlocal calls, opened
        async with gate:
            calls += 1
            try:
                await call()
            except Exception as error:
                if "ircuit" in str(error):
                    opened = min(opened, calls)

    before = served(given.url)["requests"]
    await asyncio.gather(*(one() for _ in range(given.calls)))
    spent = served(given.url)["requests"]
    await asyncio.gather(*(one() for _ in range(given.calls)))
    after = served(given.url)["requests"]
    figures = {
        "requests/call": (spent - before) / given.calls,
        "once spent": (after - spent) / given.calls,
        "opened after": opened,
    }
    behave()
    healed = time.perf_counter()
    # 0.6.8 would be waited for a minute.
    while given.client != "0.6.8" and time.perf_counter() < healed + 3 * OPEN:
        try:
            await call()
        except Exception:
            await asyncio.sleep(0.01)
            continue
        figures["recovery s"] = time.perf_counter() - healed
        break
    figures.setdefault("recovery s", float("inf"))
    behave(fail_rate=1.0)
    return figures


report(figures=asyncio.run(main()))
