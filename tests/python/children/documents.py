"""A web server with documents, run in a process of its own. Prints its port; ends with its input.

``/seen`` lists the requests so far and the bytes that each was sent before it hung up.
"""

import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

PIECE = b"x" * 65536
SEEN = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        seen = {"path": self.path, "sent": 0, **{k.lower(): v for k, v in self.headers.items()}}
        if url.path != "/seen":
            SEEN.append(seen)
        if url.path == "/seen":
            self.answer(200, json.dumps(SEEN).encode())
        elif url.path.startswith("/file/"):
            body = bytes.fromhex(query["hex"])
            self.answer(200, body, Content_Type=query.get("type", "text/plain"))
        elif url.path.startswith("/status/"):
            self.answer(int(url.path.rpartition("/")[2]), b"sorry")
        elif url.path == "/to":
            self.answer(int(query.get("status", "302")), Location=unquote(query["url"]))
        elif url.path.startswith("/hops/"):
            left = int(url.path.rpartition("/")[2])
            if left:
                self.answer(301, Location=f"/hops/{left - 1}")
            else:
                self.answer(200, b"arrived")
        elif url.path == "/endless":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            try:
                while seen["sent"] < 1 << 28:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(PIECE), PIECE))
                    seen["sent"] += len(PIECE)
            except OSError:
                self.close_connection = True
        elif url.path == "/announced":
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.close_connection = True
        elif url.path == "/broken":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"half of it")
            self.close_connection = True
        elif url.path.startswith("/late/"):
            time.sleep(1)
            self.answer(200, url.path.encode())
        elif url.path == "/silent":
            time.sleep(60)
        else:
            self.answer(204)


def main():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()
    os._exit(0)


main()
