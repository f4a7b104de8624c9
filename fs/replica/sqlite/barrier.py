"""One fsync for everybody who waits: makes what was committed before it survive a power cut."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

from lucidnode.fs.errors import ReplicaError


class Barrier:
    """Waits for fdatasync of the log at *path*."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._turn = asyncio.Lock()
        self._syncing = threading.Lock()
        self._started = 0
        self._finished = 0
        self._broken = False

    async def wait(self) -> None:
        """Return once everything written before this call is on the disk.

        Raises ReplicaError if the disk refuses, and ever after: what a failed fsync leaves behind
        is unknown, and the kernel reports it only once.
        """
        # A sync that is under way may have missed our bytes; the one after it has them.
        wanted = self._started + 1
        async with self._turn:
            if self._finished >= wanted:
                return
            if self._broken:
                raise ReplicaError("the disk that holds the replica failed to sync before")
            self._started += 1
            this = self._started
            await asyncio.to_thread(self._sync)
            self._finished = this

    def close(self) -> None:
        """Close the log, after a sync whose waiter was cancelled has ended."""
        with self._syncing:
            os.close(self._file)

    def _sync(self) -> None:
        with self._syncing:
            try:
                os.fdatasync(self._file)
            except OSError as error:
                self._broken = True
                raise ReplicaError("the disk that holds the replica failed to sync") from error
