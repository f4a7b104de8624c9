"""The list of cached blocks, kept in SQLite so that a restart need not walk the directories.

One law makes it exact after `kill -9`: **a row is in doubt from before its file may appear or
disappear until after.** At the next start only rows in doubt are compared with the disk, and
there are at most as many as one second of work left behind.

A power cut may also lose rows or files that were never fsynced, so an index that was not closed
and comes from another boot is not trusted: the directories are walked, once.

A damaged index starts empty, and so untrusted. SQLite's check finds damage to the structure, not
to a value; a wrong one costs a miss or an unlisted file until the next walk.

The index holds ids, sizes and an order of use. Nothing in it depends on a key.
"""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn, Self

from lucidnode.node.cache.eviction import Held
from lucidnode.node.client.ids import BlockId

_VERSION = 1

_SCHEMA = """
CREATE TABLE block (
    id   BLOB PRIMARY KEY,      -- BLAKE3-256 of the ciphertext
    size INTEGER NOT NULL,      -- bytes of the file
    used INTEGER                -- greater is later; NULL: in doubt
) STRICT, WITHOUT ROWID;
CREATE TABLE state (
    boot  TEXT NOT NULL,        -- the kernel's boot id of the last opening
    clean INTEGER NOT NULL      -- 1: closed in order since then
) STRICT;
INSERT INTO state VALUES ('', 0);
PRAGMA user_version = 1;
"""

_UNUSABLE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_ERRNO = {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_READONLY: errno.EROFS}


class Rows(NamedTuple):
    """What an index has: blocks with their sizes."""

    recorded: Held
    """Those not in doubt, as the table that the cache goes by."""
    doubtful: list[tuple[BlockId, int]]
    """Those whose file may be there or not."""


class _Unusable(Exception):
    """The file is no index of this version."""


class Index:
    """The open index. Blocking, and for the thread that opened it. Methods raise OSError only."""

    def __init__(self, database: sqlite3.Connection, *, trusted: bool) -> None:
        self._database = database
        self.trusted = trusted
        """Whether the recorded rows can be believed without a look at the disk."""
        self._newest: int | None = None
        """The greatest `used`, once it is known."""

    @classmethod
    def open(cls, path: Path, boot: str) -> Self:
        """Open the index at *path*; *boot* is the kernel's boot id. An unusable one starts empty.

        Raises OSError.
        """
        with _as_oserror():
            try:
                return cls._open(path, boot)
            except _Unusable:
                for suffix in ("", "-wal", "-shm"):
                    path.with_name(path.name + suffix).unlink(missing_ok=True)
                return cls._open(path, boot)

    @classmethod
    def _open(cls, path: Path, boot: str) -> Self:
        # SQLite's other files take their mode from this one, and what is wrong SQLite will say.
        with contextlib.suppress(OSError):
            path.touch(mode=0o600)
            path.chmod(0o600)
        database = sqlite3.connect(path, isolation_level=None)
        try:
            # Exclusive: no shared-memory file, and nobody else has business here.
            database.execute("PRAGMA locking_mode = EXCLUSIVE")
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            trusted = cls._recognise(database, boot)
            database.execute("UPDATE state SET boot = ?, clean = 0", (boot,))
            return cls(database, trusted=trusted)
        except sqlite3.DatabaseError as error:
            database.close()
            if _primary_code(error) in _UNUSABLE:
                raise _Unusable from error
            raise
        except BaseException:
            database.close()
            raise

    @staticmethod
    def _recognise(database: sqlite3.Connection, boot: str) -> bool:
        """Return whether the rows can be trusted; lay out an empty file first."""
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version == 0 and not database.execute("SELECT 1 FROM sqlite_schema").fetchone():
            database.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
            return False
        if version != _VERSION:
            raise _Unusable
        (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise _Unusable
        was_boot, clean = database.execute("SELECT boot, clean FROM state").fetchone()
        return bool(clean) or was_boot == boot

    def rows(self) -> Rows:
        """Return every row, in one pass: where there are a million, a start is not ready without it."""
        rows = Rows(OrderedDict(), [])
        held = rows.recorded  # row by row: a list of them all would take more than the table
        sizes: dict[int, int] = {}  # most blocks have the same one, and it is one number then
        block = None
        with _as_oserror():
            for block, size, in_doubt in self._database.execute(
                "SELECT id, size, used IS NULL FROM block ORDER BY used"
            ):
                if in_doubt:
                    rows.doubtful.append((BlockId(block), size))
                else:
                    held[block] = sizes.setdefault(size, size)
            # Its place by its id, and no number with each row.
            last = self._database.execute(
                "SELECT used FROM block WHERE id = ?", (block,)
            ).fetchone()
        self._newest = (last and last[0]) or 0
        return rows

    def doubt(self, blocks: Iterable[tuple[BlockId, int]]) -> None:
        """Put *blocks* in doubt. Call it before their files may appear or disappear."""
        with self._transaction():
            self._database.executemany("REPLACE INTO block VALUES (?, ?, NULL)", blocks)

    def record(self, blocks: Iterable[tuple[BlockId, int]]) -> None:
        """Record *blocks*, whose files are in place, as used just now in the order given."""
        with self._transaction():
            newest = self._newest
            if newest is None:  # nobody has read the rows
                found = self._database.execute("SELECT coalesce(max(used), 0) FROM block")
                (newest,) = found.fetchone()
            for block, size in blocks:
                newest += 1
                self._database.execute("REPLACE INTO block VALUES (?, ?, ?)", (block, size, newest))
        self._newest = newest

    def forget(self, blocks: Iterable[BlockId]) -> None:
        """Delete the rows of *blocks*. Call it after their files are gone."""
        with self._transaction():
            self._database.executemany(
                "DELETE FROM block WHERE id = ?", ((block,) for block in blocks)
            )

    def close(self, *, clean: bool) -> None:
        """Close; *clean* says that every file on disk has its recorded row. Raises OSError."""
        with _as_oserror():
            try:
                if clean:
                    self._database.execute("UPDATE state SET clean = 1")
            finally:
                self._database.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with _as_oserror():
            self._database.execute("BEGIN")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                # A full disk may have ended the transaction already; then there is nothing to undo.
                with contextlib.suppress(sqlite3.Error):
                    self._database.execute("ROLLBACK")
                raise


@contextlib.contextmanager
def _as_oserror() -> Iterator[None]:
    """Turn sqlite3's errors into what any other disk operation would raise."""
    try:
        yield
    except sqlite3.Error as error:
        _raise_oserror(error)


def _raise_oserror(error: sqlite3.Error) -> NoReturn:
    number = _ERRNO.get(_primary_code(error), errno.EIO)
    raise OSError(number, f"cache index: {error}") from error


def _primary_code(error: sqlite3.Error) -> int:
    """Return SQLite's result code without its extension; 0 if the error did not come from it."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF
