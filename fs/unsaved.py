"""What one file holds in memory: the layers between `write` and the replica.

From the oldest to the newest, and in this order a read lays them over each other:

    extents     in the replica, in blocks
    tails       in the replica as they are, waiting for a pack
    sealing     on their way: sealed, staged, then recorded as extents; or to be recorded as tails
    dirty       in memory only

Invariant: sealings of one file never overlap (dirty bytes over one wait for it to end), so the
layers reach the replica in the order in which they were written.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from lucidnode.fs.dirty import Piece, Runs
from lucidnode.fs.replica.inode import InodeNo


class Sealing:
    """Pieces of one file that become one block. *error* is set once it is done in vain."""

    __slots__ = ("done", "error", "pieces")

    def __init__(self, pieces: list[Piece]) -> None:
        self.pieces = pieces
        self.done = asyncio.Event()
        self.error: Exception | None = None

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
    dirty: Runs = field(default_factory=Runs)
    sealing: list[Sealing] = field(default_factory=list)
    settling: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by whoever brings layers down, or cuts them. It is the only lock, so it has no order."""
    abandoned: bool = False
    """Nobody can reach the file any more: what fails to settle is let go."""

    @property
    def empty(self) -> bool:
        return not (self.dirty or self.sealing)

    @property
    def end(self) -> int:
        """The least size of the file."""
        ends = [piece.end for sealing in self.sealing for piece in sealing.pieces]
        return max([self.dirty.end, *ends])

    def within(self, offset: int, length: int) -> list[tuple[int, bytes]]:
        """Return copies of the bytes of [offset, offset + length), to be laid down in order."""
        found = []
        for sealing in self.sealing:
            for piece in sealing.pieces:
                low = max(offset, piece.offset)
                high = min(offset + length, piece.end)
                if low < high:
                    found.append((low, piece.data[low - piece.offset : high - piece.offset]))
        found += self.dirty.within(offset, length)
        return found

    def ready_blocks(self, block_size: int, near: int) -> list[int]:
        """Return the offsets of whole dirty blocks around *near* that no sealing overlaps."""
        return [
            start
            for start in self.dirty.whole_blocks(block_size, near)
            if not any(sealing.overlaps(start, start + block_size) for sealing in self.sealing)
        ]
