"""Programs on two nodes that share a file under locks: a log of numbered records, and a database."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

from lab.errors import LabError
from lab.patience import until
from lab.two_nodes import TwoNodes

PACKAGES = ()

_FOLDER = "locks"
_RECORDS = 1000
"""What each of the two appends."""

_ROWS = 200
"""What each of the two inserts, each in a transaction of its own."""

_RECORD_BYTES = 32
_PATIENCE_S = 600

_APPENDS = """
import fcntl, os, sys
path, who, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
file = os.open(path, os.O_RDWR)
for number in range(count):
    fcntl.lockf(file, fcntl.LOCK_EX)
    end = os.lseek(file, 0, os.SEEK_END)
    os.pwrite(file, f"{end // 32:08} {who:8} {number:013}\\n".encode(), end)
    fcntl.lockf(file, fcntl.LOCK_UN)
"""

_INSERTS = """
import sqlite3, sys
path, who, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
base = sqlite3.connect(path, timeout=300, isolation_level=None)
base.execute("PRAGMA synchronous = FULL")
for number in range(count):
    base.execute("BEGIN IMMEDIATE")
    (have,) = base.execute("SELECT count(*) FROM shots").fetchone()
    base.execute("INSERT INTO shots VALUES (?, ?, ?)", (have, who, number))
    base.execute("COMMIT")
"""


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
    _at_once(_APPENDS, logs, count)
    nodes.settle()
    for log in logs:
        records = [line.split() for line in log.read_bytes().splitlines()]
        if [int(place) for place, _, _ in records] != list(range(2 * count)):
            raise LabError(f"{log}: {len(records)} records, and not each in its place")
        for who in (b"who0", b"who1"):
            of_one = [int(number) for _, writer, number in records if writer == who]
            assert of_one == list(range(count)), f"{log}: those of {who.decode()} are not in order"
    assert logs[0].stat().st_size == 2 * count * _RECORD_BYTES


def _insert(nodes: TwoNodes, bases: list[Path], mode: str, count: int) -> None:
    made = sqlite3.connect(bases[0])
    made.execute(f"PRAGMA journal_mode = {mode}")
    made.execute("CREATE TABLE shots (place INTEGER PRIMARY KEY, who TEXT, number INTEGER)")
    made.commit()
    made.close()
    until(bases[1].exists, within=60, what="b does not show a's database")
    _at_once(_INSERTS, bases, count)
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


def _at_once(program: str, paths: list[Path], count: int) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", program, path, f"who{place}", str(count)])
        for place, path in enumerate(paths)
    ]
    try:
        ended = [process.wait(_PATIENCE_S) for process in running]
    finally:
        for process in running:
            process.kill()
    if any(ended):
        raise LabError(f"a program ended with {ended}")


def _assert_no_conflict(folders: list[Path]) -> None:
    copies = [path.name for folder in folders for path in folder.glob("*conflict*")]
    assert not copies, f"conflict copies: {copies}"
