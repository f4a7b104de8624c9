"""Bytes by file offset that no block holds yet, and how they are cut into blocks. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from lucidnode.fs.replica.inode import InodeNo

SMALL = 256 * 1024
"""Bytes. Less than this is not worth a block of its own: it waits to share one."""


class Piece(NamedTuple):
    """Bytes that belong at *offset* of the file *ino*."""

    ino: InodeNo
    offset: int
    data: bytes

    @property
    def end(self) -> int:
        return self.offset + len(self.data)


class Plan(NamedTuple):
    """How pieces become durable: each pack as one block, the rest as tails of the replica."""

    packs: list[list[Piece]]
    tails: list[Piece]


class Runs:
    """Runs of bytes in offset order that neither overlap nor touch; what is written last wins."""

    __slots__ = ("_runs", "_starts", "size")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._runs: list[bytearray] = []
        self.size = 0
        """Bytes held, in all runs together."""

    def __bool__(self) -> bool:
        return bool(self._runs)

    @property
    def end(self) -> int:
        """The offset after the last byte held, 0 if there is none."""
        return self._starts[-1] + len(self._runs[-1]) if self._runs else 0

    def spans(self) -> Iterator[tuple[int, int]]:
        """Yield [start, stop) of each run, in order."""
        for start, run in zip(self._starts, self._runs, strict=True):
            yield start, start + len(run)

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Hold *data* at *offset*, over whatever was held there."""
        if not len(data):
            return
        end = offset + len(data)
        first, last = self._touching(offset, end)
        if first == last:
            self._starts.insert(first, offset)
            self._runs.insert(first, bytearray(data))
            self.size += len(data)
            return
        start, run = self._starts[first], self._runs[first]
        before = sum(map(len, self._runs[first:last]))
        if start > offset or last - first > 1:
            stop = max(end, self._starts[last - 1] + len(self._runs[last - 1]))
            run, start = self._merged(min(start, offset), stop, first, last)
            self._starts[first:last] = [start]
            self._runs[first:last] = [run]
        # Past its end, slice assignment to a bytearray appends: a growing run is never copied.
        run[offset - start : end - start] = data
        self.size += len(run) - before

    def write_under(self, offset: int, data: bytes) -> None:
        """Hold *data* at *offset*, but only where nothing is held: what is there is newer."""
        end = offset + len(data)
        at = offset
        gaps = []
        for start, stop in self._spans_in(offset, end):
            if start > at:
                gaps.append((at, start))
            at = stop
        if at < end:
            gaps.append((at, end))
        for start, stop in gaps:
            self.write(start, data[start - offset : stop - offset])

    def take(self, start: int, stop: int) -> list[tuple[int, bytes]]:
        """Remove and return what is held within [start, stop), as (offset, bytes) in order."""
        taken = []
        first, last = self._touching(start, stop)
        kept: list[tuple[int, bytearray]] = []
        for at, run in zip(self._starts[first:last], self._runs[first:last], strict=True):
            low, high = max(start - at, 0), min(stop - at, len(run))
            if low >= high:
                kept.append((at, run))
                continue
            taken.append((at + low, bytes(memoryview(run)[low:high])))
            self.size -= high - low
            if low:
                kept.append((at, run[:low]))
            if high < len(run):
                del run[:high]
                kept.append((at + high, run))
        self._starts[first:last] = [at for at, _ in kept]
        self._runs[first:last] = [run for _, run in kept]
        return taken

    def cut(self, size: int) -> None:
        """Forget everything at *size* and after it."""
        if self.end > size:
            self.take(size, self.end)

    def within(self, offset: int, length: int) -> list[tuple[int, bytes]]:
        """Return copies of what is held within [offset, offset + length), in order."""
        found = []
        end = offset + length
        first, last = self._touching(offset, end)
        for at, run in zip(self._starts[first:last], self._runs[first:last], strict=True):
            low, high = max(offset - at, 0), min(end - at, len(run))
            if low < high:
                found.append((at + low, bytes(memoryview(run)[low:high])))
        return found

    def whole_blocks(self, block_size: int, near: int) -> list[int]:
        """Return the offsets of aligned blocks that the run around offset *near* covers fully."""
        index = bisect_right(self._starts, near) - 1
        if index < 0:
            return []
        start = self._starts[index]
        stop = start + len(self._runs[index])
        first = -(-start // block_size) * block_size
        return list(range(first, stop - block_size + 1, block_size))

    def _touching(self, start: int, stop: int) -> tuple[int, int]:
        """Return the slice of runs that overlap [start, stop) or touch it."""
        first = bisect_right(self._starts, start) - 1
        if first < 0 or self._starts[first] + len(self._runs[first]) < start:
            first += 1
        return first, max(first, bisect_right(self._starts, stop))

    def _spans_in(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        first, last = self._touching(start, stop)
        for at, run in zip(self._starts[first:last], self._runs[first:last], strict=True):
            if at < stop and at + len(run) > start:
                yield at, at + len(run)

    def _merged(self, start: int, stop: int, first: int, last: int) -> tuple[bytearray, int]:
        merged = bytearray(stop - start)
        for at, run in zip(self._starts[first:last], self._runs[first:last], strict=True):
            merged[at - start : at - start + len(run)] = run
        return merged, start


def packs(pieces: Iterable[Piece], block_size: int) -> list[list[Piece]]:
    """Fill blocks with *pieces* in their order; none holds more than *block_size* bytes.

    A piece that crosses a multiple of *block_size* in its file is cut there, so that the same
    content written in other steps still gives the same blocks.
    """
    filled: list[list[Piece]] = []
    room = 0
    for piece in pieces:
        for part in _aligned(piece, block_size):
            if len(part.data) > room:
                filled.append([])
                room = block_size
            filled[-1].append(part)
            room -= len(part.data)
    return filled


def plan(pieces: Iterable[Piece], block_size: int) -> Plan:
    """Decide what gets a block now. Only a last pack smaller than SMALL becomes tails."""
    filled = packs(pieces, block_size)
    if filled and sum(len(piece.data) for piece in filled[-1]) < SMALL:
        return Plan(filled[:-1], filled[-1])
    return Plan(filled, [])


def _aligned(piece: Piece, block_size: int) -> Iterator[Piece]:
    at = piece.offset
    while at < piece.end:
        stop = min(piece.end, (at // block_size + 1) * block_size)
        yield Piece(piece.ino, at, piece.data[at - piece.offset : stop - piece.offset])
        at = stop
