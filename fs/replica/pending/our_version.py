"""Our whole version of a file, kept while our work is undone, and how it is made again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from lucidnode.fs.format.block import BlockName
from lucidnode.fs.replica import intents
from lucidnode.fs.replica.inode import (
    MAX_FILE_SIZE,
    MAX_XATTR_BYTES,
    MAX_XATTRS,
    Attributes,
    Extent,
    InodeNo,
    Kind,
)
from lucidnode.fs.replica.intents import Create, Intent, NewExtent, Restore, SetAttributes, Write
from lucidnode.fs.replica.tree.extent_table import SLICE_EXTENTS
from lucidnode.fs.replica.tree.queries import Queries
from lucidnode.node.client.ids import BlockId

Place = tuple[InodeNo, bytes]
"""A directory and a name in it."""


@dataclass(frozen=True, slots=True)
class OurVersion:
    """A file of any kind, directories without what is in them. *names* are all it has."""

    attributes: Attributes
    target: bytes
    extents: list[NewExtent]
    blocks: dict[BlockId, BlockName]
    xattrs: list[tuple[bytes, bytes]]
    names: list[Place]

    @classmethod
    def of(
        cls, queries: Queries, attributes: Attributes, extents: list[Extent] | None = None
    ) -> OurVersion:
        """Return the file with *attributes*, as it is now. Its tails stay where they are.

        *extents* are for one that is shown with another content than it has. Raises Unreadable.
        """
        ino = attributes.ino
        if extents is None:
            extents = queries.extents(ino, 0, MAX_FILE_SIZE)
        return cls(
            attributes,
            queries.readlink(ino),
            [NewExtent(e.offset, e.length, e.block.id, e.block_offset) for e in extents],
            {extent.block.id: extent.block for extent in extents},
            _that_fit(queries.xattrs(ino)),
            queries.names_of(ino),
        )

    def made_again(self, ino: InodeNo, parent: InodeNo, name: bytes) -> Iterator[Intent]:
        """Yield what makes it as *ino* under *name*; *parent* 0 is a file without a name."""
        if self.attributes.kind is Kind.FILE:
            yield from self._file(ino, parent, name)
        else:
            yield from self._other(ino, parent, name)

    def _file(self, ino: InodeNo, parent: InodeNo, name: bytes) -> Iterator[Intent]:
        mine = self.attributes
        yield Restore(
            parent=parent,
            name=name,
            ino=ino,
            mode=mine.mode,
            uid=mine.uid,
            gid=mine.gid,
            size=mine.size,
            atime_ns=mine.atime_ns,
            mtime_ns=mine.mtime_ns,
            time_ns=mine.ctime_ns,
            version=mine.version,
            xattrs=self.xattrs,
        )
        # In slices, as everything that must fit a journal entry.
        for start in range(0, len(self.extents), SLICE_EXTENTS):
            extents = self.extents[start : start + SLICE_EXTENTS]
            blocks = list({extent.block: self.blocks[extent.block] for extent in extents}.values())
            yield Write(ino, extents, blocks, time_ns=0)

    def _other(self, ino: InodeNo, parent: InodeNo, name: bytes) -> Iterator[Intent]:
        mine = self.attributes
        time_ns = mine.ctime_ns
        yield Create(
            parent=parent,
            name=name,
            ino=ino,
            kind=mine.kind,
            mode=mine.mode,
            uid=mine.uid,
            gid=mine.gid,
            time_ns=time_ns,
            rdev=mine.rdev,
            target=self.target,
        )
        for attribute, value in self.xattrs:
            yield intents.SetXattr(ino, attribute, value, time_ns)
        yield SetAttributes(ino, time_ns, atime_ns=mine.atime_ns, mtime_ns=mine.mtime_ns)


def _that_fit(xattrs: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the first of *xattrs*, as many as we give one file: others may have given it more.

    The mark of a file on its way and its leases belong to the file, not to a copy.
    """
    xattrs = [xattr for xattr in xattrs if not intents.is_ours(xattr[0])]
    sizes = accumulate(len(name) + len(value) for name, value in xattrs)
    count = sum(size <= MAX_XATTR_BYTES for size in sizes)
    return xattrs[: min(count, MAX_XATTRS)]
