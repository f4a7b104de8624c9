"""Which snapshots a mount shows, under which names, and what their directories look like."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from lucidnode.fs.errors import FileMissing
from lucidnode.fs.replica.inode import ROOT, Attributes, InodeNo
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.fs.snapshot_tree.snapshot_numbers import SNAPSHOTS, PastFile, SnapshotNumbers
from lucidnode.node.client.ids import Seq

NAME = b".snapshots"
"""Of the directory, in the root of a mount."""

_WRITE_BITS = 0o222


class ShownSnapshot(NamedTuple):
    """A snapshot as a directory: the state that entry *seq* left, named at *wall_ns*."""

    name: bytes
    seq: Seq
    wall_ns: int


class SnapshotNames:
    """The directory of snapshots itself. *shown* returns those that there are now."""

    def __init__(
        self,
        tree: TreeReader,
        numbers: SnapshotNumbers,
        shown: Callable[[], list[ShownSnapshot]],
    ) -> None:
        self._tree = tree
        self._numbers = numbers
        self._shown = shown

    def directory(self) -> Attributes:
        """Return the attributes of the directory: its time is that of the last snapshot."""
        return self._as(SNAPSHOTS, [each.wall_ns for each in self._shown()])

    def root(self, seq: Seq, name: bytes) -> Attributes:
        """Return those of the directory of snapshot *name*, of state *seq*, which needs not be open for that.

        Its time is when it was named, so that `ls -lt` has them in order.
        """
        times = [each.wall_ns for each in self._shown() if (each.seq, each.name) == (seq, name)]
        return self._root(seq, name, times)

    def lookup(self, name: bytes) -> Attributes:
        """Return those of the directory of snapshot *name*. Raises FileMissing."""
        for each in self._shown():
            if each.name == name:
                return self._root(each.seq, name, [each.wall_ns])
        raise FileMissing(name.decode(errors="replace"))

    def listed(self) -> list[tuple[bytes, Attributes]]:
        """Return every snapshot by name."""
        return sorted(
            (each.name, self._root(each.seq, each.name, [each.wall_ns])) for each in self._shown()
        )

    def _root(self, seq: Seq, name: bytes, times_ns: list[int]) -> Attributes:
        return self._as(self._numbers.number(PastFile(seq, ROOT, name)), times_ns)

    def _as(self, ino: InodeNo, times_ns: list[int]) -> Attributes:
        root = self._tree.attributes(ROOT)
        assert root is not None
        time_ns = max(times_ns, default=root.mtime_ns)
        return msgspec.structs.replace(
            root,
            ino=ino,
            mode=root.mode & ~_WRITE_BITS,
            size=0,
            atime_ns=time_ns,
            mtime_ns=time_ns,
            ctime_ns=time_ns,
        )
