"""What programs do with the attributes of inodes, those that Linux defines and those of programs."""

from __future__ import annotations

from lucidnode.fs.errors import (
    AttributeTooBig,
    Invalid,
    LeaseMoved,
    NameTaken,
    NameTooLong,
    NoAttribute,
    NoRoomForAttribute,
)
from lucidnode.fs.format.project_facts import CONDEMNED
from lucidnode.fs.replica import intents
from lucidnode.fs.replica.inode import MAX_NAME_BYTES, MAX_XATTR, MAX_XATTR_BYTES, MAX_XATTRS, ROOT
from lucidnode.fs.replica.intents import OperationRecord
from lucidnode.fs.replica.sqlite.database import Database
from lucidnode.fs.replica.tree.inode_table import InodeTable
from lucidnode.fs.replica.tree.queries import Queries

_SET = """
    UPDATE inode SET mode = coalesce(?, mode), uid = coalesce(?, uid), gid = coalesce(?, gid),
        atime_ns = coalesce(?, atime_ns), mtime_ns = coalesce(?, mtime_ns), ctime_ns = ?
    WHERE ino = ?
"""


class AttributeOperations:
    """Operations on attributes in *database*: see `Operations`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._inodes = InodeTable(database)
        self._queries = Queries(database)

    def set_attributes(self, intent: intents.SetAttributes, version: int) -> OperationRecord:
        """Set those that are not None. Raises FileMissing."""
        mode = None if intent.mode is None else intent.mode & 0o7777
        self._inodes.must_exist(
            intent.ino,
            self._database.change(
                _SET,
                (
                    mode,
                    intent.uid,
                    intent.gid,
                    intent.atime_ns,
                    intent.mtime_ns,
                    intent.time_ns,
                    intent.ino,
                ),
            ),
        )
        return OperationRecord(intent, intent.ino, 0, version)

    def set_xattr(self, intent: intents.SetXattr, version: int) -> OperationRecord:
        """Set an extended attribute.

        Raises FileMissing, Invalid, NameTooLong, AttributeTooBig,
        NameTaken or NoAttribute for its flags, NoRoomForAttribute.
        """
        if not intent.name or b"\0" in intent.name:
            raise Invalid("name of an extended attribute")
        if len(intent.name) > MAX_NAME_BYTES:
            raise NameTooLong("extended attribute")
        if len(intent.value) > MAX_XATTR:
            raise AttributeTooBig("extended attribute")
        self._touch(intent)
        place = (intent.ino, intent.name)
        held = self._database.row("SELECT 1 FROM xattr WHERE ino = ? AND name = ?", place)
        if held and intent.flags & intents.XATTR_CREATE:
            raise NameTaken("extended attribute")
        if not held and intent.flags & intents.XATTR_REPLACE:
            raise NoAttribute("extended attribute")
        self._check_room(intent)
        if held:
            self._database.change(
                "UPDATE xattr SET value = ? WHERE ino = ? AND name = ?", (intent.value, *place)
            )
        else:
            self._database.change("INSERT INTO xattr VALUES (?, ?, ?)", (*place, intent.value))
        return OperationRecord(intent, intent.ino, 0, version)

    def _touch(self, intent: intents.SetXattr | intents.RemoveXattr) -> None:
        """Set the change time, which what is our own leaves alone. Raises FileMissing."""
        if intents.is_ours(intent.name):
            self._queries.existing(intent.ino)
        else:
            self._inodes.count_link(intent.ino, 0, intent.time_ns)

    def _check_room(self, intent: intents.SetXattr) -> None:
        row = self._database.row(
            "SELECT count(*), coalesce(sum(length(name) + length(value)), 0) "
            "FROM xattr WHERE ino = ? AND name != ? AND substr(name, 1, ?) != ?",
            (intent.ino, intent.name, len(CONDEMNED), CONDEMNED),
        )
        assert row is not None
        count, size = row
        size += len(intent.name) + len(intent.value)
        if count >= MAX_XATTRS or size > MAX_XATTR_BYTES:
            raise NoRoomForAttribute("extended attribute")

    def remove_xattr(self, intent: intents.RemoveXattr, version: int) -> OperationRecord:
        """Remove an extended attribute. Raises FileMissing, NoAttribute."""
        self._touch(intent)
        if not self._database.change(
            "DELETE FROM xattr WHERE ino = ? AND name = ?", (intent.ino, intent.name)
        ):
            raise NoAttribute("extended attribute")
        return OperationRecord(intent, intent.ino, 0, version)

    def mark(self, intent: intents.Mark, version: int) -> OperationRecord:
        """Set the mark of a file on its way, or take it back. Raises FileMissing, IsDirectory, Invalid."""
        self._inodes.file(intent.ino)
        place = (intent.ino, intents.MARK)
        self._database.change("DELETE FROM xattr WHERE ino = ? AND name = ?", place)
        if intent.value is not None:
            self._database.change("INSERT INTO xattr VALUES (?, ?, ?)", (*place, intent.value))
        return OperationRecord(intent, intent.ino, 0, version)

    def fact(self, intent: intents.Fact, version: int) -> OperationRecord:
        """Set or remove what the project says of itself."""
        place = (ROOT, intent.name)
        self._database.change("DELETE FROM xattr WHERE ino = ? AND name = ?", place)
        if intent.value is not None:
            self._database.change("INSERT INTO xattr VALUES (?, ?, ?)", (*place, intent.value))
        return OperationRecord(intent, ROOT, 0, version)

    def lease(self, intent: intents.Lease, version: int) -> OperationRecord:
        """Change a lease from what is expected. Raises FileMissing, or LeaseMoved if it is not that."""
        self._queries.existing(intent.ino)
        place = (intent.ino, intent.name)
        row = self._database.row("SELECT value FROM xattr WHERE ino = ? AND name = ?", place)
        if (None if row is None else row[0]) != intent.expected:
            raise LeaseMoved("the lease is not as it was")
        self._database.change("DELETE FROM xattr WHERE ino = ? AND name = ?", place)
        if intent.value is not None:
            self._database.change("INSERT INTO xattr VALUES (?, ?, ?)", (*place, intent.value))
        return OperationRecord(intent, intent.ino, 0, version)
