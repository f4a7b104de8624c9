"""Bytes of one file by offset, in runs that neither overlap nor touch. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from sortedcontainers import SortedDict

Held = bytes | memoryview
"""Bytes that nobody changes: a view is of memory that holds little else."""

HELD_BYTES = 512 * 1024
"""A view of as many is kept as it came: of a request of the kernel, which carries 1 MiB at most."""


class IntervalBuffer:
    """Holds bytes at offsets; what is written last wins.

    A run is a bytearray under the offset of its first byte, or the bytes of the one write that made
    it. Writing on from a run's end costs only the new bytes; anything else costs the runs it touches.
    A block that comes in one write as a view of *keeps* bytes or more is not copied at all.
    """

    __slots__ = ("_keeps", "_runs", "size")

    def __init__(self, keeps: int = HELD_BYTES) -> None:
        self._keeps = keeps
        self._runs: SortedDict[int, Held | bytearray] = SortedDict()
        self.size = 0
        """Bytes held, in all runs together."""

    def __bool__(self) -> bool:
        return bool(self._runs)

    @property
    def end(self) -> int:
        """The offset after the last byte held, 0 if there is none."""
        if not self._runs:
            return 0
        start: int
        start, run = self._runs.peekitem()
        return start + len(run)

    def spans(self) -> Iterator[tuple[int, int]]:
        """Yield [start, stop) of each run, in order."""
        for start, run in self._runs.items():
            yield start, start + len(run)

    def write(self, offset: int, data: Held | bytearray) -> None:
        """Hold *data* at *offset*, over whatever was held there."""
        if not len(data):
            return
        end = offset + len(data)
        starts = self._touching(offset, end)
        if not starts:
            is_kept = isinstance(data, memoryview) and data.readonly and len(data) >= self._keeps
            self._runs[offset] = data if is_kept else bytes(data)
            self.size += len(data)
            return
        before = sum(len(self._runs[start]) for start in starts)
        start = starts[0]
        if start > offset or len(starts) > 1:
            last = starts[-1]
            stop = max(end, last + len(self._runs[last]))
            start = min(start, offset)
            self._runs[start] = self._merged(start, stop, starts)
        run = self._growing(start)
        # Past its end, slice assignment to a bytearray appends: a growing run is never copied.
        run[offset - start : end - start] = data
        self.size += len(run) - before

    def write_under(self, offset: int, data: Held) -> None:
        """Hold *data* at *offset*, but only where nothing is held: what is there is newer."""
        end = offset + len(data)
        at = offset
        gaps = []
        for start in self._touching(offset, end):
            if start > at:
                gaps.append((at, min(start, end)))
            at = max(at, start + len(self._runs[start]))
        if at < end:
            gaps.append((at, end))
        for start, stop in gaps:
            self.write(start, data[start - offset : stop - offset])

    def take(self, start: int, stop: int) -> list[tuple[int, Held]]:
        """Remove and return what is held within [start, stop), as (offset, bytes) in order."""
        taken = []
        for at in self._touching(start, stop):
            run = self._runs[at]
            low, high = max(start - at, 0), min(stop - at, len(run))
            if low >= high:
                continue
            whole = high - low == len(run) and not isinstance(run, bytearray)
            taken.append((at + low, run if whole else _part(run, low, high)))
            self.size -= high - low
            rest = run[high:] if isinstance(run, bytearray) else _part(run, high, len(run))
            if low:
                del self._growing(at)[low:]
            else:
                del self._runs[at]
            if rest:
                self._runs[at + high] = rest
        return taken

    def shift(self, by: int) -> None:
        """Move everything by as many bytes."""
        self._runs = SortedDict({start + by: run for start, run in self._runs.items()})

    def cut(self, size: int) -> None:
        """Forget everything at *size* and after it."""
        if self.end > size:
            self.take(size, self.end)

    def within(self, offset: int, length: int) -> list[tuple[int, bytes]]:
        """Return copies of what is held within [offset, offset + length), in order."""
        found = []
        end = offset + length
        for at in self._touching(offset, end):
            run = self._runs[at]
            low, high = max(offset - at, 0), min(end - at, len(run))
            if low < high:
                found.append((at + low, _part(run, low, high)))
        return found

    def whole_blocks(self, block_size: int, near: int) -> list[int]:
        """Return the offsets of aligned blocks that the run around offset *near* covers fully."""
        index = self._runs.bisect_right(near) - 1
        if index < 0:
            return []
        start, run = self._runs.peekitem(index)
        first = -(-start // block_size) * block_size
        return list(range(first, start + len(run) - block_size + 1, block_size))

    def _growing(self, start: int) -> bytearray:
        """Return the run at *start* as one that can be changed."""
        run: Held | bytearray = self._runs[start]
        if isinstance(run, bytearray):
            return run
        growing = self._runs[start] = bytearray(run)
        return growing

    def _touching(self, start: int, stop: int) -> list[int]:
        """Return where the runs begin that overlap [start, stop) or touch it, in order."""
        first = self._runs.bisect_right(start) - 1
        if first < 0:
            first = 0
        else:
            at, run = self._runs.peekitem(first)
            if at + len(run) < start:
                first += 1
        return list(self._runs.islice(first, max(first, self._runs.bisect_right(stop))))

    def _merged(self, start: int, stop: int, starts: list[int]) -> bytearray:
        """Take the runs at *starts* out and return them as one that covers [start, stop)."""
        merged = bytearray(stop - start)
        for at in starts:
            run = self._runs.pop(at)
            merged[at - start : at - start + len(run)] = run
        return merged


def _part(run: Held | bytearray, low: int, high: int) -> bytes:
    """Return [low, high) of *run*; without a copy if that is all of its bytes."""
    if isinstance(run, bytes):
        return run[low:high]
    return bytes(memoryview(run)[low:high])
