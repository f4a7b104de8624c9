"""SQLite's changesets: made of row changes, and read strictly when they come from outside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import apsw

from lucidnode.fs.replica.sqlite.error_mapping import mapped_errors
from lucidnode.fs.replica.sqlite.rows import KEY_COLUMNS, RowChange, key_of
from lucidnode.fs.replica.sqlite.schema import REPLICATED

_KEYS = {table: set(range(count)) for table, count in KEY_COLUMNS.items()}
"""The places of the key of each replicated table."""

_HEADERS = {
    table: bytes([ord("T"), len(types)])
    + bytes(place + 1 if place < KEY_COLUMNS[table] else 0 for place in range(len(types)))
    + table.encode()
    + b"\0"
    for table, types in REPLICATED.items()
}
"""How the changes of each replicated table begin in a changeset."""

_OPERATIONS = {(True, False): b"\x12\0", (False, True): b"\x09\0", (False, False): b"\x17\0"}
"""How a change begins, by whether it lacks (an old row, a new row)."""


class ChangesetUnfit(Exception):
    """A changeset that counts as empty: made on another state, or against the rules of format 1."""


def built_changeset(connection: apsw.Connection, changes: Sequence[RowChange]) -> bytes:
    """Return *changes*, in order, as one changeset; empty if they cancel out.

    Raises NoSpace, or a ReplicaError.
    """
    builder = apsw.ChangesetBuilder()  # type: ignore[no-untyped-call]  # a gap in its stubs
    with mapped_errors(connection):
        builder.schema(connection, "main")
        for table, old, new in changes:
            if old is None and new is not None:
                builder.add_insert(table, False, new)
            elif new is None and old is not None:
                builder.add_delete(table, False, old)
            elif old is not None and new is not None:
                builder.add_update(table, False, *_difference(table, old, new))
        return builder.output()


def changes_in(changeset: bytes, most: int) -> list[RowChange]:
    """Return the changes in a *changeset* from outside; raises ChangesetUnfit if it is none of ours.

    No more than *most* rows are looked at: a changeset that has more is refused. Stricter than
    SQLite, which converts what it can and leaves out what it does not know: tables and keys are
    ours, each table comes once (for each change of table SQLite prepares its statements anew),
    every value has the type of its column, and no row is there twice. In an update, columns that
    stay are None, except for the key in the old row.
    """
    changes: list[RowChange] = []
    keys = set()
    tables: list[str] = []
    spelled: list[bytes] = []
    try:
        for change in apsw.Changeset.iter(changeset):
            if len(changes) == most:
                raise ChangesetUnfit(f"more than {most} rows")
            table = change.name
            types = REPLICATED.get(table, ())
            if len(types) != change.column_count or change.pk_columns != _KEYS[table]:
                raise ChangesetUnfit("another set of tables")
            if not tables or tables[-1] != table:
                if table in tables:
                    raise ChangesetUnfit("a table that comes twice")
                tables.append(table)
                spelled.append(_HEADERS[table])
            old, new = _checked(change.old, types), _checked(change.new, types)
            found: RowChange = (table, old, new)
            if old is not None and new is not None:
                _check_update(table, old, new)
            elif None in (old or new or (None,)):
                raise ChangesetUnfit("a row with gaps")
            key = key_of(found)
            if key in keys:
                raise ChangesetUnfit("a row twice")
            keys.add(key)
            changes.append(found)
            spelled += (_OPERATIONS[old is None, new is None], _spelled(old), _spelled(new))
    except (apsw.Error, UnicodeDecodeError) as error:
        raise ChangesetUnfit("not a changeset") from error
    # SQLite passes over what says nothing, such as tables without rows; there is one spelling here.
    if b"".join(spelled) != changeset:
        raise ChangesetUnfit("bytes that say nothing")
    return changes


def keys_in(changeset: bytes) -> Iterator[tuple[int | bytes | str, ...]]:
    """Yield the table and key of each row that a *changeset* changes which has passed `changes_in`."""
    for change in apsw.Changeset.iter(changeset):
        row: Any = change.old or change.new
        yield (change.name, *row[: KEY_COLUMNS[change.name]])


def _spelled(row: tuple[Any, ...] | None) -> bytes:
    """Return *row* as a changeset has it."""
    if row is None:
        return b""
    return b"".join(
        [
            b"\0"
            if value is None
            else b"\1" + value.to_bytes(8, signed=True)
            if type(value) is int
            else b"\4" + _varint(len(value)) + value
            for value in row
        ]
    )


def _varint(number: int) -> bytes:
    """Return *number* as SQLite writes it: seven bits a byte, the highest first."""
    groups = [number & 0x7F]
    while number := number >> 7:
        groups.append(number & 0x7F | 0x80)
    return bytes(reversed(groups))


def _checked(
    row: tuple[Any, ...] | None, types: tuple[type[int | bytes], ...]
) -> tuple[Any, ...] | None:
    if row is None or tuple(map(type, row)) == types:
        return row
    for value, kind in zip(row, types, strict=True):
        if value is not apsw.no_change and type(value) is not kind:
            raise ChangesetUnfit("a value of another type")
    return tuple(None if value is apsw.no_change else value for value in row)


def _check_update(table: str, old: tuple[Any, ...], new: tuple[Any, ...]) -> None:
    keys = KEY_COLUMNS[table]
    if None in old[:keys] or new[:keys] != (None,) * keys:
        raise ChangesetUnfit("an update of a key")
    if any((was is None) != (now is None) for was, now in zip(old[keys:], new[keys:], strict=True)):
        raise ChangesetUnfit("an update with half a column")
    if new == (None,) * len(new):
        raise ChangesetUnfit("an update of nothing")


def _difference(
    table: str, old: tuple[int | bytes, ...], new: tuple[int | bytes, ...]
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    # The key travels in the old row only; columns that stay travel in neither.
    keys = KEY_COLUMNS[table]
    before = [
        value if place < keys or value != new[place] else apsw.no_change
        for place, value in enumerate(old)
    ]
    after = [value if value != old[place] else apsw.no_change for place, value in enumerate(new)]
    return tuple(before), tuple(after)
