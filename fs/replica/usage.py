"""How much a project holds, counted once and kept up from then on."""

from __future__ import annotations

from lucidnode.fs.replica.sqlite.rows import SIZE_COLUMN, RowChange
from lucidnode.fs.replica.tree.queries import Queries

_MAX_SIZE_BYTES = 2**63 - 1
"""Sizes count holes, so a project can show more bytes than programs have numbers for."""


class ProjectUsage:
    """Plain bytes and inodes of the project whose tree *queries* reads."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self._counted: tuple[int, int] | None = None

    def now(self) -> tuple[int, int]:
        """Return (plain bytes, inodes); of bytes, 2**63 - 1 means "or more"."""
        if self._counted is None:
            self._counted = self._queries.usage()
        size, count = self._counted
        return min(size, _MAX_SIZE_BYTES), count

    def count(self, changes: list[RowChange]) -> None:
        """Take in *changes*, which are through."""
        if self._counted is None:
            return
        size, count = self._counted
        for table, old, new in changes:
            if table == "inode":
                size += _size(new) - _size(old)
                count += (new is not None) - (old is not None)
        self._counted = size, count

    def forget(self) -> None:
        """Count anew when next asked."""
        self._counted = None


def _size(row: tuple[int | bytes, ...] | None) -> int:
    return 0 if row is None else int(row[SIZE_COLUMN])
