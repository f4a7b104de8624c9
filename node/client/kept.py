"""Whether somebody would bring a daemon or a mount back: its keeper holds a lock while it lives."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterable
from pathlib import Path

MOUNT_KEEPER_FILE = "mount.keeper"
"""In the directory of a project: the lock of who keeps its mount, and the mount point in it."""

DAEMON_KEEPER_FILE = "daemon.keeper"
"""In the home directory: the lock of who keeps the daemon, and the options it was started with."""

RETURN_S = 10.0
"""Seconds for a mount that a daemon does not know to be lost: it may just be looking for that daemon."""

_FLOCK = struct.Struct("hhqqi4x")
"""struct flock of 64-bit Linux, fcntl(2): kind, whence, start, length, process."""


def is_held(lock: Path) -> bool:
    """Tell whether a keeper that lives holds *lock*."""
    return holder(lock)[0] is not None


def mount_keepers(home: Path) -> list[Path]:
    """Return the locks of all mounts that *home* has had."""
    return sorted((home / "projects").glob(f"*/{MOUNT_KEEPER_FILE}"))


def mounted(home: Path, known: Iterable[str]) -> list[str]:
    """Return the mount points of *home*: those that its daemon says it has *known*, and those kept.

    A mount that looks for a daemon which has just begun to serve is there, though that daemon does
    not know it yet.
    """
    kept = [point for pid, point in map(holder, mount_keepers(home)) if pid is not None]
    return list(dict.fromkeys([*known, *kept]))


def holder(lock: Path) -> tuple[int | None, str]:
    """Return the process that holds *lock*, if one does, and what was written there.

    Never one that holds it itself: the kernel tells a process nothing of its own locks.
    """
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None, ""
    with os.fdopen(descriptor, "rb") as file:
        # The kernel says who holds it: a number in a file could be that of somebody else by now.
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
        served = os.fsdecode(file.read())
    return (None if kind == fcntl.F_UNLCK or pid <= 0 else pid), served
