"""Attributes that are remembered are those of the tables, also where changes are undone."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from lucidnode import fs
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
    assert asks.extents(FILE, 0, 10) == []
    with database.transaction():
        grow(database, 2)
        database.change("INSERT INTO block VALUES (?, 1, ?, 10)", (bytes(32), bytes(32)))
        database.change("INSERT INTO extent VALUES (?, 0, 10, ?, 0)", (FILE, bytes(32)))
    assert size(asks) == 2
    assert len(asks.extents(FILE, 0, 10)) == 1
    beside.close()
    database.close()


@pytest.mark.parametrize("table", ["kept", "plain"])
def test_every_way_in_which_rows_change_is_counted(database: Database, table: str) -> None:
    """With a key that is the table, and without; and where there is a quick way to empty it."""
    extra = "WITHOUT ROWID" if table == "kept" else ""
    database.rows(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, size INTEGER) {extra}")
    for change, ids in (
        ("INSERT INTO {0} VALUES (1, 1), (2, 2)", [1, 2]),
        ("INSERT OR REPLACE INTO {0} VALUES (2, 5)", [1, 2]),
        ("INSERT INTO {0} VALUES (2, 6) ON CONFLICT (id) DO UPDATE SET size = 6", [1, 2]),
        ("INSERT INTO {0} SELECT id + 2, size FROM {0}", [1, 2, 3, 4]),
        ("UPDATE {0} SET size = 9 WHERE id > 3", [1, 2, 3, 4]),
        ("DELETE FROM {0} WHERE id = 4", [1, 2, 3]),
        ("DELETE FROM {0}", []),
    ):
        before = database.state
        database.change(change.format(table))
        assert database.state != before, change
        assert database.rows(f"SELECT id FROM {table} ORDER BY id") == [(id_,) for id_ in ids]
    database.close()


def test_no_statement_changes_rows_and_gives_them() -> None:
    """It would be counted once all of them are read, and what is asked meanwhile be remembered."""
    sources = (Path(fs.__file__).parent).rglob("*.py")
    assert [path for path in sources if " RETURNING " in path.read_text()] == []
