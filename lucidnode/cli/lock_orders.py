"""What a person orders of a file's lock, by the extended attributes that the mount answers."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable
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

_LOOK_INTERVAL_S = 0.5


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


def taken_when_free(
    path: Path, timeout_s: float | None, waiting: Callable[[str], None] = lambda _: None
) -> None:
    """Take the lock of *path* once nobody else has it; *waiting* is told who has it meanwhile.

    Raises HeldElsewhere after *timeout_s*, and what `ordered` does. Who waits is in no line: when it is
    free, whoever asks first gets it.
    """
    began = time.monotonic()
    while True:
        try:
            ordered(path, "take")
        except HeldElsewhere:
            if timeout_s is not None and time.monotonic() - began >= timeout_s:
                raise
            who = holder(path)
        else:
            return
        while True:
            waiting("another program" if who is None else who)
            time.sleep(_LOOK_INTERVAL_S)  # noqa: TID251  # a program that waits, not a loop
            is_over = timeout_s is not None and time.monotonic() - began >= timeout_s
            if is_over or who is None or holder(path) != who:
                break


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
