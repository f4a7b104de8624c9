"""The socket file on which a daemon listens, for as long as it lives: also between two servings."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import Self

_BACKLOG = 128


class DaemonSocket:
    """Listens at *path* from the first `listening` on, until `close`.

    Between two servings nobody accepts, and who calls waits in the kernel's queue.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bound: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def listening(self) -> socket.socket:
        """Return the listening socket, for the caller to close. Blocking, a moment. Raises OSError."""
        if self._bound is None:
            with contextlib.suppress(FileNotFoundError):
                # The lock on the home directory is ours, so a socket left here is a dead daemon's.
                self._path.unlink()
            bound = socket.socket(socket.AF_UNIX)
            try:
                bound.bind(str(self._path))
                self._path.chmod(0o600)
                bound.listen(_BACKLOG)
                bound.setblocking(False)
            except BaseException:
                bound.close()
                raise
            self._bound = bound
        return self._bound.dup()

    def close(self) -> None:
        """Listen no more; the file is gone."""
        if self._bound is not None:
            self._bound.close()
            self._bound = None
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()
