"""Which places of the project this workstation keeps in its cache: its own rows, in no entry."""

from __future__ import annotations

from typing import NamedTuple

from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.sqlite.database import Database


class PinRow(NamedTuple):
    """*name* in *parent*, and what it was when it was looked at last. The root is nothing in itself."""

    parent: InodeNo
    name: bytes
    ino: InodeNo


class PinTable:
    """The rows of one replica (`Replica.pins`), each change a transaction. Raises as `Database.rows`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[PinRow]:
        """Return them in the order of their places."""
        rows = self._database.rows("SELECT parent, name, ino FROM pin ORDER BY parent, name")
        return [PinRow(InodeNo(parent), name, InodeNo(ino)) for parent, name, ino in rows]

    def replace(self, before: list[PinRow], after: list[PinRow]) -> None:
        """Have those *after* in the place of those *before*."""
        with self._database.transaction():
            for row in before:
                self._database.change(
                    "DELETE FROM pin WHERE parent = ? AND name = ?", (row.parent, row.name)
                )
            for row in after:
                self._database.change("INSERT OR REPLACE INTO pin VALUES (?, ?, ?)", row)
