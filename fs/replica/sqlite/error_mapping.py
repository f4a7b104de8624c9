"""What SQLite raises, as errors of our own."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import apsw

from lucidnode.fs.errors import (
    FsError,
    NoSpace,
    ReplicaBusy,
    ReplicaCorrupt,
    ReplicaError,
    ReplicaKeyWrong,
)

_FULL = {errno.ENOSPC, errno.EDQUOT}
_IS_FULL = "the disk that holds the replica is full"


@contextlib.contextmanager
def mapped_errors(connection: apsw.Connection | None = None) -> Iterator[None]:
    """Raise the errors of SQLite within as `mapped` has them, and those of a full disk as NoSpace."""
    try:
        yield
    except apsw.Error as error:
        raise mapped(error, connection) from error
    except OSError as error:
        if error.errno in _FULL:
            raise NoSpace(_IS_FULL) from error
        raise


def mapped(error: apsw.Error, connection: apsw.Connection | None) -> FsError:
    """Return *error*, met on *connection*, as NoSpace or a ReplicaError."""
    match error:
        case apsw.FullError():
            return NoSpace(_IS_FULL)
        case apsw.IOError() | apsw.CantOpenError() if _says_full(error, connection):
            return NoSpace(_IS_FULL)
        case apsw.NotADBError():
            return ReplicaKeyWrong("the key does not open the replica")
        case apsw.CorruptError():
            # SQLite says so of what a disk does not give, too.
            return ReplicaCorrupt(f"the replica is damaged, or its disk cannot be read: {error}")
        case apsw.BusyError() | apsw.LockedError():
            return ReplicaBusy(f"the replica is in use: {error}")
        case _:
            return ReplicaError(f"the replica failed: {error}")


def _says_full(error: apsw.Error, connection: apsw.Connection | None) -> bool:
    """Tell whether an I/O error is a full disk by another name.

    SQLite calls a write without room FULL, but not the index of its log that cannot grow, a file
    that cannot be made for want of an inode, or a quota that is used up.
    """
    if getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE:
        return True
    if connection is None:
        return False
    if isinstance(error, apsw.CantOpenError):
        # It tries once more, to read only; so the error of the system is another one by now.
        disk = os.statvfs(Path(connection.filename).parent)
        return disk.f_bavail == 0 or (disk.f_files > 0 and disk.f_favail == 0)
    return connection.system_errno in _FULL
