"""Which blocks the mounts here want to have kept: on disk, so that a restart evicts none of them.

The door to `pins.db` in the home: ids of blocks and the sizes of what is in them, by project. Mounts
tell it all again when they start, so a damaged file is made anew.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import BlockId, ProjectId, block_ids, parse_project_id

PINS_FILE = "pins.db"

_VERSION = 1
_SCHEMA = """
CREATE TABLE pinned (
    project TEXT NOT NULL,
    block   BLOB NOT NULL,
    size    INTEGER NOT NULL,
    PRIMARY KEY (project, block)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 1;
"""

Pinned = dict[ProjectId, dict[BlockId, int]]


class PinBook:
    """The file at *path*. Blocking; any thread, one at a time."""

    def __init__(self, path: Path) -> None:
        """Open it. Raises OSError if the disk lets nobody."""
        with _as_oserror():
            try:
                self._database = _opened(path)
            except sqlite3.DatabaseError as error:
                if _is_of_the_disk(error):
                    raise
                for suffix in ("", "-wal", "-shm"):
                    path.with_name(path.name + suffix).unlink(missing_ok=True)
                self._database = _opened(path)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def all(self) -> Pinned:
        """Return the blocks of each project, with their sizes. Raises OSError."""
        found: Pinned = {}
        with _as_oserror():
            for project, block, size in self._database.execute("SELECT * FROM pinned"):
                with contextlib.suppress(Malformed):
                    [name] = block_ids([block])
                    found.setdefault(parse_project_id(project), {})[name] = size
        return found

    def change(
        self, project: ProjectId, added: Mapping[BlockId, int], gone: AbstractSet[BlockId]
    ) -> None:
        """Note that *added* are wanted and *gone* no more, all or nothing. Raises OSError."""
        with _as_oserror():
            self._database.execute("BEGIN")
            try:
                self._database.executemany(
                    "REPLACE INTO pinned VALUES (?, ?, ?)",
                    ((project, bytes(block), size) for block, size in added.items()),
                )
                self._database.executemany(
                    "DELETE FROM pinned WHERE project = ? AND block = ?",
                    ((project, bytes(block)) for block in gone),
                )
                self._database.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._database.execute("ROLLBACK")
                raise


def _opened(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        path.chmod(0o600)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")  # what is lost is told again
        (version,) = database.execute("PRAGMA user_version").fetchone()
        (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
        _check(verdict == "ok" and version in {0, _VERSION})
        if version == 0:
            database.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
    except BaseException:
        database.close()
        raise
    return database


def _check(sound: bool) -> None:
    if not sound:
        raise sqlite3.DatabaseError("no pins of this version")


def _is_of_the_disk(error: sqlite3.DatabaseError) -> bool:
    """Tell whether *error* is the disk's or the system's; else the file is damaged."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    return code not in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


@contextlib.contextmanager
def _as_oserror() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise OSError(f"{PINS_FILE}: {error}") from error
