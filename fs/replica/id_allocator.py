"""Inode numbers and content versions that no other node gives out.

The version of a content says which workstation wrote it: its first 24 bits are those of the device's
id. So whose files are whose is known from the rows of `inode`, in every replica and checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable

from lucidnode.fs.replica.inode import InodeNo, Version
from lucidnode.fs.replica.sqlite.database import Database
from lucidnode.node.client.ids import DeviceId

_RUN_NUMBERS = 1 << 20
"""Numbers handed out one after the other from one random start: rows of one session lie together."""

_TAG_DIGITS = 6
"""Hexadecimal digits of a device's id that its versions begin with."""

_COUNT_BITS = 38
"""Bits of a version behind those: that one file gets the same version again, in another session of its
workstation and for another content, takes some 2**38 of its contents."""


def writer_tag(device: DeviceId) -> int:
    """Return what `tag_of` tells of versions that *device* gives out."""
    return int(device[:_TAG_DIGITS], 16)


def tag_of(version: Version) -> int | None:
    """Return the tag of whoever wrote the content *version*; None if it is empty.

    One of an earlier release is a number that means nothing.
    """
    return abs(version) >> _COUNT_BITS if version else None


class IdAllocator:
    """Gives out numbers from random starts, for contents of *writer*; without one, of nobody that is known.

    Two nodes that start at the same inode by chance would need some 2**21 sessions in one project.
    """

    def __init__(
        self,
        database: Database,
        random_bytes: Callable[[int], bytes],
        writer: DeviceId | None = None,
    ) -> None:
        self._database = database
        self._random_bytes = random_bytes
        self._next_ino = self._end = 0
        self._tag = int.from_bytes(random_bytes(3)) if writer is None else writer_tag(writer)
        self._count = int.from_bytes(random_bytes(5)) % (1 << _COUNT_BITS)

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
        self._count = (self._count + 1) % (1 << _COUNT_BITS) or 1
        return Version(self._tag << _COUNT_BITS | self._count)

    def _start(self) -> int:
        # Aligned runs cannot overlap by halves; run 0 belongs to the root.
        run = int.from_bytes(self._random_bytes(6)) >> 6
        return (run or 1) * _RUN_NUMBERS
