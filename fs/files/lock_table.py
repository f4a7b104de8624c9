"""Which parts of a file are locked, by whom: ranges that are laid, split and merged. Pure.

As Linux defines it (fcntl(2), flock(2)), for one file and one of the two kinds, which never meet.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import NamedTuple

LAST_BYTE = 2**63 - 1
"""The end of a lock that goes on for ever."""


class LockedRange(NamedTuple):
    """Bytes from *start* to *last*, both of them locked."""

    start: int
    last: int
    exclusive: bool
    pid: int
    """Whom `F_GETLK` names."""

    def conflicts(self, other: LockedRange) -> bool:
        """Return whether two owners cannot have both."""
        overlap = self.start <= other.last and other.start <= self.last
        return overlap and (self.exclusive or other.exclusive)


class LockTable:
    """The locks of one file. Those of one owner never overlap, nor touch if they are alike."""

    __slots__ = ("_owners", "count")

    def __init__(self) -> None:
        # In the order in which they came, as the kernel keeps them: the first in the way is named.
        self._owners: dict[int, list[LockedRange]] = {}
        self.count = 0
        """Ranges of all owners together."""

    def in_the_way(self, owner: int, wanted: LockedRange) -> Iterator[tuple[int, LockedRange]]:
        """Yield what others have that conflicts with *wanted*, and who has it."""
        for other, ranges in self._owners.items():
            if other == owner:
                continue
            for held in ranges[_first(ranges, wanted.start) :]:
                if held.start > wanted.last:
                    break
                if held.conflicts(wanted):
                    yield other, held

    def is_free(self, owner: int, wanted: LockedRange) -> bool:
        """Return whether *owner* may have *wanted*."""
        return next(self.in_the_way(owner, wanted), None) is None

    def ranges(self) -> Iterator[LockedRange]:
        """Yield all that is locked."""
        for ranges in self._owners.values():
            yield from ranges

    def held(self, owner: int) -> list[LockedRange]:
        """Return what *owner* has, in the order of the bytes."""
        return list(self._owners.get(owner, ()))

    def lay(self, owner: int, wanted: LockedRange) -> None:
        """Give *owner* *wanted*, in place of what he has there. It must be free."""
        ranges = self._owners.setdefault(owner, [])
        before, low, high, after = _around(ranges, wanted.start, wanted.last)
        # What touches it and is alike becomes one with it: at its borders, or cut off by it.
        if low and not before and _joins(ranges[low - 1], wanted):
            low -= 1
            before = [ranges[low]]
        if high < len(ranges) and not after and _joins(wanted, ranges[high]):
            after = [ranges[high]]
            high += 1
        if before and _joins(before[0], wanted):
            wanted = wanted._replace(start=before.pop().start)
        if after and _joins(wanted, after[0]):
            wanted = wanted._replace(last=after.pop().last)
        self._put(ranges, low, high, [*before, wanted, *after])

    def clear(self, owner: int, start: int, last: int) -> bool:
        """Take what *owner* has of the bytes from *start* to *last*; False if that is nothing."""
        ranges = self._owners.get(owner)
        if ranges is None:
            return False
        before, low, high, after = _around(ranges, start, last)
        self._put(ranges, low, high, [*before, *after])
        if not ranges:
            del self._owners[owner]
        return low < high

    def owners(self) -> list[int]:
        """Return who has locks."""
        return list(self._owners)

    def _put(self, ranges: list[LockedRange], low: int, high: int, new: list[LockedRange]) -> None:
        ranges[low:high] = new
        self.count += len(new) - (high - low)


def _first(ranges: list[LockedRange], start: int) -> int:
    """Return the index of the first range that ends at *start* or behind it."""
    return bisect_left(ranges, start, key=lambda held: held.last)


def _around(
    ranges: list[LockedRange], start: int, last: int
) -> tuple[list[LockedRange], int, int, list[LockedRange]]:
    """Return which ranges, [low, high), have bytes from *start* to *last*, and what is left of them.

    That is a range before, if there is one, and one after.
    """
    low = high = _first(ranges, start)
    while high < len(ranges) and ranges[high].start <= last:
        high += 1
    if low == high:
        return [], low, high, []
    first, end = ranges[low], ranges[high - 1]
    before = [first._replace(last=start - 1)] if first.start < start else []
    after = [end._replace(start=last + 1)] if end.last > last else []
    return before, low, high, after


def _joins(left: LockedRange, right: LockedRange) -> bool:
    return left.exclusive == right.exclusive and left.last + 1 == right.start
