"""The write path: from `write` to an acknowledgement at level `local` (docs/architecture.md).

`write` lays bytes into memory, where readers see them at once (unsaved_files.py); `flush` has them
saved (file_saver.py), and one barrier makes all of it durable (group_sync.py).
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from lucidnode.fs.errors import FileMissing, FileTooBig, FsError
from lucidnode.fs.replica.inode import MAX_FILE_SIZE, InodeNo
from lucidnode.fs.replica.intents import Truncate
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.write.file_saver import FileSaver
from lucidnode.fs.write.group_sync import GroupSync
from lucidnode.fs.write.quota_gate import QuotaGate
from lucidnode.fs.write.unfinished import Unfinished
from lucidnode.fs.write.unsaved_file import UnsavedAttributes, UnsavedFile
from lucidnode.fs.write.unsaved_files import UnsavedFiles
from lucidnode.fs.write.write_buffer import WriteBuffer
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NodeError


class Writer:
    """What programs do to the bytes of files, of one mount. Lives in one event loop."""

    def __init__(
        self,
        *,
        files: UnsavedFiles,
        replica: Replica,
        unfinished: Unfinished,
        saver: FileSaver,
        group_sync: GroupSync,
        buffer: WriteBuffer,
        clock: Clock,
        quota: QuotaGate,
    ) -> None:
        self.quota = quota
        self._files = files
        self._replica = replica
        self._unfinished = unfinished
        self._saver = saver
        self._group_sync = group_sync
        self._buffer = buffer
        self._clock = clock
        self.written = 0
        """Bytes taken from applications since the mount started."""

    async def write(self, ino: InodeNo, offset: int | None, data: bytes | memoryview) -> None:
        """Take *data* at *offset*, None for the end of the file as this node knows it.

        Waits while too much is unsaved; raises NoSpace when it cannot be saved, FileMissing for
        the end of a file that is gone, FileTooBig past the end of the largest file, and OverQuota.
        """
        await self.room_for(len(data))
        if self.quota.now.hard:  # who appends asks the replica for the end, once more
            self.quota.check(ino, (self._end(ino) if offset is None else offset) + len(data))
        # No await from here on: two who append at once must not find the same end.
        self.lay(ino, offset, data)
        self.written += len(data)

    def lay(self, ino: InodeNo, offset: int | None, data: bytes | memoryview) -> None:
        """Do as `write`, for whom there is room. Raises FileMissing, FileTooBig."""
        appends = offset is None
        if offset is None:
            offset = self._end(ino)
        if offset + len(data) > MAX_FILE_SIZE:
            raise FileTooBig("write")
        file = self._files.of(ino)
        file.appends = appends and (file.appends or file.empty)
        before = file.dirty.size
        file.dirty.write(offset, data)
        file.time_ns = self._clock.wall_ns()
        self._saver.note_dirty(file)
        self._unfinished.began(ino)
        self._buffer.take(file.dirty.size - before)
        if not file.lock.locked():
            self._saver.stage_whole_blocks(file, offset)

    async def room_for(self, size: int) -> None:
        """Return once *size* bytes more may be written; a `write` that follows at once waits no more.

        Raises NoSpace when what is unsaved cannot be saved.
        """
        if not self._buffer.has_room_for(size):
            await self._wait_for_room(size)

    async def truncate(self, ino: InodeNo, size: int) -> None:
        """Set the file's size, saved and unsaved bytes alike.

        Raises as `Replica.apply`: a FileError, ReadOnly, or NoSpace; and OverQuota.
        """
        self.quota.check(ino, size)
        async with self.still(ino) as file:
            self._replica.apply(Truncate(file.ino, size, self._clock.wall_ns()))
            self.forget(file, size, MAX_FILE_SIZE)

    @contextlib.asynccontextmanager
    async def still(self, ino: InodeNo) -> AsyncIterator[UnsavedFile]:
        """Yield what is unsaved of *ino* while nothing of it is on its way into blocks.

        A content of its own can be put into the replica then, below what is unsaved: `forget` that
        where it shall show, without an await in between.
        """
        async with self._files.locked(ino) as file:
            await file.landed()
            self._saver.record_attributes(file)
            yield file

    def forget(self, file: UnsavedFile, start: int, stop: int) -> None:
        """Forget what is unsaved in [start, stop) of *file*, which is still."""
        before = file.dirty.size
        staged = {block.id for block in file.staged.blocks()}
        file.dirty.take(start, stop)
        file.staged.cut(start, stop)
        self._files.let_go(staged - {block.id for block in file.staged.blocks()})
        self._buffer.release(before - file.dirty.size)
        file.time_ns = 0

    def keep_attributes(self, ino: InodeNo, attributes: UnsavedAttributes) -> bool:
        """Record *attributes* with the first content of *ino*, if that is not saved yet; tell whether.

        Who unpacks sets three or four of each file between its bytes and its `close`: one transaction
        instead of as many. A crash before that `close` leaves an empty file as it was made.
        """
        file = self._files.get(ino)
        if file is None or file.empty or file.abandoned:
            return False
        if file.attributes is None:
            stored = self._replica.tree.attributes(ino)
            if stored is None or stored.size or stored.version or not stored.nlink:
                return False
        file.attributes = attributes.over(file.attributes)
        if attributes.mtime_ns is not None:
            file.time_ns = 0
        return True

    def time_was_set(self, ino: InodeNo) -> None:
        """Note that a user set the mtime: bytes written before must not change it later."""
        file = self._files.get(ino)
        if file is not None:
            file.time_ns = 0

    async def flush(self, ino: InodeNo) -> None:
        """Return once all that was written to *ino* is as safe as `close` promises at this mount.

        At durability `relaxed` that is recorded, else durable. Raises what prevents it.
        """
        await self._save(ino)
        await self._group_sync.acknowledge_close()

    async def sync(self, ino: InodeNo) -> None:
        """Return once everything written to *ino* is durable here; raise what prevents it."""
        await self._save(ino)
        await self._group_sync.now()

    async def bring_down(self, ino: InodeNo) -> None:
        """Return once what was written to *ino* is in blocks, or in tails: that ends no save.

        Raises what prevents it.
        """
        if self._files.get(ino) is not None:
            async with self._files.locked(ino) as file:
                await self._saver.save(file)

    async def _save(self, ino: InodeNo) -> None:
        if self._files.get(ino) is None:
            self._unfinished.note_close(ino)
            return
        async with self._files.locked(ino) as file:
            await self._saver.save(file)
            if file.empty:
                self._unfinished.ended(file.ino)

    async def flush_all(self) -> None:
        """Flush every file. Raises the first error after trying all."""
        failed: Exception | None = None
        for file in self._files:
            try:
                await self.flush(file.ino)
            except (FsError, NodeError, OSError) as error:
                failed = failed or error
        if failed is not None:
            raise failed

    def discard(self, ino: InodeNo) -> None:
        """Forget what is unsaved of a file that nobody can reach any more."""
        file = self._files.get(ino)
        if file is not None:
            file.abandoned = True
            self._buffer.release(file.dirty.size)
            file.dirty.cut(0)
            self._files.let_go(block.id for block in file.staged.blocks())
            file.staged.forget()
            file.attributes = None
            self._files.drop_if_empty(file)
        self._unfinished.ended(ino)

    def redirect(self, ino: InodeNo, copy: InodeNo) -> None:
        """Move what is unsaved of *ino* to *copy*, the conflict copy with our version of it."""
        self._files.redirect(ino, copy)
        self._unfinished.redirect(ino, copy)

    def shift(self, ino: InodeNo, by: int) -> None:
        """Move what is unsaved of *ino*, all of it appended, with the end of the file."""
        file = self._files.get(ino)
        if file is not None:
            file.shift(by)

    def _end(self, ino: InodeNo) -> int:
        stored = self._replica.tree.attributes(ino)
        if stored is None:
            raise FileMissing("the file was deleted")
        return self._files.with_pending_size(stored).size

    async def _wait_for_room(self, size: int) -> None:
        while not self._buffer.has_room_for(size):
            released = self._buffer.released
            victim = max(self._files, key=lambda file: file.dirty.size, default=None)
            if victim is not None and victim.dirty and not victim.in_flight:
                # A failed save puts its bytes back, so only its error says that it is no use.
                async with self._files.locked(victim.ino) as file:
                    await self._saver.save(file)
            if not self._buffer.has_room_for(size):
                # Blocks and packs on their way will set it; tails hold no memory.
                await released.wait()
