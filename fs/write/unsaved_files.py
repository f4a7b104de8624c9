"""What files hold in memory: the layers between `write` and the replica, and the table of them.

From the oldest to the newest, and in this order a read lays them over each other:

    extents     in the replica, in blocks
    tails       in the replica as they are, waiting for a pack
    staged      in staged blocks that are not durable yet, and not named in the replica
    sealing     on their way into staging; or to be recorded as tails
    dirty       in memory only

Invariants: sealings of one file never overlap (dirty bytes over one wait for it to end), so the
layers reach the replica in the order in which they were written. A file with bytes in memory, and
one whose lock somebody holds or waits for, is in the table, and no other object for its inode is.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field

from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.write.flush_plan import Piece
from lucidnode.fs.write.interval_buffer import IntervalBuffer
from lucidnode.fs.write.staged_extents import StagedExtents


class BlockWrite:
    """Pieces of one file that become one block."""

    __slots__ = ("_error", "done", "pieces")

    def __init__(self, pieces: list[Piece]) -> None:
        self.pieces = pieces
        self.done = asyncio.Event()
        self._error: Exception | None = None

    def failed(self, error: Exception) -> None:
        """Note why it was in vain, without the frames of whoever tried.

        They hold the bytes, and us: a cycle of megabytes, which Python looks for once in a while.
        """
        found: BaseException | None = error
        while found is not None:
            found.__traceback__ = None
            found = found.__cause__ or found.__context__
        self._error = error

    def take_error(self) -> Exception | None:
        """Return why it was in vain, once: whoever raises it stands in its frames."""
        error, self._error = self._error, None
        return error

    @property
    def size(self) -> int:
        return sum(len(piece.data) for piece in self.pieces)

    def overlaps(self, start: int, stop: int) -> bool:
        """Return whether any piece holds bytes of [start, stop)."""
        return any(piece.offset < stop and piece.end > start for piece in self.pieces)


@dataclass(slots=True)
class UnsavedFile:
    """The layers of one inode."""

    ino: InodeNo
    time_ns: int = 0
    """When the newest dirty byte was written; 0 if the replica knows a later time already."""
    dirty: IntervalBuffer = field(default_factory=IntervalBuffer)
    dirty_since: float | None = None
    """Instant of `clock.boot()` of the oldest byte that a crash would lose; None if there is none."""
    staged: StagedExtents = field(default_factory=StagedExtents)
    block_writes: list[BlockWrite] = field(default_factory=list)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by whoever brings layers down, or cuts them (`UnsavedFiles.locked`). It is the only
    lock of the write path, so it has no order."""
    users: int = 0
    """How many hold the lock or wait for it."""
    appends: bool = False
    """All bytes in the layers were appended: they belong at the end of the file, wherever that is
    when they are committed."""
    blocks_before: int = 0
    """Blocks that were staged since the file was last saved: the more, the less urgent the next."""
    abandoned: bool = False
    """Nobody can reach the file any more: what fails to settle is let go."""

    @property
    def empty(self) -> bool:
        return not (self.dirty or self.block_writes or self.staged)

    @property
    def end(self) -> int:
        """The least size of the file."""
        ends = [piece.end for block_write in self.block_writes for piece in block_write.pieces]
        return max([self.dirty.end, self.staged.end, *ends])

    @property
    def size(self) -> int:
        """Bytes in all layers together; one that lies in several counts several times."""
        sealing = sum(block_write.size for block_write in self.block_writes)
        return self.dirty.size + sealing + sum(extent.length for extent in self.staged)

    def within(self, offset: int, length: int) -> list[tuple[int, bytes]]:
        """Return copies of the bytes in memory of [offset, offset + length), to be laid in order."""
        found = []
        for block_write in self.block_writes:
            for piece in block_write.pieces:
                low = max(offset, piece.offset)
                high = min(offset + length, piece.end)
                if low < high:
                    found.append((low, piece.data[low - piece.offset : high - piece.offset]))
        found += self.dirty.within(offset, length)
        return found

    def shift(self, by: int) -> None:
        """Move all layers by as many bytes: the end that they were appended to has moved."""
        self.dirty.shift(by)
        self.staged.shift(by)
        for block_write in self.block_writes:
            # In place: whoever brings them down looks at this list when he is done waiting.
            block_write.pieces[:] = [
                piece._replace(offset=piece.offset + by) for piece in block_write.pieces
            ]

    def ready_blocks(self, block_size: int, near: int) -> list[int]:
        """Return the offsets of whole dirty blocks around *near* that no sealing overlaps."""
        return [
            start
            for start in self.dirty.whole_blocks(block_size, near)
            if not any(
                block_write.overlaps(start, start + block_size) for block_write in self.block_writes
            )
        ]


class UnsavedFiles:
    """The files of one mount that have bytes the replica lacks, by inode."""

    def __init__(self) -> None:
        self._files: dict[InodeNo, UnsavedFile] = {}
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

        Without an await in between the caller gives it bytes, or `settle`s it.
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
            self.settle(file)

    def settle(self, file: UnsavedFile) -> None:
        """Let *file* go if it holds nothing and nobody is at it."""
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


def _nobody(_: InodeNo) -> None:
    """Nobody is told yet."""
