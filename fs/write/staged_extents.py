"""Where the bytes of one file lie in staged blocks that the replica does not name yet. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace
from sortedcontainers import SortedDict

from lucidnode.fs.format.block import BlockName
from lucidnode.fs.replica.inode import Extent


class StagedExtents:
    """Extents by offset that never overlap; what is laid down last wins."""

    __slots__ = ("_extents",)

    def __init__(self) -> None:
        self._extents: SortedDict[int, Extent] = SortedDict()

    def __bool__(self) -> bool:
        return bool(self._extents)

    def __iter__(self) -> Iterator[Extent]:
        return iter(self._extents.values())

    @property
    def end(self) -> int:
        """The offset after the last byte, 0 if there is none."""
        if not self._extents:
            return 0
        last: Extent = self._extents.peekitem()[1]
        return last.offset + last.length

    def lay(self, extents: Iterable[Extent]) -> None:
        """Lay *extents* down, each over what was there."""
        for extent in extents:
            self._clear(extent.offset, extent.offset + extent.length)
            self._extents[extent.offset] = extent

    def shift(self, by: int) -> None:
        """Move everything by as many bytes."""
        moved = [replace(extent, offset=extent.offset + by) for extent in self]
        self._extents = SortedDict({extent.offset: extent for extent in moved})

    def cut(self, start: int, stop: int) -> None:
        """Forget everything in [start, stop)."""
        self._clear(start, min(stop, self.end))

    def forget(self) -> None:
        """Forget everything."""
        self._extents.clear()

    def within(self, offset: int, length: int) -> list[Extent]:
        """Return the extents with bytes of [offset, offset + length), whole, in order."""
        if length <= 0:
            return []
        stop = offset + length
        first = max(self._extents.bisect_right(offset) - 1, 0)
        keys = self._extents.islice(first, self._extents.bisect_left(stop))
        found = [self._extents[key] for key in keys]
        return [extent for extent in found if extent.offset + extent.length > offset]

    def blocks(self) -> list[BlockName]:
        """Return the blocks that hold any of the bytes, each once."""
        return list({extent.block.id: extent.block for extent in self}.values())

    def _clear(self, start: int, stop: int) -> None:
        for extent in self.within(start, stop - start):
            end = extent.offset + extent.length
            del self._extents[extent.offset]
            if extent.offset < start:
                self._extents[extent.offset] = replace(extent, length=start - extent.offset)
            if end > stop:
                self._extents[stop] = replace(
                    extent,
                    offset=stop,
                    length=end - stop,
                    block_offset=extent.block_offset + stop - extent.offset,
                )
