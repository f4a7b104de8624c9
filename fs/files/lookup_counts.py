"""Which files the kernel may ask for by number: the lookup counts of FUSE."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from lucidnode.fs.replica.inode import InodeNo


class LookupCounts:
    """Each reply that names a file is counted; the kernel says how many of them it lets go of."""

    def __init__(self) -> None:
        self._counts: Counter[InodeNo] = Counter()

    def __contains__(self, ino: InodeNo) -> bool:
        return ino in self._counts

    def add(self, inodes: Iterable[InodeNo]) -> None:
        """Count replies that named *inodes*."""
        self._counts.update(inodes)

    def forget(self, ino: InodeNo, count: int) -> None:
        """Take back *count* replies: with the last one the kernel does not know *ino* any more."""
        left = self._counts[ino] - count
        if left > 0:
            self._counts[ino] = left
        else:
            self._counts.pop(ino, None)
