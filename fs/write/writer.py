"""The write path: from `write` to an acknowledgement at level `local` (docs/architecture.md).

Full blocks are sealed and staged while writing goes on. `flush` brings down the rest: enough of it
becomes blocks too, less waits in the replica's tail table, and one barrier makes all of it durable.
Tails of many files share blocks: `pack_tails` makes them before each journal entry.

Nothing is given up on an error. Bytes that could not be staged are dirty again, the `flush` that
waits for them raises, and the next one tries once more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import accumulate

import msgspec

from lucidnode.fs.errors import FileMissing, FileTooBig, FsError
from lucidnode.fs.format.block import BlockName, seal
from lucidnode.fs.format.geometry import padded_size
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.replica.inode import MAX_FILE_SIZE, Attributes, Extent, InodeNo
from lucidnode.fs.replica.intents import NewExtent, Truncate, Write
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.write.flush_plan import Piece, plan, shared
from lucidnode.fs.write.group_sync import GroupSync
from lucidnode.fs.write.stager import Stager
from lucidnode.fs.write.staging_notifier import StagingNotifier
from lucidnode.fs.write.unfinished import Unfinished
from lucidnode.fs.write.unsaved_files import BlockWrite, UnsavedFile, UnsavedFiles
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.disk_words import help_for, said_by
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.ids import BlockId
from lucidnode.node.client.supervision import Tasks

MAX_BUFFERED_BYTES = 192 * 1024 * 1024
"""Bytes of plaintext in all layers above the extents; more than that, and writers wait."""

TIME_KNOWN = 0
"""Time of a Write whose bytes the replica has accounted for already, as tails or by `utime`."""

MAX_RECORDED = 8192
"""Extents named in the replica by one operation, which must fit in one journal entry."""

_PACKS = "packs"
"""What packs that cannot be staged are told as: no entry can name their bytes until they are."""

_RETRY_PACK_S = 1.0
"""Seconds. A pack holds acknowledged bytes: staging it is tried until it succeeds."""


class Writer:
    """Everything written and not settled, of all files of one mount. Lives in one event loop.

    *tasks* must outlive it; they end after `flush_all` and `stop`.
    """

    def __init__(
        self,
        *,
        files: UnsavedFiles,
        keys: ProjectKeys,
        block_size: int,
        replica: Replica,
        unfinished: Unfinished,
        stager: Stager,
        group_sync: GroupSync,
        announcer: StagingNotifier,
        alerts: Alerts,
        clock: Clock,
        tasks: Tasks,
        max_buffered: int = MAX_BUFFERED_BYTES,
    ) -> None:
        self._keys = keys
        self._block_size = block_size
        self._replica = replica
        self._unfinished = unfinished
        self._stager = stager
        self._group_sync = group_sync
        self._announcer = announcer
        self._alerts = alerts
        self._clock = clock
        self._tasks = tasks
        self._max_buffered = max_buffered
        self._files = files
        self._buffered = 0
        self._moved = asyncio.Event()
        """Set, and replaced, whenever a layer came down or failed to."""
        self._packed: dict[BlockId, bytes] = {}
        """Plaintext of packs whose staged file does not exist yet."""
        self._staging: dict[BlockId, asyncio.Event] = {}
        self._packing: set[asyncio.Task[None]] = set()
        self._let_go: set[BlockId] = set()
        """Staged blocks that no file lies in any more, and that the replica never named."""
        self.written = 0
        """Bytes taken from applications since the mount started."""

    # -- what readers see --------------------------------------------------------------------

    def within(self, ino: InodeNo, offset: int, length: int) -> list[tuple[int, bytes]]:
        """Return the unsaved bytes of [offset, offset + length), to be laid down in order."""
        file = self._files.get(ino)
        return [] if file is None else file.within(offset, length)

    def staged_extents(self, ino: InodeNo, offset: int, length: int) -> list[Extent]:
        """Return the extents that lie over those of the replica and its tails, below `within`."""
        file = self._files.get(ino)
        return [] if file is None else file.staged.within(offset, length)

    def holds(self) -> set[BlockId]:
        """Return the staged blocks that files lie in and the replica does not name yet."""
        return {extent.block.id for file in self._files for extent in file.staged}

    def take_let_go(self) -> set[BlockId]:
        """Return the staged blocks that no file lies in any more, each once."""
        taken, self._let_go = self._let_go, set()
        return taken

    def packed_block(self, block: BlockId) -> bytes | None:
        """Return the plaintext of a block that is not staged yet, or None if there is a file."""
        return self._packed.get(block)

    def with_pending_size(self, attributes: Attributes) -> Attributes:
        """Return *attributes* of the replica as they are with what is unsaved."""
        file = self._files.get(attributes.ino)
        if file is None or file.empty:
            return attributes
        time_ns = file.time_ns or attributes.mtime_ns
        return msgspec.structs.replace(
            attributes, size=max(attributes.size, file.end), mtime_ns=time_ns
        )

    def unsaved_bytes(self, ino: InodeNo) -> int:
        """Return how many bytes of *ino* lie above the replica, in all layers together."""
        file = self._files.get(ino)
        return 0 if file is None else file.size

    def unsaved(self) -> dict[InodeNo, bool]:
        """Return the files with bytes that the replica does not have; True if all are appended."""
        return {file.ino: file.appends for file in self._files if not file.empty}

    def is_dirty(self, ino: InodeNo) -> bool:
        """Return whether *ino* has bytes that a crash would lose."""
        file = self._files.get(ino)
        return file is not None and not file.empty

    @property
    def buffered(self) -> int:
        """Bytes of plaintext held in memory for all files."""
        return self._buffered

    # -- changes -----------------------------------------------------------------------------

    async def write(self, ino: InodeNo, offset: int | None, data: bytes | memoryview) -> None:
        """Take *data* at *offset*, None for the end of the file as this node knows it.

        Waits while too much is unsaved; raises NoSpace when it cannot be saved, FileMissing for
        the end of a file that is gone, and FileTooBig past the end of the largest file.
        """
        await self.room_for(len(data))
        # No await from here on: two who append at once must not find the same end.
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
        self._note_dirty(file)
        self._unfinished.began(ino)
        self._buffered += file.dirty.size - before
        self.written += len(data)
        if not file.lock.locked():
            self._seal_ready(file, offset)

    async def room_for(self, size: int) -> None:
        """Return once *size* bytes more may be written; a `write` that follows at once waits no more.

        Raises NoSpace when what is unsaved cannot be saved.
        """
        if self._buffered + size > self._max_buffered:
            await self._wait_for_room(size)

    async def truncate(self, ino: InodeNo, size: int) -> None:
        """Set the file's size, saved and unsaved bytes alike."""
        async with self._files.locked(ino) as file:
            await _all_done(file)
            self._replica.apply(Truncate(file.ino, size, self._clock.wall_ns()))
            before = file.dirty.size
            staged = {block.id for block in file.staged.blocks()}
            file.dirty.cut(size)
            file.staged.cut(size)
            self._let_go |= staged - {block.id for block in file.staged.blocks()}
            self._release(before - file.dirty.size)
            file.time_ns = 0

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
        await self._group_sync.closed()

    async def sync(self, ino: InodeNo) -> None:
        """Return once everything written to *ino* is durable here; raise what prevents it."""
        await self._save(ino)
        await self._group_sync.now()

    async def _save(self, ino: InodeNo) -> None:
        if self._files.get(ino) is not None:
            async with self._files.locked(ino) as file:
                await self._flush_file(file)
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
            self._release(file.dirty.size)
            file.dirty.cut(0)
            self._let_go.update(block.id for block in file.staged.blocks())
            file.staged.forget()
            self._files.settle(file)
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

    # -- packs of tails ----------------------------------------------------------------------

    def resume(self) -> None:
        """Stage the packs that an earlier run did not get to.

        A pack is sealed again from its rows: the same bytes give the same block.
        """
        for rows in self._replica.tails.packs().values():
            plaintext = b"".join(row.data for row in rows)
            name, ciphertext = seal(self._keys, plaintext)
            self._stage_pack(name, plaintext, ciphertext)

    def pack_tails(self) -> None:
        """Turn all tails into extents of shared blocks, in the replica at once.

        Called before a journal entry is made: what it names must exist. Staging follows in the
        background; `staged` waits for it. Takes about a millisecond for 1 MiB of tails.
        """
        rows = self._replica.tails.loose()
        pieces = [Piece(row.ino, row.offset, row.data) for row in rows]
        numbers = iter([row.row for row in rows])
        for pack in shared(pieces, self._block_size):
            sizes = [len(piece.data) for piece in pack]
            starts = accumulate(sizes[:-1], initial=0)
            places = [(number, start) for start, number in zip(starts, numbers, strict=False)]
            plaintext = b"".join(piece.data for piece in pack)
            name, ciphertext = seal(self._keys, plaintext)
            writes = [
                Write(ino, extents, [name], TIME_KNOWN)
                for ino, extents in _extents(pack, name.id).items()
            ]
            self._replica.tails.packed(name, places, writes)
            self._stage_pack(name, plaintext, ciphertext)

    def stop(self) -> None:
        """Give up staging packs: their bytes are in the replica, where the next run finds them."""
        for task in self._packing:
            task.cancel()

    async def staged(self, blocks: Sequence[BlockId]) -> None:
        """Return once none of *blocks* is still on its way into staging."""
        for block in blocks:
            event = self._staging.get(block)
            if event is not None:
                await event.wait()

    # -- bringing layers down ----------------------------------------------------------------

    def _end(self, ino: InodeNo) -> int:
        stored = self._replica.tree.attributes(ino)
        if stored is None:
            raise FileMissing("the file was deleted")
        return self.with_pending_size(stored).size

    def _note_dirty(self, file: UnsavedFile) -> None:
        if file.dirty_since is None:
            file.dirty_since = self._clock.boot()

    async def _flush_file(self, file: UnsavedFile) -> None:
        """Hold `file.lock`: no new sealing starts meanwhile, so the first wait ends.

        Blocks are recorded before tails, which would lie below them otherwise.
        """
        await _all_done(file)
        pieces = [Piece(file.ino, at, data) for at, data in file.dirty.take(0, file.dirty.end)]
        file.dirty_since = None
        chosen = plan(pieces, self._block_size)
        started = [self._seal(file, pack) for pack in chosen.packs]
        resting = BlockWrite(chosen.tails)
        file.block_writes.append(resting)
        try:
            for block_write in started:
                await block_write.done.wait()
            _raise_first(started)
            await self._record(file)
            # Whoever is short of memory brings down other people's files: theirs may go meanwhile.
            while resting.pieces and not file.abandoned:
                piece = resting.pieces[0]
                self._replica.tails.put(
                    file.ino, piece.offset, piece.data, file.time_ns, appended=file.appends
                )
                self._release(len(resting.pieces.pop(0).data))
        finally:
            file.block_writes.remove(resting)
            for piece in resting.pieces:
                self._put_back(file, piece)

    async def _record(self, file: UnsavedFile) -> None:
        """Make the staged blocks of *file* durable, then name them in the replica.

        At durability `relaxed` the replica is told that they are not.
        """
        if not file.staged:
            return
        loose = self._group_sync.relaxed
        if not loose:
            await self._stager.make_durable([block.id for block in file.staged.blocks()])
        # No await from here on: a read finds an extent here or in the replica, never in neither.
        extents = list(file.staged)
        for at in range(0, len(extents), MAX_RECORDED):
            part = extents[at : at + MAX_RECORDED]
            blocks = list({extent.block.id: extent.block for extent in part}.values())
            new = [NewExtent(e.offset, e.length, e.block.id, e.block_offset) for e in part]
            self._replica.apply(
                Write(file.ino, new, blocks, file.time_ns, appended=file.appends),
                [block.id for block in blocks] if loose else (),
            )
        file.staged.forget()

    def _put_back(self, file: UnsavedFile, piece: Piece) -> None:
        """Make *piece* dirty again, under what was written since."""
        before = file.dirty.size
        if not file.abandoned:
            file.dirty.write_under(piece.offset, piece.data)
            self._note_dirty(file)
        self._release(len(piece.data) - (file.dirty.size - before))

    def _seal_ready(self, file: UnsavedFile, near: int) -> None:
        for start in file.ready_blocks(self._block_size, near):
            [(at, data)] = file.dirty.take(start, start + self._block_size)
            self._seal(file, [Piece(file.ino, at, data)])

    def _seal(self, file: UnsavedFile, pieces: list[Piece]) -> BlockWrite:
        block_write = BlockWrite(pieces)
        file.block_writes.append(block_write)
        _ = self._tasks.create_task(self._settle(file, block_write))
        return block_write

    async def _settle(self, file: UnsavedFile, block_write: BlockWrite) -> None:
        """Bring *block_write* into staging; put it back among the dirty if that fails."""
        pieces = block_write.pieces
        try:
            name = await self._stager.seal(b"".join(piece.data for piece in pieces))
        except (FsError, NodeError, OSError) as error:
            block_write.failed(error)
            file.block_writes.remove(block_write)
            for piece in pieces:
                self._put_back(file, piece)
        else:
            # No await from here on: a read finds the bytes in the sealing or in the extents,
            # never in neither.
            if not file.abandoned:
                # The pieces may name an inode that a conflict has moved since.
                [new] = _extents(pieces, name.id).values()
                file.staged.lay(Extent(e.offset, e.length, name, e.block_offset) for e in new)
                self._note_dirty(file)
                self._announcer.announce(name.id, file.blocks_before)
                file.blocks_before += 1
            else:
                self._let_go.add(name.id)
            file.block_writes.remove(block_write)
            self._release(block_write.size)
            if not file.lock.locked():
                for piece in pieces:
                    self._seal_ready(file, piece.offset)
        block_write.done.set()
        self._files.settle(file)

    def _stage_pack(self, name: BlockName, plaintext: bytes, sealed: bytes) -> None:
        if name.id not in self._packed:
            self._packed[name.id] = plaintext.ljust(padded_size(len(plaintext)), b"\0")
            self._buffered += len(plaintext)
            self._staging[name.id] = asyncio.Event()
            task = self._tasks.create_task(self._settle_pack(name.id, len(plaintext), sealed))
            self._packing.add(task)
            task.add_done_callback(self._packing.discard)

    async def _settle_pack(self, block: BlockId, size: int, sealed: bytes | None) -> None:
        while True:
            try:
                await self._stager.put_durably(block, self._packed[block], sealed)
                # Within: the replica's disk may be full as well, and that passes, too.
                self._replica.tails.release_pack(block)
            except (FsError, OSError) as error:
                sealed = None  # a disk that fails for long shall not have us hold all of it twice
                self._alerts.begin(
                    _PACKS,
                    f"Changes cannot be committed now: {said_by(error)}.",
                    help_for(error, "the cache or of the home directory", "Check both disks.")
                    + " They are kept on the disk of the home directory, and tried again.",
                )
            else:
                break
            # Not within `except`: the error's frames hold what was sealed until that ends.
            await self._clock.sleep(_RETRY_PACK_S)
        self._alerts.end(_PACKS)
        del self._packed[block]
        self._announcer.announce(block)
        self._staging.pop(block).set()
        self._release(size)

    # -- the budget --------------------------------------------------------------------------

    async def _wait_for_room(self, size: int) -> None:
        while self._buffered + size > self._max_buffered:
            moved = self._moved
            victim = max(self._files, key=lambda file: file.dirty.size, default=None)
            if victim is not None and victim.dirty and not victim.block_writes:
                # A failed flush puts its bytes back, so only its error says that it is no use.
                async with self._files.locked(victim.ino) as file:
                    await self._flush_file(file)
            if self._buffered + size > self._max_buffered:
                # Blocks and packs on their way will set it; tails hold no memory.
                await moved.wait()

    def _release(self, size: int) -> None:
        self._buffered -= size
        self._moved.set()
        self._moved = asyncio.Event()


def _raise_first(ended: list[BlockWrite]) -> None:
    """Raise why the first of *ended* was in vain, if one was."""
    errors = [error for block_write in ended if (error := block_write.take_error()) is not None]
    if errors:
        del errors[1:]
        raise errors.pop()


async def _all_done(file: UnsavedFile) -> None:
    while file.block_writes:
        await file.block_writes[0].done.wait()


def _extents(pieces: list[Piece], block: BlockId) -> dict[InodeNo, list[NewExtent]]:
    """Return the extents of each file among *pieces*, which lie in *block* one after the other."""
    extents: dict[InodeNo, list[NewExtent]] = {}
    at = 0
    for piece in pieces:
        found = extents.setdefault(piece.ino, [])
        last = found[-1] if found else None
        size = len(piece.data)
        if last and (last.offset, last.block_offset) == (
            piece.offset - last.length,
            at - last.length,
        ):
            # A log that was synced line by line is one extent in its pack, not a thousand.
            found[-1] = NewExtent(last.offset, last.length + size, block, last.block_offset)
        else:
            found.append(NewExtent(piece.offset, size, block, at))
        at += size
    return extents
