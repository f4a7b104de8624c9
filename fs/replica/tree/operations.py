"""Every operation on a project, as Linux defines it, over the replicated tables.

Nothing here knows of other nodes: what happens when an operation meets a state it was not made
for is the business of fs/replica/pending/rebase.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lucidnode.fs.errors import (
    AttributeTooBig,
    Cycle,
    FileMissing,
    FileTooBig,
    Invalid,
    IsDirectory,
    NameTaken,
    NameTooLong,
    NoAttribute,
    NoRoomForAttribute,
    NotDirectory,
    NotEmpty,
    NotPermitted,
)
from lucidnode.fs.replica import intents
from lucidnode.fs.replica.inode import (
    MAX_DEPTH,
    MAX_FILE_SIZE,
    MAX_NAME_BYTES,
    MAX_TARGET_BYTES,
    MAX_XATTR,
    MAX_XATTR_BYTES,
    MAX_XATTRS,
    Attributes,
    InodeNo,
    Kind,
)
from lucidnode.fs.replica.intents import Intent, OperationRecord
from lucidnode.fs.replica.sqlite.database import Database
from lucidnode.fs.replica.tree.extent_table import ExtentTable
from lucidnode.fs.replica.tree.queries import Queries

SLICE_EXTENTS = 384
"""Extents that one operation may lay down, and drop. Each that is laid down may name a block and
split another in two: five rows for each fit one entry."""

_INSERT_NAME = "INSERT OR IGNORE INTO name VALUES (?, ?, ?)"
_DELETE_NAME = "DELETE FROM name WHERE parent = ? AND name = ?"
_INSERT_INODE = "INSERT INTO inode VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_TOUCH_PARENT = (
    "UPDATE inode SET mtime_ns = ?2, ctime_ns = ?2, nlink = nlink + ?3 WHERE ino = ?1 AND kind = 4"
)
_SET = """
    UPDATE inode SET mode = coalesce(?, mode), uid = coalesce(?, uid), gid = coalesce(?, gid),
        atime_ns = coalesce(?, atime_ns), mtime_ns = coalesce(?, mtime_ns), ctime_ns = ?
    WHERE ino = ?
"""
# Time 0 means: the content changes now, but the user's write was accounted for already.
_SET_CONTENT = """
    UPDATE inode SET size = ?2, version = ?3,
        mtime_ns = CASE ?4 WHEN 0 THEN mtime_ns ELSE ?4 END,
        ctime_ns = CASE ?4 WHEN 0 THEN ctime_ns ELSE ?4 END
    WHERE ino = ?1
"""


class Operations:
    """Runs intents on the tree in *database*, inside the caller's transaction.

    An operation that raises may have changed something: the caller rolls back.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = Queries(database)
        self._content = ExtentTable(database)
        self._runners: dict[type[Intent], Callable[[Any, int], OperationRecord]] = {
            intents.Create: self._create,
            intents.Link: self._link,
            intents.Unlink: self._unlink,
            intents.Rmdir: self._rmdir,
            intents.Rename: self._rename,
            intents.SetAttributes: self._set_attributes,
            intents.Truncate: self._truncate,
            intents.Write: self._write,
            intents.SetXattr: self._set_xattr,
            intents.RemoveXattr: self._remove_xattr,
            intents.NameBlocks: self._name_blocks,
            intents.Mark: self._mark,
            intents.Forget: self._forget,
            intents.Restore: self._restore,
        }

    def run(self, intent: Intent, version: int) -> OperationRecord:
        """Do *intent*; a file whose content it changes gets *version*. Raises a FileError."""
        return self._runners[type(intent)](intent, version)

    # -- names -------------------------------------------------------------------------------

    def _create(self, intent: intents.Create, version: int) -> OperationRecord:
        if len(intent.target) > MAX_TARGET_BYTES:
            raise NameTooLong("target of a symbolic link")
        if b"\0" in intent.target or (intent.target and intent.kind is not Kind.SYMLINK):
            raise Invalid("target of a symbolic link")
        directory = intent.kind is Kind.DIRECTORY
        self._touch_parent(intent.parent, intent.time_ns, 1 if directory else 0)
        self._insert_name(intent.parent, intent.name, intent.ino)
        self._database.change(
            _INSERT_INODE,
            (
                intent.ino,
                intent.kind,
                intent.mode & 0o7777,
                intent.uid,
                intent.gid,
                len(intent.target),
                2 if directory else 1,
                intent.time_ns,
                intent.time_ns,
                intent.time_ns,
                intent.rdev,
                intent.target,
                0,
            ),
        )
        return OperationRecord(intent, intent.ino, 0, version)

    def _link(self, intent: intents.Link, version: int) -> OperationRecord:
        found = self._queries.existing(intent.ino)
        if found.is_directory:
            raise NotPermitted("a hard link to a directory")
        if found.nlink == 0:
            raise FileMissing(f"inode {intent.ino} has no name any more")
        self._touch_parent(intent.parent, intent.time_ns)
        self._insert_name(intent.parent, intent.name, intent.ino)
        self._count_link(intent.ino, 1, intent.time_ns)
        return OperationRecord(intent, intent.ino, 0, version)

    def _unlink(self, intent: intents.Unlink, version: int) -> OperationRecord:
        found = self._named(intent.parent, intent.name)
        if found.is_directory:
            raise IsDirectory("unlink of a directory")
        self._database.change(_DELETE_NAME, (intent.parent, intent.name))
        self._touch_parent(intent.parent, intent.time_ns)
        self._release(found, intent.time_ns, keep=intent.keep)
        return OperationRecord(intent, found.ino, 0, version)

    def _rmdir(self, intent: intents.Rmdir, version: int) -> OperationRecord:
        found = self._named(intent.parent, intent.name)
        if not found.is_directory:
            raise NotDirectory("rmdir of a file")
        if self._queries.has_names(found.ino):
            raise NotEmpty("rmdir")
        self._database.change(_DELETE_NAME, (intent.parent, intent.name))
        self._touch_parent(intent.parent, intent.time_ns, -1)
        self._delete(found.ino)
        return OperationRecord(intent, found.ino, 0, version)

    def _rename(self, intent: intents.Rename, version: int) -> OperationRecord:
        source = self._named(intent.parent, intent.name)
        target = self._queries.lookup(intent.new_parent, intent.new_name)
        if intent.flags & intents.RENAME_EXCHANGE:
            return self._exchange(intent, source, target, version)
        if intent.flags & ~intents.RENAME_NOREPLACE:
            raise Invalid("flags of rename")
        if target is not None and intent.flags & intents.RENAME_NOREPLACE:
            raise NameTaken("rename without replacing")
        if source.is_directory:
            self._check_place(intent.new_parent, source.ino)
        if target is not None:
            if target.ino == source.ino:
                return OperationRecord(intent, source.ino, target.ino, version)
            self._displace(intent, source, target)
        self._database.change(_DELETE_NAME, (intent.parent, intent.name))
        moved = 1 if source.is_directory else 0
        self._touch_parent(intent.parent, intent.time_ns, -moved)
        self._touch_parent(intent.new_parent, intent.time_ns, moved)
        self._insert_name(intent.new_parent, intent.new_name, source.ino)
        self._count_link(source.ino, 0, intent.time_ns)
        return OperationRecord(intent, source.ino, target.ino if target else 0, version)

    def _displace(self, intent: intents.Rename, source: Attributes, target: Attributes) -> None:
        """Remove *target* from under the name that *source* takes over."""
        if target.is_directory:
            if not source.is_directory:
                raise IsDirectory("rename of a file over a directory")
            if self._queries.has_names(target.ino):
                raise NotEmpty("rename over a directory")
        elif source.is_directory:
            raise NotDirectory("rename of a directory over a file")
        self._database.change(_DELETE_NAME, (intent.new_parent, intent.new_name))
        if target.is_directory:
            self._touch_parent(intent.new_parent, intent.time_ns, -1)
            self._delete(target.ino)
        else:
            self._release(target, intent.time_ns, keep=intent.keep)

    def _exchange(
        self, intent: intents.Rename, one: Attributes, other: Attributes | None, version: int
    ) -> OperationRecord:
        if intent.flags != intents.RENAME_EXCHANGE:
            raise Invalid("flags of rename")
        if other is None:
            raise FileMissing("exchange with nothing")
        if one.is_directory:
            self._check_place(intent.new_parent, one.ino)
        if other.is_directory:
            self._check_place(intent.parent, other.ino)
        if one.ino != other.ino:
            self._database.change(_DELETE_NAME, (intent.parent, intent.name))
            self._database.change(_DELETE_NAME, (intent.new_parent, intent.new_name))
            self._insert_name(intent.parent, intent.name, other.ino)
            self._insert_name(intent.new_parent, intent.new_name, one.ino)
            drift = int(one.is_directory) - int(other.is_directory)
            self._touch_parent(intent.parent, intent.time_ns, -drift)
            self._touch_parent(intent.new_parent, intent.time_ns, drift)
            self._count_link(one.ino, 0, intent.time_ns)
            self._count_link(other.ino, 0, intent.time_ns)
        return OperationRecord(intent, one.ino, other.ino, version)

    # -- one file ----------------------------------------------------------------------------

    def _set_attributes(self, intent: intents.SetAttributes, version: int) -> OperationRecord:
        mode = None if intent.mode is None else intent.mode & 0o7777
        self._must_exist(
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

    def _truncate(self, intent: intents.Truncate, version: int) -> OperationRecord:
        self._file(intent.ino)
        if intent.size < 0:
            raise Invalid("size")
        if intent.size > MAX_FILE_SIZE:
            raise FileTooBig("truncate")
        self._content.clear(intent.ino, intent.size)
        self._database.change(_SET_CONTENT, (intent.ino, intent.size, version, intent.time_ns))
        return OperationRecord(intent, intent.ino, 0, version)

    def _write(self, intent: intents.Write, version: int) -> OperationRecord:
        size = max(self._file(intent.ino).size, intent.size_at_least)
        for extent in intent.extents:
            if extent.offset < 0 or extent.length <= 0 or extent.block_offset < 0:
                raise Invalid("extent")
            size = max(size, extent.offset + extent.length)
        if size > MAX_FILE_SIZE:
            raise FileTooBig("write")
        self._content.name_blocks(intent.blocks)
        self._content.overlay(intent.ino, intent.extents)
        self._database.change(_SET_CONTENT, (intent.ino, size, version, intent.time_ns))
        return OperationRecord(intent, intent.ino, 0, version)

    def _set_xattr(self, intent: intents.SetXattr, version: int) -> OperationRecord:
        if not intent.name or b"\0" in intent.name:
            raise Invalid("name of an extended attribute")
        if len(intent.name) > MAX_NAME_BYTES:
            raise NameTooLong("extended attribute")
        if len(intent.value) > MAX_XATTR:
            raise AttributeTooBig("extended attribute")
        self._must_exist(intent.ino, self._count_link(intent.ino, 0, intent.time_ns))
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

    def _check_room(self, intent: intents.SetXattr) -> None:
        row = self._database.row(
            "SELECT count(*), coalesce(sum(length(name) + length(value)), 0) "
            "FROM xattr WHERE ino = ? AND name != ?",
            (intent.ino, intent.name),
        )
        assert row is not None
        count, size = row
        size += len(intent.name) + len(intent.value)
        if count >= MAX_XATTRS or size > MAX_XATTR_BYTES:
            raise NoRoomForAttribute("extended attribute")

    def _remove_xattr(self, intent: intents.RemoveXattr, version: int) -> OperationRecord:
        self._must_exist(intent.ino, self._count_link(intent.ino, 0, intent.time_ns))
        if not self._database.change(
            "DELETE FROM xattr WHERE ino = ? AND name = ?", (intent.ino, intent.name)
        ):
            raise NoAttribute("extended attribute")
        return OperationRecord(intent, intent.ino, 0, version)

    def _name_blocks(self, intent: intents.NameBlocks, version: int) -> OperationRecord:
        self._content.name_blocks(intent.blocks)
        return OperationRecord(intent, 0, 0, version)

    def _mark(self, intent: intents.Mark, version: int) -> OperationRecord:
        self._file(intent.ino)
        place = (intent.ino, intents.MARK)
        self._database.change("DELETE FROM xattr WHERE ino = ? AND name = ?", place)
        if intent.value is not None:
            self._database.change("INSERT INTO xattr VALUES (?, ?, ?)", (*place, intent.value))
        return OperationRecord(intent, intent.ino, 0, version)

    def _forget(self, intent: intents.Forget, version: int) -> OperationRecord:
        found = self._queries.attributes(intent.ino)
        if found is not None and found.nlink == 0:
            # A slice at a time, from the end; whoever asked goes on until the inode is gone.
            start = self._content.cut_point(intent.ino, SLICE_EXTENTS)
            self._content.clear(intent.ino, start)
            if start > 0:
                return OperationRecord(intent, intent.ino, 0, version)
            self._delete(intent.ino)
        self._database.change("DELETE FROM orphan WHERE ino = ?", (intent.ino,))
        return OperationRecord(intent, intent.ino, 0, version)

    def _restore(self, intent: intents.Restore, version: int) -> OperationRecord:
        named = intent.parent != 0
        self._database.change(
            _INSERT_INODE,
            (
                intent.ino,
                Kind.FILE,
                intent.mode,
                intent.uid,
                intent.gid,
                intent.size,
                1 if named else 0,
                intent.atime_ns,
                intent.mtime_ns,
                intent.time_ns,
                0,
                b"",
                intent.version,
            ),
        )
        if named:
            self._touch_parent(intent.parent, intent.time_ns)
            self._insert_name(intent.parent, intent.name, intent.ino)
        else:
            self._keep(intent.ino)
        for name, value in intent.xattrs:
            self._database.change("INSERT INTO xattr VALUES (?, ?, ?)", (intent.ino, name, value))
        return OperationRecord(intent, intent.ino, 0, version)

    # -- parts -------------------------------------------------------------------------------

    def _file(self, ino: InodeNo) -> Attributes:
        found = self._queries.existing(ino)
        if found.is_directory:
            raise IsDirectory("not a file")
        if found.kind is not Kind.FILE:
            raise Invalid("not a file")
        return found

    def _named(self, parent: InodeNo, name: bytes) -> Attributes:
        check_length(name)
        found = self._queries.lookup(parent, name)
        if found is None:
            self._queries.directory(parent)
            raise FileMissing("no such name")
        return found

    def _check_place(self, parent: InodeNo, directory: InodeNo) -> None:
        """Raise Cycle or NameTooLong if *directory* cannot move into *parent*."""
        above = self._queries.above(parent)
        if directory in above:
            raise Cycle("a directory would lie in itself")
        if len(above) > MAX_DEPTH:
            raise NameTooLong("a directory would lie too deep")

    def _insert_name(self, parent: InodeNo, name: bytes, ino: InodeNo) -> None:
        check_name(name)
        if not self._database.change(_INSERT_NAME, (parent, name, ino)):
            raise NameTaken("name")

    def _touch_parent(self, parent: InodeNo, time_ns: int, subdirectories: int = 0) -> None:
        if not self._database.change(_TOUCH_PARENT, (parent, time_ns, subdirectories)):
            self._queries.directory(parent)

    def _count_link(self, ino: InodeNo, more: int, time_ns: int) -> int:
        return self._database.change(
            "UPDATE inode SET nlink = nlink + ?, ctime_ns = ? WHERE ino = ?", (more, time_ns, ino)
        )

    def _must_exist(self, ino: InodeNo, changed: int) -> None:
        if not changed:
            raise FileMissing(f"inode {ino}")

    def _release(self, found: Attributes, time_ns: int, *, keep: bool) -> None:
        """Take one link from a file; without links it goes, unless *keep* or too big for one go."""
        if found.nlink > 1 or keep or self._content.cut_point(found.ino, SLICE_EXTENTS + 1) > 0:
            self._count_link(found.ino, -1, time_ns)
            if found.nlink <= 1:
                self._keep(found.ino)
        else:
            self._delete(found.ino)

    def _keep(self, ino: InodeNo) -> None:
        self._database.change("INSERT OR IGNORE INTO orphan VALUES (?)", (ino,))

    def _delete(self, ino: InodeNo) -> None:
        for table in ("extent", "xattr", "inode"):
            self._database.change(f"DELETE FROM {table} WHERE ino = ?", (ino,))  # noqa: S608  # ours


def check_name(name: bytes) -> None:
    """Raise NameTooLong or Invalid unless *name* may stand in a directory."""
    check_length(name)
    if name in {b"", b".", b".."} or b"/" in name or b"\0" in name:
        raise Invalid("name")


def check_length(name: bytes) -> None:
    """Raise NameTooLong if *name* is longer than any name: it is not missing, it cannot be."""
    if len(name) > MAX_NAME_BYTES:
        raise NameTooLong("name")
