"""The door to SQLite for what a daemon writes down in its home: small files, each with one owner.

Blocking. Whatever SQLite says is an OSError with the name of the file; a damaged one is handed to its
owner, who knows what that means, and begun anew.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

Value = int | str | bytes


class SmallDatabase:
    """One open file. Any thread may use it, one at a time."""

    def __init__(self, path: Path, database: sqlite3.Connection) -> None:
        self._path = path
        self._database = database

    @classmethod
    def open(
        cls,
        path: Path,
        schema: str,
        version: int,
        damaged: Callable[[], None],
        *,
        outlives_power_cuts: bool,
    ) -> Self:
        """Open the file at *path*, or lay it out by *schema*. Raises OSError if the disk fails.

        One that is damaged, or of another *version*, is *damaged*, which has to take it away; its
        log is gone then. With *outlives_power_cuts* each transaction is on the disk when it ends.
        """
        synchronous = "FULL" if outlives_power_cuts else "NORMAL"
        with _as_oserror(path):
            try:
                return cls(path, _opened(path, schema, version, synchronous))
            except sqlite3.DatabaseError as error:
                if _is_of_the_disk(error):
                    raise
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            damaged()
            return cls(path, _opened(path, schema, version, synchronous))

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return all rows of *query*. Raises OSError."""
        with _as_oserror(self._path):
            return self._database.execute(query).fetchall()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes within, or none. Raises OSError."""
        with _as_oserror(self._path):
            self._database.execute("BEGIN")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                # A full disk may have ended it already.
                with contextlib.suppress(sqlite3.Error):
                    self._database.execute("ROLLBACK")
                raise

    def change(self, statement: str, rows: Iterable[Sequence[Value]]) -> None:
        """Run *statement* for each of *rows*, within a transaction. Raises OSError."""
        with _as_oserror(self._path):
            self._database.executemany(statement, rows)


def _opened(path: Path, schema: str, version: int, synchronous: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        path.chmod(0o600)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(f"PRAGMA synchronous = {synchronous}")
        (found,) = database.execute("PRAGMA user_version").fetchone()
        (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
        _check(verdict == "ok" and found in {0, version})
        if found == 0:
            database.executescript(f"BEGIN; {schema} PRAGMA user_version = {version}; COMMIT;")
    except BaseException:
        database.close()
        raise
    return database


def _check(sound: bool) -> None:
    if not sound:
        raise sqlite3.DatabaseError("damaged, or of another version")


def _is_of_the_disk(error: sqlite3.DatabaseError) -> bool:
    """Tell whether *error* is the disk's or the system's; else the file is damaged."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    return code not in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


@contextlib.contextmanager
def _as_oserror(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise OSError(f"{path.name}: {error}") from error
