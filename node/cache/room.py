"""How much of its disk a cache may use, and how much room it wants there to begin with.

One rule for founding and joining, for taking another directory, for mounting and for the daemon.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from lucidnode.node.client.bounded_look import answer_of
from lucidnode.node.client.disk_space import free_bytes

WORKING_ROOM_BYTES = 64 * 1024 * 1024
"""A few of the largest blocks on their way in and out; with less, nothing moves."""

_LEFT_ALONE_BYTES = 5 * 1024**3
_LEFT_ALONE_PART = 20
"""What is left to others on a disk if nobody chose: so many bytes, and at most this part of it."""


@dataclass(frozen=True, slots=True)
class CacheRoom:
    """What is planned on one disk, in bytes.

    The cache holds at most *limit*, and shrinks, as writing stops, rather than leave the disk with
    less than *left_alone*.
    """

    limit: int
    left_alone: int

    @classmethod
    def of(cls, limit: int, left_alone: int | None, disk: int) -> CacheRoom:
        """Return what of *limit* fits on a *disk* of so many bytes; None leaves the rest to us.

        Whoever wants a small cache means to use what little room there is: no more than that is
        left to others then.
        """
        if left_alone is None:
            left_alone = min(_LEFT_ALONE_BYTES, disk // _LEFT_ALONE_PART, limit)
        return cls(min(limit, max(disk - left_alone, WORKING_ROOM_BYTES)), left_alone)

    @property
    def wanted(self) -> int:
        """Return what must be free to begin with."""
        return self.left_alone + WORKING_ROOM_BYTES


@dataclass(frozen=True, slots=True)
class DiskSize:
    """A disk: its size, and what is free for us, in bytes."""

    size: int
    free: int


def disk_of(directory: Path) -> DiskSize:
    """Return the disk that *directory* is on, or will be.

    Blocking for some seconds at most. Raises OSError, ETIMEDOUT if the disk hangs.
    """
    return answer_of(directory, statvfs_of)


def statvfs_of(directory: Path) -> DiskSize:
    """Do as `disk_of`, however long it takes: a disk that hangs does not answer."""
    there = next(path for path in (directory, *directory.parents) if path.exists())
    disk = os.statvfs(there)
    return DiskSize(disk.f_blocks * disk.f_frsize, free_bytes(there))
