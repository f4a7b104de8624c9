"""What a person orders of a file's lock, by the extended attributes that the mount answers."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from lucidnode.fs.errors import (
    FsError,
    HeldElsewhere,
    Invalid,
    LeaseUndecided,
    ReadOnly,
    Unsupported,
)
from lucidnode.fs.files.opening import HOLDER_XATTR, LOCK_XATTR, LockOrder
from lucidnode.in_the_cloud import check_mounted


def ordered(path: Path, order: LockOrder) -> None:
    """Take, release or break the lock of *path*; return once every workstation will know.

    Raises MountPointMissing for what is in no mounted project, HeldElsewhere, LeaseUndecided,
    another FsError or an OSError.
    """
    check_mounted([path])
    try:
        os.setxattr(path, LOCK_XATTR, order.encode())
    except OSError as error:
        if (known := _known(path, order, error.errno)) is None:
            raise
        raise known from error


def holder(path: Path) -> str | None:
    """Return which workstation has *path* for itself, None if none has."""
    with contextlib.suppress(OSError):
        return os.getxattr(path, HOLDER_XATTR).decode()
    return None


def _known(path: Path, order: LockOrder, number: int | None) -> FsError | None:
    match number:
        case errno.EBUSY:
            who = holder(path)
            has = "another program had it just then" if who is None else f"{who} has it"
            return HeldElsewhere(
                f"cannot {order} the lock of {path}: {has}; ask there, or run `lucidnode lock break`"
            )
        case errno.EAGAIN:
            return LeaseUndecided(
                f"cannot {order} the lock of {path}: the bucket does not answer; try again when it does"
            )
        case errno.EINVAL:
            return Invalid(f"{path} is no file: only files can be locked")
        case errno.EROFS:
            return ReadOnly(
                f"cannot {order} the lock of {path}: nothing can be changed on this mount"
            )
        case errno.ENOTSUP:
            return Unsupported(f"cannot {order} the lock of {path}: this mount shows the past")
        case _:
            return None
