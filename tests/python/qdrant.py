"""A server of Qdrant's interface for a run of tests; see `children/qdrant_server.py`.

No package brings Qdrant's server, but one its engine: `qdrant-edge-py` is the shard of the server as a library, with its
filters, its payload indexes, its scores in single precision and its rarity of words, so that the rules of every store
are asked of these. The in-process mode of `qdrant-client` is an imitation in Python: a vector's cosine with itself comes out
above 1 there, and it lists points in order of a payload that nobody has indexed, which a server refuses.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

SERVER = Path(__file__).parent / "children" / "qdrant_server.py"


class Qdrant:
    """The running server: its ``url``, and what it is told to do."""

    def __init__(self) -> None:
        command = [sys.executable, "-W", "ignore", str(SERVER)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def close(self) -> None:
        self._process.communicate(timeout=30)

    def _tell(self, what: str, collection: str, given: Any = None) -> Any:
        body = json.dumps(given).encode()
        request = urllib.request.Request(f"{self.url}/_{what}/{collection}", body)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def fail(self, collection: str, *faults: dict[str, Any]) -> None:
        """Faults to come, in place of those that were to.

        Each has ``call`` (such as ``"PUT points"``; default any), ``skip`` and ``times``, and what happens:
        ``status`` with ``headers`` and ``body``, ``cut`` (after having done it, with ``done``), ``seconds`` of delay.
        """
        self._tell("faults", collection, faults)

    def lock(self, collection: str, key: str) -> None:
        """From now on the key must be shown."""
        self._tell("key", collection, key)

    def log(self, collection: str) -> list[dict[str, Any]]:
        """What was asked since the last time: ``call``, ``bytes`` of the body and ``query``."""
        log: list[dict[str, Any]] = self._tell("log", collection)
        return log

    def drop(self, collection: str) -> None:
        """Removes the collection, if there is one."""
        self._tell("drop", collection)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """What the server says to somebody else."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)["result"]
