"""Where the socket of a project is, in an address that is never too long: such a path has 107 bytes."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

_BACKLOG = 128


def listening_at(path: Path) -> socket.socket:
    """Return a socket for this user's programs at *path*. Raises OSError.

    The replica is ours, so a socket that was left here is that of a process that died.
    """
    path.unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX)
    try:
        with directory_of(path) as short:
            before = os.umask(0o177)
            try:
                bound.bind(short)
            finally:
                os.umask(before)
        bound.listen(_BACKLOG)
        bound.setblocking(False)
    except BaseException:
        bound.close()
        raise
    return bound


@contextlib.contextmanager
def directory_of(path: Path) -> Iterator[str]:
    """Give a short name of the socket *path*, by a descriptor of its directory. Raises OSError."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
