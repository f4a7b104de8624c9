"""The read path: what a file holds, from its newest layer down to the bucket."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, NamedTuple

from lucidnode.fs.channel.device import AnsweredRead
from lucidnode.fs.errors import BlockAmiss, FileMissing, NoMoreData
from lucidnode.fs.format.geometry import SEGMENT_BYTES, segments
from lucidnode.fs.read.block_fetcher import BlockAsker
from lucidnode.fs.read.channel_files import ChannelFiles
from lucidnode.fs.read.layers import Laid, visible
from lucidnode.fs.read.open_files import OpenFile, OpenFiles
from lucidnode.fs.read.read_ahead import Range
from lucidnode.fs.read.read_counts import ReadCounts
from lucidnode.fs.read.reading_ahead import ReadingAhead
from lucidnode.fs.read.segments import Segments
from lucidnode.fs.read.unreadable_files import UnreadableFiles
from lucidnode.fs.replica.inode import Extent, InodeNo
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.write.unsaved_files import UnsavedFiles

_FIRST_SOUGHT_BYTES = 64 * 1024 * 1024
"""Bytes of a file that are searched at once for data or a hole; four times as many the next time."""

_Source = Extent | tuple[int, bytes]
"""Where bytes are: in a block, or in memory, with the offset of the first."""


class AskedRead(NamedTuple):
    """A read, and what it sees of its file: all of one moment."""

    file: OpenFile
    offset: int
    length: int
    shown: list[Laid[_Source]]
    asker: BlockAsker
    is_whole: bool
    """All of the file, by the first read through its handle: nobody comes for what is around it."""


class Reader:
    """Reads files of one mount. Lives in one event loop.

    *ahead* is told of each read. *channel_files* knows which block the kernel channel has read by itself,
    None without a channel; *open_files* says whose habit it is that such reads follow.
    """

    def __init__(
        self,
        *,
        replica: Replica,
        unsaved: UnsavedFiles,
        segments: Segments,
        counts: ReadCounts,
        unreadable: UnreadableFiles,
        ahead: ReadingAhead,
        open_files: OpenFiles,
        channel_files: ChannelFiles | None,
    ) -> None:
        self.ahead = ahead
        self._open_files = open_files
        self._channel_files = channel_files
        self._replica = replica
        self._unsaved = unsaved
        self._segments = segments
        self._counts = counts
        self._unreadable = unreadable

    async def read(self, file: OpenFile, offset: int, length: int) -> bytes | bytearray:
        """Return bytes of *file*: fewer than *length* only at its end. Holes read as zeros.

        Raises FileMissing if the file is gone (another node deleted it), Unreadable, HeldBack for an indexer.
        """
        return await self.finish(self.asked(file, offset, length))

    def begin(
        self, file: OpenFile, offset: int, length: int
    ) -> bytes | Coroutine[Any, Any, bytes | bytearray]:
        """Return what `read` does if there is nothing to wait for; else what will return it."""
        asked = self.asked(file, offset, length)
        found = self.at_once(asked)
        return self.finish(asked) if found is None else found

    def asked(self, file: OpenFile, offset: int, length: int) -> AskedRead:
        """Note a read and return what it sees, for `at_once` or `finish`. Raises as `read`."""
        stored = self._replica.tree.attributes(file.ino)
        if stored is None:
            raise FileMissing("the file was deleted")
        # One moment: size, extents and unsaved bytes belong together, so no await between them.
        size = self._unsaved.with_pending_size(stored).size
        length = max(min(length, size - offset), 0)
        shown = self.shown(file.ino, offset, length)
        is_whole = not file.pattern.begun and length == size
        self.ahead.note_read(file, offset, length)
        asker = BlockAsker(self._segments.deadline(), file.pid, file.handle)
        return AskedRead(file, offset, length, shown, asker, is_whole)

    def at_once(self, asked: AskedRead) -> bytes | None:
        """Return what *asked* wants if its one segment is in memory: many small files are in one."""
        inside = self._in_one_segment(asked.shown, asked.offset, asked.length)
        if inside is None:
            return None
        extent, index, at = inside
        segment = self._segments.in_memory(extent.block.id, index)
        if segment is None:
            return None
        self._counts.read(extent.block.id, "memory", asked.length)
        self._answered_here(asked)
        return segment[at : at + asked.length]

    async def finish(self, asked: AskedRead) -> bytes | bytearray:
        """Return what *asked* wants. Raises as `read`."""
        file, offset, length, shown, asker, _ = asked
        try:
            found = await self._read(shown, offset, length, asker)
        except BlockAmiss as error:
            self._unreadable.tell(error.block, error.amiss, file.ino)
            raise
        self._answered_here(asked)
        return found

    def _answered_here(self, asked: AskedRead) -> None:
        if not asked.is_whole:
            self.ahead.note_answered_here(asked.file, asked.offset, asked.length)

    def note_answered(self, reads: list[AnsweredRead]) -> None:
        """Count what the kernel channel has read by itself, and look ahead of it."""
        assert self._channel_files is not None
        for read in reads:
            block = self._channel_files.block(read.block)
            if block is not None:
                self._counts.read(block, "disk", read.length)
                self._segments.used(block)
            file = self._open_files.get(read.handle)
            if file is not None:
                self.ahead.note_read(file, read.offset, read.length, read.requests)

    async def _read(
        self, shown: list[Laid[_Source]], offset: int, length: int, asker: BlockAsker
    ) -> bytes | bytearray:
        inside = self._in_one_segment(shown, offset, length)
        if inside is not None:
            return await self._single_segment(*inside, length, asker)
        result = bytearray(length)
        for part in shown:
            if isinstance(part.source, Extent):
                await self._lay(result, offset, part.start, part.stop, part.source, asker)
            else:
                at, data = part.source
                result[part.start - offset : part.stop - offset] = memoryview(data)[
                    part.start - at : part.stop - at
                ]
        return result

    async def seek(self, ino: InodeNo, offset: int, *, data: bool) -> int:
        """Return where the next data, or the next hole, is at or after *offset*; a hole is at the end.

        Bytes that are not saved yet count as data all over the file. Raises FileMissing, NoMoreData.
        """
        asked = offset
        window = _FIRST_SOUGHT_BYTES
        while True:
            stored = self._replica.tree.attributes(ino)
            if stored is None:
                raise FileMissing("the file was deleted")
            size = self._unsaved.with_pending_size(stored).size
            if offset >= size:
                if data or offset > size or offset == asked:
                    raise NoMoreData("behind the end")
                return size
            if self._unsaved.is_dirty(ino):
                return offset if data else size
            stop = min(offset + window, size)
            found = _first(self._stored_ranges(ino, offset, stop), offset, stop, data=data)
            if found is not None:
                return found
            # Others shall have their turn: a film has ten thousand extents, an image of a disk more.
            await asyncio.sleep(0)
            offset, window = stop, window * 4

    def _stored_ranges(self, ino: InodeNo, start: int, stop: int) -> list[Range]:
        ranges = [
            Range(extent.offset, extent.offset + extent.length)
            for extent in self._replica.tree.extents(ino, start, stop - start)
        ]
        ranges += [
            Range(tail.offset, tail.offset + len(tail.data))
            for tail in self._replica.tree.tails_of(ino)
            if tail.offset < stop and tail.offset + len(tail.data) > start
        ]
        return sorted(ranges)

    def shown(self, ino: InodeNo, offset: int, length: int) -> list[Laid[_Source]]:
        """Return what a read of [offset, offset + length) sees of each layer of the file.

        In order; holes are absent. Bytes come with the offset of the first. Raises Unreadable.
        """
        if not length:
            return []
        stop = offset + length
        extents = self._replica.tree.extents(ino, offset, length)
        tails = [(tail.offset, tail.data) for tail in self._replica.tree.tails_of(ino)]
        layers: list[Laid[_Source]] = [Laid(e.offset, e.offset + e.length, e) for e in extents]
        if len(layers) == 1 and not tails and self._unsaved.get(ino) is None:
            return layers
        staged = self._unsaved.staged_extents(ino, offset, length)
        memory = self._unsaved.within(ino, offset, length)
        layers += [Laid(at, at + len(data), (at, data)) for at, data in tails]
        layers += [Laid(e.offset, e.offset + e.length, e) for e in staged]
        layers += [Laid(at, at + len(data), (at, data)) for at, data in memory]
        return visible(layers, offset, stop)

    # -- one extent --------------------------------------------------------------------------

    @staticmethod
    def _in_one_segment(
        shown: list[Laid[_Source]], offset: int, length: int
    ) -> tuple[Extent, int, int] | None:
        """Return extent, segment and place in it if those hold all of a read; else None."""
        if len(shown) != 1:
            return None
        start, stop, extent = shown[0]
        if not isinstance(extent, Extent) or (start, stop) != (offset, offset + length):
            return None
        index, at = divmod(extent.block_offset + offset - extent.offset, SEGMENT_BYTES)
        return (extent, index, at) if at + length <= SEGMENT_BYTES else None

    async def _single_segment(
        self, extent: Extent, index: int, at: int, length: int, asker: BlockAsker
    ) -> bytes:
        """Return a read that one segment holds, without a copy if it is all of it."""
        opened = await self._segments.open(
            extent.block, index, 1, keep=length < SEGMENT_BYTES, asker=asker
        )
        self._counts.read(extent.block.id, opened.place, length)
        segment = opened.segments[0]
        return segment if length == len(segment) else segment[at : at + length]

    async def _lay(
        self,
        result: bytearray,
        offset: int,
        low: int,
        high: int,
        extent: Extent,
        asker: BlockAsker,
    ) -> None:
        """Copy bytes [low, high) of the file from *extent* into *result*, a read at *offset*."""
        start = extent.block_offset + low - extent.offset
        ranges = list(segments(start, high - low))
        # Segments used whole stay in the kernel's pages; the rest is worth keeping here.
        partial = any(part.stop - part.start < SEGMENT_BYTES for part in ranges)
        opened = await self._segments.open(
            extent.block, ranges[0].segment, len(ranges), keep=partial, asker=asker
        )
        at = low - offset
        for part, plain in zip(ranges, opened.segments, strict=True):
            count = part.stop - part.start
            result[at : at + count] = memoryview(plain)[part.start : part.stop]
            at += count
        self._counts.read(extent.block.id, opened.place, high - low)


def _first(ranges: list[Range], start: int, stop: int, *, data: bool) -> int | None:
    """Return the first byte of [start, stop) in one of the sorted *ranges*, or in none of them."""
    for held in ranges:
        if held.start > start:
            return held.start if data else start
        if data:
            return start
        start = max(start, held.stop)
    return None if data or start >= stop else start
