"""How an entry that ends within a content says so, and what comes behind it goes on."""

from __future__ import annotations

from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.sqlite.rows import VERSION_COLUMN, Row, RowChange


class PartialVersions:
    """How the operations of one file follow each other where an entry ends within a content.

    The entry leaves the file with a version below zero (docs/format.md), and what comes behind it
    finds it so. The first operation on the content that comes behind sets a version again, which
    may be the one that was there.
    """

    def __init__(self, ino: InodeNo) -> None:
        self._ino = ino
        self._left: Row | None = None

    def leave_partial(self, changes: list[RowChange]) -> bool:
        """Do so in *changes*, in place; False if they do not touch the row of the file."""
        for place in reversed(range(len(changes))):
            table, old, new = changes[place]
            if table == "inode" and new is not None and new[0] == self._ino:
                self._left = _with_version(new, -abs(int(new[VERSION_COLUMN])))
                changes[place : place + 1] = [] if old == self._left else [(table, old, self._left)]
                return True
        return False

    def start_there(self, changes: list[RowChange], *, of_content: bool) -> bool:
        """Have *changes*, in place, find the file so; tell whether they set a version.

        Those *of_content* do, even if they left the row of the file alone.
        """
        assert self._left is not None
        for place, (table, old, new) in enumerate(changes):
            if table != "inode" or old is None or old[0] != self._ino:
                continue
            found = _with_version(old, int(self._left[VERSION_COLUMN]))
            if new is None or of_content or new[VERSION_COLUMN] != old[VERSION_COLUMN]:
                changes[place] = table, found, new
                return True
            self._left = _with_version(new, int(self._left[VERSION_COLUMN]))
            changes[place] = table, found, self._left
        if of_content:
            whole = _with_version(self._left, abs(int(self._left[VERSION_COLUMN])))
            changes.append(("inode", self._left, whole))
        return of_content


def _with_version(row: Row, version: int) -> Row:
    return (*row[:VERSION_COLUMN], version, *row[VERSION_COLUMN + 1 :])
