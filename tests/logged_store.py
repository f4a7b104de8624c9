"""A relay before a store on loopback that keeps a log of it: each request, and how much was answered."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import urlsplit

_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}


class Logged(NamedTuple):
    """One request; *sent* are bytes of the answer's body."""

    method: str
    path: str
    status: int
    sent: int


class StoreLog:
    """The log, and where the store is reached so that it is kept."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.lines: list[Logged] = []

    def downloaded(self) -> int:
        """Return the bytes of blocks that went out."""
        return sum(
            line.sent
            for line in self.lines
            if line.method == "GET" and line.status in {200, 206} and "/block/" in line.path
        )

    def gets(self) -> int:
        """Return how often a block was asked for."""
        return sum(line.method == "GET" and "/block/" in line.path for line in self.lines)


@contextlib.contextmanager
def logged(upstream: str) -> Iterator[StoreLog]:
    """Relay to *upstream*, as it is asked and as it answers, and log."""
    there = urlsplit(upstream).netloc
    lines: list[Logged] = []

    class Relay(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            with contextlib.suppress(ConnectionError):
                super().handle_one_request()

        def _relay(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            connection = http.client.HTTPConnection(there, timeout=30)
            connection.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _HOP:
                    self.send_header(name, value)
            length = answer.headers["Content-Length"] if self.command == "HEAD" else len(content)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            lines.append(Logged(self.command, self.path, answer.status, len(content)))
            self.wfile.write(content)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _relay  # noqa: N815  # http.server's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its signature
            """Say nothing on standard error."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Relay)
    server.daemon_threads = True
    log = StoreLog(f"http://127.0.0.1:{server.server_address[1]}")
    log.lines = lines
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    try:
        yield log
    finally:
        server.shutdown()
        server.server_close()
        serving.join()
