"""SQLite with a rollback journal and with a WAL; its writer and the mount are killed in the middle."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from pathlib import Path
from random import Random  # noqa: TID251  # seeded

from lab.errors import LabError
from lab.patience import until
from lab.process import ending
from lab.sqlite_writer import digest
from lab.two_nodes import TwoNodes

PACKAGES = ()

_FOLDER = "sqlite"
_MODES = ("delete", "truncate", "persist", "wal")
_ROUNDS = 6
"""Of each mode: two kills each of the writer, the mount, and both."""


def run_trial(nodes: TwoNodes, extent: float) -> str:
    """See the module."""
    (nodes.here / _FOLDER).mkdir()
    random, rounds = Random(3), max(2, round(_ROUNDS * extent))
    for mode in _MODES:
        for number in range(rounds):
            _round(nodes, mode, number, random)
    for mode in _MODES:
        # Whoever opens it last puts the WAL into the database and removes it.
        _assert_sound(nodes.here / _FOLDER / f"{mode}.db", _log(nodes, mode))
    nodes.check(_FOLDER)
    rows = [
        _assert_sound(nodes.there / _FOLDER / f"{mode}.db", _log(nodes, mode)) for mode in _MODES
    ]
    return f"{rounds} kills in each of {', '.join(_MODES)}; {sum(rows)} acknowledged rows all there"


def _round(nodes: TwoNodes, mode: str, number: int, random: Random) -> None:
    database, log = nodes.here / _FOLDER / f"{mode}.db", _log(nodes, mode)
    before, wanted = len(_acknowledged(log)), random.randrange(5, 40)
    arguments = [sys.executable, "-P", "-m", "lab.sqlite_writer", str(database), str(log), mode]
    said = nodes.local / "sqlite.said"
    with (
        said.open("w") as output,
        ending(subprocess.Popen(arguments, stdout=output, stderr=output)) as writer,
    ):

        def enough() -> bool:
            if writer.poll() is not None:
                raise LabError(f"the writer ended: {said.read_text()[-500:]}")
            return len(_acknowledged(log)) >= before + wanted

        until(enough, within=120, what=f"SQLite ({mode}) wrote less than {wanted} rows")
        match number % 3:
            case 0:
                writer.kill()
            case 1:
                nodes.kill("mount")
            case _:
                nodes.kill("mount", "daemon")
    nodes.restart()
    _assert_sound(database, log)


def _log(nodes: TwoNodes, mode: str) -> Path:
    return nodes.local / f"sqlite.{mode}"


def _acknowledged(log: Path) -> dict[int, str]:
    if not log.exists():
        return {}
    whole = log.read_text().rpartition("\n")[0]
    return {int(line.split()[0]): line.split()[1] for line in whole.splitlines()}


def _assert_sound(database: Path, log: Path) -> int:
    """Return how many rows were acknowledged; raise LabError unless all of them are there."""
    with contextlib.closing(sqlite3.connect(database, timeout=30)) as connection:
        if (said := connection.execute("PRAGMA integrity_check").fetchall()) != [("ok",)]:
            raise LabError(f"{database}: {said[:3]}")
        there = {number: digest(body) for number, body in connection.execute("SELECT * FROM row")}
    known = _acknowledged(log)
    if missing := {number for number in known if there.get(number) != known[number]}:
        raise LabError(
            f"{database}: {len(missing)} acknowledged rows are gone: {sorted(missing)[:9]}"
        )
    return len(known)
