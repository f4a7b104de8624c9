"""Whether the disk of the cache has room to work with, asked before work is begun on it."""

from __future__ import annotations

import os
from pathlib import Path

from lucidnode.node.client.errors import DiskFull

MIN_FREE_BYTES = 64 * 1024 * 1024
"""Bytes. A few of the largest blocks on their way in and out; with less, nothing moves."""

_MB = 10**6


def check_for_cache(directory: Path) -> None:
    """Raise DiskFull if a cache in *directory*, which may not exist yet, could hold nothing."""
    free = _free(directory)
    if free < MIN_FREE_BYTES:
        raise DiskFull(
            f"the disk of {directory} has only {free / _MB:.0f} MB free: make room there, or name "
            "another disk with --cache-dir"
        )


def check_for_writing(directory: Path, min_free: int, cached: int) -> None:
    """Raise DiskFull if nothing could be written through the cache in *directory*.

    *min_free* bytes of its disk are left alone; *cached* bytes there give way when needed.
    """
    free = _free(directory)
    if free + cached - min_free < MIN_FREE_BYTES:
        raise DiskFull(
            f"the disk of {directory} has only {free / _MB:.0f} MB free, and Lucidnode leaves "
            f"{min_free / _MB:.0f} MB to others: make room there, or mount with --read-only"
        )


def _free(directory: Path) -> int:
    there = next(path for path in (directory, *directory.parents) if path.exists())
    disk = os.statvfs(there)
    return disk.f_bavail * disk.f_frsize
