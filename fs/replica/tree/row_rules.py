"""What the rows of a journal entry may say, whatever state they meet. Pure.

Format 1 (docs/format.md, "What an entry may change"). A writer's signature makes an entry
authentic, not sensible: these rules, and those of fs/replica/tree/tree_rules.py over what the rows make
of the tree, are what the rest of the replica may take for granted of every row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lucidnode.fs.errors import BlockMisshapen, FileTooBig
from lucidnode.fs.format.geometry import MAX_PLAIN_BYTES, cipher_size
from lucidnode.fs.format.keys import MAX_EPOCH
from lucidnode.fs.replica.inode import (
    MAX_FILE_SIZE,
    MAX_INO,
    MAX_NAME_BYTES,
    MAX_TARGET_BYTES,
    MAX_XATTR,
    ROOT,
    Kind,
)
from lucidnode.fs.replica.sqlite.changesets import ChangesetUnfit, changes_in
from lucidnode.fs.replica.sqlite.rows import (
    KIND_COLUMN,
    SIZE_COLUMN,
    TARGET_COLUMN,
    RowChange,
    encode,
)

MAX_ROWS = 2048
"""Rows one entry may change. At some 20 us for each, all told, a mount stands still for 40 ms."""

MAX_BYTES = 4 * 1024 * 1024
"""Row changes that we put in one entry, as `rows.encode` has them. In a changeset numbers take more
room, some 200 bytes a row: with MAX_ROWS that stays far below what an entry may unpack to."""

_ID_SIZE = 32
_U32 = 2**32 - 1

_Columns = tuple[Any, ...]
"""A row of the types that `changes_in` has checked; None where an update leaves a column alone."""

_KINDS = frozenset(Kind)
_INODE_RANGES = (
    (0, 1, MAX_INO, "an inode number"),
    (2, 0, 0o7777, "a mode"),
    (3, 0, _U32, "an owner"),
    (4, 0, _U32, "a group"),
    (5, 0, MAX_FILE_SIZE, "a size"),
    (6, 0, _U32, "a count of links"),
    (10, 0, _U32, "a device number"),
)


def checked_changes(changeset: bytes) -> list[RowChange]:
    """Return the changes in a *changeset* from outside; raises ChangesetUnfit if a rule forbids them.

    In an update, columns that stay are None, except for the key in the old row.
    """
    changes = changes_in(changeset, MAX_ROWS)
    for table, old, new in changes:
        _CHECKS[table](old, new)
    return changes


def encoded_operation(changes: list[RowChange]) -> bytes:
    """Return `encode` of the *changes* of one operation of ours.

    Raises FileTooBig if an entry could not carry them even alone.
    """
    encoded = encode(changes)
    if len(changes) > MAX_ROWS or len(encoded) > MAX_BYTES:
        raise FileTooBig("an operation that no journal entry can carry")
    return encoded


def _inode(old: _Columns | None, new: _Columns | None) -> None:
    if new is None:
        if old is not None and old[0] == ROOT:
            raise ChangesetUnfit("it deletes the root")
        return
    for place, low, high, what in _INODE_RANGES:
        value = new[place]
        # Columns that stay are None in an update.
        if value is not None and not low <= value <= high:
            raise ChangesetUnfit(f"{what} out of range")
    if old is not None:
        if new[KIND_COLUMN] is not None or new[TARGET_COLUMN] is not None:
            raise ChangesetUnfit("a file becomes one of another kind")
        return
    target = new[TARGET_COLUMN]
    if new[KIND_COLUMN] not in _KINDS:
        raise ChangesetUnfit("a kind of file that does not exist")
    if new[KIND_COLUMN] != Kind.FILE and new[SIZE_COLUMN] != len(target):
        raise ChangesetUnfit("a size that its kind of file does not have")
    if target and new[KIND_COLUMN] != Kind.SYMLINK:
        raise ChangesetUnfit("a target of what is no symbolic link")
    if len(target) > MAX_TARGET_BYTES or b"\0" in target:
        raise ChangesetUnfit("a target that no symbolic link has")


def _name(old: _Columns | None, new: _Columns | None) -> None:
    parent, name, ino = _merged(old, new)
    if new is None:
        return
    if not 1 <= parent <= MAX_INO or not ROOT < ino <= MAX_INO:
        raise ChangesetUnfit("a name of or in an impossible file")
    if (
        not 1 <= len(name) <= MAX_NAME_BYTES
        or b"/" in name
        or b"\0" in name
        or name in {b".", b".."}
    ):
        raise ChangesetUnfit("a name that no file can have")


def _extent(old: _Columns | None, new: _Columns | None) -> None:
    ino, offset, length, block, block_offset = _merged(old, new)
    if new is None:
        return
    if not ROOT < ino <= MAX_INO:
        raise ChangesetUnfit("an extent of an impossible file")
    if offset < 0 or (length is not None and not 0 < length <= MAX_PLAIN_BYTES):
        raise ChangesetUnfit("an extent out of range")
    if offset + (length or 0) > MAX_FILE_SIZE:
        raise ChangesetUnfit("an extent past the largest file")
    if block is not None and len(block) != _ID_SIZE:
        raise ChangesetUnfit("an extent of no block")
    if block_offset is not None and not 0 <= block_offset < MAX_PLAIN_BYTES:
        raise ChangesetUnfit("an extent past the largest block")


def _block(old: _Columns | None, new: _Columns | None) -> None:
    if old is not None or new is None:
        raise ChangesetUnfit("it changes a block, or takes one away")
    ident, epoch, nonce, size = _merged(old, new)
    if len(ident) != _ID_SIZE or len(nonce) != _ID_SIZE or not 1 <= epoch <= MAX_EPOCH:
        raise ChangesetUnfit("a block that cannot be")
    try:
        cipher_size(size)
    except BlockMisshapen as error:
        raise ChangesetUnfit("a block of a size that no block has") from error


def _xattr(old: _Columns | None, new: _Columns | None) -> None:
    ino, name, value = _merged(old, new)
    if new is None:
        return
    if not 1 <= ino <= MAX_INO or not 1 <= len(name) <= MAX_NAME_BYTES or b"\0" in name:
        raise ChangesetUnfit("an extended attribute that no file can have")
    if len(value) > MAX_XATTR:
        raise ChangesetUnfit("an extended attribute over the limit")


def _merged(old: _Columns | None, new: _Columns | None) -> _Columns:
    """Return the row as far as it is known afterwards: in an update the key is in the old one."""
    if new is None or old is None:
        row = new or old
        assert row is not None
        return row
    # What stays is None in both, but for the key.
    return tuple(was if now is None else now for was, now in zip(old, new, strict=True))


_CHECKS: dict[str, Callable[[_Columns | None, _Columns | None], None]] = {
    "inode": _inode,
    "name": _name,
    "extent": _extent,
    "block": _block,
    "xattr": _xattr,
}
