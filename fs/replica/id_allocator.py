"""Inode numbers and content versions that no other node gives out."""

from __future__ import annotations

from collections.abc import Callable

from lucidnode.fs.replica.inode import InodeNo, Version
from lucidnode.fs.replica.sqlite.database import Database

_RUN_NUMBERS = 1 << 20
"""Numbers handed out one after the other from one random start: rows of one session lie together."""


class IdAllocator:
    """Gives out numbers from random starts in 62 bits.

    Two nodes that start at the same place by chance would need some 2**21 sessions in one project.
    """

    def __init__(self, database: Database, random_bytes: Callable[[int], bytes]) -> None:
        self._database = database
        self._random_bytes = random_bytes
        self._next_ino = self._end = 0
        self._next_version = self._start()

    def ino(self) -> InodeNo:
        """Return an inode number that is not in use."""
        while self._next_ino == self._end:
            start = self._start()
            if not self._database.row(
                "SELECT 1 FROM inode WHERE ino >= ? AND ino < ? LIMIT 1",
                (start, start + _RUN_NUMBERS),
            ):
                self._next_ino, self._end = start, start + _RUN_NUMBERS
        self._next_ino += 1
        return InodeNo(self._next_ino - 1)

    def version(self) -> Version:
        """Return a content version that is not in use."""
        self._next_version += 1
        return Version(self._next_version)

    def _start(self) -> int:
        # Aligned runs cannot overlap by halves; run 0 belongs to the root.
        run = int.from_bytes(self._random_bytes(6)) >> 6
        return (run or 1) * _RUN_NUMBERS
