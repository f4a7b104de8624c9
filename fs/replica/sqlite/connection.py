"""Connections to a replica's file: encrypted, and one process at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import apsw

from lucidnode.fs.errors import ReplicaBusy
from lucidnode.fs.replica.sqlite.error_mapping import mapped

_PAGE_BYTES = 2048
"""A create dirties five pages wherever they lie: at 4096 its commit took half again."""

CHECKPOINT_PAGES = 8192
"""Log pages (16 MiB) after which a checkpoint is worth its two fsyncs."""

_MAX_LOG_BYTES = CHECKPOINT_PAGES * _PAGE_BYTES
"""What is left of the log's file when it starts over."""

_CACHE_KIB = 32 * 1024

_STATEMENTS = 512
"""Prepared statements that are kept: more than there are. With APSW's 100 every tenth was parsed again."""

_BUSY_TIMEOUT_MS = 60_000
"""No other process has the file, so who waits is waiting for our own checkpoint, and for the disk:
an error instead would be one of a program that did nothing wrong."""


def connected(path: Path, key: bytes, *, reads_only: bool = False) -> apsw.Connection:
    """Return a connection to the file at *path*, which is there, under the 32-byte *key*.

    One that *reads_only* is for a process beside that which has the file: it leaves the log alone, also
    as it is closed, whatever lies under that name by then. Raises NoSpace or a ReplicaError.
    """
    flags = apsw.SQLITE_OPEN_READONLY if reads_only else apsw.SQLITE_OPEN_READWRITE
    try:
        connection = apsw.Connection(str(path), flags=flags, statementcachesize=_STATEMENTS)
    except apsw.Error as error:
        raise mapped(error, None) from error
    try:
        connection.pragma("cipher", "aegis")
        connection.pragma("key", f"raw:{key.hex()}")
        if reads_only:
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            connection.set_busy_timeout(_BUSY_TIMEOUT_MS)
            return connection
        connection.pragma("page_size", _PAGE_BYTES)
        connection.pragma("temp_store", "memory")
        # Commits survive a crash of the process at once, and a power cut after `Barrier.wait`.
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", "normal")
        connection.pragma("journal_size_limit", _MAX_LOG_BYTES)
        connection.pragma("cache_size", -_CACHE_KIB)
        connection.pragma("cell_size_check", True)
        # Zeroing what is deleted protects plain files; here it only wrote more pages.
        connection.pragma("secure_delete", False)
        connection.set_busy_timeout(_BUSY_TIMEOUT_MS)
    except apsw.Error as error:
        failure = mapped(error, connection)
        connection.close()
        raise failure from error
    return connection


def is_in_use(replica: Path) -> bool:
    """Tell whether a process has the *replica* open."""
    try:
        os.close(locked(replica.with_name(f"{replica.name}-lock")))
    except ReplicaBusy:
        return True
    return False


def locked(path: Path) -> int:
    """Return a descriptor that holds the lock at *path*; raises ReplicaBusy, or OSError."""
    # A file of its own: closing any descriptor of the database itself would drop SQLite's locks.
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise ReplicaBusy(f"another process has {path} open") from error
    return lock
