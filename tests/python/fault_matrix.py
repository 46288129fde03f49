"""Every fault, every operation, blocking and async: what a caller gets, and what it costs in requests.

    outcomes = run(simulator, trustme.CA())
    page(outcomes)      # docs/fault-matrix.md

A *cell* is one fault, one operation, one way to wait and one situation: the fault stays, or only the
first request meets it. Each has a client and a scope of the simulator for itself, and all run side by
side: those that block on threads, the others on one event loop. Batches hold three inputs, and the
fault is for the second alone where a fault can be that particular.
"""

from __future__ import annotations

import asyncio
import math
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import trustme
from far_side import NO_HOST, TlsServer
from graphbit import EmbeddingClient, EmbeddingConfig, LlmClient, LlmConfig, RetryPolicy
from graphbit.exceptions import GraphbitError
from llm_setup import ECHO, KEY
from simulator import Server, Simulator, expected_embedding

PROMPTS = ["the first of three", "the unlucky second", "the third and last"]
UNLUCKY = 1
MARK = "unlucky"
DIMENSIONS = 8
#: Seconds an attempt may take. Long enough for a busy machine: what hangs waits for it once.
TIMEOUT = 3.0
#: Seconds a call may take with all its attempts and pauses: four time limits and what lies between.
DEADLINE = 16.0
#: Seconds by which a busy machine may be late with it.
PATIENCE = 8.0
#: What `Retry-After` asks for in the rows that can wait for it, in seconds.
WAIT = 0.3

Situation = Literal["for ever", "once"]
Way = Literal["blocking", "async"]
SITUATIONS: tuple[Situation, ...] = ("for ever", "once")
WAYS: tuple[Way, ...] = ("blocking", "async")


# --- the operations: what each returns for its inputs; a stream's pieces are kept as they come -----------

Clients = tuple[LlmClient, EmbeddingClient]


def stream(clients: Clients, pieces: list[str]) -> list[str]:
    pieces.extend(clients[0].stream(PROMPTS[UNLUCKY]))
    return ["".join(pieces)]


async def chat_async(clients: Clients, _: list[str]) -> list[str]:
    return [(await clients[0].chat_async(PROMPTS[UNLUCKY])).content]


async def stream_async(clients: Clients, pieces: list[str]) -> list[str]:
    async for piece in clients[0].stream(PROMPTS[UNLUCKY]):
        pieces.append(piece)
    return ["".join(pieces)]


async def embed_array_async(clients: Clients, _: list[str]) -> list[list[float]]:
    rows = await clients[1].embed_array_async(PROMPTS, batch_size=1, on_error="nan")
    return rows.tolist()


async def complete_async(clients: Clients, _: list[str]) -> list[str]:
    return [await clients[0].complete_async(PROMPTS[UNLUCKY])]


async def embed_async(clients: Clients, _: list[str]) -> list[list[float]]:
    return [await clients[1].embed_async(PROMPTS[UNLUCKY])]


async def complete_many_async(clients: Clients, _: list[str]) -> list[Any]:
    return await clients[0].complete_many_async(PROMPTS, on_error="return")


BLOCKING: dict[str, Callable[[Clients, list[str]], list[Any]]] = {
    "complete": lambda clients, _: [clients[0].complete(PROMPTS[UNLUCKY])],
    "chat": lambda clients, _: [clients[0].chat(PROMPTS[UNLUCKY]).content],
    "stream": stream,
    "embed": lambda clients, _: [clients[1].embed(PROMPTS[UNLUCKY])],
    "complete_many": lambda clients, _: clients[0].complete_many(PROMPTS, on_error="return"),
    "embed_array": lambda clients, _: (
        clients[1].embed_array(PROMPTS, batch_size=1, on_error="nan").tolist()
    ),
}
ASYNC: dict[str, Callable[[Clients, list[str]], Awaitable[list[Any]]]] = {
    "complete": complete_async,
    "chat": chat_async,
    "stream": stream_async,
    "embed": embed_async,
    "complete_many": complete_many_async,
    "embed_array": embed_array_async,
}
BATCHES = {"complete_many", "embed_array"}


def right(operation: str, prompt: str) -> Any:
    """What the simulator answers."""
    if operation.startswith("embed"):
        return expected_embedding(prompt, DIMENSIONS)
    return ECHO + prompt


# --- the faults ------------------------------------------------------------------------------------------


class Outcome(NamedTuple):
    """How a cell ended: ``answer``, ``NaN``, the error's kind or a wrong answer, and how often the server was asked."""

    word: str
    tries: int | None

    def __str__(self) -> str:
        word = self.word if self.word in {"answer", "NaN"} else f"`{self.word}`"
        return word if self.tries is None else f"{word}, {self.tries}"


class Endpoint(NamedTuple):
    """Where a client is sent, and what else its configuration says."""

    url: str
    extra: dict[str, Any] = {}  # noqa: RUF012  (nobody writes to it)


@dataclass(frozen=True)
class Fault:
    """A row: the trouble, and what the documentation promises for it.

    ``step`` is an entry of the simulator's ``status``; without one the trouble is at ``place``, where no
    request arrives. ``lasting`` and ``passing`` are the outcomes of the two situations. ``streaming``
    is that of a stream which has begun, ``unanswered`` that of a chat request whose time was up after it
    had been sent.
    """

    title: str
    lasting: Outcome
    passing: Outcome | None = None
    step: Any = None
    place: str = ""
    streaming: Outcome | None = None
    unanswered: Outcome | None = None
    wait: float = 0.0

    def promised(self, situation: Situation, operation: str) -> Outcome | None:
        """The documented outcome."""
        if operation == "stream" and self.streaming is not None:
            return self.streaming
        if operation in {"complete", "chat", "complete_many"} and self.unanswered is not None:
            return self.unanswered
        promised = self.lasting if situation == "for ever" else self.passing
        if operation == "embed_array" and promised and promised.word != "answer" and not self.place:
            return Outcome("NaN", promised.tries)
        return promised


def status(code: int, headers: dict[str, str] | None = None, body: str | None = None) -> list[Any]:
    """An entry of the simulator's ``status``."""
    return [code, body, headers or {}]


def healing(title: str, kind: str, step: Any, **more: Any) -> Fault:
    """A fault worth all four attempts, and gone with the second when it passes."""
    return Fault(title, Outcome(kind, 4), Outcome("answer", 2), step, **more)


def final(title: str, kind: str, step: Any, **more: Any) -> Fault:
    """A fault that another attempt cannot help, or must not risk."""
    return Fault(title, Outcome(kind, 1), Outcome(kind, 1), step, **more)


def garbled(title: str, step: Any) -> Fault:
    """An answer nobody can read: worth one more look."""
    return Fault(title, Outcome("decode", 2), Outcome("answer", 2), step)


def unreachable(title: str, place: str, *, tries: int = 4) -> Fault:
    """Nobody there, so that nothing is ever sent."""
    return Fault(title, Outcome("network", tries), place=place)


QUOTA = '{"error": {"code": "insufficient_quota", "message": "no credit left"}}'
BROKEN_OFF = Outcome("stream", 1)
TIME_UP = Outcome("timeout", 1)
FAULTS = (
    unreachable("connection refused", "refused"),
    unreachable("name unknown (DNS)", "unknown"),
    unreachable("proxy down", "proxy"),
    unreachable("TLS: certificate of a stranger", "stranger", tries=1),
    unreachable("TLS: the server speaks plain HTTP", "plain"),
    healing("reset before the body", "network", "reset"),
    healing("reset in the body", "network", "reset_in_body", streaming=BROKEN_OFF),
    healing("body shorter than announced", "network", "truncate", streaming=BROKEN_OFF),
    healing("no answer", "timeout", "hang", unanswered=TIME_UP),
    healing("headers that never end", "timeout", "slow_headers", unanswered=TIME_UP),
    healing(
        "headers, then no body", "timeout", "hang_in_body", unanswered=TIME_UP, streaming=BROKEN_OFF
    ),
    garbled("JSON that breaks off", "malformed"),
    garbled("bytes that are no JSON", "garbage"),
    garbled("a web page", "html"),
    final("400", "bad_request", status(400)),
    final("401", "authentication", status(401)),
    final("403", "permission_denied", status(403)),
    final("404", "not_found", status(404)),
    healing("408", "timeout", status(408)),
    healing("409", "bad_request", status(409)),
    final("413", "bad_request", status(413)),
    final("422", "bad_request", status(422)),
    healing("429", "rate_limited", status(429)),
    healing(
        "429, Retry-After: 0.3", "rate_limited", status(429, {"retry-after": "0.3"}), wait=WAIT
    ),
    healing("429, Retry-After: -1", "rate_limited", status(429, {"retry-after": "-1"})),
    healing("429, Retry-After: soon", "rate_limited", status(429, {"retry-after": "soon"})),
    final(
        "429, Retry-After: 1000000000", "rate_limited", status(429, {"retry-after": "1000000000"})
    ),
    final(
        "429, Retry-After: in 2099",
        "rate_limited",
        status(429, {"retry-after": "Thu, 01 Jan 2099 00:00:00 GMT"}),
    ),
    final("429, account empty", "quota_exhausted", status(429, body=QUOTA)),
    healing("500", "server", status(500)),
    healing("502", "server", status(502)),
    healing("503", "server", status(503)),
    healing("529", "server", status(529)),
)
#: A row of its own kind: whoever was waiting when the server died is answered by the next one.
RESTART = Fault("server killed and restarted", Outcome("answer", None), Outcome("answer", None))


# --- the cells -------------------------------------------------------------------------------------------

Key = tuple[str, Situation, str, Way]


@dataclass
class Cell:
    """One fault, situation, operation and way; ``server`` is where requests are counted, if anywhere."""

    fault: Fault
    situation: Situation
    operation: str
    way: Way
    endpoint: Endpoint
    server: Server | None = None
    results: list[Any] = field(default_factory=list)

    @property
    def key(self) -> Key:
        """Its place in the matrix."""
        return self.fault.title, self.situation, self.operation, self.way

    def clients(self) -> Clients:
        """New ones: breaker and numbers belong to this cell alone."""
        url, extra = self.endpoint
        extra = {"timeout": TIMEOUT, "http_proxy": ""} | extra
        chat = LlmConfig.openai_compatible(url, "m", KEY, **extra)
        embedding = EmbeddingConfig.openai(KEY, "m", base_url=url, dimensions=DIMENSIONS, **extra)
        retry = RetryPolicy(deadline=DEADLINE)
        return LlmClient(chat, retry=retry), EmbeddingClient(embedding, retry=retry)

    def block(self) -> None:
        """Runs the blocking operation."""
        pieces: list[str] = []
        started = time.monotonic()
        try:
            self.results = BLOCKING[self.operation](self.clients(), pieces)
        except GraphbitError as error:
            self.results = [error]
        self.look_back(started, pieces)

    async def wait(self) -> None:
        """Runs the async operation."""
        pieces: list[str] = []
        started = time.monotonic()
        try:
            self.results = await ASYNC[self.operation](self.clients(), pieces)
        except GraphbitError as error:
            self.results = [error]
        self.look_back(started, pieces)

    def look_back(self, started: float, pieces: list[str]) -> None:
        """In time, and what a stream gave away before it broke is the beginning of the answer."""
        spent = time.monotonic() - started
        assert spent < DEADLINE + PATIENCE, f"{self.key}: {spent:.1f} s"
        assert (ECHO + PROMPTS[UNLUCKY]).startswith("".join(pieces)), self.key

    def requests(self) -> int | None:
        """How often the server was asked about the unlucky input, each time late enough."""
        if self.server is None:
            return None
        starts = [entry["started"] for entry in self.server.log() if MARK in entry["body"]]
        for before, after in pairwise(starts):
            assert after - before >= self.fault.wait, f"{self.key}: asked again too early"
        return len(starts)

    def outcome(self) -> Outcome:
        """The unlucky input's end, after a look at its neighbours'."""
        results = self.results
        if self.operation in BATCHES and len(results) == len(PROMPTS):
            for place, prompt in enumerate(PROMPTS):
                if place != UNLUCKY and not self.fault.place:
                    assert results[place] == right(self.operation, prompt), (self.key, results)
            results = [results[UNLUCKY]]
        (result,) = results
        seen = self.requests()
        if isinstance(result, BaseException):
            assert isinstance(result, GraphbitError), (self.key, result)
            assert seen in {None, result.attempts}, f"{self.key}: {seen} for {result.attempts}"
            return Outcome(result.kind, result.attempts)
        if self.operation == "embed_array" and all(math.isnan(number) for number in result):
            return Outcome("NaN", seen)
        whole = result == right(self.operation, PROMPTS[UNLUCKY])
        return Outcome("answer" if whole else f"wrong: {result!r}", seen)


def run(simulator: Simulator, authority: trustme.CA) -> dict[Key, Outcome]:
    """Runs all cells and says how each ended."""
    with places(simulator, authority) as known, ThreadPoolExecutor(64) as pool:
        cells = list(pool.map(prepared, all_cells(simulator, known)))
        loop = pool.submit(asyncio.run, at_once(cells))
        list(pool.map(Cell.block, [cell for cell in cells if cell.way == "blocking"]))
        loop.result()
        outcomes = dict(pool.map(lambda cell: (cell.key, cell.outcome()), cells))
        for cell in cells:
            if cell.server is not None:
                simulator.forget(cell.server.scope)
    return outcomes | restarted()


def all_cells(simulator: Simulator, known: dict[str, Endpoint]) -> Iterator[Cell]:
    """Each of them, with an address; what waits for its time limit comes first."""
    for fault in sorted(FAULTS, key=lambda fault: fault.lasting.word != "timeout"):
        for operation in BLOCKING:
            for way in WAYS:
                if fault.place:
                    yield Cell(fault, "for ever", operation, way, known[fault.place])
                    continue
                for situation in SITUATIONS:
                    server = Server(simulator, simulator.new_scope(operation))
                    yield Cell(
                        fault, situation, operation, way, Endpoint(server.openai_url), server
                    )


def prepared(cell: Cell) -> Cell:
    """Tells the cell's scope how to misbehave."""
    if cell.server is not None:
        times = 1 if cell.situation == "once" else 20
        cell.server.behaviour(status=[cell.fault.step] * times, only=MARK)
    return cell


async def at_once(cells: list[Cell]) -> None:
    """All async cells on one loop."""
    waiting = [cell.wait() for cell in cells if cell.way == "async"]
    await asyncio.wait_for(asyncio.gather(*waiting), DEADLINE + 2 * PATIENCE)


@contextmanager
def places(simulator: Simulator, authority: trustme.CA) -> Iterator[dict[str, Endpoint]]:
    """Addresses at which no request can arrive."""
    with ExitStack() as stack:
        # Bound and not listening: nobody else can take the port, and connecting is refused.
        closed = stack.enter_context(socket.socket())
        closed.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
        stranger = stack.enter_context(TlsServer(authority, ["http/1.1"]))
        yield {
            "refused": Endpoint(f"{nobody}/v1"),
            "unknown": Endpoint(f"http://{NO_HOST}/v1"),
            "proxy": Endpoint(f"{simulator.url()}/v1", {"http_proxy": nobody}),
            "stranger": Endpoint(stranger.url),
            "plain": Endpoint(f"https://{simulator.address}/v1"),
        }


def restarted() -> dict[Key, Outcome]:
    """One server dies with a request of every operation under way, and another comes in its place."""
    first = Simulator(latency_ms=60_000)
    cells = []
    for operation in BLOCKING:
        for way in WAYS:
            server = Server(first, first.new_scope(operation))
            # Time enough for the slowest machine to get all the requests under way.
            endpoint = Endpoint(server.openai_url, {"timeout": DEADLINE})
            cells.append(Cell(RESTART, "once", operation, way, endpoint, server))
    with ThreadPoolExecutor(len(cells)) as pool:
        calls = [pool.submit(asyncio.run, at_once(cells))]
        calls += [pool.submit(cell.block) for cell in cells if cell.way == "blocking"]
        deadline = time.monotonic() + PATIENCE
        while not all(cell.requests() for cell in cells):
            assert time.monotonic() < deadline, "not every request arrived"
            time.sleep(0.01)
        first.kill()
        with Simulator(port=first.port) as second:
            for call in calls:
                call.result()
            for cell in cells:
                assert cell.server is not None
                assert second.stats(cell.server.scope)["answered"] >= 1, cell.key
                cell.server = None
    return {cell.key: cell.outcome() for cell in cells}


# --- the page --------------------------------------------------------------------------------------------

PREFACE = f"""\
# Fault matrix

What a call comes to when something between it and the model goes wrong. The tables are written by
`tests/python/test_fault_matrix.py`, which provokes every fault over real sockets, in a server that is a
process of its own, and fails when a cell is not what stands here.
`GRAPHBIT_WRITE_FAULT_MATRIX=1` has it write this page anew.

- A cell is how the call ended and how many requests were made for it: `answer, 2` is an answer after
  one failure. In code type stands the [`kind`](errors.md) of the exception raised. Every cell was run
  blocking and async, with the same end.
- `complete_many` and `embed_array` were given three inputs, of which the second met the fault; the cell is
  about that one. The other two were answered, in their places, in every cell (but for the rows in which
  nobody can be reached at all). `complete_many(on_error="return")` has the exception in the list,
  `embed_array(on_error="nan")` a row of `NaN`.
- The clients had the default retries, a `timeout` of {TIMEOUT:.0f} s and a `deadline` of {DEADLINE:.0f} s, within which
  every cell ended. A chat request that was sent and not answered in time is not sent again: the model
  may be at work on it, and would be paid twice.
- A stream is tried again until its answer begins. What came before a later fault was handed out and is
  the beginning of the whole.
- A `Retry-After` within reason is waited for; one longer than the call may take ends it at once.
"""


def page(outcomes: dict[Key, Outcome]) -> str:
    """The page of documentation, from the blocking cells."""
    parts = [PREFACE]
    for situation, title in zip(SITUATIONS, ("The fault stays", "Once, then well"), strict=True):
        head = ["fault", *(f"`{operation}`" for operation in BLOCKING)]
        lines = [head, ["---"] * len(head)]
        for fault in (*FAULTS, RESTART):
            ends = [outcomes.get((fault.title, situation, name, "blocking")) for name in BLOCKING]
            if any(ends):
                lines.append([fault.title, *map(str, ends)])
        table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
        parts.append(f"## {title}\n\n{table}")
    return "\n".join(parts)
