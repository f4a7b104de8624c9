"""Writes rows into a SQLite database until it is killed: `python -m lab.sqlite_writer DB LOG MODE`.

Every row is a transaction. Once its commit has returned, its number and digest are appended to LOG, which
is outside the project. In between it updates and deletes rows that it never speaks of.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import sys
from pathlib import Path
from random import Random  # noqa: TID251  # seeded


def prepare(database: Path, mode: str) -> sqlite3.Connection:
    """Open *database* in journal *mode* so that a commit that has returned is on the disk."""
    connection = sqlite3.connect(database, isolation_level=None, timeout=30)
    [said] = connection.execute(f"PRAGMA journal_mode = {mode}").fetchone()
    assert said == mode, f"SQLite keeps to {said}"
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = 40")  # few pages, so that it spills
    connection.execute("CREATE TABLE IF NOT EXISTS row (number INTEGER PRIMARY KEY, body BLOB)")
    connection.execute("CREATE TABLE IF NOT EXISTS scratch (number INTEGER, body BLOB)")
    connection.execute("CREATE INDEX IF NOT EXISTS scratches ON scratch (number)")
    return connection


def digest(body: bytes) -> str:
    """Return what the log says of a row."""
    return hashlib.sha256(body).hexdigest()


def main() -> None:
    """Write until killed."""
    database, log, mode = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    connection = prepare(database, mode)
    [first] = connection.execute("SELECT coalesce(max(number), 0) + 1 FROM row").fetchone()
    random, number = Random(first), first
    acknowledged = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    while True:
        body = random.randbytes(random.randrange(1, 9_000))
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO row VALUES (?, ?)", (number, body))
        for _ in range(random.randrange(6)):
            filler = random.randbytes(random.randrange(3_000))
            connection.execute("INSERT INTO scratch VALUES (?, ?)", (random.randrange(50), filler))
        connection.execute("DELETE FROM scratch WHERE number = ?", (random.randrange(50),))
        connection.execute("COMMIT")
        os.write(acknowledged, f"{number} {digest(body)}\n".encode())
        number += 1


if __name__ == "__main__":
    main()
