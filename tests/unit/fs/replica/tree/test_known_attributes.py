"""Attributes that are remembered are those of the tables, also where changes are undone."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.sqlite.database import Database
from lucidnode.fs.replica.tree.queries import Queries

FILE = InodeNo(7)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database.open(tmp_path / "replica", bytes(32))


def size(queries: Queries) -> int | None:
    found = queries.attributes(FILE)
    return None if found is None else found.size


def grow(database: Database, to: int) -> None:
    database.change(
        "INSERT INTO inode (ino, kind, mode, uid, gid, size, nlink, atime_ns, mtime_ns, ctime_ns, rdev,"
        " version, target) VALUES (?, 8, 420, 0, 0, ?, 1, 0, 0, 0, 0, 0, x'')"
        " ON CONFLICT (ino) DO UPDATE SET size = excluded.size",
        (FILE, to),
    )


class Undone(Exception):
    """What ends a transaction."""


def test_a_change_is_seen_in_its_transaction_and_behind_it(database: Database) -> None:
    queries = Queries(database)
    with database.transaction():
        grow(database, 1)
        assert size(queries) == 1
        grow(database, 2)
        assert size(queries) == 2
    assert size(queries) == size(queries) == 2
    grow(database, 3)
    assert size(queries) == 3
    database.close()


def test_a_change_that_is_undone_was_never_there(database: Database) -> None:
    queries = Queries(database)
    with database.transaction():
        grow(database, 1)
    assert size(queries) == 1
    with contextlib.suppress(Undone), database.transaction():
        grow(database, 2)
        assert size(queries) == 2
        with contextlib.suppress(Undone), database.attempt():
            grow(database, 3)
            assert size(queries) == 3
            raise Undone
        assert size(queries) == 2
        raise Undone
    assert size(queries) == 1
    database.close()


def test_nothing_is_asked_twice_while_nothing_changes(database: Database) -> None:
    queries = Queries(database)
    with database.transaction():
        grow(database, 1)
    assert queries.attributes(FILE) is queries.attributes(FILE)
    database.close()
