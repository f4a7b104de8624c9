"""Which files the kernel may ask for by number: the lookup counts of FUSE."""

from __future__ import annotations

from lucidnode.fs.replica.inode import InodeNo


class LookupCounts:
    """Each reply that names a file is counted; the kernel says how many of them it lets go of."""

    def __init__(self) -> None:
        self._counts: dict[InodeNo, int] = {}

    def __contains__(self, ino: InodeNo) -> bool:
        return ino in self._counts

    def add(self, ino: InodeNo) -> None:
        """Count a reply that named *ino*."""
        self._counts[ino] = self._counts.get(ino, 0) + 1

    def forget(self, ino: InodeNo, count: int) -> None:
        """Take back *count* replies: with the last one the kernel does not know *ino* any more."""
        left = self._counts.get(ino, 0) - count
        if left > 0:
            self._counts[ino] = left
        else:
            self._counts.pop(ino, None)
