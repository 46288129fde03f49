"""No secret of an address, a proxy or a header in anything that can be printed, nor in the log.

``children/key_places.py`` makes every configuration there is with secrets in all places that can hold one, and
fails with it against a server that repeats the request line and the headers it was sent. ``test_key_hunt.py``
is about the ways of failing; this one about the places.
"""

from __future__ import annotations

import base64
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, quote_plus

import pytest

CHILD = Path(__file__).parent / "children" / "key_places.py"
# Each has what URLs, base64 and JSON write differently, and no piece in common with the others.
KEY = "sk-Ab/Cd+Ef=Gh&Ij%20Kl~Mn?Op#QrStUvWx01"
TOKEN = "tk-9z/8y+7x=6w&5v%414u~3t?2s#1r0qPlMkOn"
PASSWORD = "pw-Zx/Wv+Ut=Sr&Qp%42On~Ml?Kj#IhGfEdCb98"
SECRETS = {"key": KEY, "header": TOKEN, "password": PASSWORD}
# Long enough not to be an accident, short enough to find what is left of a cut key.
PIECE = 9


class Echo(http.server.BaseHTTPRequestHandler):
    """Repeats what it was sent, with the status that the first part of the path names."""

    protocol_version = "HTTP/1.1"
    seen: list[str]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        told = "; ".join(f"{name}: {value}" for name, value in self.headers.items())
        self.server.seen.append(told)  # type: ignore[attr-defined]
        told = f"{self.requestline}; {told}"
        mode = self.path.split("/")[1].partition("?")[0]
        body = json.dumps({"error": {"message": told, "type": "x", "code": told}})
        # A key that this client never sent is none of its secrets.
        sent = KEY if KEY in told else "nobody"
        location = {"location": f"http://far.invalid/{sent}?k={quote(sent)}"}
        self._send(int(mode) if mode.isdigit() else 400, body, location if mode == "307" else {})

    do_GET = do_POST  # noqa: N815
    do_CONNECT = do_POST  # noqa: N815

    def _send(self, status: int, body: str, headers: dict[str, str] | None = None) -> None:
        sent = {"content-length": str(len(body.encode())), "retry-after-ms": "1"}
        self.send_response(status)
        for name, value in (sent | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode())
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Echo)
        self.seen: list[str] = []

    def handle_error(self, *_: object) -> None:
        pass  # clients that have gone away


class Hunt(NamedTuple):
    """What one child printed and logged, and what the server was sent meanwhile."""

    printed: str
    logged: str
    seen: list[str]

    def finds(self, secret: str) -> dict[str, list[str]]:
        """Lines with a trace of the secret, by place; those of the log under ``log``."""
        found: dict[str, list[str]] = {}
        for text in (self.printed, self.logged):
            # Most are not there at all, which is quickly seen.
            there = [form for form in forms(secret) if form in text]
            place = "log"
            for line in text.splitlines() if there else []:
                if line.startswith("--- "):
                    place = line.partition(" ")[2].partition(" ")[2].rpartition(": ")[0] or line
                if any(form in line for form in there):
                    found.setdefault(place, []).append(line[:600])
        return found


@pytest.fixture(scope="module")
def hunt() -> Hunt:
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        closed = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:9")
        kept = {name: text for name, text in os.environ.items() if "proxy" not in name.lower()}
        secrets = {"KEY_PLACES": json.dumps([KEY, TOKEN, PASSWORD]), "RUST_LOG": "trace"}
        run = subprocess.run(
            [sys.executable, str(CHILD), f"http://127.0.0.1:{server.server_port}"],
            # Nothing may reach the world, even where an address cannot be replaced.
            env=kept | closed | secrets,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=55,
        )
        server.shutdown()
    assert run.returncode == 0, run.stderr[-4000:]
    return Hunt(run.stdout, run.stderr, server.seen)


@pytest.fixture(scope="module")
def finds(hunt: Hunt) -> dict[str, list[str]]:
    """Everything found, by place."""
    found: dict[str, list[str]] = {}
    for secret in SECRETS.values():
        for place, lines in hunt.finds(secret).items():
            found.setdefault(place, []).extend(lines)
    return found


def forms(secret: str) -> set[str]:
    """Every way in which a secret, or a good part of it, may be written."""
    pieces = {secret[at : at + PIECE] for at in range(len(secret) - PIECE + 1)}
    whole = {quote(secret, safe=""), quote(secret), quote_plus(secret), secret.encode().hex()}
    whole |= {re.sub("%..", lambda found: found[0].lower(), text) for text in set(whole)}
    whole |= {json.dumps(secret)[1:-1], repr(secret)[1:-1], secret.replace("/", r"\/")}
    for before in range(3):
        # What is around it in front and behind changes the first and last characters.
        encoded = base64.b64encode(b"\0" * before + secret.encode()).decode().rstrip("=")
        core = encoded[-(-before * 8 // 6) : -1]
        whole |= {core, core.translate(str.maketrans("+/", "-_"))}
    return pieces | whole


def test_the_forms_are_found() -> None:
    for secret in SECRETS.values():
        for before in ("", "u:", "us:", "Bearer "):
            sent = base64.b64encode(f"{before}{secret}!".encode()).decode()
            assert any(form in sent for form in forms(secret)), before
            assert any(form in f"x?k={quote(before + secret)}" for form in forms(secret))
        for other in SECRETS.values():
            assert other == secret or not any(form in other for form in forms(secret))


def test_the_secrets_went_everywhere(hunt: Hunt) -> None:
    jobs = int(re.search(r"--- (\d+) jobs", hunt.printed)[1])  # type: ignore[index]
    assert jobs > 200 and hunt.printed.count(": after") > jobs // 2
    assert hunt.printed.count(" failed\n") > jobs
    assert "***" in hunt.printed, "what a server repeats is blotted out"
    for secret in (KEY, TOKEN):
        assert sum(secret in one for one in hunt.seen) > jobs // 2, "they were really sent"
    assert hunt.logged.strip()
    labels = re.findall(r"--- (\S+) (.+): .+", hunt.printed)
    assert {place for _, place in labels} == {*PLACES} - {"log"}, "each place has a test"


PLACES = [
    *("log", "refusal", "key with a line break", "header with a line break"),
    *("user in the address", "closed proxy", "unusable proxy", "refusing proxy"),
    *("user at a closed door", "redirect", "unusable header name", "unusable address"),
    "secrets in the address",
]


@pytest.mark.parametrize("place", PLACES)
def test_no_secret_is_in_any_text(place: str, finds: dict[str, list[str]]) -> None:
    assert not finds.get(place), "\n".join(finds[place][:5])
