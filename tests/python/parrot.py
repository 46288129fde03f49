"""A model whose answers are a function of the request: what the simulator cannot say is what it has just read.

It speaks chat completions, plain and streamed, in a thread of the test's own process.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from typing_extensions import Self

# Text, or a dict of `content`, `tool_calls` (id, name, arguments), `pieces` of the stream, `status`.
Answer = str | dict[str, Any]


class Parrot:
    """``answer`` gets the body of a request and the number of those before it."""

    def __init__(self, answer: Callable[[Any, int], Answer]) -> None:
        self.bodies: list[str] = []
        self._answer = answer
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"parrot": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Where it answers, for an OpenAI-style client."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def messages(self, request: int = -1) -> list[Any]:
        """The messages of one of the requests."""
        messages: list[Any] = json.loads(self.bodies[request])["messages"]
        return messages

    def reply(self, text: str) -> tuple[bool, dict[str, Any]]:
        """Whether the answer to a body is to be streamed, and the answer."""
        body = json.loads(text)
        with self._lock:
            number = len(self.bodies)
            self.bodies.append(text)
        answer = self._answer(body, number)
        return body.get("stream", False), {"content": answer} if isinstance(answer, str) else answer


class _Handler(BaseHTTPRequestHandler):
    parrot: Parrot
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        length = int(self.headers["content-length"])
        streamed, answer = self.parrot.reply(self.rfile.read(length).decode())
        calls = [
            {
                "id": call_id,
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(given)},
            }
            for call_id, name, given in answer.get("tool_calls", [])
        ]
        reason = "tool_calls" if calls else "stop"
        content = answer.get("content", "")
        if streamed and "status" not in answer:
            deltas: list[dict[str, Any]] = [
                {"content": piece} for piece in answer.get("pieces", [content])
            ]
            deltas += [{"tool_calls": [{"index": at, **call}]} for at, call in enumerate(calls)]
            chunks: list[dict[str, Any]] = [{"delta": delta} for delta in deltas]
            chunks.append({"delta": {}, "finish_reason": reason})
            frames = [json.dumps({"id": "r", "choices": [chunk]}) for chunk in chunks]
            text = "".join(f"data: {frame}\n\n" for frame in [*frames, "[DONE]"])
            self.send(200, "text/event-stream", text)
            return
        message = {"role": "assistant", "content": content, "tool_calls": calls or None}
        choice = {"index": 0, "message": message, "finish_reason": reason}
        self.send(
            answer.get("status", 200),
            "application/json",
            json.dumps({"id": "r", "choices": [choice]} | answer.get("body", {})),
        )

    def send(self, status: int, kind: str, text: str) -> None:
        raw = text.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)
