"""Starts the provider simulator and talks to its control routes.

One process serves a whole test run. Every test works in a *scope* of its own, a path prefix
``/s/<name>`` with its own behaviour, request log and counters, so tests may run in parallel.
Only the standard library is used: a benchmark peer's virtual environment can import this file too.

    with Simulator() as simulator:
        simulator.behaviour("mine", latency_ms=50)
        base_url = simulator.url("mine") + "/v1"      # hand this to a client
        ...
        assert simulator.log("mine")[0]["path"] == "/v1/chat/completions"
"""

from __future__ import annotations

import json
import math
import os
import struct
import subprocess
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BINARY = "graphbit-simulator" + (".exe" if os.name == "nt" else "")
BUILD = "cargo build --profile quick --package graphbit-simulator"


def find_binary() -> Path:
    """The simulator to run: ``GRAPHBIT_SIMULATOR``, else the newest build of this repository."""
    named = os.environ.get("GRAPHBIT_SIMULATOR")
    if named:
        if Path(named).is_file():
            return Path(named)
        raise FileNotFoundError(f"GRAPHBIT_SIMULATOR names no file: {named}")
    targets = [ROOT / "target"]
    if os.environ.get("CARGO_TARGET_DIR"):
        targets.append(Path(os.environ["CARGO_TARGET_DIR"]))
    profiles = ("release", "quick", "debug")
    found = [target / profile / BINARY for target in targets for profile in profiles]
    found = [path for path in found if path.is_file()]
    if not found:
        places = ", ".join(str(target) for target in targets)
        raise FileNotFoundError(f"no {BINARY} below {places}; build it with: {BUILD}")
    return max(found, key=lambda path: path.stat().st_mtime)


class Simulator:
    """A running simulator process; ends with :meth:`close`, or with this Python process.

    Parameters are the command-line flags: ``threads`` of the server, ``log`` (keep requests),
    ``dimensions`` of the embeddings where a request does not choose, ``latency_ms`` of scopes that
    set none, ``port`` (0 for a free one; that of a server that was killed, to come back in its place).
    """

    def __init__(
        self,
        *,
        threads: int = 1,
        log: bool = True,
        dimensions: int = 1536,
        latency_ms: float = 0,
        port: int = 0,
    ) -> None:
        command = [str(find_binary()), "--port", str(port), "--threads", str(threads)]
        command += ["--log", "on" if log else "off", "--dimensions", str(dimensions)]
        command += ["--latency-ms", str(latency_ms)]
        # The server watches its standard input: when we die, however we die, it ends too.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line.startswith("listening on "):
            self.close()
            raise RuntimeError(f"the simulator did not start; it said: {line!r}")
        self.address = line.removeprefix("listening on ")
        self._names = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Simulator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Process id, for reading its CPU time."""
        return self._process.pid

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.address.rpartition(":")[2])

    def kill(self) -> None:
        """Ends the server as a crash does: nothing is answered, its connections are cut."""
        self._process.kill()
        self.close()

    def close(self) -> None:
        """Stops the server and waits for its end."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def new_scope(self, hint: str = "scope") -> str:
        """A scope name nobody else has."""
        with self._lock:
            self._names += 1
            letters = "".join(c if c.isascii() and c.isalnum() else "-" for c in hint)
            return f"{letters}-{self._names}"

    def url(self, scope: str = "") -> str:
        """Base address of a scope, without a trailing slash; ``""`` is the root scope."""
        return f"http://{self.address}" + (f"/s/{scope}" if scope else "")

    def behaviour(self, scope: str = "", **settings: Any) -> None:
        """Replaces a scope's behaviour. The settings are listed in the server's ``behaviour.rs``."""
        self._call(scope, "POST", "behaviour", settings)

    def reset(self, scope: str = "") -> None:
        """Back to plain behaviour, an empty log and zero counters."""
        self._call(scope, "POST", "reset", {})

    def forget(self, scope: str) -> None:
        """Drops a scope for good, so that a long test run does not pile them up."""
        self._call(scope, "POST", "forget", {})

    def log(self, scope: str = "") -> list[dict[str, Any]]:
        """The scope's last requests, oldest first, unfinished ones included.

        Each is ``{method, path, headers, body, body_bytes, started, finished, status,
        connection_id, disconnected}``; times in Unix seconds, ``finished`` is ``None`` while the
        answer is on its way.
        """
        return self._call(scope, "GET", "log")

    def stats(self, scope: str = "") -> dict[str, Any]:
        """``{requests, connections_open, connections_total, disconnects, in_flight, max_in_flight,
        answered, refused, failed, mean_service_ms}`` of a scope.

        A request ends ``answered``, ``refused`` (429), ``failed`` (any other way the server chose) or as
        one of the ``disconnects``.
        """
        return self._call(scope, "GET", "stats")

    def _call(self, scope: str, method: str, verb: str, payload: Any = None) -> Any:
        request = urllib.request.Request(
            f"{self.url(scope)}/control/{verb}",
            data=None if payload is None else json.dumps(payload).encode(),
            headers={"content-type": "application/json"},
            method=method,
        )
        # A proxy set in the environment must not come between a test and its own server.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as reply:
                text = reply.read()
        except urllib.error.HTTPError as error:
            raise ValueError(f"simulator refused {verb}: {error.read().decode()}") from None
        return json.loads(text) if text else None


class Server:
    """One scope of a :class:`Simulator`, which is what a test works with."""

    def __init__(self, simulator: Simulator, scope: str) -> None:
        self.simulator = simulator
        self.scope = scope

    @property
    def base_url(self) -> str:
        """Scope address: an Azure endpoint or an Ollama host."""
        return self.simulator.url(self.scope)

    @property
    def openai_url(self) -> str:
        """Base URL for an OpenAI-style client."""
        return self.base_url + "/v1"

    def behaviour(self, **settings: Any) -> None:
        """See :meth:`Simulator.behaviour`."""
        self.simulator.behaviour(self.scope, **settings)

    def reset(self) -> None:
        """See :meth:`Simulator.reset`."""
        self.simulator.reset(self.scope)

    def log(self) -> list[dict[str, Any]]:
        """See :meth:`Simulator.log`."""
        return self.simulator.log(self.scope)

    def stats(self) -> dict[str, Any]:
        """See :meth:`Simulator.stats`."""
        return self.simulator.stats(self.scope)


def expected_embedding(text: str, dimensions: int = 1536) -> list[float]:
    """The vector the simulator answers for ``text``: 32-bit values, widened.

    FNV-1a (64 bit) of the UTF-8 bytes seeds a SplitMix64 stream; the top 24 bits of each output
    become a value in [-1, 1); the vector is divided by its length and rounded to 32 bits.
    """
    mask = (1 << 64) - 1
    state = 0xCBF29CE484222325
    for byte in text.encode():
        state = ((state ^ byte) * 0x100000001B3) & mask
    values = []
    for _ in range(dimensions):
        state = (state + 0x9E3779B97F4A7C15) & mask
        mixed = state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & mask
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & mask
        mixed ^= mixed >> 31
        values.append((mixed >> 40) / (1 << 23) - 1.0)
    squares = 0.0
    for value in values:
        squares += value * value
    length = math.sqrt(squares)
    return [struct.unpack("f", struct.pack("f", value / length))[0] for value in values]
