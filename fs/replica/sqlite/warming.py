"""Reads the tree of a project into SQLite's memory: its first listing then waits for no disk.

Without, each page is a read of the disk of its own, made when a listing comes upon it and with
everything else of the mount waiting: 95 of them for a walk of 2,000 files.
"""

from __future__ import annotations

from collections.abc import Sequence

from lucidnode.fs.replica.sqlite.database import Binding, Database
from lucidnode.node.client.clock import Clock

MAX_FILES = 32_768
"""Of a larger project the oldest, and the rest as it is asked for: 8 MiB of the cache's 32."""

_STEP_ROWS = 256
"""A millisecond of the disk, if it has to be asked for all of them."""

_AT_FIRST_S = 1.0
"""A mount that has just begun has more urgent work."""

_PAUSE_S = 0.005

# Each walks over rows in C and gives the last of them, from which to go on.
_WALKS: tuple[tuple[str, Sequence[Binding]], ...] = (
    ("SELECT ino FROM inode WHERE ino > ?1 ORDER BY ino LIMIT 1 OFFSET ?2", (0,)),
    (
        "SELECT parent, name FROM name WHERE (parent, name) > (?1, ?2) "
        "ORDER BY parent, name LIMIT 1 OFFSET ?3",
        (0, b""),
    ),
    (
        "SELECT ino, offset FROM extent WHERE (ino, offset) > (?1, ?2) "
        "ORDER BY ino, offset LIMIT 1 OFFSET ?3",
        (0, 0),
    ),
)


async def warm(database: Database, clock: Clock) -> None:
    """Read inodes, names and extents, a few at a time, once the first work is done. Raises NoSpace or a ReplicaError."""
    await clock.sleep(_AT_FIRST_S)
    for sql, start in _WALKS:
        behind = start
        for _ in range(MAX_FILES // _STEP_ROWS):
            last = database.row(sql, (*behind, _STEP_ROWS - 1))
            if last is None:
                break
            behind = last
            await clock.sleep(_PAUSE_S)
