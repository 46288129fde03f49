"""Makes every client with a key fail in every way, and prints all that a program could print then.

``python key_hunt.py LEVEL ECHO``: logging at that level, or ``off``; the server repeats the key as it
is (``raw``), or as it looks in URLs, in JSON and in basic authorization (``encoded``). ``headers`` asks
the bridges only, and passes them a second key in a header. Each output line is JSON, ``{"label",
"text"}``, of the first and the last level (what is raised does not depend on it); the log goes to
standard error twice, printed by the core and, behind "python:", through Python's logging with all
that its records carry. Constructors are found by looking, their
arguments made from their signatures, so that a new provider is hunted in without a word here.
"""

from __future__ import annotations

import asyncio
import base64
import inspect
import itertools
import json
import logging
import pickle
import sys
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote, quote_plus

sys.path.insert(0, str(Path(__file__).parents[1]))

from graphbit import EmbeddingClient, EmbeddingConfig, LlmClient, LlmConfig, init
from simulator import Server, Simulator

# Every character of them that is legal in a header and changes in a URL or in base64.
KEY = "sk-KEY/hunt+9=&~secret 0123456789"
HEADER_KEY = "hk-HEADER/hunt+8=&~secret9876543210"
# Keys that a header cannot carry, or not as text.
ODD_KEYS = {
    ", line break": KEY + "\nx",
    ", beyond ASCII": KEY + "üé",
    ", control character": "\x01" + KEY,
}
BASES = {"anthropic": "", "gemini": "/v1beta", "ollama": "", "azure": "", "azurellm": ""}
# What is tried again after pauses; these begin first.
SLOW = {"timeout", "refused", "reset", "truncated", "bad header", "bad status"}
NOBODY = "http://127.0.0.1:9"
AT_ONCE = {"retry-after-ms": "0"}

Found = Iterator[tuple[str, Any]]


def encodings(key: str) -> str:
    basic = (base64.b64encode(prefix + key.encode()).decode() for prefix in (b"", b":", b"m:"))
    escaped = json.dumps(key).replace("/", "\\/")
    return " ".join([quote(key), quote(key, safe=""), quote_plus(key), escaped, *basic])


def echo_of(how: str, key: str) -> str:
    keys = (key, HEADER_KEY)
    return " ".join(map(encodings, keys) if how == "encoded" else keys)


def failures(echo: str) -> dict[str, dict[str, Any]]:
    """The simulator's settings for each way to fail; ``None`` as settings: nothing listens."""
    error = {"error": {"message": f"bad key {echo}", "type": echo, "code": echo}, "detail": echo}
    frame = {"type": "error", "message": echo} | error
    sse = {"content-type": "text/event-stream"}
    ways: dict[str, dict[str, Any]] = {
        f"{status} {shape}": {"status": [[status, body, AT_ONCE]] * 12}
        for status in (400, 401, 403, 404, 429, 500)
        for shape, body in {"json": error, "text": f"<b>no: {echo}!</b>"}.items()
    }
    return ways | {
        "redirect": {"status": [[302, echo, {"location": f"{NOBODY}/{echo}?key={echo}"}]] * 12},
        "request id": {"status": [[400, echo, {"x-request-id": echo}]] * 12},
        "long body": {"status": [[400, "x" * 16370 + echo + "y" * 60000]] * 12},
        "refused": {"nobody": True},
        "timeout": {"hang": True},
        "reset": {"reset": True},
        "malformed": {"malformed": True},
        "truncated": {"truncate": True},
        "quoting no JSON": {"body": f"{{{echo}"},
        "wrong type": {"body": dict.fromkeys(WRONG, echo)},
        "wrong list": {"body": {name: [echo] for name in WRONG}},
        "failed answer": {"body": {"status": "failed", "id": "x", **error}},
        "error in 200": {"body": error},
        "bad header": {"raw": f"HTTP/1.1 200 OK\r\nno such {echo}\r\n\r\n"},
        "bad status": {"raw": f"HTTP/1.1 {echo}\r\n\r\n"},
        "error frame": {"body": f"event: error\ndata: {json.dumps(frame)}\n\n", "headers": sse},
        "error line": {"body": json.dumps({"error": echo}) + "\n"},
        "undecodable frames": {"body": f"data: {{{echo}\n\n" * 8, "headers": sse},
    }


# No "content": text is a good answer of one provider, and an answer is handed over as it is.
WRONG = ("choices", "candidates", "message", "output", "data", "usage", "id", "status")


class Refusal(Exception):
    """As huggingface_hub and litellm raise them."""

    def __init__(self, text: str, status_code: int) -> None:
        super().__init__(text)
        self.status_code = status_code
        self.headers = {"authorization": text}


def install_libraries(how: str) -> None:
    """Stand-ins for the two libraries, whose every call fails and quotes the key it was given."""

    def fail(api_key: str, **_: Any) -> Any:
        status = next(turns)
        echo = echo_of(how, api_key) if how == "headers" else echo_of(how, api_key).split(" hk")[0]
        try:
            raise ValueError(f"Authorization: Bearer {echo}")
        except ValueError as inner:
            if status == 200:
                return {"text": [echo]}
            if status == 0:
                raise TimeoutError(f"no answer for {echo}") from inner
            raise Refusal(f"{status}: bad key {echo}", status) from inner

    class InferenceClient:
        def __init__(self, token: str, **_: Any) -> None:
            self.token = token

        def __getattr__(self, name: str) -> Any:
            return lambda **options: fail(self.token)

    turns = itertools.cycle((0, 200, 400, 401, 403, 404, 429, 500))
    hub, litellm = ModuleType("huggingface_hub"), ModuleType("litellm")
    hub.InferenceClient = InferenceClient  # type: ignore[attr-defined]
    for name in ("completion", "embedding", "aembedding"):
        setattr(litellm, name, fail)
    sys.modules |= {"huggingface_hub": hub, "litellm": litellm}


def constructors() -> dict[str, Callable[..., Any]]:
    """``LlmConfig.openai`` and so on: all that take a key."""
    return {
        f"{cls.__name__}.{name}": getattr(cls, name)
        for cls in (LlmConfig, EmbeddingConfig)
        for name, member in vars(cls).items()
        if isinstance(member, staticmethod)
        and "api_key" in inspect.signature(getattr(cls, name)).parameters
    }


def is_bridge(make: Callable[..., Any]) -> bool:
    """Whether a Python library makes the requests."""
    return "http_proxy" not in inspect.signature(make).parameters


def configured(name: str, make: Callable[..., Any], key: str, url: str) -> Any:
    address = url + BASES.get(name.partition(".")[2], "/v1")
    known = {
        "api_key": key,
        "base_url": address,
        "endpoint": url,
        "timeout": 0.2,
        "headers": {"x-extra-key": HEADER_KEY},
    }
    taken: dict[str, Any] = {}
    for parameter in inspect.signature(make).parameters.values():
        if parameter.name == "base_url" and "endpoint" in taken:
            continue
        if parameter.name in known:
            taken[parameter.name] = known[parameter.name]
        elif parameter.default is parameter.empty:
            taken[parameter.name] = "m"
    return make(**taken)


def calls(config: Any) -> Iterator[tuple[str, Any, Callable[[], Any]]]:
    """Each a client of its own, so that no circuit breaker comes in between."""

    async def waited(start: Callable[..., Any], *arguments: Any) -> Any:
        return await start(*arguments)

    if isinstance(config, LlmConfig):
        client = LlmClient(config, debug=True)
        yield "complete", client, lambda: client.complete("x")
        yield "complete_async", client, lambda: asyncio.run(waited(client.complete_async, "x"))
        yield "batch", client, lambda: asyncio.run(waited(client.complete_batch, ["x"]))
        yield "stream", client, lambda: list(client.stream("x"))
    else:
        embedder = EmbeddingClient(config)
        yield "embed", embedder, lambda: embedder.embed("x")
        yield "embed_many", embedder, lambda: embedder.embed_many(["x", "y"])
        yield "parallel", embedder, lambda: embedder.embed_batch_parallel([["x"], ["y"]])


def shown(thing: Any) -> Iterator[str]:
    yield repr(thing)
    yield str(thing)
    yield f"{thing}"
    try:
        yield pickle.dumps(thing, protocol=0).decode("latin-1")
        yield pickle.dumps(thing).decode("latin-1")
    except Exception as error:
        yield repr(error)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    waiting = [error]
    while waiting:
        error = waiting.pop()
        if error is None or any(error is each for each in seen):
            continue
        seen.append(error)
        yield error
        # As a traceback prints it: `from None` hides what came before.
        waiting += [error.__cause__, None if error.__suppress_context__ else error.__context__]


def told(error: BaseException) -> Iterator[str]:
    """Everything about an exception, its causes included."""
    yield "".join(traceback.format_exception(error))
    for each in chain(error):
        yield from shown(each)
        yield repr((each.args, vars(each), getattr(each, "__notes__", None)))
        yield repr({name: getattr(each, name, None) for name in dir(each) if name[0] != "_"})


def hunt(label: str, config: Any) -> Found:
    for text in shown(config):
        yield f"{label} config", text
    for call, client, run in calls(config):
        try:
            yield f"{label} {call} answered", repr(run())
        except Exception as error:
            for text in told(error):
                yield f"{label} {call} raised", text
        for text in shown(client):
            yield f"{label} {call} client", text
        if hasattr(client, "get_stats"):
            yield f"{label} {call} stats", repr(client.get_stats())


def ways_of(how: str, key: str, bridge: bool, odd: str) -> list[tuple[str, dict[str, Any]]]:
    ways = failures(echo_of(how, key))
    if bridge:  # the library decides how it fails, and takes its turns
        return [(f"turn {turn}", {}) for turn in range(4)]
    return [(way, ways[way]) for way in ("400 json", "wrong type")] if odd else [*ways.items()]


class Open(logging.StreamHandler[Any]):
    """Prints everything that a record has."""

    def format(self, record: logging.LogRecord) -> str:
        return f"python: {record.getMessage()} {vars(record)!r}"


def case(
    simulator: Simulator, name: str, make: Any, way: str, settings: dict[str, Any], key: str
) -> list[tuple[str, Any]]:
    server = Server(simulator, simulator.new_scope("hunt"))
    label = f"{name} [{way}]"
    url = NOBODY if settings.get("nobody") else server.base_url
    if url is not NOBODY:
        server.behaviour(**settings)
    try:
        config = configured(name, make, key, url)
    except Exception as error:
        return [(f"{label} refused", text) for text in told(error)]
    found: list[tuple[str, Any]] = list(dict.fromkeys(hunt(label, config)))
    # Not for the hunt: it tells that the key was on the wire at all.
    found.append((f"{label} sent", sum(KEY in json.dumps(each) for each in server.log())))
    return found


def main(level: str, how: str) -> None:
    if level != "off":
        init(log_level=level, enable_tracing=True)
        logger = logging.getLogger("graphbit")
        logger.setLevel({"trace": 5, "warn": 30}.get(level) or level.upper())
        logger.addHandler(Open())
    install_libraries(how)
    makers = constructors().items()
    cases = [
        (name, make, f"{way}{odd}", settings, key)
        for name, make in makers
        if how != "headers" or is_bridge(make)
        # A library that is given an impossible key has its own words for it.
        for odd, key in {"": KEY, **({} if is_bridge(make) else ODD_KEYS)}.items()
        for way, settings in ways_of(how, key, is_bridge(make), odd)
    ]
    cases.sort(key=lambda each: each[2] not in SLOW)
    # Nearly all of the time is waiting, for limits and between attempts.
    with Simulator() as simulator, ThreadPoolExecutor(256) as pool:
        for found in pool.map(lambda each: case(simulator, *each), cases):
            for label, text in found if level in ("off", "trace") else ():
                print(json.dumps({"label": label, "text": text}, ensure_ascii=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
