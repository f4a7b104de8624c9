"""Who serves a daemon or a mount here, and who would bring it back: each holds a lock while it lives."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterable
from glob import glob
from pathlib import Path

KEEPER_SUFFIX, SERVER_SUFFIX = ".keeper", ".server"
"""Of the locks of who keeps a mount and of who serves it, in the directory of its project, and the
mount point in them. Those of a mount of the past lie deeper, beside its replica. Who serves takes his
away when he ends, unless changes wait for the next mount."""

MOUNT_KEEPER_FILE, MOUNT_SERVER_FILE = f"mount{KEEPER_SUFFIX}", f"mount{SERVER_SUFFIX}"
"""The locks of a project's mount of now."""

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
    """Return the locks of who has kept mounts of *home*, those of the past as well."""
    return _locks(home, KEEPER_SUFFIX)


def mount_servers(home: Path) -> list[Path]:
    """Return the locks of who has served mounts of *home*, those of the past as well."""
    return _locks(home, SERVER_SUFFIX)


def _locks(home: Path, suffix: str) -> list[Path]:
    projects = home / "projects"
    # pathlib's fails where a directory goes while it looks.
    found = glob(f"*/**/*{suffix}", root_dir=projects, recursive=True)  # noqa: PTH207
    return sorted(projects / name for name in found)


def mounted(home: Path, known: Iterable[str]) -> list[str]:
    """Return the mount points of *home*: those that its daemon says it has *known*, and all others.

    A daemon does not know those of the past. A mount that looks for a daemon which has just begun to
    serve is there, though that daemon does not know it yet; so is one that finds none. One that is
    coming back has a keeper alone, one in the foreground, or whose keeper was killed, has none.
    """
    return list(dict.fromkeys([*known, *_held([*mount_keepers(home), *mount_servers(home)])]))


def mounted_now(home: Path) -> list[str]:
    """Return where *home* has mounts that its daemon is to know of: kept or served, and none of the past."""
    locks = [*mount_keepers(home), *mount_servers(home)]
    return _held([lock for lock in locks if lock.name in {MOUNT_KEEPER_FILE, MOUNT_SERVER_FILE}])


def unsent(home: Path) -> list[str]:
    """Return where mounts of now ended, or were killed, before all that was saved there was in the cloud."""
    locks = [lock for lock in mount_servers(home) if lock.name == MOUNT_SERVER_FILE]
    return [point for pid, point in map(holder, locks) if pid is None and point]


def _held(locks: Iterable[Path]) -> list[str]:
    """Return what is written in each of *locks* that somebody holds."""
    return [point for pid, point in map(holder, locks) if pid is not None]


def hold(lock: Path, serves: str) -> int:
    """Say in *lock* that this process keeps, or serves, *serves*; return the descriptor that holds it.

    The kernel lets go of it when that is closed, or any other of the file in this process, and when the
    process has ended, not before. Raises BlockingIOError or PermissionError if another process has it.
    """
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        said = os.fsencode(serves)
        if os.pread(descriptor, len(said) + 1, 0) != said:  # else it needs no room on a full disk
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, said, 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


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
