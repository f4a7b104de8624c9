"""The files of one mount with bytes that the replica lacks, and what readers see of those bytes.

Invariant: a file with bytes in memory, and one whose lock somebody holds or waits for, is in the
table, and no other object for its inode is.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator

import msgspec

from lucidnode.fs.replica.inode import Attributes, Extent, InodeNo
from lucidnode.fs.write.unsaved_file import UnsavedFile
from lucidnode.node.client.ids import BlockId


class UnsavedFiles:
    """The table, by inode. Lives in one event loop."""

    def __init__(self) -> None:
        self._files: dict[InodeNo, UnsavedFile] = {}
        self._let_go: set[BlockId] = set()
        self.any = asyncio.Event()
        """Set while there is a file in the table."""
        self._on_new: Callable[[InodeNo], None] = _nobody

    def watch(self, on_new: Callable[[InodeNo], None]) -> None:
        """Tell *on_new* of each inode that comes, before anything is laid over its content."""
        self._on_new = on_new

    def __iter__(self) -> Iterator[UnsavedFile]:
        return iter(list(self._files.values()))

    def get(self, ino: InodeNo) -> UnsavedFile | None:
        """Return what is unsaved of *ino*, None if there is nothing."""
        return self._files.get(ino)

    def of(self, ino: InodeNo) -> UnsavedFile:
        """Return the file *ino*, new in the table if it was not there.

        Without an await in between the caller gives it bytes, or drops it again by `drop_if_empty`.
        """
        file = self._files.get(ino)
        if file is None:
            self._on_new(ino)
            file = self._files[ino] = UnsavedFile(ino)
            self.any.set()
        return file

    @contextlib.asynccontextmanager
    async def locked(self, ino: InodeNo) -> AsyncIterator[UnsavedFile]:
        """Be the only one who brings down or cuts layers of *ino*.

        If a conflict moves the file meanwhile, it is still the same object, under its new inode.
        """
        file = self.of(ino)
        file.users += 1
        try:
            async with file.lock:
                yield file
        finally:
            file.users -= 1
            self.drop_if_empty(file)

    def drop_if_empty(self, file: UnsavedFile) -> None:
        """Take *file* out of the table if it holds nothing and nobody is at it."""
        if file.empty and not file.users and self._files.get(file.ino) is file:
            del self._files[file.ino]
            if not self._files:
                self.any.clear()

    def redirect(self, ino: InodeNo, copy: InodeNo) -> None:
        """Move what is unsaved of *ino* to *copy*, an inode that nobody has written to yet."""
        file = self._files.pop(ino, None)
        if file is not None:
            assert copy not in self._files
            self._on_new(copy)
            file.ino = copy
            self._files[copy] = file

    # -- what readers see --------------------------------------------------------------------

    def within(self, ino: InodeNo, offset: int, length: int) -> list[tuple[int, bytes]]:
        """Return the bytes in memory of [offset, offset + length), to be laid down in order."""
        file = self._files.get(ino)
        return [] if file is None else file.within(offset, length)

    def staged_extents(self, ino: InodeNo, offset: int, length: int) -> list[Extent]:
        """Return the extents that lie over those of the replica and its tails, below `within`."""
        file = self._files.get(ino)
        return [] if file is None else file.staged.within(offset, length)

    def with_pending_size(self, attributes: Attributes) -> Attributes:
        """Return *attributes* of the replica as they are with what is unsaved."""
        file = self._files.get(attributes.ino)
        if file is None or file.empty:
            return attributes
        size = max(attributes.size, file.end)
        if (unsaved := file.attributes) is None:
            time_ns = file.time_ns or attributes.mtime_ns
            return msgspec.structs.replace(attributes, size=size, mtime_ns=time_ns)
        _, mode, uid, gid, atime_ns, mtime_ns = unsaved
        return msgspec.structs.replace(
            attributes,
            size=size,
            mode=attributes.mode if mode is None else mode & 0o7777,
            uid=attributes.uid if uid is None else uid,
            gid=attributes.gid if gid is None else gid,
            atime_ns=attributes.atime_ns if atime_ns is None else atime_ns,
            mtime_ns=file.time_ns or (attributes.mtime_ns if mtime_ns is None else mtime_ns),
            ctime_ns=max(attributes.ctime_ns, unsaved.time_ns, file.time_ns),
        )

    def size_of(self, ino: InodeNo) -> int:
        """Return how many bytes of *ino* lie above the replica, in all layers together."""
        file = self._files.get(ino)
        return 0 if file is None else file.size

    def is_dirty(self, ino: InodeNo) -> bool:
        """Return whether *ino* has bytes that a crash would lose."""
        file = self._files.get(ino)
        return file is not None and not file.empty

    def appended_only(self) -> dict[InodeNo, bool]:
        """Return the files with bytes that the replica does not have; True if all are appended."""
        return {file.ino: file.appends for file in self if not file.empty}

    # -- staged blocks -----------------------------------------------------------------------

    def staged_blocks(self) -> set[BlockId]:
        """Return the staged blocks that files lie in and the replica does not name yet."""
        return {extent.block.id for file in self for extent in file.staged}

    def let_go(self, blocks: Iterable[BlockId]) -> None:
        """Note staged *blocks* that the replica never named and a file does not lie in any more."""
        self._let_go.update(blocks)

    def take_let_go(self) -> set[BlockId]:
        """Return the staged blocks that no file lies in any more, each once."""
        taken, self._let_go = self._let_go, set()
        return taken


def _nobody(_: InodeNo) -> None:
    """Nobody is told yet."""
