"""The rules for single rows (row_rules.py), asked of whole tables: for rows that no entry brought.

`row_rules` judges a change at a time, and a first mount of a million files brings four million rows. That every column has the type of its table is for STRICT tables to see to.
"""

from __future__ import annotations

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

_U32 = 2**32 - 1

_KEPT = {
    "inode": f"""
        ino BETWEEN 1 AND {MAX_INO}
        AND kind IN ({", ".join(str(kind.value) for kind in Kind)})
        AND mode BETWEEN 0 AND {0o7777}
        AND uid BETWEEN 0 AND {_U32} AND gid BETWEEN 0 AND {_U32}
        AND size BETWEEN 0 AND {MAX_FILE_SIZE}
        AND nlink BETWEEN 0 AND {_U32} AND rdev BETWEEN 0 AND {_U32}
        AND (kind = {Kind.FILE.value} OR size = length(target))
        AND (target = x'' OR kind = {Kind.SYMLINK.value}
            AND length(target) <= {MAX_TARGET_BYTES} AND instr(target, x'00') = 0)""",
    "name": f"""
        parent BETWEEN 1 AND {MAX_INO} AND ino BETWEEN {ROOT + 1} AND {MAX_INO}
        AND length(name) BETWEEN 1 AND {MAX_NAME_BYTES}
        AND instr(name, x'2f') = 0 AND instr(name, x'00') = 0
        AND name NOT IN (x'2e', x'2e2e')""",
    "extent": f"""
        ino BETWEEN {ROOT + 1} AND {MAX_INO}
        AND offset BETWEEN 0 AND {MAX_FILE_SIZE} AND length BETWEEN 1 AND {MAX_PLAIN_BYTES}
        AND offset + length <= {MAX_FILE_SIZE}
        AND length(block) = 32 AND block_offset BETWEEN 0 AND {MAX_PLAIN_BYTES - 1}""",
    "block": f"""
        length(id) = 32 AND length(nonce) = 32 AND epoch BETWEEN 1 AND {MAX_EPOCH}
        AND size BETWEEN 1 AND {MAX_PLAIN_BYTES} AND size % {PAGE_BYTES} = 0""",
    "xattr": f"""
        ino BETWEEN 1 AND {MAX_INO} AND length(name) BETWEEN 1 AND {MAX_NAME_BYTES}
        AND instr(name, x'00') = 0 AND length(value) <= {MAX_XATTR}""",
}
"""What holds of a row that an entry may add by `row_rules`, and of no other."""

_BROKEN_BY = {
    "inode": "a file that cannot be",
    "name": "a name that no file can have",
    "extent": "an extent that cannot be",
    "block": "a block that cannot be",
    "xattr": "an extended attribute that no file can have",
}

ROW_BREACHES = tuple(
    (_BROKEN_BY[table], f"SELECT 1 FROM {table} WHERE NOT ({kept}) LIMIT 1")  # noqa: S608  # ours
    for table, kept in _KEPT.items()
)
"""What a row breaks, and a query that finds something if one does."""
