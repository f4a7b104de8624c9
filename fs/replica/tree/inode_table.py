"""The rows of inodes: how they come, are linked, kept without a name, and go with all they hold."""

from __future__ import annotations

from collections.abc import Sequence

from lucidnode.fs.errors import FileMissing, Invalid, IsDirectory
from lucidnode.fs.replica.inode import Attributes, InodeNo, Kind
from lucidnode.fs.replica.sqlite.database import Database
from lucidnode.fs.replica.tree.extent_table import SLICE_EXTENTS, ExtentTable
from lucidnode.fs.replica.tree.queries import Queries

_INSERT = "INSERT INTO inode VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


class InodeTable:
    """The inodes in *database*; every method runs inside the caller's transaction.

    Raises as `Database.rows`, and what each says.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = Queries(database)
        self._content = ExtentTable(database)

    def file(self, ino: InodeNo) -> Attributes:
        """Return a regular file. Raises FileMissing, IsDirectory, Invalid for another kind."""
        found = self._queries.existing(ino)
        if found.is_directory:
            raise IsDirectory("not a file")
        if found.kind is not Kind.FILE:
            raise Invalid("not a file")
        return found

    def insert(self, row: Sequence[int | bytes]) -> None:
        """Add the inode whose columns are *row*."""
        self._database.change(_INSERT, row)

    def count_link(self, ino: InodeNo, more: int, time_ns: int) -> None:
        """Count *more* names of an inode, and set its ctime. Raises FileMissing."""
        self.must_exist(
            ino,
            self._database.change(
                "UPDATE inode SET nlink = nlink + ?, ctime_ns = ? WHERE ino = ?",
                (more, time_ns, ino),
            ),
        )

    def must_exist(self, ino: InodeNo, changed: int) -> None:
        """Raise FileMissing if an update of *ino* has *changed* no row."""
        if not changed:
            raise FileMissing(f"inode {ino}")

    def release(self, found: Attributes, time_ns: int, *, keep: bool) -> None:
        """Take one link from a file; without links it goes, unless *keep* or too big for one go."""
        if found.nlink > 1 or keep or self._content.cut_point(found.ino, SLICE_EXTENTS + 1) > 0:
            self.count_link(found.ino, -1, time_ns)
            if found.nlink <= 1:
                self.keep(found.ino)
        else:
            self.delete(found.ino)

    def keep(self, ino: InodeNo) -> None:
        """Remember a file without a name, to be forgotten once nobody has it open."""
        self._database.change("INSERT OR IGNORE INTO orphan VALUES (?)", (ino,))

    def delete(self, ino: InodeNo) -> None:
        """Remove an inode with its extents and extended attributes, and nothing to be forgotten later.

        One without a name may have been given one by another node: then it goes like any other.
        """
        for table in ("extent", "xattr", "orphan", "inode"):
            self._database.change(f"DELETE FROM {table} WHERE ino = ?", (ino,))  # noqa: S608  # ours
