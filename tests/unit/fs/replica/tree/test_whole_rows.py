"""The rules for single rows, asked of a whole table, are those that each row is judged by."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from row_breaches import RowTables

from lucidnode.fs.replica.sqlite.changesets import ChangesetUnfit
from lucidnode.fs.replica.sqlite.rows import Row
from lucidnode.fs.replica.sqlite.schema import REPLICATED
from lucidnode.fs.replica.tree import row_rules

GOOD: dict[str, Row] = {
    "inode": (7, 8, 0o644, 1000, 1000, 5, 1, 0, -1, 0, 0, b"", -5),
    "name": (1, b"plate.exr", 7),
    "extent": (7, 0, 4096, bytes(32), 0),
    "block": (bytes(32), 1, bytes(32), 4096),
    "xattr": (1, b"user.x", b""),
}

HARMS: dict[str, dict[int, tuple[Any, ...]]] = {
    "inode": {
        0: (0, 2**62),
        1: (3, 4),
        2: (-1, 0o10000),
        3: (-1, 2**32),
        4: (-1, 2**32),
        5: (-1, 2**53),
        6: (-1, 2**32),
        10: (-1, 2**32),
        11: (b"target",),
    },
    "name": {0: (0, 2**62), 1: (b"", b"a" * 256, b"a/b", b"a\0", b".", b".."), 2: (1, 2**62)},
    "extent": {
        0: (1, 2**62),
        1: (-1, 2**53 - 4096),
        2: (0, 2**24 + 1),
        3: (bytes(31),),
        4: (-1, 2**24),
    },
    "block": {0: (bytes(31),), 1: (0, 2**32), 2: (bytes(33),), 3: (0, 4095, 2**24 + 4096)},
    "xattr": {0: (0, 2**62), 1: (b"", b"a" * 256, b"a\0"), 2: (bytes(65_537),)},
}

NUMBERS = [
    -1, 0, 1, 2, 4, 8, 10, 4095, 4096, 8192, 2**24 - 1, 2**24, 2**24 + 1,
    2**32 - 1, 2**32, 2**53 - 1, 2**53, 2**62 - 1, 2**62,
]  # fmt: skip
BYTES = [b"", b"a", b".", b"..", b"a/b", b"a\0", b"n" * 255, b"n" * 256, bytes(32), bytes(33)]
VALUES: dict[type[int | bytes], st.SearchStrategy[Any]] = {
    int: st.sampled_from(NUMBERS),
    bytes: st.sampled_from(BYTES),
}


def passes(table: str, row: Row) -> bool:
    try:
        row_rules._CHECKS[table](None, row)
    except ChangesetUnfit:
        return False
    return True


@pytest.fixture(scope="module")
def tables() -> RowTables:
    return RowTables()


def with_value(row: Row, place: int, value: int | bytes) -> Row:
    return (*row[:place], value, *row[place + 1 :])


@pytest.mark.parametrize("table", REPLICATED)
def test_nothing_is_found_in_ordinary_rows(tables: RowTables, table: str) -> None:
    assert tables.breaches(table, [GOOD[table]]) == []


@pytest.mark.parametrize("table", REPLICATED)
def test_every_row_that_breaks_a_rule_is_found(tables: RowTables, table: str) -> None:
    good = GOOD[table]
    for place, values in HARMS[table].items():
        for value in values:
            bad = with_value(good, place, value)
            assert not passes(table, bad), bad
            assert tables.breaches(table, [good, bad]), bad


@given(st.data(), st.sampled_from(sorted(REPLICATED)))
def test_a_row_is_found_where_it_is_refused_alone(
    tables: RowTables, data: st.DataObject, table: str
) -> None:
    row = GOOD[table]
    for place in data.draw(st.sets(st.integers(0, len(row) - 1), max_size=3)):
        row = with_value(row, place, data.draw(VALUES[REPLICATED[table][place]]))
    assert bool(tables.breaches(table, [row])) is not passes(table, row)
