"""A million files, and a million cached blocks, put below the doors of their tables.

Nobody would wait for programs to make them.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from pathlib import Path

from lucidnode.fs.replica.inode import ROOT
from lucidnode.fs.replica.sqlite.database import Database

_BATCH = 10_000
_MIB = 1024 * 1024


def fill_replica(path: Path, key: bytes, files: int, in_one: int) -> None:
    """Add *files* files of one block each, *in_one* in each directory, to the closed replica at *path*."""
    database = Database.open(path, key)
    connection = database._connection  # noqa: SLF001  # rows that nobody here has to commit
    connection.preupdate_hook(None)
    row = "INSERT INTO inode VALUES (?, ?, 420, 0, 0, ?, ?, ?, ?, ?, 0, x'', 1)"
    now = time.time_ns()
    ino = parent = 1000
    for first in range(0, files, _BATCH):
        connection.execute("BEGIN")
        for number in range(first, min(first + _BATCH, files)):
            if number % in_one == 0:
                ino += 1
                parent = ino
                connection.execute(row, (parent, 4, 0, 2, now, now, now))
                name = b"directory %06d" % (number // in_one)
                connection.execute("INSERT INTO name VALUES (?, ?, ?)", (ROOT, name, parent))
            ino += 1
            block = secrets.token_bytes(32)
            connection.execute(row, (ino, 8, _MIB, 1, now, now, now))
            name = b"frame.%08d.exr" % number
            connection.execute("INSERT INTO name VALUES (?, ?, ?)", (parent, name, ino))
            connection.execute("INSERT INTO extent VALUES (?, 0, ?, ?, 0)", (ino, _MIB, block))
            connection.execute("INSERT INTO block VALUES (?, 1, ?, ?)", (block, block, _MIB))
        connection.execute("COMMIT")
    directories = -(-files // in_one)
    connection.execute("UPDATE inode SET nlink = nlink + ? WHERE ino = ?", (directories, ROOT))
    database.close()


def fill_index(path: Path, blocks: int, size: int) -> None:
    """Add *blocks* blocks of *size* bytes to the closed index at *path*, used in an order of their own."""
    database = sqlite3.connect(path, isolation_level=None)
    # In the order of ids, which SQLite appends; a million places all over a tree take minutes.
    ids = sorted(secrets.token_bytes(32) for _ in range(blocks))
    used = secrets.SystemRandom().sample(range(1, blocks + 1), blocks)
    database.execute("BEGIN")
    database.executemany(
        f"INSERT INTO block VALUES (?, {size}, ?)",  # noqa: S608  # a number of ours
        zip(ids, used, strict=True),
    )
    database.execute("COMMIT")
    database.close()
