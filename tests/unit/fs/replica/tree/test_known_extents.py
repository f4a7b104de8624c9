"""Extents that are remembered are those of the tables, in every part of what was asked for, until a row changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lucidnode.fs.replica.inode import Extent, InodeNo
from lucidnode.fs.replica.sqlite.database import Database
from lucidnode.fs.replica.tree.known_extents import KnownExtents
from lucidnode.fs.replica.tree.queries import Queries, extents_of

FILE = InodeNo(7)
SIZE = 100
LAID = [(10, 20), (30, 5), (40, 1), (41, 30)]
"""Offsets and lengths of extents: some touch, and there are holes before, between and behind them."""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database.open(tmp_path / "replica", bytes(32))
    block = bytes(31) + b"\1"
    made.change(
        "INSERT INTO block (id, epoch, nonce, size) VALUES (?, 1, ?, 4096)", (block, bytes(32))
    )
    for offset, length in LAID:
        lay(made, offset, length)
    yield made
    made.close()


def lay(database: Database, offset: int, length: int) -> None:
    database.change(
        "INSERT INTO extent (ino, offset, length, block, block_offset) VALUES (?, ?, ?, ?, ?)",
        (FILE, offset, length, bytes(31) + b"\1", offset * 3),
    )


def found(database: Database, start: int, stop: int) -> list[Extent]:
    return extents_of(database, "extent", FILE, start, stop - start)


def test_every_part_of_what_was_asked_for_is_as_if_it_was_asked_for_itself(
    database: Database,
) -> None:
    queries = Queries(database)
    for first, last in ((0, SIZE), (12, 55)):
        queries.extents(FILE, first, last - first)
        for start in range(first, last + 1):
            for stop in range(start, last + 1):
                assert queries.extents(FILE, start, stop - start) == found(database, start, stop)


def test_only_what_was_found_in_this_state_is_known() -> None:
    known = KnownExtents()
    assert known.within(1, FILE, 0, SIZE) is None
    known.note(1, FILE, 0, SIZE, [])
    assert known.within(1, FILE, 20, 40) == []
    assert known.within(1, InodeNo(8), 20, 40) is None
    assert known.within(1, FILE, 20, SIZE + 1) is None
    assert known.within(2, FILE, 20, 40) is None
    known.note(None, FILE, 0, 2 * SIZE, [])
    assert known.within(None, FILE, 20, 40) is known.within(1, FILE, 0, 2 * SIZE) is None
    known.note(2, FILE, 0, 10, [])
    assert known.within(2, FILE, 20, 40) is None


def test_nothing_is_known_after_a_change_or_within_one(database: Database) -> None:
    queries = Queries(database)
    assert queries.extents(FILE, 0, SIZE) == found(database, 0, SIZE)
    lay(database, 80, 5)
    assert queries.extents(FILE, 70, 30) == found(database, 70, 100) != []
    with database.transaction():
        lay(database, 90, 5)
        assert queries.extents(FILE, 70, 30) == found(database, 70, 100)
        lay(database, 96, 2)
        assert queries.extents(FILE, 70, 30) == found(database, 70, 100)
    assert queries.extents(FILE, 70, 30) == found(database, 70, 100)


def test_what_was_answered_belongs_to_who_asked(database: Database) -> None:
    queries = Queries(database)
    queries.extents(FILE, 0, SIZE).clear()
    assert queries.extents(FILE, 0, SIZE) == found(database, 0, SIZE)
