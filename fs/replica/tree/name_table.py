"""The rows of names, and the rules that names and places in the tree obey."""

from __future__ import annotations

from lucidnode.fs.errors import Cycle, FileMissing, Invalid, NameTaken, NameTooLong
from lucidnode.fs.replica.inode import MAX_DEPTH, MAX_NAME_BYTES, Attributes, InodeNo
from lucidnode.fs.replica.sqlite.database import Database
from lucidnode.fs.replica.tree.queries import Queries

_INSERT = "INSERT OR IGNORE INTO name VALUES (?, ?, ?)"
_DELETE = "DELETE FROM name WHERE parent = ? AND name = ?"
_TOUCH_PARENT = (
    "UPDATE inode SET mtime_ns = ?2, ctime_ns = ?2, nlink = nlink + ?3 WHERE ino = ?1 AND kind = 4"
)


class NameTable:
    """The names in *database*; every method runs inside the caller's transaction.

    Raises as `Database.rows`, and what each says.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = Queries(database)

    def named(self, parent: InodeNo, name: bytes) -> Attributes:
        """Return what *name* in *parent* means. Raises FileMissing, NotDirectory, NameTooLong."""
        check_length(name)
        found = self._queries.lookup(parent, name)
        if found is None:
            self._queries.directory(parent)
            raise FileMissing("no such name")
        return found

    def check_place(self, parent: InodeNo, directory: InodeNo) -> None:
        """Raise Cycle or NameTooLong if *directory* cannot move into *parent*."""
        above = self._queries.above(parent)
        if directory in above:
            raise Cycle("a directory would lie in itself")
        if len(above) > MAX_DEPTH:
            raise NameTooLong("a directory would lie too deep")

    def insert(self, parent: InodeNo, name: bytes, ino: InodeNo) -> None:
        """Have *name* in *parent* mean *ino*. Raises NameTaken, NameTooLong, Invalid."""
        check_name(name)
        if not self._database.change(_INSERT, (parent, name, ino)):
            raise NameTaken("name")

    def remove(self, parent: InodeNo, name: bytes) -> None:
        """Have *name* in *parent* mean nothing."""
        self._database.change(_DELETE, (parent, name))

    def touch_parent(self, parent: InodeNo, time_ns: int, subdirectories: int = 0) -> None:
        """Set the times of a directory whose names change, by as many *subdirectories* more.

        Raises FileMissing, NotDirectory.
        """
        if not self._database.change(_TOUCH_PARENT, (parent, time_ns, subdirectories)):
            self._queries.directory(parent)


def check_name(name: bytes) -> None:
    """Raise NameTooLong or Invalid unless *name* may stand in a directory."""
    check_length(name)
    if name in {b"", b".", b".."} or b"/" in name or b"\0" in name:
        raise Invalid("name")


def check_length(name: bytes) -> None:
    """Raise NameTooLong if *name* is longer than any name: it is not missing, it cannot be."""
    if len(name) > MAX_NAME_BYTES:
        raise NameTooLong("name")
