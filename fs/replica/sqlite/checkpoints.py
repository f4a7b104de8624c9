"""Moves the write-ahead log into the database file, beside the work that goes on."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import apsw

from lucidnode.fs.errors import FsError
from lucidnode.fs.replica.sqlite.connection import CHECKPOINT_PAGES, connected

_BLOCKING_PAGES = 4 * CHECKPOINT_PAGES
"""Log pages after which a commit checkpoints by itself: writes outran the background for long. It
takes about half a second then."""

_PATIENCE_S = 0.2
"""Seconds that `hold` waits at most: usually that is enough for a checkpoint's fsyncs."""


class Checkpoints:
    """The checkpoints of the database at *path*, under the 32-byte *key*."""

    def __init__(self, path: Path, key: bytes) -> None:
        self._path = path
        self._key = key
        self._connection: apsw.Connection | None = None
        self._running = threading.Lock()
        self._held = False

    def hold(self) -> bool:
        """Begin no checkpoint until `let_go`; False if one has been under way for too long.

        Whoever reads an older state beside us would be waited for by one, and all writers with it.
        """
        if not self._running.acquire(timeout=_PATIENCE_S):
            return False
        self._held = True
        self._running.release()
        return True

    def let_go(self) -> None:
        """Have checkpoints go on with the next commit."""
        self._held = False

    def committed(self, connection: apsw.Connection, pages: int) -> None:
        """Hear of a commit on *connection*, behind which the log has as many *pages*."""
        if self._held:
            return
        if pages >= CHECKPOINT_PAGES:
            self._checkpoint_beside()
        if pages >= _BLOCKING_PAGES:
            # An error here must not look like a failed commit; a full disk fails the next write.
            with self._running, contextlib.suppress(apsw.Error):
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    def close(self, connection: apsw.Connection) -> None:
        """Close *connection* and our own, after a checkpoint that is under way."""
        with self._running:
            if self._connection is not None:
                self._connection.close()
            connection.close()

    def _checkpoint_beside(self) -> None:
        """Move the log into the database file, in a thread of its own, while work goes on here.

        Best effort: if it fails, the log stays long and nothing is lost.
        """
        if not self._running.acquire(blocking=False):
            return
        threading.Thread(target=self._checkpoint, name="checkpoint", daemon=True).start()

    def _checkpoint(self) -> None:
        try:
            with contextlib.suppress(apsw.Error, FsError):
                if self._connection is None:
                    self._connection = connected(self._path, self._key)
                self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
                # What was written meanwhile keeps the log from starting over, so under load it
                # would never. That little is moved while writers wait, for two short fsyncs.
                self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
        finally:
            self._running.release()
