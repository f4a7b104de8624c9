"""Which extents of some files have changed since a moment, and what was there: the content of then.

What has not changed since is read where it is. So to keep the content of a file takes as much as is
changed of it afterwards, however large it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.sqlite.database import Database
from lucidnode.fs.replica.sqlite.rows import RowChange

Kept = Literal["earlier", "replaced"]
"""The table of the files. What began at an offset then is in X_extent once it has changed; where
nothing began then and something did later is in X_since."""


class ChangedExtents:
    """The changed extents of the files in the table *kept* of *database*.

    Each is noted the first time that it changes; changes that are undone later need no word. All
    runs inside the caller's transaction. Raises as `Database.rows`.
    """

    def __init__(self, database: Database, kept: Kept) -> None:
        self._database = database
        self._kept = kept
        extent, since = f"{kept}_extent", f"{kept}_since"
        # What was empty has had no extents.
        self._files = f"SELECT ino FROM {kept} WHERE size > 0"  # noqa: S608
        is_new = f"EXISTS (SELECT 1 FROM {since} WHERE ino = ?1 AND offset = ?2)"  # noqa: S608  # ours, all of them
        self._add_old = (
            f"INSERT OR IGNORE INTO {extent} SELECT ?1, ?2, ?3, ?4, ?5 WHERE NOT {is_new}"
        )
        self._add_found = (
            f"INSERT OR IGNORE INTO {extent} SELECT * FROM extent "  # noqa: S608
            f"WHERE ino = ?1 AND offset = ?2 AND NOT {is_new}"
        )
        self._add_new = (
            f"INSERT OR IGNORE INTO {since} SELECT ?1, ?2 WHERE NOT EXISTS "  # noqa: S608
            f"(SELECT 1 FROM {extent} WHERE ino = ?1 AND offset = ?2)"
        )
        self._stored = f"""
            SELECT (SELECT coalesce(sum(length), 0) FROM {extent} WHERE ino = ?1) +
            (SELECT coalesce(sum(length), 0) FROM extent e WHERE ino = ?1
             AND NOT EXISTS (SELECT 1 FROM {extent} WHERE ino = e.ino AND offset = e.offset)
             AND NOT EXISTS (SELECT 1 FROM {since} WHERE ino = e.ino AND offset = e.offset))
        """  # noqa: S608

    def note(self, done: Iterable[RowChange]) -> None:
        """Hear what was *done* to whole rows, by operations of ours."""
        for ino, offset, old in self._of_ours(done):
            if old is None:
                self._database.change(self._add_new, (ino, offset))
            else:
                self._database.change(self._add_old, old)

    def note_before(self, entry: Iterable[RowChange]) -> None:
        """Hear what an *entry* is about to do, of whose changed rows the rest is in the tables."""
        for ino, offset, old in self._of_ours(entry):
            sql = self._add_new if old is None else self._add_found
            self._database.change(sql, (ino, offset))

    def clear(self, ino: InodeNo) -> None:
        """Forget what changed of *ino*."""
        for table in ("extent", "since"):
            self._database.change(f"DELETE FROM {self._kept}_{table} WHERE ino = ?", (ino,))  # noqa: S608

    def stored_bytes(self, ino: InodeNo) -> int:
        """Return how many bytes the extents of *ino* held then."""
        row = self._database.row(self._stored, (ino,))
        assert row is not None
        return int(row[0])

    def _of_ours(
        self, changes: Iterable[RowChange]
    ) -> Iterable[tuple[int, int, tuple[int | bytes, ...] | None]]:
        extents = [(old or new or (), old) for table, old, new in changes if table == "extent"]
        if extents:
            files = {ino for (ino,) in self._database.rows(self._files)}
            for row, old in extents:
                if row[0] in files:
                    yield int(row[0]), int(row[1]), old
