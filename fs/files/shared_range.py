"""What a copy of a range of one file consists of: blocks that are shared, and few bytes. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from lucidnode.fs.format.block import BlockName
from lucidnode.fs.read.layers import Laid
from lucidnode.fs.replica.inode import Extent
from lucidnode.fs.replica.intents import NewExtent
from lucidnode.node.client.ids import BlockId

MAX_SHARED_EXTENTS = 384
"""Of one copy, which is one operation of the replica then: the mount answers nobody meanwhile."""

MAX_COPIED_BYTES = 1024 * 1024
"""Of one copy: bytes that are in no block yet."""


class SharedRange(NamedTuple):
    """A copy of *length* bytes; what neither *extents* nor *pieces* have is a hole.

    Places are those in the target. *pieces* are (offset, bytes).
    """

    length: int
    extents: list[NewExtent]
    blocks: list[BlockName]
    pieces: list[tuple[int, bytes]]

    @property
    def has_holes(self) -> bool:
        held = sum(extent.length for extent in self.extents)
        return held + sum(len(data) for _, data in self.pieces) < self.length


def shared_range(
    shown: Sequence[Laid[Extent | tuple[int, bytes]]],
    start: int,
    stop: int,
    target: int,
    staged: Collection[BlockId],
) -> SharedRange:
    """Return how to copy [start, stop) of a file that looks as *shown* to offset *target*.

    Less than that if it is much, and up to the first byte in a block that is only *staged*: the
    replica does not name it yet.
    """
    extents: list[NewExtent] = []
    blocks: dict[BlockId, BlockName] = {}
    pieces: list[tuple[int, bytes]] = []
    room = MAX_COPIED_BYTES
    at = start
    for part in shown:
        source, here = part.source, part.start + target - start
        if isinstance(source, Extent):
            if source.block.id in staged or len(extents) == MAX_SHARED_EXTENTS:
                return SharedRange(part.start - start, extents, [*blocks.values()], pieces)
            in_block = source.block_offset + part.start - source.offset
            new = NewExtent(here, part.stop - part.start, source.block.id, in_block)
            if extents and _goes_on(extents[-1], new):
                new = _joined(extents.pop(), new)
            extents.append(new)
            blocks[source.block.id] = source.block
        else:
            begins, data = source
            stop_here = min(part.stop, part.start + room)
            piece = bytes(data[part.start - begins : stop_here - begins])
            pieces.append((here, piece))
            room -= len(piece)
            if stop_here < part.stop:
                return SharedRange(stop_here - start, extents, [*blocks.values()], pieces)
        at = part.stop
    assert at <= stop
    return SharedRange(stop - start, extents, [*blocks.values()], pieces)


def grown_leftwards(shared: SharedRange, before: Sequence[Extent]) -> SharedRange:
    """Return *shared* with its first extent made one with the last of *before*, if it goes on there.

    So a file that is copied in small pieces does not become one of small extents.
    """
    if not shared.extents or not before:
        return shared
    first, last = shared.extents[0], before[-1]
    left = NewExtent(last.offset, last.length, last.block.id, last.block_offset)
    if not _goes_on(left, first):
        return shared
    return shared._replace(extents=[_joined(left, first), *shared.extents[1:]])


def _goes_on(left: NewExtent, right: NewExtent) -> bool:
    return (
        left.block == right.block
        and left.offset + left.length == right.offset
        and left.block_offset + left.length == right.block_offset
    )


def _joined(left: NewExtent, right: NewExtent) -> NewExtent:
    return NewExtent(left.offset, left.length + right.length, left.block, left.block_offset)
