"""Extents that were found lately: who reads ahead asks for a long range first, and then for parts of it. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from operator import attrgetter
from typing import NamedTuple

from lucidnode.fs.replica.inode import Extent, InodeNo

_MAX_RANGES = 8
_MAX_EXTENTS = 256
"""Of one range: the longest that is read ahead at once, 64 MiB, in blocks of 256 KiB."""


class _Found(NamedTuple):
    """All extents of *ino* in [start, stop)."""

    ino: InodeNo
    start: int
    stop: int
    extents: list[Extent]


class KnownExtents:
    """Answers from what was found in the same state, a number that changes with every row."""

    def __init__(self) -> None:
        self._state: int | None = None
        self._found: deque[_Found] = deque(maxlen=_MAX_RANGES)

    def within(self, state: int | None, ino: InodeNo, start: int, stop: int) -> list[Extent] | None:
        """Return the extents of *ino* in [start, stop), cut to it; None if they are not known in *state*."""
        if state is None or state != self._state:
            return None
        for found in self._found:
            if found.ino == ino and found.start <= start and stop <= found.stop:
                return _cut(found.extents, start, stop)
        return None

    def note(
        self, state: int | None, ino: InodeNo, start: int, stop: int, extents: list[Extent]
    ) -> None:
        """Note that *extents* are all of *ino* in [start, stop), in *state*; None is none to be noted."""
        if state is None or len(extents) > _MAX_EXTENTS:
            return
        if state != self._state:
            self._state = state
            self._found.clear()
        self._found.appendleft(_Found(ino, start, stop, extents))


def _cut(extents: list[Extent], start: int, stop: int) -> list[Extent]:
    """Return what maps [start, stop), out of *extents* in order."""
    offset = attrgetter("offset")
    first = max(bisect_right(extents, start, key=offset) - 1, 0)
    last = bisect_left(extents, stop, key=offset)
    return [
        _part(extent, start, stop)
        for extent in extents[first:last]
        if extent.offset + extent.length > start
    ]


def _part(extent: Extent, start: int, stop: int) -> Extent:
    end = extent.offset + extent.length
    if start <= extent.offset and end <= stop:
        return extent
    first = max(extent.offset, start)
    shift = first - extent.offset
    return Extent(first, min(end, stop) - first, extent.block, extent.block_offset + shift)
