"""Extents that the replica does not have yet, against one cell for each offset."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lucidnode.fs.format.block import BlockName
from lucidnode.fs.replica.inode import Extent
from lucidnode.fs.write.staged_extents import StagedExtents
from lucidnode.node.client.ids import BlockId

SPACE = 64


def name(number: int) -> BlockName:
    return BlockName(BlockId(bytes([number]) * 32), 1, bytes(32), 4096)


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("lay"), st.integers(0, SPACE - 1), st.integers(1, 24), st.integers(0, 40)
        ),
        st.tuples(
            st.just("cut"), st.integers(0, SPACE), st.sampled_from([0, 9, 2 * SPACE]), st.just(0)
        ),
    ),
    max_size=12,
)


@given(steps, st.integers(0, SPACE), st.integers(0, 40))
def test_what_is_laid_down_last_wins(
    given_steps: list[tuple[str, int, int, int]], offset: int, length: int
) -> None:
    staged = StagedExtents()
    cells: list[tuple[int, int] | None] = [None] * (2 * SPACE)
    for number, (what, at, size, block_offset) in enumerate(given_steps):
        if what == "lay":
            staged.lay([Extent(at, size, name(number), block_offset)])
            cells[at : at + size] = [(number, block_offset + i) for i in range(size)]
        else:
            staged.cut(at, at + size)
            cells[at : at + size] = [None] * len(cells[at : at + size])
    held = {
        extent.offset + i: (extent.block.id[0], extent.block_offset + i)
        for extent in staged
        for i in range(extent.length)
    }
    assert sum(extent.length for extent in staged) == len(held), "extents overlap"
    assert held == {at: cell for at, cell in enumerate(cells) if cell is not None}
    assert staged.end == max(held, default=-1) + 1
    assert {block.id[0] for block in staged.blocks()} == {number for number, _ in held.values()}
    inside = set(range(offset, offset + length))
    assert {extent.offset for extent in staged.within(offset, length)} == {
        extent.offset
        for extent in staged
        if inside & set(range(extent.offset, extent.offset + extent.length))
    }
