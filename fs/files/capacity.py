"""What `statfs` says of a project: numbers for programs that want some, though a bucket has no end."""

from __future__ import annotations

from typing import NamedTuple

_FREE_BYTES = 1 << 50
"""What is always free: a petabyte. Programs refuse to write where nothing is."""

_MAX_USED_BYTES = 1 << 62
"""More than this is shown as this: sizes count holes, and programs multiply in 64 signed bits."""

_MIN_UNIT_BYTES = 1 << 20
_MAX_UNITS = (1 << 32) - 1
"""Programs of 32 bits, and old ones of 64, count units in 32 bits, and fail where that is too few.
So the unit grows with the project; a megabyte is enough for four petabytes."""


class Capacity(NamedTuple):
    """Numbers of statvfs(3): *unit* is both f_bsize and f_frsize, which some programs mix up."""

    unit: int
    units: int
    free_units: int
    files: int
    free_files: int


def capacity(used_bytes: int, used_files: int, limit_bytes: int) -> Capacity:
    """Return what a project with these totals shows; what is used is rounded up to whole units.

    It may have *limit_bytes* at most, 0 for no limit.
    """
    used_bytes = min(used_bytes, _MAX_USED_BYTES)
    unit = _MIN_UNIT_BYTES
    while -(-used_bytes // unit) + _FREE_BYTES // unit > _MAX_UNITS:
        unit *= 2
    free = _FREE_BYTES // unit
    if limit_bytes:
        free = min(free, max(limit_bytes - used_bytes, 0) // unit)
    return Capacity(
        unit=unit,
        units=-(-used_bytes // unit) + free,
        free_units=free,
        files=_MAX_UNITS,
        free_files=max(_MAX_UNITS - used_files, 0),
    )
