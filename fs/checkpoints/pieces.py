"""Rows of the replicated tables as the pieces of a checkpoint, and back. Pure. Format 1 (docs/format.md).

A piece holds MessagePack: an array of records in ascending order of their keys. A record is an array
of the table's number and the columns of a row, or of its key alone where the row is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from operator import itemgetter, lt
from typing import Any, NamedTuple

import msgspec
from blake3 import blake3

from lucidnode.fs.errors import BadCheckpoint, FormatError
from lucidnode.fs.format.checkpoint import MAX_PIECE_BYTES
from lucidnode.fs.format.padding import padded, unpadded
from lucidnode.fs.replica.sqlite.changesets import ChangesetUnfit
from lucidnode.fs.replica.sqlite.rows import KEY_COLUMNS, Row
from lucidnode.fs.replica.sqlite.schema import REPLICATED
from lucidnode.fs.replica.tree.plain_rows import are_plain
from lucidnode.fs.replica.tree.row_rules import checked_row
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.msgpack import decoded

TABLES = tuple(REPLICATED)
"""The tables by their numbers, counted from 0, which is the order of a checkpoint."""

PAGE_BYTES = 4096
"""What a piece is padded to: that of a block, so nothing is added."""

RowKey = tuple[int | bytes, ...]
"""The number of a table, and the key of a row in it."""

StateRow = tuple[RowKey, Row | None]
"""The row of a key; None if it is gone."""

_CUT_BELOW = 8
"""Of 65,536: so a piece of a base has some 8,192 rows, half a mebibyte."""

_FRAME_BYTES = 4 + 5
"""The length before the contents, and the head of the array."""

_ROOM_BYTES = MAX_PIECE_BYTES - _FRAME_BYTES

_Record = tuple[int | bytes, ...]
_RECORDS = msgspec.msgpack.Decoder(list[_Record])
_ENCODER = msgspec.msgpack.Encoder()


def pieces(rows: Iterable[StateRow], *, is_base: bool) -> Iterator[bytes]:
    """Yield the contents of the pieces that hold *rows*, which are in order.

    Those of a base end where a hash of the key says so, wherever else something changed.
    """
    records: list[msgspec.Raw] = []
    size = 0
    for key, row in rows:
        record = _ENCODER.encode(key if row is None else (key[0], *row))
        if size + len(record) > _ROOM_BYTES:
            yield _ENCODER.encode(records)
            records, size = [], 0
        records.append(msgspec.Raw(record))
        size += len(record)
        if is_base and int.from_bytes(blake3(_ENCODER.encode(key)).digest(2)) < _CUT_BELOW:
            yield _ENCODER.encode(records)
            records, size = [], 0
    if records:
        yield _ENCODER.encode(records)


def digest_of(content: bytes) -> bytes:
    """Return the hash that a manifest names for a piece with this *content*."""
    return blake3(content).digest()


def plaintext_of(content: bytes) -> bytes:
    """Return what is sealed as the block of a piece with this *content*."""
    return padded(content, PAGE_BYTES)


_ANY_NUMBER = (7, 8, 9, 12)
"""The times and the version of an inode: `checked_row` holds every other number to less than 2^63."""


class TableRows(NamedTuple):
    """What a piece says of one *table*: rows that are there, and the keys of those that are gone."""

    table: str
    there: list[Row]
    gone: list[Row]


def rows_in(
    plaintext: bytes, digest: bytes, *, is_base: bool, after: RowKey | None
) -> tuple[list[TableRows], RowKey]:
    """Return the rows in the *plaintext* of a piece's block, by table, and the key of the last one.

    They lie behind the row *after* of the same part. Raises BadCheckpoint where it is not what
    `pieces` makes, *digest* is of something else, or a row is one that no entry may make.
    """
    try:
        content = unpadded(plaintext, PAGE_BYTES)
        records = decoded(_RECORDS, content)
    except (FormatError, Malformed) as error:
        raise BadCheckpoint(f"a piece that is none: {error}") from error
    if digest_of(content) != digest:
        raise BadCheckpoint("a piece with other rows than it should have")
    if not records or _ENCODER.encode(records) != content:
        raise BadCheckpoint("rows in another spelling")
    if not all(records):
        raise BadCheckpoint("a row of no table")
    found: list[TableRows] = []
    try:
        for number, run in groupby(records, itemgetter(0)):
            rows, after = _checked(number, list(run), is_base=is_base, after=after)
            found.append(rows)
    except ChangesetUnfit as error:
        raise BadCheckpoint(str(error)) from error
    assert after is not None
    return found, after


def _checked(
    number: int | bytes, records: list[_Record], *, is_base: bool, after: RowKey | None
) -> tuple[TableRows, RowKey]:
    """Return what *records* say of the table *number*. Column by column: a million files have four million rows."""
    if type(number) is not int or not 0 <= number < len(TABLES):
        raise BadCheckpoint("a row of no table")
    table = TABLES[number]
    types, width = REPLICATED[table], KEY_COLUMNS[table] + 1
    widths = set(map(len, records))
    if not widths <= ({len(types) + 1} if is_base else {len(types) + 1, width}):
        raise BadCheckpoint("a row with other columns than its table has")
    gone = [record[1:] for record in records if len(record) == width] if width in widths else []
    there = [record[1:] for record in records if not gone or len(record) != width]
    if there:
        columns = _columns(there, types)
        if table == "inode":
            _require_numbers(columns[place] for place in _ANY_NUMBER)
        if not are_plain(table, columns):
            for row in there:
                checked_row(table, row)
    if gone:
        _require_numbers(
            column
            for column, kind in zip(_columns(gone, types[: width - 1]), types, strict=False)
            if kind is int
        )
    keys = [record[:width] for record in records]
    if (after is not None and keys[0] <= after) or not all(map(lt, keys, islice(keys, 1, None))):
        raise BadCheckpoint("rows that are not in order")
    return TableRows(table, there, gone), keys[-1]


def _columns(
    rows: list[Row], types: tuple[type[int | bytes], ...]
) -> list[tuple[int | bytes, ...]]:
    columns = list(zip(*rows, strict=True))
    for column, wanted in zip(columns, types, strict=True):
        if set(map(type, column)) != {wanted}:
            raise BadCheckpoint("a row with other columns than its table has")
    return columns


def _require_numbers(columns: Iterable[Sequence[Any]]) -> None:
    for column in columns:
        if min(column) < -(2**63) or max(column) >= 2**63:
            raise BadCheckpoint("a number that no column holds")
