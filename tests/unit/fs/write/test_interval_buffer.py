"""The bytes a file holds in memory, against a plain bytearray."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.write.block_plan import MAX_TAIL_BYTES, Piece, packs, plan
from lucidnode.fs.write.interval_buffer import HELD_BYTES, IntervalBuffer

SPACE = 96
offsets = st.integers(0, SPACE - 1)
chunks = st.binary(min_size=1, max_size=24)


class BufferAgainstBytes(RuleBasedStateMachine):
    """The model: one cell for each offset, None where nothing is held."""

    def __init__(self) -> None:
        super().__init__()
        self.runs = IntervalBuffer(keeps=8)
        self.cells: list[int | None] = [None] * (SPACE + 32)

    @rule(offset=offsets, data=chunks, is_view=st.booleans())
    def write(self, offset: int, data: bytes, is_view: bool) -> None:
        self.runs.write(offset, memoryview(data) if is_view else data)
        self.cells[offset : offset + len(data)] = list(data)

    @rule(offset=offsets, data=chunks)
    def write_under(self, offset: int, data: bytes) -> None:
        self.runs.write_under(offset, data)
        for at, byte in enumerate(data, offset):
            if self.cells[at] is None:
                self.cells[at] = byte

    @rule(start=offsets, length=st.integers(0, 40))
    def take(self, start: int, length: int) -> None:
        stop = min(start + length, len(self.cells))
        taken = self.runs.take(start, stop)
        assert joined(taken) == self.held(start, stop)
        self.cells[start:stop] = [None] * (stop - start)

    @rule(size=offsets)
    def cut(self, size: int) -> None:
        self.runs.cut(size)
        self.cells[size:] = [None] * (len(self.cells) - size)

    @rule(start=offsets, length=st.integers(0, 40))
    def look(self, start: int, length: int) -> None:
        stop = min(start + length, len(self.cells))
        assert joined(self.runs.within(start, stop - start)) == self.held(start, stop)

    @rule(near=offsets)
    def whole_blocks_are_held_and_aligned(self, near: int) -> None:
        for start in self.runs.whole_blocks(16, near):
            assert start % 16 == 0
            assert None not in self.cells[start : start + 16]

    @invariant()
    def runs_are_the_cells(self) -> None:
        everything = self.runs.within(0, len(self.cells))
        assert joined(everything) == self.held(0, len(self.cells))
        assert self.runs.size == sum(cell is not None for cell in self.cells)
        ends = [offset for offset, cell in enumerate(self.cells, 1) if cell is not None]
        assert self.runs.end == max(ends, default=0)

    @invariant()
    def runs_neither_overlap_nor_are_empty(self) -> None:
        last = -1
        for start, stop in self.runs.spans():
            assert last <= start < stop
            last = stop

    def held(self, start: int, stop: int) -> dict[int, int]:
        return {at: cell for at in range(start, stop) if (cell := self.cells[at]) is not None}


def joined(found: Sequence[tuple[int, bytes | memoryview]]) -> dict[int, int]:
    return {at: byte for start, data in found for at, byte in enumerate(data, start)}


TestBufferAgainstBytes = BufferAgainstBytes.TestCase


def test_writing_on_from_the_end_makes_one_run() -> None:
    runs = IntervalBuffer()
    for offset in range(0, 4096, 64):
        runs.write(offset, b"x" * 64)
    assert list(runs.spans()) == [(0, 4096)]


pieces = st.lists(
    st.builds(
        Piece,
        st.builds(InodeNo, st.integers(1, 3)),
        st.integers(0, 100_000),
        st.integers(1, 3000).map(lambda size: bytes([size % 251]) * size),
    ),
    max_size=20,
)


@given(pieces)
def test_packs_hold_every_byte_once_and_none_is_overfull(given_pieces: list[Piece]) -> None:
    block = 1024
    filled = packs(given_pieces, block)
    assert all(0 < sum(len(piece.data) for piece in pack) <= block for pack in filled)
    assert [
        (piece.ino, at)
        for pack in filled
        for piece in pack
        for at in range(piece.offset, piece.end)
    ] == [(piece.ino, at) for piece in given_pieces for at in range(piece.offset, piece.end)]
    assert b"".join(piece.data for pack in filled for piece in pack) == b"".join(
        piece.data for piece in given_pieces
    )


def test_a_block_that_comes_in_one_write_goes_on_as_it_came() -> None:
    buffer = IntervalBuffer()
    block = bytes(range(256))
    buffer.write(256, block)
    [(_, taken)] = buffer.take(256, 512)
    assert taken is block
    assert not buffer


def test_a_view_is_kept_as_it_came_and_what_is_left_of_it_lets_go_of_the_rest() -> None:
    buffer = IntervalBuffer()
    view = memoryview(bytes(HELD_BYTES))
    buffer.write(0, view)
    [(_, taken)] = buffer.take(0, HELD_BYTES)
    assert taken is view
    buffer.write(0, view)
    [(_, most)] = buffer.take(0, HELD_BYTES - 10)
    [(_, rest)] = buffer.take(0, HELD_BYTES)
    assert (type(most), type(rest)) == (bytes, bytes)


@pytest.mark.parametrize(
    "data", [memoryview(bytearray(HELD_BYTES)), memoryview(bytes(HELD_BYTES - 1))]
)
def test_what_may_change_or_is_small_is_copied(data: memoryview) -> None:
    buffer = IntervalBuffer()
    buffer.write(0, data)
    [(_, taken)] = buffer.take(0, HELD_BYTES)
    assert isinstance(taken, bytes)


@given(pieces)
def test_no_packed_piece_crosses_a_block_boundary_of_its_file(given_pieces: list[Piece]) -> None:
    for pack in packs(given_pieces, 1024):
        for piece in pack:
            assert piece.offset // 1024 == (piece.end - 1) // 1024


def test_the_same_content_gives_the_same_packs_however_it_was_written() -> None:
    content = bytes(range(256)) * 20
    once, by_parts = IntervalBuffer(), IntervalBuffer()
    once.write(0, content)
    for offset in range(0, len(content), 700):
        by_parts.write(offset, content[offset : offset + 700])
    ino = InodeNo(7)
    assert packs([Piece(ino, *run) for run in once.take(0, once.end)], 1024) == packs(
        [Piece(ino, *run) for run in by_parts.take(0, by_parts.end)], 1024
    )


def test_what_is_too_small_for_a_block_becomes_tails() -> None:
    block = 4 * MAX_TAIL_BYTES
    whole = Piece(InodeNo(1), 0, bytes(block))
    small = Piece(InodeNo(1), block, bytes(MAX_TAIL_BYTES - 1))
    chosen = plan([whole, small], block)
    assert chosen.packs == [[whole]]
    assert chosen.tails == [small]
    large = Piece(InodeNo(1), block, bytes(MAX_TAIL_BYTES))
    assert plan([large], block).tails == []
