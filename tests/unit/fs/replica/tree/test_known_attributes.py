"""Attributes that are remembered are those of the tables, also where changes are undone."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from lucidnode.fs.replica.inode import ROOT, InodeNo
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


def called(queries: Queries, name: bytes) -> int | None:
    found = queries.lookup(ROOT, name)
    return None if found is None else found.ino


def give_name(database: Database, name: bytes) -> None:
    database.change("INSERT INTO name VALUES (?, ?, ?)", (ROOT, name, FILE))


def test_what_a_name_means_is_known_to_all_who_ask_until_anything_changes(
    database: Database,
) -> None:
    asks, others = Queries(database), Queries(database)
    assert called(asks, b"name") is None
    with database.transaction():
        grow(database, 1)
        give_name(database, b"name")
        assert called(asks, b"name") == FILE, "what is made is there"
    assert called(others, b"name") == FILE
    assert others.lookup(ROOT, b"name") is asks.lookup(ROOT, b"name")
    with contextlib.suppress(Undone), database.transaction():
        assert asks.lookup(ROOT, b"name") is others.lookup(ROOT, b"name"), "nothing has changed yet"
        database.change("DELETE FROM name")
        assert called(asks, b"name") is None
        raise Undone
    assert called(others, b"name") == FILE
    database.close()


def test_who_reads_beside_another_process_remembers_nothing(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "replica", bytes(32))
    beside = Database.beside(tmp_path / "replica", bytes(32))
    asks = Queries(beside)
    assert (called(asks, b"name"), size(asks)) == (None, None)
    with database.transaction():
        grow(database, 1)
        give_name(database, b"name")
    assert (called(asks, b"name"), size(asks)) == (FILE, 1)
    with database.transaction():
        grow(database, 2)
    assert size(asks) == 2
    beside.close()
    database.close()
