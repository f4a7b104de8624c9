"""What a power cut may take back: work recorded before its blocks are on the disk, and all after it.

At durability `relaxed` a `close` records extents in blocks that no fsync has reached. SQLite's log
keeps an order of its own: after a power cut it may name a block that is gone, and a rename over the
last good version of a file that came behind it. So while there is such work, each transaction
leaves the rows as they were before it. What has lost a block is undone, with everything that came
later: what is left is a prefix of what was done.

Nothing that another node can see may rest on such work: it is made durable before an entry is sent.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol

import msgspec

from lucidnode.node.client.ids import BlockId

TABLE = "unsynced"

KEYS = {
    "inode": ("ino",),
    "name": ("parent", "name"),
    "extent": ("ino", "offset"),
    "block": ("id",),
    "xattr": ("ino", "name"),
    "pending": ("id",),
    "inflight": ("one",),
    "head": ("one",),
    "newest_epoch": ("one",),
    "tail": ("row",),
    "orphan": ("ino",),
    "unneeded": ("id",),
    "replaced": ("ino",),
    "replaced_extent": ("ino", "offset"),
    "replaced_since": ("ino", "offset"),
    "earlier": ("ino",),
    "earlier_extent": ("ino", "offset"),
    "checkpoint": ("one",),
    "earlier_since": ("ino", "offset"),
    "pin": ("parent", "name"),
}
"""The primary key of each table but this one, which are its first columns."""

_ID_SIZE = 32

_PACK = 4
"""The place of the pack in a row of `tail`."""

Before = tuple[str, tuple[Any, ...] | None, tuple[Any, ...] | None]
"""(table, the row as it was, the key of the row as it is): None for what is not there."""

_DECODER = msgspec.msgpack.Decoder(list[Before])


class Statements(Protocol):
    """The part of a Database that this needs."""

    def rows(self, sql: str, bindings: Sequence[int | bytes | str | None] = ()) -> list[Any]:
        """Run one statement and return all its rows."""

    def change(self, sql: str, bindings: Sequence[int | bytes | str | None] = ()) -> int:
        """Run one INSERT, UPDATE or DELETE and return how many rows it changed."""


def before(table: str, old: tuple[Any, ...] | None, new: tuple[Any, ...] | None) -> Before | None:
    """Return what undoes the change of one row; None for a row of the table kept here."""
    if table == TABLE:
        return None
    return table, old, None if new is None else new[: len(KEYS[table])]


class Unsynced:
    """The table `unsynced` of *database*. Every change runs inside the caller's transaction.

    Raises as `Database.rows`.
    """

    def __init__(self, database: Statements) -> None:
        self._database = database

    def add(self, blocks: Collection[BlockId], changes: list[Before], boot: str) -> None:
        """Note a transaction that names *blocks*, which may be lost, or comes after such a one."""
        self._database.change(
            "INSERT INTO unsynced (blocks, before, boot) VALUES (?, ?, ?)",
            (b"".join(blocks), msgspec.msgpack.encode(changes), boot),
        )

    def newest(self) -> int:
        """Return a mark for all that is here, 0 if there is nothing."""
        [(newest,)] = self._database.rows("SELECT coalesce(max(id), 0) FROM unsynced")
        return int(newest)

    def blocks(self, *, but_of: str = "") -> list[BlockId]:
        """Return the blocks that may be lost, oldest first; not those of the boot *but_of*."""
        found: dict[BlockId, None] = {}
        for (raw,) in self._database.rows(
            "SELECT blocks FROM unsynced WHERE boot <> ? ORDER BY id", (but_of,)
        ):
            found.update(dict.fromkeys(_split(raw)))
        return list(found)

    def forget(self, mark: int) -> None:
        """Forget all up to *mark*: its blocks are on the disk."""
        self._database.change("DELETE FROM unsynced WHERE id <= ?", (mark,))

    def doomed(self, lost: Collection[BlockId]) -> tuple[int, frozenset[int]]:
        """Return the first transaction to undo since *lost* are gone, 0 if none has to be.

        With it, the inodes whose content may have been given by it or a later one: not by an entry
        of the journal, which is read again, nor by a pack of what was there as tails, nor where
        pending work ran again.
        """
        first, inodes = 0, set[int]()
        for number, blocks, raw in self._database.rows(
            "SELECT id, blocks, before FROM unsynced ORDER BY id"
        ):
            if not first and not set(lost).isdisjoint(_split(blocks)):
                first = number
            if first and not _only_moves(changes := _DECODER.decode(raw)):
                inodes.update(*map(self._contents, changes))
        return first, frozenset(inodes)

    def undo(self, first: int) -> None:
        """Take back the transaction *first* and all after it, the newest first."""
        for number, raw in self._database.rows(
            "SELECT id, before FROM unsynced WHERE id >= ? ORDER BY id DESC", (first,)
        ):
            for table, old, key in reversed(_DECODER.decode(raw)):
                if key is not None:
                    self._database.change(_delete(table), key)
                if old is not None:
                    self._database.change(_insert(table, len(old)), old)
            self._database.change("DELETE FROM unsynced WHERE id = ?", (number,))

    def _contents(self, change: Before) -> set[int]:
        """Return the inode whose content a change of a row changed."""
        match change:
            case ("extent", old, key):
                return {(old or key or (0,))[0]}
            case ("tail", None, key) if key is not None:
                found = self._database.rows("SELECT ino FROM tail WHERE row = ?", key)
                return {ino for (ino,) in found}
            case ("tail", old, _) if old is not None:
                return {old[1]}
            case _:
                return set()


def _only_moves(changes: list[Before]) -> bool:
    """Tell whether a transaction with these *changes* gave no file a content that was new here."""
    deleted = {old[0] for table, old, key in changes if table == "pending" and old and not key}
    for table, old, key in changes:
        if table == "pending" and key is not None and key[0] in deleted:
            return True  # pending work has run again
        if table == "head":
            return True
        if table == "tail" and old is not None and key is None and old[_PACK] is not None:
            return True  # a pack is staged
        if table == "tail" and old is not None and key is not None and old[_PACK] is None:
            return True  # a tail is given its place in a pack
    return False


def _split(raw: bytes) -> list[BlockId]:
    return [BlockId(raw[at : at + _ID_SIZE]) for at in range(0, len(raw), _ID_SIZE)]


def _delete(table: str) -> str:
    wanted = " AND ".join(f"{column} = ?" for column in KEYS[table])
    return f"DELETE FROM {table} WHERE {wanted}"  # noqa: S608  # ours


def _insert(table: str, columns: int) -> str:
    return f"INSERT INTO {table} VALUES ({', '.join('?' * columns)})"  # noqa: S608  # ours
