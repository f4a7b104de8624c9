"""What one file holds in memory: the layers between `write` and the replica.

From the oldest to the newest, and in this order a read lays them over each other:

    extents     in the replica, in blocks
    tails       in the replica as they are, waiting for a pack
    staged      in staged blocks that are not durable yet, and not named in the replica
    in flight   on their way into staging; or to be recorded as tails
    dirty       in memory only

Invariant: pieces in flight of one file never overlap (dirty bytes over one wait for it to end), so
the layers reach the replica in the order in which they were written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.write.block_plan import Piece
from lucidnode.fs.write.interval_buffer import IntervalBuffer
from lucidnode.fs.write.staged_extents import StagedExtents
from lucidnode.node.client.ids import BlockId


class UnsavedAttributes(NamedTuple):
    """Attributes that a program set, which go with the bytes: None is as it was. *time_ns* is the ctime."""

    time_ns: int
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    atime_ns: int | None = None
    mtime_ns: int | None = None

    def over(self, before: UnsavedAttributes | None) -> UnsavedAttributes:
        """Return both, where *before* was set earlier."""
        if before is None:
            return self
        return before._replace(
            **{name: value for name, value in self._asdict().items() if value is not None}
        )


class PiecesInFlight:
    """Pieces of one file on their way together: into one staged block, or into the tail table."""

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
        """Bytes of all pieces."""
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
    in_flight: list[PiecesInFlight] = field(default_factory=list)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by whoever brings layers down, or cuts them (`UnsavedFiles.locked`). It is the only
    lock of the write path, so it has no order."""
    users: int = 0
    """How many hold the lock or wait for it."""
    attributes: UnsavedAttributes | None = None
    """What was set of a file that has no content yet: recorded together with its first."""
    appends: bool = False
    """All bytes in the layers were appended: they belong at the end of the file, wherever that is
    when they are committed."""
    blocks_before: int = 0
    """Blocks that were staged since the file was last saved: the more, the less urgent the next."""
    abandoned: bool = False
    """Nobody can reach the file any more: what fails to be saved is let go."""

    @property
    def empty(self) -> bool:
        """Whether the replica has all of it."""
        return not (self.dirty or self.in_flight or self.staged or self.attributes)

    @property
    def end(self) -> int:
        """The least size of the file."""
        ends = [piece.end for flight in self.in_flight for piece in flight.pieces]
        return max([self.dirty.end, self.staged.end, *ends])

    @property
    def size(self) -> int:
        """Bytes in all layers together; one that lies in several counts several times."""
        in_flight = sum(flight.size for flight in self.in_flight)
        return self.dirty.size + in_flight + sum(extent.length for extent in self.staged)

    def spans(self, counts: Callable[[BlockId], bool] = lambda _: True) -> list[tuple[int, int]]:
        """Return [start, stop) of what lies in any layer, in order; they neither overlap nor touch.

        Of staged blocks only of those that *counts* is true of.
        """
        layers = [
            *self.dirty.spans(),
            *((piece.offset, piece.end) for flight in self.in_flight for piece in flight.pieces),
            *((e.offset, e.offset + e.length) for e in self.staged if counts(e.block.id)),
        ]
        found: list[tuple[int, int]] = []
        for start, stop in sorted(layers):
            if found and start <= found[-1][1]:
                found[-1] = (found[-1][0], max(stop, found[-1][1]))
            else:
                found.append((start, stop))
        return found

    async def landed(self) -> None:
        """Return once nothing is in flight."""
        while self.in_flight:
            await self.in_flight[0].done.wait()

    def within(self, offset: int, length: int) -> list[tuple[int, bytes]]:
        """Return copies of the bytes in memory of [offset, offset + length), to be laid in order."""
        found = []
        for flight in self.in_flight:
            for piece in flight.pieces:
                low = max(offset, piece.offset)
                high = min(offset + length, piece.end)
                if low < high:
                    part = piece.data[low - piece.offset : high - piece.offset]
                    found.append((low, bytes(part)))
        found += self.dirty.within(offset, length)
        return found

    def shift(self, by: int) -> None:
        """Move all layers by as many bytes: the end that they were appended to has moved."""
        self.dirty.shift(by)
        self.staged.shift(by)
        for flight in self.in_flight:
            # In place: whoever brings them down looks at this list when he is done waiting.
            flight.pieces[:] = [piece._replace(offset=piece.offset + by) for piece in flight.pieces]

    def ready_blocks(self, block_size: int, near: int) -> list[int]:
        """Return the offsets of whole dirty blocks around *near* that nothing in flight overlaps."""
        return [
            start
            for start in self.dirty.whole_blocks(block_size, near)
            if not any(flight.overlaps(start, start + block_size) for flight in self.in_flight)
        ]
