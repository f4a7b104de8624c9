"""What a copy is made of, from what a file shows."""

from __future__ import annotations

from lucidnode.fs.files.shared_range import (
    MAX_COPIED_BYTES,
    MAX_SHARED_EXTENTS,
    SharedRange,
    grown_leftwards,
    shared_range,
)
from lucidnode.fs.format.block import BlockName
from lucidnode.fs.read.layers import Laid
from lucidnode.fs.replica.inode import Extent
from lucidnode.fs.replica.intents import NewExtent
from lucidnode.node.client.ids import BlockId


def name(number: int) -> BlockName:
    return BlockName(BlockId(number.to_bytes(32, "big")), 1, bytes(32), 1 << 20)


Shown = Laid[Extent | tuple[int, bytes]]


def shown(offset: int, length: int, number: int, block_offset: int = 0) -> Shown:
    return Laid(offset, offset + length, Extent(offset, length, name(number), block_offset))


def test_blocks_are_shared_where_they_are_seen_and_holes_stay_holes() -> None:
    found = shared_range(
        [Laid(10, 15, Extent(0, 20, name(1), 100)), shown(15, 5, 1, 115), shown(30, 10, 2)],
        10,
        50,
        1000,
        (),
    )
    assert found == SharedRange(
        40,
        [NewExtent(1000, 10, name(1).id, 110), NewExtent(1020, 10, name(2).id, 0)],
        [name(1), name(2)],
        [],
    )
    assert found.has_holes


def test_bytes_in_no_block_are_copied_as_far_as_they_are_few() -> None:
    data = bytes(range(256)) * (MAX_COPIED_BYTES // 256 + 1)
    found = shared_range(
        [shown(0, 10, 1), Laid(10, 30, (0, data)), Laid(30, len(data), (0, data))],
        0,
        len(data),
        5,
        (),
    )
    assert found.length == 10 + MAX_COPIED_BYTES
    assert b"".join(piece for _, piece in found.pieces) == data[10 : found.length]
    assert [at for at, _ in found.pieces] == [15, 35]
    assert not found.has_holes


def test_a_copy_ends_before_a_block_that_the_replica_does_not_name() -> None:
    found = shared_range([shown(0, 10, 1), shown(20, 10, 2)], 0, 30, 0, {name(2).id})
    assert (found.length, len(found.extents)) == (20, 1)


def test_a_copy_has_no_more_extents_than_one_step_takes() -> None:
    parts = [shown(10 * place, 10, place) for place in range(MAX_SHARED_EXTENTS + 1)]
    found = shared_range(parts, 0, 10 * len(parts), 0, ())
    assert found.length == 10 * MAX_SHARED_EXTENTS


def test_what_goes_on_in_the_block_before_it_is_one_extent_with_it() -> None:
    found = shared_range([shown(100, 10, 1, 50)], 100, 110, 7, ())
    before = Extent(2, 5, name(1), 45)
    assert grown_leftwards(found, [before]).extents == [NewExtent(2, 15, name(1).id, 45)]
    for other in (Extent(2, 5, name(2), 45), Extent(2, 4, name(1), 45), Extent(2, 5, name(1), 44)):
        assert grown_leftwards(found, [other]) == found
    assert grown_leftwards(found, []) == found
