"""Changes of single rows as values: what `pending` keeps to undo an operation after a crash."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

Row = tuple[int | bytes, ...]
"""All columns of a row of a replicated table. None of them is ever null."""

RowChange = tuple[str, Row | None, Row | None]
"""(table, old row, new row): old is None for an insert, new is None for a delete."""

_DECODER = msgspec.msgpack.Decoder(list[RowChange])
_ENCODER = msgspec.msgpack.Encoder()

KEY_COLUMNS = {"inode": 1, "name": 2, "extent": 2, "block": 1, "xattr": 2}
"""How many leading columns of each replicated table are its primary key."""

KIND_COLUMN = 1
SIZE_COLUMN = 5
LINKS_COLUMN = 6
MTIME_COLUMN = 8
CTIME_COLUMN = 9
TARGET_COLUMN = 11
VERSION_COLUMN = 12
"""Places in a row of `inode`."""

TIME_COLUMNS = (MTIME_COLUMN, CTIME_COLUMN)
"""What making and removing names sets in a directory, apart from `nlink`."""


def key_of(change: RowChange) -> tuple[int | bytes | str, ...]:
    """Return what identifies the changed row: its table and primary key."""
    table, old, new = change
    row = old or new
    assert row is not None
    return (table, *row[: KEY_COLUMNS[table]])


def encode(changes: list[RowChange]) -> bytes:
    """Return *changes* as MessagePack, for the local `pending` table only."""
    return _ENCODER.encode(changes)


def decode(raw: bytes) -> list[RowChange]:
    """Return what `encode` was given."""
    return _DECODER.decode(raw)


def net(changes: list[RowChange]) -> list[RowChange]:
    """Return what *changes* amount to: one change for each row that is different in the end."""
    first: dict[tuple[int | bytes | str, ...], Row | None] = {}
    last: dict[tuple[int | bytes | str, ...], RowChange] = {}
    for change in changes:
        key = key_of(change)
        first.setdefault(key, change[1])
        last[key] = change
    return [
        (change[0], first[key], change[2])
        for key, change in last.items()
        if first[key] != change[2]
    ]


class NetCount:
    """How many rows are other than before behind changes that come one after the other.

    These, from what was before to what is now, take *size* bytes, as `encode` has them.
    """

    def __init__(self) -> None:
        self._before: dict[tuple[str | int | bytes, ...], Row | None] = {}
        self._changed: dict[tuple[str | int | bytes, ...], int] = {}
        self.size = 0

    @property
    def rows(self) -> int:
        """Return that number."""
        return len(self._changed)

    def add(self, changes: Iterable[RowChange]) -> None:
        """Go on with *changes*."""
        for table, old, new in changes:
            row = old or new or ()
            key = (table, *row[: KEY_COLUMNS[table]])
            before = self._before.setdefault(key, old)
            self.size -= self._changed.pop(key, 0)
            if before != new:
                self._changed[key] = size = len(_ENCODER.encode((table, before, new)))
                self.size += size
