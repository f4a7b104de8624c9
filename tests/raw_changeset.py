"""SQLite's changeset format, written down once more: makes what no builder would make."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from lucidnode.fs.replica.sqlite.rows import KEY_COLUMNS, RowChange
from lucidnode.fs.replica.sqlite.schema import REPLICATED

INSERT, UPDATE, DELETE = 18, 23, 9

Value = int | float | bytes | str | None


class Absent:
    """A column that an update leaves alone."""


ABSENT = Absent()

RawRow = tuple[Value | Absent, ...]


class RawChange(NamedTuple):
    """One change as it is spelled: an update has both rows."""

    table: str
    old: RawRow | None
    new: RawRow | None


def raw_changes(changes: Iterable[RowChange]) -> list[RawChange]:
    """Return whole-row *changes* as a changeset spells them: tables together, updates cut down."""
    by_table: dict[str, list[RawChange]] = {}
    for table, old, new in changes:
        keys = KEY_COLUMNS[table]
        before: RawRow | None = old
        after: RawRow | None = new
        if old is not None and new is not None:
            pairs = list(zip(old, new, strict=True))
            before = tuple(
                was if place < keys or was != now else ABSENT
                for place, (was, now) in enumerate(pairs)
            )
            after = tuple(now if was != now else ABSENT for was, now in pairs)
        by_table.setdefault(table, []).append(RawChange(table, before, after))
    return [change for table in by_table.values() for change in table]


def encoded(changes: Iterable[RawChange]) -> bytes:
    """Return *changes* as bytes, with a table header wherever the table changes."""
    parts: list[bytes] = []
    table = None
    for change in changes:
        row = change.old if change.new is None else change.new
        assert row is not None
        if change.table != table:
            table = change.table
            parts.append(header(table, len(row)))
        if change.old is None:
            parts.append(bytes([INSERT, 0]))
        elif change.new is None:
            parts.append(bytes([DELETE, 0]))
        else:
            parts.append(bytes([UPDATE, 0]))
        parts += [_record(one) for one in (change.old, change.new) if one is not None]
    return b"".join(parts)


def header(table: str, columns: int | None = None, keys: int | None = None) -> bytes:
    """Return the bytes that begin the changes of *table*."""
    count = len(REPLICATED.get(table, ())) if columns is None else columns
    held = KEY_COLUMNS.get(table, 1) if keys is None else keys
    flags = bytes(place + 1 if place < held else 0 for place in range(count))
    return b"T" + varint(count) + flags + table.encode() + b"\0"


def varint(number: int) -> bytes:
    """Return *number*, below 2**56, as SQLite writes it."""
    groups = [number & 0x7F]
    while number := number >> 7:
        groups.append(number & 0x7F | 0x80)
    return bytes(reversed(groups))


def _record(row: RawRow) -> bytes:
    return b"".join(map(_value, row))


def _value(value: Value | Absent) -> bytes:
    match value:
        case Absent():
            return b"\0"
        case int():
            return b"\1" + struct.pack(">q", value)
        case float():
            return b"\2" + struct.pack(">d", value)
        case str():
            raw = value.encode()
            return b"\3" + varint(len(raw)) + raw
        case bytes():
            return b"\4" + varint(len(value)) + value
        case None:
            return b"\5"
