"""Whether many rows of one table plainly keep the rules for single rows: looked at by columns. Pure.

A first mount of a million files asks it of four million rows. What is not plain here is nothing
bad: `row_rules.checked_row` judges each row of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import add
from typing import Any

from lucidnode.fs.format.geometry import MAX_PLAIN_BYTES, PAGE_BYTES
from lucidnode.fs.format.keys import MAX_EPOCH
from lucidnode.fs.replica.inode import (
    MAX_FILE_SIZE,
    MAX_INO,
    MAX_NAME_BYTES,
    MAX_XATTR,
    ROOT,
    Kind,
)

_ID_SIZES = {32}
_U32 = 2**32 - 1
_NO_TARGET = {b""}
_DOTS = {b".", b".."}

Columns = Sequence[Sequence[Any]]
"""The columns of rows of one table, each of the type that the table has there."""


def are_plain(table: str, columns: Columns) -> bool:
    """Tell whether `checked_row` would pass all rows of these *columns*; False where it may not."""
    return _LOOKS[table](columns)


def _inode(columns: Columns) -> bool:
    ino, kinds, modes, uids, gids, sizes, links, _, _, _, devices, targets, _ = columns
    found = set(kinds)
    return (
        _within(ino, 1, MAX_INO)
        and found <= {Kind.FILE, Kind.DIRECTORY}
        and set(targets) == _NO_TARGET
        and all(kind == Kind.FILE or not size for kind, size in set(zip(kinds, sizes, strict=True)))
        and _within(set(modes), 0, 0o7777)
        and _within(set(uids), 0, _U32)
        and _within(set(gids), 0, _U32)
        and _within(sizes, 0, MAX_FILE_SIZE)
        and _within(set(links), 0, _U32)
        and _within(set(devices), 0, _U32)
    )


def _name(columns: Columns) -> bool:
    parents, names, inos = columns
    together = b"".join(names)
    return (
        _within(set(parents), 1, MAX_INO)
        and _within(inos, ROOT + 1, MAX_INO)
        and _within(set(map(len, names)), 1, MAX_NAME_BYTES)
        and b"/" not in together
        and b"\0" not in together
        and _DOTS.isdisjoint(names)
    )


def _extent(columns: Columns) -> bool:
    inos, offsets, lengths, blocks, block_offsets = columns
    return (
        _within(inos, ROOT + 1, MAX_INO)
        and _within(set(lengths), 1, MAX_PLAIN_BYTES)
        and min(offsets) >= 0
        and max(map(add, offsets, lengths)) <= MAX_FILE_SIZE
        and set(map(len, blocks)) == _ID_SIZES
        and _within(set(block_offsets), 0, MAX_PLAIN_BYTES - 1)
    )


def _block(columns: Columns) -> bool:
    ids, epochs, nonces, sizes = columns
    return (
        set(map(len, ids)) == _ID_SIZES
        and set(map(len, nonces)) == _ID_SIZES
        and _within(set(epochs), 1, MAX_EPOCH)
        and all(0 < size <= MAX_PLAIN_BYTES and size % PAGE_BYTES == 0 for size in set(sizes))
    )


def _xattr(columns: Columns) -> bool:
    inos, names, values = columns
    different = set(names)
    return (
        _within(inos, 1, MAX_INO)
        and all(1 <= len(name) <= MAX_NAME_BYTES and b"\0" not in name for name in different)
        and max(map(len, values)) <= MAX_XATTR
    )


def _within(numbers: Any, low: int, high: int) -> bool:
    return bool(low <= min(numbers) and max(numbers) <= high)


_LOOKS: dict[str, Callable[[Columns], bool]] = {
    "inode": _inode,
    "name": _name,
    "extent": _extent,
    "block": _block,
    "xattr": _xattr,
}
