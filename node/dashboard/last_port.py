"""The port that the dashboard had when the daemon ran last: bookmarks and cookies name it."""

from __future__ import annotations

import contextlib
from pathlib import Path

from lucidnode.node.client.durable import write_durably

PORT_FILE = "dashboard.port"
"""In the home."""

USUAL_PORT = 8440
"""For a daemon that never ran."""


def last_port(path: Path) -> int:
    """Return the port noted in the file *path*, USUAL_PORT if there is none. Blocking."""
    with contextlib.suppress(OSError, ValueError):
        noted = int(path.read_bytes()[:6])
        if 0 < noted < 65536:
            return noted
    return USUAL_PORT


def note_port(path: Path, port: int) -> None:
    """Note in the file *path* that the dashboard has *port*. Blocking."""
    if last_port(path) != port:
        # A disk that takes no note now costs a bookmark, and no start.
        with contextlib.suppress(OSError):
            write_durably(path, str(port).encode())
