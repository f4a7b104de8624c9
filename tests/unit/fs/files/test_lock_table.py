"""Ranges of locks against a model that knows each byte by itself."""

from __future__ import annotations

from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from lucidnode.fs.files.lock_table import LAST_BYTE, LockedRange, LockTable

BYTES = 12
"""Of the model. The last one stands for all that follow it."""

owners = st.integers(1, 3)
ranges = st.tuples(st.integers(0, BYTES - 1), st.integers(0, BYTES - 1)).map(sorted)
steps = st.lists(st.tuples(owners, ranges, st.sampled_from([True, False, None])), max_size=16)


class ByteModel:
    """Who has locked which byte: True for exclusively."""

    def __init__(self) -> None:
        self._bytes: list[dict[int, bool]] = [{} for _ in range(BYTES)]

    def is_free(self, owner: int, start: int, last: int, *, exclusive: bool) -> bool:
        return not any(
            (exclusive or theirs) and other != owner
            for byte in self._bytes[start : last + 1]
            for other, theirs in byte.items()
        )

    def set(self, owner: int, start: int, last: int, exclusive: bool | None) -> None:
        for byte in self._bytes[start : last + 1]:
            byte.pop(owner, None)
            if exclusive is not None:
                byte[owner] = exclusive

    def held(self, owner: int) -> list[LockedRange]:
        found = []
        for exclusive, run in groupby(range(BYTES), lambda at: self._bytes[at].get(owner)):
            places = list(run)
            if exclusive is not None:
                found.append(LockedRange(places[0], _real(places[-1]), exclusive, owner))
        return found


def _real(last: int) -> int:
    return LAST_BYTE if last == BYTES - 1 else last


@given(steps)
def test_ranges_are_as_if_each_byte_were_locked_by_itself(
    taken: list[tuple[int, list[int], bool | None]],
) -> None:
    table, model = LockTable(), ByteModel()
    for owner, (start, last), exclusive in taken:
        if exclusive is None:
            table.clear(owner, start, _real(last))
            model.set(owner, start, last, None)
        else:
            wanted = LockedRange(start, _real(last), exclusive, owner)
            free = model.is_free(owner, start, last, exclusive=exclusive)
            assert table.is_free(owner, wanted) == free
            if free:
                table.lay(owner, wanted)
                model.set(owner, start, last, exclusive)
        for other in (1, 2, 3):
            assert table.held(other) == model.held(other)
        assert table.count == sum(len(model.held(other)) for other in (1, 2, 3))


def test_what_is_in_the_way_is_named_in_the_order_of_its_owners() -> None:
    table = LockTable()
    table.lay(7, LockedRange(50, 59, True, 70))
    table.lay(3, LockedRange(0, 9, False, 30))
    table.lay(7, LockedRange(20, 29, False, 70))
    everything = LockedRange(0, LAST_BYTE, True, 1)
    assert [(owner, held.start) for owner, held in table.in_the_way(1, everything)] == [
        (7, 20),
        (7, 50),
        (3, 0),
    ]
    shared = LockedRange(0, LAST_BYTE, False, 1)
    assert [held for _, held in table.in_the_way(1, shared)] == [LockedRange(50, 59, True, 70)]


def test_clearing_says_whether_there_was_anything() -> None:
    table = LockTable()
    table.lay(1, LockedRange(10, 19, True, 1))
    assert not table.clear(1, 0, 9)
    assert not table.clear(2, 0, LAST_BYTE)
    assert table.clear(1, 15, 15)
    assert [(held.start, held.last) for held in table.held(1)] == [(10, 14), (16, 19)]
