"""Programs on two nodes that share a file under locks: a log of numbered records, and a database."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from lab.errors import LabError
from lab.locked_programs import APPENDS, INSERTS, RECORD_BYTES, at_once
from lab.patience import until
from lab.two_nodes import TwoNodes

PACKAGES = ()

_FOLDER = "locks"
_RECORDS = 1000
"""What each of the two appends."""

_ROWS = 200
"""What each of the two inserts, each in a transaction of its own."""

_PATIENCE_S = 600


def run_trial(nodes: TwoNodes, extent: float) -> str:
    """See the module."""
    folders = [top / _FOLDER for top in (nodes.here, nodes.there)]
    folders[0].mkdir()
    until(folders[1].is_dir, within=60, what="b does not show a's folder")
    records, rows = max(20, round(_RECORDS * extent)), max(10, round(_ROWS * extent))
    _append(nodes, [folder / "bin.log" for folder in folders], records)
    for mode in ("delete", "truncate", "persist"):
        _insert(nodes, [folder / f"{mode}.db" for folder in folders], mode, rows)
    nodes.check(_FOLDER)
    for mode in ("delete", "truncate", "persist"):
        _assert_whole(folders[1] / f"{mode}.db", rows)
    _assert_no_conflict(folders)
    return (
        f"twice {records} records under lockf in order; twice {rows} transactions of SQLite with a "
        "rollback journal (delete, truncate, persist); no conflict copy"
    )


def _append(nodes: TwoNodes, logs: list[Path], count: int) -> None:
    logs[0].touch()
    until(logs[1].exists, within=60, what="b does not show a's log")
    at_once(APPENDS, logs, count, _PATIENCE_S)
    nodes.settle()
    for log in logs:
        records = [line.split() for line in log.read_bytes().splitlines()]
        if [int(place) for place, _, _ in records] != list(range(2 * count)):
            raise LabError(f"{log}: {len(records)} records, and not each in its place")
        for who in (b"who0", b"who1"):
            of_one = [int(number) for _, writer, number in records if writer == who]
            assert of_one == list(range(count)), f"{log}: those of {who.decode()} are not in order"
    assert logs[0].stat().st_size == 2 * count * RECORD_BYTES


def _insert(nodes: TwoNodes, bases: list[Path], mode: str, count: int) -> None:
    made = sqlite3.connect(bases[0])
    made.execute(f"PRAGMA journal_mode = {mode}")
    made.execute("CREATE TABLE shots (place INTEGER PRIMARY KEY, who TEXT, number INTEGER)")
    made.commit()
    made.close()
    until(bases[1].exists, within=60, what="b does not show a's database")
    at_once(INSERTS, bases, count, _PATIENCE_S)
    nodes.settle()
    for base in bases:
        _assert_whole(base, count)


def _assert_whole(path: Path, count: int) -> None:
    base = sqlite3.connect(path, timeout=60)
    try:
        said = base.execute("PRAGMA integrity_check").fetchall()
        assert said == [("ok",)], f"{path}: {said}"
        rows = base.execute("SELECT place, who, number FROM shots ORDER BY place").fetchall()
    finally:
        base.close()
    assert [place for place, _, _ in rows] == list(range(2 * count)), f"{path}: {len(rows)} rows"
    for who in ("who0", "who1"):
        assert [number for _, writer, number in rows if writer == who] == list(range(count))


def _assert_no_conflict(folders: list[Path]) -> None:
    copies = [path.name for folder in folders for path in folder.glob("*conflict*")]
    assert not copies, f"conflict copies: {copies}"
