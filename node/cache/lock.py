"""One daemon for one cache directory."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from lucidnode.node.client.errors import Refused


class DirectoryLock:
    """Holds an existing directory for this process until closed, or until the process dies.

    The lock is on the directory itself, so that no file exists whose deletion would undo it.
    """

    def __init__(self, directory: Path) -> None:
        """Take the lock. Raises Refused if another daemon has it, OSError if it cannot be asked."""
        self._directory = directory
        self._file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._file)
            raise Refused(f"another node daemon uses the cache directory {directory}") from error
        except OSError:
            os.close(self._file)
            raise

    def check(self) -> None:
        """Raise OSError(ESTALE) if the directory was removed or replaced since it was locked."""
        mine = os.fstat(self._file)
        try:
            there = self._directory.stat()
        except FileNotFoundError:
            there = None
        if there is None or (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino):
            raise OSError(errno.ESTALE, "the cache directory was removed", str(self._directory))

    def close(self) -> None:
        """Let the directory go."""
        os.close(self._file)
