"""Whether the disk of the cache has room to work with, asked before work is begun on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lucidnode.node.cache.room import WORKING_ROOM_BYTES, CacheRoom, DiskSize, disk_of
from lucidnode.node.client.errors import DiskFull

_MB = 10**6

Look = Callable[[Path], DiskSize]


def check_for_founding(directory: Path, limit: int, look: Look = disk_of) -> None:
    """Raise DiskFull, as `mount` would, if *directory* has no room for a new cache of *limit* bytes.

    It may not exist yet. The advice is for whoever gives the options of `init` and `join`.
    """
    disk = look(directory)
    least = CacheRoom.of(WORKING_ROOM_BYTES, None, disk.size)
    advice = "make room there, or name another disk with --cache-dir"
    if disk.free >= least.wanted:
        advice = "make room there, name another disk with --cache-dir, or take less with "
        advice += "--cache-limit"
    _check(directory, disk, CacheRoom.of(limit, None, disk.size), advice)


def check_for_adopting(directory: Path, limit: int, left_alone: int | None) -> None:
    """Raise DiskFull, as `mount` would, if *directory* has no room for the cache that is set."""
    disk = disk_of(directory)
    advice = "make room there, or adopt a directory on another disk"
    _check(directory, disk, CacheRoom.of(limit, left_alone, disk.size), advice)


def check_for_writing(directory: Path, limit: int, left_alone: int | None, cached: int) -> None:
    """Raise DiskFull if nothing could be written through the cache in *directory*.

    *cached* bytes there give way when needed.
    """
    disk = disk_of(directory)
    advice = (
        "make room there, mount with --read-only, or let the cache hold less with `lucidnode config "
        "set cache.limit`"
    )
    _check(directory, disk, CacheRoom.of(limit, left_alone, disk.size), advice, cached)


def _check(directory: Path, disk: DiskSize, room: CacheRoom, advice: str, cached: int = 0) -> None:
    if disk.free + cached < room.wanted:
        raise DiskFull(
            f"the disk of {directory} has only {disk.free / _MB:.0f} MB free, and a cache there "
            f"wants {room.wanted / _MB:.0f} MB, of which {room.left_alone / _MB:.0f} MB are left to "
            f"others: {advice}"
        )
