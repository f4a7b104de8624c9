"""A copy of a database that takes rows by the million and then its place, or is thrown away."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Self

from lucidnode.fs.errors import ReplicaError
from lucidnode.fs.replica.sqlite.connection import connected
from lucidnode.fs.replica.sqlite.database import Database
from lucidnode.fs.replica.sqlite.error_mapping import mapped_errors
from lucidnode.node.client.durable import sync_directory

FILLED_SUFFIX = "-filled"
"""Behind the name of the original: what a process that was killed has left goes with the next copy."""


class FilledCopy(Database):
    """A database that is written once, not first into a log: no change is recorded, or can be undone.

    One thread at a time. What a row of it may say is for others to look at: SQLite's own checks of ranges
    are off. Raises as `Database`.
    """

    @classmethod
    def of(cls, original: Database) -> Self:
        """Return one beside *original*. `discard` it in the end."""
        (path,) = (file.with_name(file.name + FILLED_SUFFIX) for file in original.files[:1])
        with mapped_errors():
            _remove(path)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            copy = cls(*original.copy_at(path))
        except BaseException:
            _remove(path)
            raise
        try:
            copy._begin()
        except BaseException:
            copy.discard()
            raise
        return copy

    def _begin(self) -> None:
        with mapped_errors(self._connection):
            self._connection.preupdate_hook(None)
            for pragma, value in (
                ("journal_mode", "off"),
                ("synchronous", "off"),
                ("ignore_check_constraints", True),
            ):
                self._connection.pragma(pragma, value)
        self.rows("BEGIN")

    def settle(self) -> None:
        """Commit; from now on it is read, by `reader` as well."""
        self.rows("COMMIT")
        with mapped_errors(self._connection):
            self._connection.pragma("journal_mode", "wal")

    def reader(self) -> Database:
        """Return it once more, for another thread. `close` it."""
        path, *_ = self.files
        return Database(path, self._key, connected(path, self._key), os.dup(self._lock))

    def take_the_place_of(self, original: Database) -> None:
        """Be what is opened next where *original* was, which is closed but for its lock.

        Whatever is raised, one of them is there whole.
        """
        self.close_files()
        original.close_files()
        new, old = self.files[0], original.files[0]
        with mapped_errors():
            for log in (self.log_path, original.log_path):
                if log.exists() and log.stat().st_size:
                    raise ReplicaError(f"{log} could not be emptied: free some disk space")
            _remove_logs(new)
            _remove_logs(old)
            _sync(new)
            new.replace(old)
            sync_directory(old.parent)

    def discard(self) -> None:
        """Close it, and remove what is there under its name."""
        self.close()
        _remove(self.files[0])


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        _remove_logs(path)
        path.unlink(missing_ok=True)


def _remove_logs(path: Path) -> None:
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
