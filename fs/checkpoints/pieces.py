"""Rows of the replicated tables as the pieces of a checkpoint, and back. Pure. Format 1 (docs/format.md).

A piece holds MessagePack: an array of records in ascending order of their keys. A record is an array
of the table's number and the columns of a row, or of its key alone where the row is gone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from operator import itemgetter, lt
from typing import Any, Literal, NamedTuple

import msgspec
from blake3 import blake3

from lucidnode.fs.errors import BadCheckpoint, FormatError
from lucidnode.fs.format.checkpoint import MAX_PIECE_BYTES
from lucidnode.fs.format.padding import padded, unpadded
from lucidnode.fs.replica.sqlite.rows import KEY_COLUMNS, Row
from lucidnode.fs.replica.sqlite.schema import REPLICATED
from lucidnode.fs.replica.tree.whole_rows import COLUMN_TYPES
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


class TableRows(NamedTuple):
    """What a piece says of one *table*: rows that are there, and the keys of those that are gone.

    Before the columns of each that is there is the number of its table: to cut it off would be a copy.
    """

    table: str
    there: list[Row]
    gone: list[Row]


def _record_types(number: int, columns: int) -> tuple[Any, ...]:
    return Literal[number], *COLUMN_TYPES[TABLES[number]][:columns]


_THERE = [
    list[tuple[_record_types(number, len(REPLICATED[table]))]]  # type: ignore[misc]
    for number, table in enumerate(TABLES)
]
_GONE = [
    list[tuple[_record_types(number, KEY_COLUMNS[table])[1:]]]  # type: ignore[misc]
    for number, table in enumerate(TABLES)
]
_ALL_OF_ONE = [msgspec.msgpack.Decoder(kind) for kind in _THERE]


def rows_in(
    plaintext: bytes, digest: bytes, *, is_base: bool, after: RowKey | None
) -> tuple[list[TableRows], RowKey]:
    """Return the rows in the *plaintext* of a piece's block, by table, and the key of the last one.

    They lie behind the row *after* of the same part. Raises BadCheckpoint where it is not what
    `pieces` makes, or *digest* is of something else, or a column holds what it may not. What columns say
    together is not looked at (replica/tree/whole_tree.py).
    """
    try:
        content = unpadded(plaintext, PAGE_BYTES)
    except FormatError as error:
        raise BadCheckpoint(f"a piece that is none: {error}") from error
    if digest_of(content) != digest:
        raise BadCheckpoint("a piece with other rows than it should have")
    found = []
    for rows, records in _all_of_one(content) or _of_several(content, is_base=is_base):
        found.append(rows)
        after = _last_key(TABLES.index(rows.table), records, after)
    assert after is not None
    return found, after


_Sorted = tuple[TableRows, list[_Record]]
"""What records say, and they as they came, each of the types of its table."""


def _all_of_one(content: bytes) -> list[_Sorted]:
    """Return what nearly every piece holds, rows of one table; nothing if that is not all it holds."""
    for table, decoder in zip(TABLES, _ALL_OF_ONE, strict=True):
        with contextlib.suppress(Malformed):
            records = decoded(decoder, content)
            _require_spelling(records, content)
            return [(TableRows(table, records, []), records)]
    return []


def _of_several(content: bytes, *, is_base: bool) -> list[_Sorted]:
    try:
        records = decoded(_RECORDS, content)
    except Malformed as error:
        raise BadCheckpoint(f"a piece that is none: {error}") from error
    _require_spelling(records, content)
    if not all(records):
        raise BadCheckpoint("a row of no table")
    runs = ((number, list(run)) for number, run in groupby(records, itemgetter(0)))
    return [(_sorted_out(number, run, is_base=is_base), run) for number, run in runs]


def _require_spelling(records: list[_Record], content: bytes) -> None:
    if not records or _ENCODER.encode(records) != content:
        raise BadCheckpoint("rows in another spelling")


def _sorted_out(number: int | bytes, records: list[_Record], *, is_base: bool) -> TableRows:
    if type(number) is not int or not 0 <= number < len(TABLES):
        raise BadCheckpoint("a row of no table")
    width = KEY_COLUMNS[TABLES[number]] + 1
    gone = [] if is_base else [record[1:] for record in records if len(record) == width]
    there = [record for record in records if is_base or len(record) != width]
    try:
        return TableRows(
            TABLES[number],
            msgspec.convert(there, _THERE[number]),
            msgspec.convert(gone, _GONE[number]),
        )
    except msgspec.ValidationError as error:
        raise BadCheckpoint("a row whose columns are not as those of its table") from error


def _last_key(number: int, records: list[_Record], after: RowKey | None) -> RowKey:
    """Return the key of the last of *records*. Raises BadCheckpoint unless they lie in order behind *after*."""
    end = KEY_COLUMNS[TABLES[number]] + 1
    last = (number, *records[-1][1:end])
    # Of one column it gives the value alone, which is quicker than a part of the record.
    key = itemgetter(*range(1, end))
    keys = list(map(key, records))
    if (after is not None and (number, *records[0][1:end]) <= after) or not all(
        map(lt, keys, islice(keys, 1, None))
    ):
        raise BadCheckpoint("rows that are not in order")
    return last
