"""The index: what it promises after a kill, after a power cut, and when it is damaged."""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from disk_fixture import make_block

from lucidnode.node.cache.directory import CacheDirectory
from lucidnode.node.cache.index import Index
from lucidnode.node.cache.mark import CacheMark
from lucidnode.node.client.ids import BlockId

BOOT = "this boot"
NEXT_BOOT = "next boot"

Row = tuple[BlockId, int]


def rows(count: int) -> list[Row]:
    return [(make_block(1)[0], 100 + number) for number in range(count)]


def reopened(path: Path, boot: str = BOOT) -> tuple[bool, list[Row], list[Row]]:
    index = Index.open(path, boot)
    recorded, doubtful = index.rows()
    index.close(clean=False)
    return index.trusted, list(recorded.items()), doubtful


def test_rows_come_back_in_the_order_of_use(tmp_path: Path) -> None:
    a, b, c = rows(3)
    index = Index.open(tmp_path / "index.db", BOOT)
    index.record([a, b, c])
    index.record([a])
    index.close(clean=True)
    assert reopened(tmp_path / "index.db") == (True, [b, c, a], [])


@pytest.mark.parametrize("are_read", [False, True])
def test_what_is_used_after_a_start_is_the_last_whether_the_rows_were_read_or_not(
    tmp_path: Path, *, are_read: bool
) -> None:
    a, b, c = rows(3)
    index = Index.open(tmp_path / "index.db", BOOT)
    index.record([a, b, c])
    index.close(clean=True)
    index = Index.open(tmp_path / "index.db", BOOT)
    if are_read:
        index.rows()
    index.doubt([b])
    index.record([a])
    index.record([b])
    index.close(clean=True)
    assert reopened(tmp_path / "index.db") == (True, [c, a, b], [])


def test_a_start_goes_through_the_rows_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look through a million of them is time for which a daemon does not serve."""
    open_directory = partial(CacheDirectory.open, CacheMark(tmp_path, None), BOOT)
    open_directory().close(clean=True)
    index = Index.open(tmp_path / "index.db", BOOT)
    index.record(rows(3))
    index.close(clean=True)
    asked: list[str] = []
    connect = sqlite3.connect

    def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.set_trace_callback(asked.append)
        return connection

    monkeypatch.setattr(sqlite3, "connect", traced)
    directory = open_directory()
    assert len(directory.take_found()) == 3
    directory.close(clean=True)
    looks = [each for each in asked if "FROM block" in each and "WHERE id =" not in each]
    assert len(looks) == 1, looks


def test_a_row_is_in_doubt_until_it_is_settled_or_forgotten(tmp_path: Path) -> None:
    a, b, c = rows(3)
    index = Index.open(tmp_path / "index.db", BOOT)
    index.record([a])
    index.doubt([a, b, c])
    recorded, doubtful = index.rows()
    assert not recorded
    assert sorted(doubtful) == sorted([a, b, c])
    index.record([b])
    index.forget([a[0]])
    index.close(clean=False)
    assert reopened(tmp_path / "index.db") == (True, [b], [c])


def test_after_a_kill_in_one_boot_the_index_is_trusted(tmp_path: Path) -> None:
    Index.open(tmp_path / "index.db", BOOT).close(clean=False)
    assert reopened(tmp_path / "index.db")[0]


def test_after_a_clean_close_the_index_is_trusted_in_another_boot(tmp_path: Path) -> None:
    Index.open(tmp_path / "index.db", BOOT).close(clean=True)
    assert reopened(tmp_path / "index.db", NEXT_BOOT)[0]


def test_after_a_power_cut_the_index_is_not_trusted_and_keeps_its_rows(tmp_path: Path) -> None:
    row = rows(1)[0]
    index = Index.open(tmp_path / "index.db", BOOT)
    index.record([row])
    index.close(clean=False)
    assert reopened(tmp_path / "index.db", NEXT_BOOT) == (False, [row], [])


def test_a_new_index_is_not_trusted(tmp_path: Path) -> None:
    assert reopened(tmp_path / "index.db") == (False, [], [])


@pytest.mark.parametrize("offset", [0, 20, 100, 4096, 8192])
def test_a_damaged_index_starts_empty_and_untrusted(tmp_path: Path, offset: int) -> None:
    path = tmp_path / "index.db"
    index = Index.open(path, BOOT)
    index.record(rows(500))
    index.close(clean=True)
    damaged = bytearray(path.read_bytes())
    assert len(damaged) > offset + 64
    damaged[offset : offset + 64] = b"\xa5" * 64
    path.write_bytes(damaged)
    assert reopened(path) == (False, [], [])


def test_an_index_of_another_version_starts_empty(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    index = Index.open(path, BOOT)
    index.record(rows(1))
    index.close(clean=True)
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    assert reopened(path) == (False, [], [])


def test_its_errors_are_those_of_a_disk(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="cache index"):
        Index.open(tmp_path / "missing" / "index.db", BOOT)
    index = Index.open(tmp_path / "index.db", BOOT)
    index.close(clean=True)
    with pytest.raises(OSError, match="cache index"):
        index.rows()
