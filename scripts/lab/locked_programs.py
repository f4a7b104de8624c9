"""Programs that share one file under locks, each on a workstation of its own."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lab.errors import LabError
from lab.process import ending

APPENDS = """
import fcntl, os, sys
path, who, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
file = os.open(path, os.O_RDWR)
for number in range(count):
    fcntl.lockf(file, fcntl.LOCK_EX)
    end = os.lseek(file, 0, os.SEEK_END)
    os.pwrite(file, f"{end // 32:08} {who:8} {number:013}\\n".encode(), end)
    fcntl.lockf(file, fcntl.LOCK_UN)
"""
"""Appends numbered records of `RECORD_BYTES`, each of which names its place in the file."""

RECORD_BYTES = 32

INSERTS = """
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
"""Inserts rows, each in a transaction of its own and with the number of those there were."""


def at_once(program: str, paths: Sequence[Path], count: int, within: float) -> None:
    """Run *program* on each of *paths* as `who0`, `who1` and so on, for *within* seconds at most.

    Raises LabError if one fails.
    """
    with contextlib.ExitStack() as started:
        commands = (
            [sys.executable, "-c", program, str(path), f"who{place}", str(count)]
            for place, path in enumerate(paths)
        )
        running = [started.enter_context(ending(subprocess.Popen(each))) for each in commands]
        ended = [process.wait(within) for process in running]
    if any(ended):
        raise LabError(f"a program ended with {ended}")
