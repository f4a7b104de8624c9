"""A receiver of webhooks: `python -m lab.webhook_receiver ADDRESS PORT FILE` appends each message to FILE, a line each."""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def main() -> None:
    """Take what comes until killed."""
    address, port, file = sys.argv[1:]

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with Path(file).open("ab") as lines:
                lines.write(self.client_address[0].encode() + b" " + body + b"\n")
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    ThreadingHTTPServer((address, int(port)), Receiver).serve_forever()


if __name__ == "__main__":
    main()
