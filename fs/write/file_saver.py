"""Brings what one file holds in memory down, layer by layer, until the replica names all of it.

Full blocks are sealed and staged while writing goes on; `save` does the rest: enough of it becomes
blocks too, and less waits in the replica's tail table. Nothing is given up on an error: bytes that
could not be staged are dirty again, and the next `save` tries once more.
"""

from __future__ import annotations

from lucidnode.fs.errors import FsError
from lucidnode.fs.replica.inode import Extent
from lucidnode.fs.replica.intents import NewExtent, SetAttributes, Write
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.write.block_plan import Piece, extents_of, plan
from lucidnode.fs.write.stager import Stager
from lucidnode.fs.write.staging_notifier import StagingNotifier
from lucidnode.fs.write.unsaved_file import PiecesInFlight, UnsavedFile
from lucidnode.fs.write.unsaved_files import UnsavedFiles
from lucidnode.fs.write.write_buffer import WriteBuffer
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.supervision import Tasks

MAX_EXTENTS_RECORDED = 8192
"""Extents named in the replica by one operation, which must fit in one journal entry."""


class FileSaver:
    """Saves the files in *files*. Lives in one event loop; *tasks* must outlive it.

    With *relaxed*, blocks are named in the replica before they are durable.
    """

    def __init__(
        self,
        *,
        files: UnsavedFiles,
        block_size: int,
        replica: Replica,
        stager: Stager,
        notifier: StagingNotifier,
        buffer: WriteBuffer,
        clock: Clock,
        tasks: Tasks,
        relaxed: bool,
    ) -> None:
        self._files = files
        self._block_size = block_size
        self._replica = replica
        self._stager = stager
        self._notifier = notifier
        self._buffer = buffer
        self._clock = clock
        self._tasks = tasks
        self._relaxed = relaxed

    def note_dirty(self, file: UnsavedFile) -> None:
        """Note that *file* has bytes that a crash would lose."""
        if file.dirty_since is None:
            file.dirty_since = self._clock.boot()

    async def save(self, file: UnsavedFile) -> None:
        """Record all of *file* in the replica; raise what prevents it.

        Hold `file.lock`: no block is staged anew meanwhile, so the first wait ends. Blocks are
        recorded before tails, which would lie below them otherwise.
        """
        await file.landed()
        pieces = [Piece(file.ino, at, data) for at, data in file.dirty.take(0, file.dirty.end)]
        file.dirty_since = None
        chosen = plan(pieces, self._block_size)
        started = [self._start(file, pack) for pack in chosen.packs]
        resting = PiecesInFlight(chosen.tails)
        file.in_flight.append(resting)
        try:
            for flight in started:
                await flight.done.wait()
            _raise_first(started)
            await self._record(file)
            # Whoever is short of memory brings down other people's files: theirs may go meanwhile.
            while resting.pieces and not file.abandoned:
                piece = resting.pieces[0]
                self._replica.tails.put(
                    file.ino,
                    piece.offset,
                    bytes(piece.data),
                    file.time_ns,
                    appended=file.appends,
                    attributes=_set(file),
                )
                file.attributes = None
                self._buffer.release(len(resting.pieces.pop(0).data))
            self.record_attributes(file)
        finally:
            file.in_flight.remove(resting)
            for piece in resting.pieces:
                self._put_back(file, piece)
            # Who waits for room looked when the last block failed: then all of it was in hand here.
            self._buffer.release(0)

    def record_attributes(self, file: UnsavedFile) -> None:
        """Record what a program set of *file* before it had a content, if that is still to be done.

        Raises FileMissing, ReadOnly, NoSpace; it is tried again with the next save then.
        """
        recorded = _set(file)
        if recorded is None or file.abandoned:
            return
        try:
            self._replica.apply(recorded)
        except FsError:
            self.note_dirty(file)
            raise
        file.attributes = None

    async def _record(self, file: UnsavedFile) -> None:
        """Make the staged blocks of *file* durable, then name them in the replica.

        With *relaxed* the replica is told that they are not.
        """
        if not file.staged:
            return
        self._notifier.hurry()
        if not self._relaxed:
            await self._stager.make_durable([block.id for block in file.staged.blocks()])
        # No await from here on: a read finds an extent here or in the replica, never in neither.
        extents = list(file.staged)
        for at in range(0, len(extents), MAX_EXTENTS_RECORDED):
            part = extents[at : at + MAX_EXTENTS_RECORDED]
            blocks = list({extent.block.id: extent.block for extent in part}.values())
            new = [NewExtent(e.offset, e.length, e.block.id, e.block_offset) for e in part]
            self._replica.apply(
                Write(file.ino, new, blocks, file.time_ns, appended=file.appends),
                [block.id for block in blocks] if self._relaxed else (),
            )
        file.staged.forget()

    def _put_back(self, file: UnsavedFile, piece: Piece) -> None:
        """Make *piece* dirty again, under what was written since."""
        before = file.dirty.size
        if not file.abandoned:
            file.dirty.write_under(piece.offset, piece.data)
            self.note_dirty(file)
        self._buffer.release(len(piece.data) - (file.dirty.size - before))

    def stage_whole_blocks(self, file: UnsavedFile, near: int) -> None:
        """Have the blocks around *near* staged that are dirty as a whole, beside what goes on."""
        for start in file.ready_blocks(self._block_size, near):
            [(at, data)] = file.dirty.take(start, start + self._block_size)
            self._start(file, [Piece(file.ino, at, data)])

    def _start(self, file: UnsavedFile, pieces: list[Piece]) -> PiecesInFlight:
        flight = PiecesInFlight(pieces)
        file.in_flight.append(flight)
        _ = self._tasks.create_task(self._stage(file, flight))
        return flight

    async def _stage(self, file: UnsavedFile, flight: PiecesInFlight) -> None:
        """Bring *flight* into staging; put it back among the dirty if that fails."""
        pieces = flight.pieces
        try:
            name = await self._stager.stage(
                pieces[0].data if len(pieces) == 1 else b"".join(piece.data for piece in pieces)
            )
        except (FsError, NodeError, OSError) as error:
            flight.failed(error)
            file.in_flight.remove(flight)
            for piece in pieces:
                self._put_back(file, piece)
        else:
            # No await from here on: a read finds the bytes in flight or in the extents, never
            # in neither.
            if not file.abandoned:
                # The pieces may name an inode that a conflict has moved since.
                [new] = extents_of(pieces, name.id).values()
                file.staged.lay(Extent(e.offset, e.length, name, e.block_offset) for e in new)
                self.note_dirty(file)
                self._notifier.notify(name.id, file.blocks_before)
                file.blocks_before += 1
            else:
                self._files.let_go([name.id])
            file.in_flight.remove(flight)
            self._buffer.release(flight.size)
            if not file.lock.locked():
                for piece in pieces:
                    self.stage_whole_blocks(file, piece.offset)
        flight.done.set()
        self._files.drop_if_empty(file)


def _set(file: UnsavedFile) -> SetAttributes | None:
    """Return what a program set of *file* before it had a content, with the times of its bytes."""
    if (unsaved := file.attributes) is None:
        return None
    return SetAttributes(
        file.ino,
        max(unsaved.time_ns, file.time_ns),
        mode=unsaved.mode,
        uid=unsaved.uid,
        gid=unsaved.gid,
        atime_ns=unsaved.atime_ns,
        mtime_ns=file.time_ns or unsaved.mtime_ns,
    )


def _raise_first(ended: list[PiecesInFlight]) -> None:
    """Raise why the first of *ended* was in vain, if one was."""
    errors = [error for flight in ended if (error := flight.take_error()) is not None]
    if errors:
        del errors[1:]
        raise errors.pop()
