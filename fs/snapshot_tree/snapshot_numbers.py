"""Inode numbers of what is shown of snapshots, beside those of the files of now."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from cachetools import LRUCache

from lucidnode.fs.files.lookup_counts import LookupCounts
from lucidnode.fs.replica.inode import MAX_INO, InodeNo
from lucidnode.node.client.ids import Seq

SNAPSHOTS = InodeNo(MAX_INO + 1)
"""The directory itself: the first number that no file of a project has."""

_MAX_SHOWN = 8192
"""Numbers that were shown and that the kernel may not have counted: some pages of listings."""


class PastFile(NamedTuple):
    """The file *ino* as entry *seq* left it, below the name *snapshot*.

    Two names of one entry are two trees: to the kernel a directory is in one place only.
    """

    seq: Seq
    ino: InodeNo
    snapshot: bytes


class SnapshotNumbers:
    """Gives each file of each snapshot a number: the same one after a restart, as backups compare them.

    What it stands for is remembered as long as the kernel may ask by it.
    """

    def __init__(self) -> None:
        self._known: dict[InodeNo, PastFile] = {}
        self._counts = LookupCounts()
        self._shown: LRUCache[InodeNo, PastFile] = LRUCache(_MAX_SHOWN)

    def number(self, file: PastFile) -> InodeNo:
        """Return the number of *file*, between SNAPSHOTS and 2**63."""
        packed = file.seq.to_bytes(8) + file.ino.to_bytes(8) + file.snapshot
        at = int.from_bytes(hashlib.blake2b(packed, digest_size=8).digest())
        # Two files with one number, by chance, would be one to the kernel: the later gets the next.
        while self.file(number := InodeNo(SNAPSHOTS + 1 + at % MAX_INO)) not in {None, file}:
            at += 1
        if number not in self._known:
            self._shown[number] = file
        return number

    def file(self, number: InodeNo) -> PastFile | None:
        """Return what *number* stands for; None if the kernel was not told of it."""
        return self._known.get(number) or self._shown.get(number)

    def count_lookup(self, number: InodeNo) -> None:
        """Count a reply that names *number*, which `number` has just returned."""
        self._counts.add((number,))
        if number not in self._known:
            self._known[number] = self._shown.pop(number)

    def forget_lookups(self, number: InodeNo, count: int) -> None:
        """Take back *count* replies."""
        self._counts.forget(number, count)
        if number not in self._counts:
            self._known.pop(number, None)
