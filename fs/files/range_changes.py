"""Changes of parts of a file that move no bytes: `copy_file_range` and `fallocate`.

Both change the extents in the replica at once, and end a save as a `write` does.
"""

from __future__ import annotations

from collections.abc import Callable

from lucidnode.fs.errors import FileTooBig, Invalid, Unsupported
from lucidnode.fs.files.shared_range import (
    MAX_COPIED_BYTES,
    MAX_SHARED_EXTENTS,
    SharedRange,
    grown_leftwards,
    shared_range,
)
from lucidnode.fs.files.shown_files import ShownFiles
from lucidnode.fs.files.stamps import Stamps
from lucidnode.fs.files.tree_changes import TreeChanges
from lucidnode.fs.read.open_files import OpenFile, OpenFiles
from lucidnode.fs.read.reader import Reader
from lucidnode.fs.replica.inode import MAX_FILE_SIZE, InodeNo
from lucidnode.fs.replica.intents import Punch, Write
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.fs.write.unfinished import Unfinished
from lucidnode.fs.write.unsaved_files import UnsavedFiles
from lucidnode.fs.write.writer import Writer
from lucidnode.node.client.ids import BlockId

KEEP_SIZE = 1
PUNCH_HOLE = 2
ZERO_RANGE = 16
"""Flags of fallocate(2)."""

_FIRST_LOOKED_AT_BYTES = 384 * 1024 * 1024
"""Of a source at once; where that is few extents, sixteen times as many: it may be one huge hole."""

_ENOUGH = MAX_SHARED_EXTENTS // 4

_KNOWN_MODES = frozenset({0, KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE, ZERO_RANGE | KEEP_SIZE})


class RangeChanges:
    """Changes ranges of the files of one mount. Lives in one event loop.

    *brought_back* returns the file to change in the place of one that another node has deleted.
    """

    def __init__(
        self,
        *,
        tree: TreeReader,
        shown: ShownFiles,
        changes: TreeChanges,
        reader: Reader,
        writer: Writer,
        unsaved: UnsavedFiles,
        unfinished: Unfinished,
        open_files: OpenFiles,
        clock: Stamps,
        brought_back: Callable[[InodeNo], InodeNo],
    ) -> None:
        self._tree = tree
        self._shown = shown
        self._changes = changes
        self._reader = reader
        self._writer = writer
        self._unsaved = unsaved
        self._unfinished = unfinished
        self._open = open_files
        self._clock = clock
        self._brought_back = brought_back

    async def copy(self, source: int, start: int, target: int, at: int, length: int) -> int:
        """Copy bytes from one handle to another; return how many: fewer if it is much, 0 at the end.

        Bytes in blocks are shared, and no block is read or written. Raises ReadOnly, FileTooBig,
        FileMissing, NoSpace, OverQuota, and what prevents that the source is saved.
        """
        self._changes.check_writable()
        if at + length > MAX_FILE_SIZE:
            raise FileTooBig("copy")
        taken, given = self._open.file(source), self._open.file(target)
        given.wrote = True
        while True:
            await self._writer.bring_down(taken.ino)
            await self._writer.room_for(MAX_COPIED_BYTES)
            self._brought_back(given.ino)
            async with self._writer.still(given.ino) as file:
                # No await from here on: it is a copy of one moment.
                size = self._shown.attributes(taken.ino).size
                wanted = min(length, size - start)
                if wanted <= 0:
                    return 0
                self._writer.quota.check(given.ino, at + wanted)
                found = self._found(taken, start, start + wanted, at)
                if found.length:
                    self._record(file.ino, at, found)
                    self._writer.forget(file, at, at + found.length)
                    for offset, data in found.pieces:
                        self._writer.lay(file.ino, offset, data)
                    self._unfinished.recorded(file.ino)
                    return found.length

    async def allocate(self, handle: int, offset: int, length: int, mode: int) -> None:
        """Do as fallocate(2). Nothing is reserved: the bucket has no end, and a full disk may come.

        Raises Unsupported, Invalid, ReadOnly, FileTooBig, FileMissing, NoSpace, OverQuota.
        """
        self._changes.check_writable()
        if mode not in _KNOWN_MODES:
            raise Unsupported("this mode of fallocate")
        if length <= 0:
            raise Invalid("nothing to allocate")
        stop = offset + length
        if stop > MAX_FILE_SIZE:
            raise FileTooBig("fallocate")
        given = self._open.file(handle)
        given.wrote = True
        self._brought_back(given.ino)
        if not mode & KEEP_SIZE:
            self._writer.quota.check(given.ino, stop)
        if mode & (PUNCH_HOLE | ZERO_RANGE):
            async with self._writer.still(given.ino) as file:
                # What is unsaved may be all that makes the file as long as it is.
                self._grow(file.ino, self._shown.attributes(file.ino).size)
                self._changes.apply(Punch(file.ino, offset, length, self._clock.wall_ns()))
                self._writer.forget(file, offset, stop)
                self._unfinished.recorded(file.ino)
        if not mode & KEEP_SIZE and self._shown.attributes(given.ino).size < stop:
            self._grow(given.ino, stop)
            self._writer.time_was_set(given.ino)
            self._unfinished.recorded(given.ino)

    def _grow(self, ino: InodeNo, size: int) -> None:
        """Have the replica know that *ino* has *size* bytes, if it is shorter there."""
        if self._shown.stored(ino).size < size:
            self._changes.apply(Write(ino, [], [], self._clock.wall_ns(), size_at_least=size))

    def _found(self, taken: OpenFile, start: int, stop: int, at: int) -> SharedRange:
        # Its own only: another file may hold a block staged that this one has in the replica.
        unsaved = self._unsaved.get(taken.ino)
        staged = {block.id for block in unsaved.staged.blocks()} if unsaved else set[BlockId]()
        window = _FIRST_LOOKED_AT_BYTES
        while True:
            here = min(start + window, stop)
            shown = self._reader.shown(taken.ino, start, here - start)
            found = shared_range(shown, start, here, at, staged)
            if here == stop or found.length < here - start or len(found.extents) >= _ENOUGH:
                return found
            window *= 16

    def _record(self, ino: InodeNo, at: int, found: SharedRange) -> None:
        now = self._clock.wall_ns()
        if found.has_holes:
            self._changes.apply(Punch(ino, at, found.length, now))
        if found.extents and found.extents[0].offset == at and not self._tree.tails_of(ino):
            # A tail would be covered by what goes on below it.
            before = found.extents[0].block_offset
            left = min(at, before)
            found = grown_leftwards(found, self._tree.extents(ino, at - left, left))
        self._changes.apply(
            Write(ino, found.extents, found.blocks, now, size_at_least=at + found.length)
        )
