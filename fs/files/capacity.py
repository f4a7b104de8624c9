"""What `statfs` says of a project: numbers for programs that want some, though a bucket has no end."""

from __future__ import annotations

from typing import NamedTuple

from lucidnode.fs.replica.quota import Quota

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
    available_units: int
    """f_bavail, which is what `df` calls available: never more than *free_units*."""
    files: int
    free_files: int


def capacity(used_bytes: int, used_files: int, quota: Quota) -> Capacity:
    """Return what a project with these totals shows; what is used is rounded up to whole units.

    Its size is what *quota* lets it have at most, and available what is left until people are told:
    as ext4 and XFS show the quotas of their projects, but that these show the lower limit as both.
    """
    used_bytes = min(used_bytes, _MAX_USED_BYTES)
    unit = _MIN_UNIT_BYTES
    while -(-used_bytes // unit) + _FREE_BYTES // unit > _MAX_UNITS:
        unit *= 2
    used = -(-used_bytes // unit)
    free = available = _FREE_BYTES // unit
    if limit := quota.hard or quota.soft:
        # From the limit in whole units, so that the size stays what it is while files grow to the last
        # of its bytes.
        if used_bytes <= limit:
            used = min(used, max(limit // unit, 1))
        free = min(free, max(limit // unit - used, 0))
        available = min(free, max((quota.soft or limit) // unit - used, 0))
    return Capacity(
        unit=unit,
        units=used + free,
        free_units=free,
        available_units=available,
        files=_MAX_UNITS,
        free_files=max(_MAX_UNITS - used_files, 0),
    )
