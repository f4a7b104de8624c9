"""Asking a node daemon for its facts, over its Unix socket, without the weight of a client."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from pathlib import Path
from typing import Any

from lab.errors import LabError


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("daemon", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def ask(path: Path, topic: str) -> dict[str, Any]:
    """Return the daemon's facts on *topic*: status, peers, savings or cache.

    Raises LabError when no daemon answers at *path*.
    """
    with contextlib.closing(_UnixConnection(path, 30)) as connection:
        try:
            connection.request("GET", f"/v1/{topic}")
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise LabError(f"no daemon answers at {path}: {error}") from error
    if answer.status != 200:
        raise LabError(f"the daemon at {path} answered {answer.status}: {body[:200]!r}")
    facts: dict[str, Any] = json.loads(body)
    return facts
