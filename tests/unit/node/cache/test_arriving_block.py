"""A block that is checked while it comes is that block whole, or it is refused."""

from __future__ import annotations

import contextlib
from itertools import pairwise
from random import Random  # noqa: TID251  # seeded

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucidnode.node.cache.verified import ArrivingBlock, block_id
from lucidnode.node.client.errors import Corrupt

CONTENT = Random(1).randbytes(300_000)


@given(
    st.lists(st.integers(0, len(CONTENT))), st.sampled_from(["as it is", "short", "long", "bit"])
)
def test_pieces_are_the_block_only_if_they_are_all_of_it(cuts: list[int], change: str) -> None:
    sent = bytearray(CONTENT)
    match change:
        case "short":
            del sent[-1:]
        case "long":
            sent += b"\0"
        case "bit":
            sent[len(sent) // 2] ^= 1
        case _:
            pass
    arriving = ArrivingBlock(block_id(CONTENT))
    places = [0, *sorted(cuts), len(sent)]
    for start, stop in pairwise(places):
        arriving.add(memoryview(sent)[start:stop])
    right = change == "as it is"
    with contextlib.nullcontext() if right else pytest.raises(Corrupt):
        arriving.check()
