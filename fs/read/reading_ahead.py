"""What is brought near before a reader comes for it: opened if it is on this disk, else fetched.

Blocks are looked for several at a time, since a look costs more than what it finds. What is open
then is published to the kernel channel (fs/read/channel_files.py), so that the read itself does not
come to Python.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence

from lucidnode.fs.errors import Unreadable
from lucidnode.fs.read.channel_files import ChannelFiles
from lucidnode.fs.read.open_files import OpenFile, OpenFiles
from lucidnode.fs.read.read_ahead import Range, Sequences
from lucidnode.fs.read.read_counts import ReadCounts
from lucidnode.fs.read.segments import Segments
from lucidnode.fs.replica.inode import Extent, InodeNo
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.ids import BlockId
from lucidnode.node.client.supervision import Tasks

MAX_BLOCKS_AHEAD = 24
"""Blocks fetched ahead at the same time; a read in need is never counted here."""

FRAME_AHEAD_BYTES = 128 * 1024 * 1024
"""Bytes of one coming frame that are brought near: more than the largest EXR we know."""

AROUND_BYTES = 16 * 1024 * 1024
"""Bytes of a file, from a multiple of that, whose block files are opened when one of them is read: so
random reads of a file of GiB find most of it open soon, while an open one costs some 50 microseconds."""

LOOKED_FOR_AT_ONCE = 8
"""Blocks that are looked for in one look: enough for the look to cost little, few enough for the
first ones to be open soon."""

_MAX_NAMES = 8
"""Names of one file that are looked at for image sequences: more than a frame is linked under."""


class ReadingAhead:
    """Brings near what readers of one mount will want. Lives in one event loop.

    *tasks* must outlive it. *channel_files* is told what the kernel channel may read by itself,
    None without a channel.
    """

    def __init__(
        self,
        *,
        replica: Replica,
        segments: Segments,
        counts: ReadCounts,
        tasks: Tasks,
        open_files: OpenFiles,
        channel_files: ChannelFiles | None,
    ) -> None:
        self._replica = replica
        self._segments = segments
        self._counts = counts
        self._tasks = tasks
        self._open_files = open_files
        self._channel_files = channel_files
        self._sequences = Sequences()
        self._under_way: dict[BlockId, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(MAX_BLOCKS_AHEAD)

    def note_open(self, names: Sequence[tuple[InodeNo, bytes]], pid: int = 0) -> None:
        """Note that *pid* opens a file with these *names* to read it; the next frames of its sequence come near."""
        for parent, name in names[:_MAX_NAMES]:
            for frame in self._sequences.observe(parent, name):
                found = self._replica.tree.lookup(parent, frame)
                if found is not None:
                    for extents in self._unknown(found.ino, Range(0, FRAME_AHEAD_BYTES)):
                        self._begin(extents, None, None, pid)

    def note_read(self, file: OpenFile, offset: int, length: int, requests: int = 1) -> None:
        """Note a read of *file*, in one or more *requests*; what its reader will want next comes near."""
        request = length // max(requests, 1)
        for span in file.pattern.observe(offset, length) if length else ():
            self._publish(file, span)
            for extents in self._unknown(file.ino, span, ahead_of=request):
                self._begin(extents, file, request, file.pid)

    def note_answered_here(self, file: OpenFile, offset: int, length: int) -> None:
        """Note that a read of *file* came to Python; those around it shall not have to."""
        if self._channel_files is None or not length:
            return
        stop = offset + length
        around = Range(offset - offset % AROUND_BYTES, stop + -stop % AROUND_BYTES)
        if self._publish(file, around):
            for extents in self._unknown(file.ino, around):
                _ = self._tasks.create_task(self._open_around(extents, file), name="opening files")

    def stop(self) -> None:
        """Give up everything that is under way, and what was published: the next mount numbers its handles anew."""
        for task in set(self._under_way.values()):
            task.cancel()
        if self._channel_files is not None:
            self._channel_files.changed(None)

    # -- what is not near yet ----------------------------------------------------------------

    def _unknown(
        self, ino: InodeNo, span: Range, *, ahead_of: int | None = None
    ) -> Iterator[list[Extent]]:
        """Yield the extents in *span* whose blocks are neither near nor on their way, in batches.

        *ahead_of* reads of so many bytes also those whose file is open, and wanted in memory.
        """
        try:
            extents = self._replica.tree.extents(ino, span.start, span.stop - span.start)
        except Unreadable:
            return  # a read that really wants it meets the error itself
        uses: dict[BlockId, Extent] = {}
        for extent in extents:
            uses.setdefault(extent.block.id, extent)
        unknown = [
            extent
            for block, extent in uses.items()
            if block not in self._under_way
            and (
                not self._segments.is_near(block)
                or (ahead_of is not None and self._segments.wants_memory(block, ahead_of))
            )
        ]
        for first in range(0, len(unknown), LOOKED_FOR_AT_ONCE):
            yield unknown[first : first + LOOKED_FOR_AT_ONCE]

    def _begin(
        self, extents: Sequence[Extent], file: OpenFile | None, request: int | None, pid: int
    ) -> None:
        near = self._bring_near(extents, file, request, pid)
        task = self._tasks.create_task(near, name="reading ahead")
        for extent in extents:
            self._under_way[extent.block.id] = task

    async def _bring_near(
        self, extents: Sequence[Extent], file: OpenFile | None, request: int | None, pid: int
    ) -> None:
        names = [extent.block for extent in extents]
        try:
            if file is None:  # many frames, most of them small: opened when their turn comes
                absent = await self._segments.absent(names)
            else:
                absent = await self._segments.open_here(names, ahead_of=request)
                self._publish(file, _reach(extents))
            async with asyncio.TaskGroup() as fetches:
                for extent in extents:
                    if extent.block in absent:
                        fetches.create_task(self._fetch(extent, file, pid))
        finally:
            for name in names:
                del self._under_way[name.id]

    async def _fetch(self, extent: Extent, file: OpenFile | None, pid: int) -> None:
        async with self._slots:
            if not await self._segments.prefetch(extent.block, pid):
                return
        self._counts.brought_ahead(extent.block)
        if file is not None:
            await self._segments.open_here([extent.block])
            self._publish(file, _reach([extent]))

    async def _open_around(self, extents: Sequence[Extent], file: OpenFile) -> None:
        await self._segments.open_here([extent.block for extent in extents])
        self._publish(file, _reach(extents))

    def _publish(self, file: OpenFile, span: Range) -> bool:
        """Publish what is open in *span* of *file*; return whether more of it could be."""
        if self._channel_files is None or self._open_files.get(file.handle) is not file:
            return False
        with contextlib.suppress(Unreadable):
            return self._channel_files.show(file.handle, file.ino, span.start, span.stop)
        return False


def _reach(extents: Sequence[Extent]) -> Range:
    return Range(extents[0].offset, extents[-1].offset + extents[-1].length)
