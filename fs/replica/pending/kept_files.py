"""Files that are in use here and that another node has deleted, or put another file in place of.

Their blocks stay in the bucket. What goes is the list of them; so it is kept in memory, as it was
when the last name went, for as long as anybody here can ask for the file: until the kernel forgets
it. So is a file that was replaced here, for who has found it by path and opens it a moment later;
one that is open here stays in the tree instead, without a name. Nobody outlives that: when the process that serves a mount ends, its open files are gone.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from lucidnode.fs.errors import NoAttribute, Unreadable
from lucidnode.fs.replica.inode import Attributes, Extent, InodeNo, Kind, Tail
from lucidnode.fs.replica.intents import Intent
from lucidnode.fs.replica.pending.earlier_contents import EarlierContents
from lucidnode.fs.replica.pending.our_version import OurVersion, Place
from lucidnode.fs.replica.pending.places import Places
from lucidnode.fs.replica.sqlite.rows import KIND_COLUMN, LINKS_COLUMN, RowChange
from lucidnode.fs.replica.tree.queries import Queries

MAX_EXTENTS = 1_000_000
"""Extents kept at once, of all files together: 250 MB. A file that does not fit is not kept, and
whoever has it open is told ESTALE; it would take a member who deletes terabytes that are in use."""


@dataclass(frozen=True, slots=True)
class KeptFile:
    """One file as it was; *attributes* say that it has no name any more."""

    attributes: Attributes
    version: OurVersion
    tails: list[Tail]

    def within(self, offset: int, length: int) -> list[Extent]:
        """Return what maps [offset, offset + length), in order and cut to it."""
        end, extents = offset + length, self.version.extents
        found = []
        first = bisect_right(extents, offset, key=lambda extent: extent.offset)
        for place in range(max(first - 1, 0), len(extents)):
            extent = extents[place]
            if extent.offset >= end:
                break
            low, high = max(extent.offset, offset), min(extent.offset + extent.length, end)
            if low < high:
                block = self.version.blocks[extent.block]
                at = extent.block_offset + low - extent.offset
                found.append(Extent(low, high - low, block, at))
        return found

    def xattr(self, name: bytes) -> bytes:
        """Return the value of an extended attribute, or raise NoAttribute."""
        for held, value in self.version.xattrs:
            if held == name:
                return value
        raise NoAttribute("the file was deleted")


class KeptFiles:
    """The kept files of one replica, whose tree *queries* reads."""

    def __init__(
        self,
        queries: Queries,
        tails: Callable[[InodeNo], list[Tail]],
        earlier: EarlierContents,
    ) -> None:
        self._queries = queries
        self._earlier = earlier
        self._tails = tails
        self._files: dict[InodeNo, KeptFile] = {}
        self._extents = 0
        self.in_use: Callable[[InodeNo], bool] = _nobody_uses
        """Tells whether anybody here may still ask for a file."""

    def get(self, ino: InodeNo) -> KeptFile | None:
        """Return *ino* if it is a kept file."""
        return self._files.get(ino)

    def forget(self, ino: InodeNo) -> None:
        """Let *ino* go: nobody can ask for it any more, or it is in the tree again."""
        file = self._files.pop(ino, None)
        if file is not None:
            self._extents -= len(file.version.extents)

    def leaving(self, winner: list[RowChange]) -> list[KeptFile]:
        """Return the files in use here from which *winner* takes the last name, as they are now.

        To be asked before the entry is applied; `keep` those that are gone behind it.
        """
        found = []
        for table, old, new in winner:
            if table != "inode" or old is None or (new is not None and new[LINKS_COLUMN] != 0):
                continue
            ino = InodeNo(int(old[0]))
            if new is None and old[KIND_COLUMN] != Kind.FILE:
                continue
            found += self.as_it_is(ino)
        return found

    def as_it_is(self, ino: InodeNo) -> list[KeptFile]:
        """Return *ino* as it is now, if it is a file that is in use, and not more than we keep."""
        if ino in self._files or not self.in_use(ino):
            return []
        now = self._queries.attributes(ino)
        if now is None or now.kind is not Kind.FILE:
            return []
        if self._extents + self._queries.count_extents(ino) > MAX_EXTENTS:
            return []
        try:
            return [self.snapshot(now)]
        except Unreadable:
            return []

    def snapshot(self, now: Attributes) -> KeptFile:
        """Return the file with the attributes *now* as it is shown; raises Unreadable."""
        version = self._earlier.version(now)
        tails = self._tails(now.ino)
        size = max([version.attributes.size, *(tail.end for tail in tails)])
        gone = msgspec.structs.replace(version.attributes, nlink=0, size=size)
        return KeptFile(gone, version, tails)

    def keep(self, leaving: list[KeptFile], changes: list[RowChange]) -> None:
        """Keep those of *leaving* that the tree no longer has, and that nobody here has kept alive.

        *changes* are those of the entry and of all that was done for it.
        """
        for table, old, new in changes:
            if table == "inode" and old is None and new is not None:
                self.forget(InodeNo(int(new[0])))
        for file in leaving:
            now = self._queries.attributes(file.attributes.ino)
            if now is None or (now.nlink == 0 and not self._queries.is_orphan(now.ino)):
                self._files[file.attributes.ino] = file
                self._extents += len(file.version.extents)

    def back(
        self, file: KeptFile, ino: InodeNo, device_name: str, time_ns: int
    ) -> tuple[list[Intent], list[Place]]:
        """Return what makes *file* anew as *ino*, and its place if that bears a conflict name.

        Under its name where that is free, beside what has the name where it is not; in the
        project's root if the directory is gone. What had no name before gets none.
        """
        place = InodeNo(0), b""
        places = Places(self._queries, device_name, {})
        if file.version.names:
            place = places.free(*file.version.names[0], time_ns)
        return list(file.version.made_again(ino, *place)), places.invented()


def _nobody_uses(_: InodeNo) -> bool:
    return False
