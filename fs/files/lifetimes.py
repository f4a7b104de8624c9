"""How long a file is needed here: while it is open, or while the kernel may ask for it by number."""

from __future__ import annotations

from collections.abc import Iterable

from lucidnode.fs.files.lookup_counts import LookupCounts
from lucidnode.fs.read.open_files import OpenFiles
from lucidnode.fs.replica.inode import Attributes, InodeNo, Kind
from lucidnode.fs.replica.intents import Forget
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.write.writer import Writer


class FileLifetimes:
    """The files of one mount that somebody can still reach. Keeps them from being forgotten."""

    def __init__(self, replica: Replica, open_files: OpenFiles, writer: Writer) -> None:
        self._replica = replica
        self._open = open_files
        self._writer = writer
        self._lookups = LookupCounts()
        self._changed: set[InodeNo] = set()
        """Files of which the kernel may hold pages that are not those of the content they have now."""
        replica.former.keep(self._is_reachable)

    def opened(self, ino: InodeNo) -> bool:
        """Note that *ino* is opened; tell whether the pages that the kernel holds are still right.

        So they are where there can be none yet: the kernel drops pages one by one, and waits for each
        that is being read, perhaps by who opened the file a moment later, and from the network.
        """
        unchanged = ino not in self._changed
        self._changed.discard(ino)
        return unchanged

    def content_changed(self, inodes: frozenset[InodeNo]) -> None:
        """Note what another node changed: pages held of it are not kept at the next open."""
        self._changed.update(ino for ino in inodes if self._is_reachable(ino))

    def count_lookup(self, found: Attributes) -> None:
        """Count a reply that named a file: the kernel may ask for it by number now."""
        if found.kind is Kind.FILE:
            self._lookups.add((found.ino,))

    def count_lookups(self, found: Iterable[Attributes]) -> None:
        """Count replies that named each of *found*."""
        self._lookups.add([each.ino for each in found if each.kind is Kind.FILE])

    def forget_lookups(self, ino: InodeNo, count: int) -> None:
        """Note that the kernel lets go of *count* replies that named *ino*. Raises NoSpace."""
        self._lookups.forget(ino, count)
        if ino not in self._lookups:
            self._changed.discard(ino)
            self._let_go_of_kept(ino)

    def let_go(self, ino: InodeNo) -> None:
        """Drop what is left of a file that has no name and no handle. Raises ReadOnly, NoSpace."""
        if self._open.is_open(ino):
            return
        self._let_go_of_kept(ino)
        stored = self._replica.tree.attributes(ino)
        if stored is None or stored.nlink == 0:
            self._writer.discard(ino)
            self._changed.discard(ino)
        if stored is not None and stored.nlink == 0 and not self._replica.former.is_kept(ino):
            self._replica.apply(Forget(ino))

    def _let_go_of_kept(self, ino: InodeNo) -> None:
        if not self._is_reachable(ino):
            self._replica.former.let_go(ino)

    def _is_reachable(self, ino: InodeNo) -> bool:
        return ino in self._lookups or self._open.is_open(ino)
