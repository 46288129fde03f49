"""Answers for every provider's real address from the simulator: a proxy that ends TLS itself.

GraphBit 0.6.8 takes no base URL for most providers, but it honours ``HTTPS_PROXY`` and ``SSL_CERT_FILE``. So
the same program, with the same environment, reaches the same simulator in both packages, and nobody else::

    with Interceptor(simulator, folder) as interceptor:
        environment = interceptor.environment("my-scope")     # the scope travels as the proxy's user
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import socket
import ssl
from pathlib import Path

import trustme
from far_side import Listener, read_body, read_head
from simulator import Simulator

# Where the providers are that have an address of their own.
HOSTS = [
    "api.openai.com",
    "api.anthropic.com",
    "api.deepseek.com",
    "api.perplexity.ai",
    "openrouter.ai",
    "api.fireworks.ai",
    "api.ai21.com",
    "api.replicate.com",
    "api.together.ai",
    "api.x.ai",
    "api.mistral.ai",
    "generativelanguage.googleapis.com",
    "ark.ap-southeast.bytepluses.com",
]


class Interceptor(Listener):
    """Forwards each request to the simulator scope that the proxy's user names."""

    def __init__(self, simulator: Simulator, folder: Path) -> None:
        authority = trustme.CA()
        self.certificate = folder / "authority.pem"
        authority.cert_pem.write_to_path(str(self.certificate))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*HOSTS).configure_cert(self._context)
        host, _, port = simulator.address.rpartition(":")
        self._simulator = (host, int(port))
        super().__init__(self._speak)

    def environment(self, scope: str = "none") -> dict[str, str]:
        """Variables of a process whose provider calls end up in ``scope``."""
        proxy = f"http://{scope}:x@127.0.0.1:{self.port}"
        kept = {
            name: text
            for name, text in os.environ.items()
            # PYTHONPATH may lead to our own package, and a key of the developer's must not be used.
            if name != "PYTHONPATH" and "proxy" not in name.lower() and not name.endswith("_KEY")
        }
        certificates = {"SSL_CERT_FILE": str(self.certificate), "SSL_CERT_DIR": ""}
        proxies = {"HTTPS_PROXY": proxy, "HTTP_PROXY": proxy, "NO_PROXY": "127.0.0.1"}
        return kept | certificates | proxies | {"RUST_BACKTRACE": "0"}

    def _speak(self, client: socket.socket) -> None:
        head = read_head(client)
        found = re.search(r"(?im)^proxy-authorization: basic (\S+)", head)
        user = base64.b64decode(found[1]).decode() if found else "none:"
        scope = user.partition(":")[0]
        if head.startswith("CONNECT "):
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with self._context.wrap_socket(client, server_side=True) as connection:
                self._forward(connection, read_head(connection), scope)
                # Says goodbye, as a body without a length ends with it.
                with contextlib.suppress(OSError):
                    connection.unwrap()
        else:
            self._forward(client, head, scope)

    def _forward(self, client: socket.socket, head: str, scope: str) -> None:
        body = read_body(client, head)
        line, *headers = head.rstrip("\r\n").split("\r\n")
        method, target, version = line.split(" ")
        path = re.sub(r"^https?://[^/]*", "", target)
        kept = [one for one in headers if not re.match(r"(?i)(proxy-|connection:)", one)]
        # One request a connection: the end of the answer is then the end of the connection.
        lines = [f"{method} /s/{scope}{path} {version}", *kept, "connection: close", "", ""]
        with socket.create_connection(self._simulator) as server:
            server.sendall("\r\n".join(lines).encode("latin-1") + body)
            while data := server.recv(65536):
                client.sendall(data)
