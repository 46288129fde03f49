"""What may stand between a client and a provider: TLS, HTTP/2, proxies. Small servers on threads.

    with trusted_tls() as authority, TlsServer(authority, ["h2"]) as server: ...
    with Proxy() as proxy: ...      # forwards, opens tunnels, and speaks SOCKS 5

Each keeps a list of what it saw in ``seen``. Only what the tests need of a protocol is spoken.
"""

from __future__ import annotations

import json
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from typing import Any

import h2.config
import h2.connection
import h2.events
import trustme

ANSWER = {"id": "1", "choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}]}
BODY = json.dumps(ANSWER).encode()
#: A host that cannot be: resolvers refuse its empty label by themselves, and so need no network, which
#: may lose a question and then answers seconds later.
NO_HOST = "nowhere..invalid"


class Listener:
    """Accepts connections on a free loopback port, each on a thread of its own."""

    def __init__(self, handle: Callable[[socket.socket], None]) -> None:
        self.seen: list[str] = []
        self._handle = handle
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                self._handle(connection)
            except (OSError, EOFError, ssl.SSLError) as error:
                self.seen.append(f"{type(error).__name__}: {error}")


def read_head(connection: socket.socket) -> str:
    """Everything up to the blank line of an HTTP/1.1 message; the rest stays unread."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            raise EOFError(head.decode("latin-1"))
        head += byte
    return head.decode("latin-1")


def read_body(connection: socket.socket, head: str) -> bytes:
    """The body that the head announces."""
    lengths = [line for line in head.lower().splitlines() if line.startswith("content-length:")]
    left = int(lengths[0].partition(":")[2]) if lengths else 0
    body = b""
    while len(body) < left:
        body += connection.recv(left - len(body))
    return body


def answer(connection: socket.socket) -> None:
    """One whole reply in the shape of chat completions."""
    head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(BODY)}\r\n\r\n"
    connection.sendall(head.encode() + BODY)


class TlsServer(Listener):
    """A provider behind TLS, with a certificate of ``authority`` for localhost."""

    def __init__(self, authority: trustme.CA, protocols: list[str]) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(self._context)
        self._context.set_alpn_protocols(protocols)
        super().__init__(self._speak)
        self.url = f"https://localhost:{self.port}/v1"

    def _speak(self, plain: socket.socket) -> None:
        with self._context.wrap_socket(plain, server_side=True) as connection:
            protocol = connection.selected_alpn_protocol() or "none"
            if protocol == "h2":
                self._http2(connection)
                return
            while True:
                head = read_head(connection)
                read_body(connection, head)
                self.seen.append(f"{protocol} {head}")
                answer(connection)

    def _http2(self, connection: ssl.SSLSocket) -> None:
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        state = h2.connection.H2Connection(config)
        state.initiate_connection()
        connection.sendall(state.data_to_send())
        while data := connection.recv(65536):
            for event in state.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    pairs = dict(event.headers or [])
                    self.seen.append(f"h2 {pairs[':method']} {pairs[':path']}")
                elif isinstance(event, h2.events.StreamEnded):
                    stream = event.stream_id
                    state.send_headers(stream, [(":status", "200")])
                    state.send_data(stream, BODY, end_stream=True)
            connection.sendall(state.data_to_send())


class Proxy(Listener):
    """Forwards plain requests, opens tunnels on CONNECT, and speaks SOCKS 5 with or without a user."""

    def __init__(self) -> None:
        super().__init__(self._speak)
        self.url = f"http://user:secret-word@127.0.0.1:{self.port}"
        self.socks_url = f"socks5h://user:secret-word@127.0.0.1:{self.port}"

    def _speak(self, client: socket.socket) -> None:
        if client.recv(1, socket.MSG_PEEK) == b"\x05":
            self._socks(client)
            return
        head = read_head(client)
        self.seen.append(head)
        method, target, _ = head.split("\r\n", 1)[0].split(" ")
        if method == "CONNECT":
            host, _, port = target.rpartition(":")
            with socket.create_connection((host, int(port))) as server:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                relay(client, server)
        else:
            read_body(client, head)
            answer(client)

    def _socks(self, client: socket.socket) -> None:
        _, methods = client.recv(2)
        offered = client.recv(methods)
        with_password = 2 in offered
        client.sendall(b"\x05\x02" if with_password else b"\x05\x00")
        if with_password:
            _, length = client.recv(2)
            user = client.recv(length)
            password = client.recv(client.recv(1)[0])
            self.seen.append(f"socks {user.decode()}:{password.decode()}")
            client.sendall(b"\x01\x00")
        _, _, _, kind = client.recv(4)
        if kind == 3:
            host = client.recv(client.recv(1)[0]).decode()
        else:
            host = socket.inet_ntoa(client.recv(4))
        (port,) = struct.unpack("!H", client.recv(2))
        self.seen.append(f"socks to {host}")
        with socket.create_connection((host, port)) as server:
            client.sendall(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
            relay(client, server)


def relay(one: socket.socket, other: socket.socket) -> None:
    """Carries bytes both ways until one side is done."""
    while True:
        for ready in select.select([one, other], [], [])[0]:
            data = ready.recv(65536)
            if not data:
                return
            (other if ready is one else one).sendall(data)
