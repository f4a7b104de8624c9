"""The rules for single rows (row_rules.py), for rows that no entry brought: a first mount of a million files brings four million.

What one column may hold is in its type, which whoever decodes rows looks at on the way; what several hold
together, or a part of one, is a condition of SQL, which `whole_tree` asks where it looks at each row anyway.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from lucidnode.fs.format.geometry import MAX_PLAIN_BYTES, PAGE_BYTES
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


def _number(least: int, most: int, multiple_of: int | None = None) -> Any:
    return Annotated[int, msgspec.Meta(ge=least, le=most, multiple_of=multiple_of)]


def _bytes(least: int, most: int) -> Any:
    return Annotated[bytes, msgspec.Meta(min_length=least, max_length=most)]


_INO = _number(1, MAX_INO)
_FILE = _number(ROOT + 1, MAX_INO)
_U32 = _number(0, 2**32 - 1)
_SIZE = _number(0, MAX_FILE_SIZE)
_TIME = _number(-(2**63), 2**63 - 1)
_HASH = _bytes(32, 32)

COLUMN_TYPES: dict[str, tuple[Any, ...]] = {
    "inode": (
        _INO,
        Literal[tuple(kind.value for kind in Kind)],
        _number(0, 0o7777),
        _U32,
        _U32,
        _SIZE,
        _U32,
        _TIME,
        _TIME,
        _TIME,
        _U32,
        _bytes(0, MAX_TARGET_BYTES),
        _TIME,
    ),
    "name": (_INO, _bytes(1, MAX_NAME_BYTES), _FILE),
    "extent": (
        _FILE,
        _SIZE,
        _number(1, MAX_PLAIN_BYTES),
        _HASH,
        _number(0, MAX_PLAIN_BYTES - 1),
    ),
    "block": (
        _HASH,
        _number(1, MAX_EPOCH),
        _HASH,
        _number(PAGE_BYTES, MAX_PLAIN_BYTES, multiple_of=PAGE_BYTES),
    ),
    "xattr": (_INO, _bytes(1, MAX_NAME_BYTES), _bytes(0, MAX_XATTR)),
}
"""What each column of a replicated table may hold, as msgspec has it."""

BROKEN_IF: dict[str, str] = {
    "inode": f"""(kind != {Kind.FILE.value} AND size != length(target)
        OR target != x'' AND (kind != {Kind.SYMLINK.value} OR instr(target, x'00') > 0))""",
    "name": "(instr(name, x'2f') > 0 OR instr(name, x'00') > 0 OR name IN (x'2e', x'2e2e'))",
    "extent": f"(offset + length > {MAX_FILE_SIZE})",
    "xattr": "(instr(name, x'00') > 0)",
}
"""When rows whose columns may be so cannot be all the same, by table."""
