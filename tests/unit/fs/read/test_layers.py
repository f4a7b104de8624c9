"""Layers of a file against cells: the last one laid down shows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lucidnode.fs.read.layers import Laid, visible

layers = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 20)).map(lambda at: (at[0], at[0] + at[1])),
    max_size=8,
)


@given(layers, st.integers(0, 40), st.integers(0, 30))
def test_the_newest_layer_shows_and_nothing_twice(
    spans: list[tuple[int, int]], start: int, length: int
) -> None:
    laid = [Laid(low, high, number) for number, (low, high) in enumerate(spans)]
    cells: dict[int, int] = {}
    for layer in laid:
        cells |= dict.fromkeys(range(layer.start, layer.stop), layer.source)
    wanted = {at: cells[at] for at in range(start, start + length) if at in cells}
    shown = visible(laid, start, start + length)
    assert [part.start for part in shown] == sorted(part.start for part in shown)
    assert sum(part.stop - part.start for part in shown) == len(wanted)
    assert {at: part.source for part in shown for at in range(part.start, part.stop)} == wanted
