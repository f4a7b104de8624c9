"""What programs do with names: creating, linking, removing and moving them."""

from __future__ import annotations

from lucidnode.fs.errors import (
    FileMissing,
    Invalid,
    IsDirectory,
    NameTaken,
    NameTooLong,
    NotDirectory,
    NotEmpty,
    NotPermitted,
)
from lucidnode.fs.replica import intents
from lucidnode.fs.replica.inode import MAX_TARGET_BYTES, Attributes, Kind
from lucidnode.fs.replica.intents import OperationRecord
from lucidnode.fs.replica.sqlite.database import Database
from lucidnode.fs.replica.tree.inode_table import InodeTable
from lucidnode.fs.replica.tree.name_table import NameTable
from lucidnode.fs.replica.tree.queries import Queries


class NameOperations:
    """Operations on names in *database*: see `Operations`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = Queries(database)
        self._inodes = InodeTable(database)
        self._names = NameTable(database)

    def create(self, intent: intents.Create, version: int) -> OperationRecord:
        """Make an inode and its first name. Raises NameTaken, NameTooLong, Invalid, FileMissing, NotDirectory."""
        if len(intent.target) > MAX_TARGET_BYTES:
            raise NameTooLong("target of a symbolic link")
        if b"\0" in intent.target or (intent.target and intent.kind is not Kind.SYMLINK):
            raise Invalid("target of a symbolic link")
        directory = intent.kind is Kind.DIRECTORY
        self._names.touch_parent(intent.parent, intent.time_ns, 1 if directory else 0)
        self._names.insert(intent.parent, intent.name, intent.ino)
        self._inodes.insert(
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
        if intent.lease:
            self._database.change(
                "INSERT INTO xattr VALUES (?, ?, ?)",
                (intent.ino, intents.NAMES_LEASE, intent.lease),
            )
        return OperationRecord(intent, intent.ino, 0, version)

    def restore(self, intent: intents.Restore, version: int) -> OperationRecord:
        """Make a file again that an entry of another node removed. Raises as `create`."""
        named = intent.parent != 0
        self._inodes.insert(
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
            self._names.touch_parent(intent.parent, intent.time_ns)
            self._names.insert(intent.parent, intent.name, intent.ino)
        else:
            self._inodes.keep(intent.ino)
        for name, value in intent.xattrs:
            self._database.change("INSERT INTO xattr VALUES (?, ?, ?)", (intent.ino, name, value))
        return OperationRecord(intent, intent.ino, 0, version)

    def link(self, intent: intents.Link, version: int) -> OperationRecord:
        """Give a file one more name. Raises FileMissing, NotPermitted for a directory, or as `create`."""
        found = self._queries.existing(intent.ino)
        if found.is_directory:
            raise NotPermitted("a hard link to a directory")
        if found.nlink == 0:
            raise FileMissing(f"inode {intent.ino} has no name any more")
        self._names.touch_parent(intent.parent, intent.time_ns)
        self._names.insert(intent.parent, intent.name, intent.ino)
        self._inodes.count_link(intent.ino, 1, intent.time_ns)
        return OperationRecord(intent, intent.ino, 0, version)

    def unlink(self, intent: intents.Unlink, version: int) -> OperationRecord:
        """Take a name of a file away. Raises FileMissing, IsDirectory, NotDirectory, NameTooLong."""
        found = self._names.named(intent.parent, intent.name)
        if found.is_directory:
            raise IsDirectory("unlink of a directory")
        self._names.remove(intent.parent, intent.name)
        self._names.touch_parent(intent.parent, intent.time_ns)
        self._inodes.release(found, intent.time_ns, keep=intent.keep)
        return OperationRecord(intent, found.ino, 0, version)

    def rmdir(self, intent: intents.Rmdir, version: int) -> OperationRecord:
        """Remove an empty directory. Raises FileMissing, NotDirectory, NotEmpty, NameTooLong."""
        found = self._names.named(intent.parent, intent.name)
        if not found.is_directory:
            raise NotDirectory("rmdir of a file")
        if self._queries.has_names(found.ino):
            raise NotEmpty("rmdir")
        self._names.remove(intent.parent, intent.name)
        self._names.touch_parent(intent.parent, intent.time_ns, -1)
        self._inodes.delete(found.ino)
        return OperationRecord(intent, found.ino, 0, version)

    def rename(self, intent: intents.Rename, version: int) -> OperationRecord:
        """Move a name, over another or in exchange for it. Raises what `renameat2` of Linux does."""
        source = self._names.named(intent.parent, intent.name)
        target = self._queries.lookup(intent.new_parent, intent.new_name)
        if intent.flags & intents.RENAME_EXCHANGE:
            return self._exchange(intent, source, target, version)
        if intent.flags & ~intents.RENAME_NOREPLACE:
            raise Invalid("flags of rename")
        if target is not None and intent.flags & intents.RENAME_NOREPLACE:
            raise NameTaken("rename without replacing")
        if source.is_directory:
            self._names.check_place(intent.new_parent, source.ino)
        if target is not None:
            if target.ino == source.ino:
                return OperationRecord(
                    intent, source.ino, target.ino, version, moves_files=not source.is_directory
                )
            self._displace(intent, source, target)
        self._names.remove(intent.parent, intent.name)
        moved = 1 if source.is_directory else 0
        if intent.parent == intent.new_parent:
            self._names.touch_parent(intent.parent, intent.time_ns)
        else:
            self._names.touch_parent(intent.parent, intent.time_ns, -moved)
            self._names.touch_parent(intent.new_parent, intent.time_ns, moved)
        self._names.insert(intent.new_parent, intent.new_name, source.ino)
        self._inodes.count_link(source.ino, 0, intent.time_ns)
        return OperationRecord(
            intent,
            source.ino,
            target.ino if target else 0,
            version,
            moves_files=not source.is_directory,
        )

    def _displace(self, intent: intents.Rename, source: Attributes, target: Attributes) -> None:
        """Remove *target* from under the name that *source* takes over."""
        if target.is_directory:
            if not source.is_directory:
                raise IsDirectory("rename of a file over a directory")
            if self._queries.has_names(target.ino):
                raise NotEmpty("rename over a directory")
        elif source.is_directory:
            raise NotDirectory("rename of a directory over a file")
        self._names.remove(intent.new_parent, intent.new_name)
        if target.is_directory:
            self._names.touch_parent(intent.new_parent, intent.time_ns, -1)
            self._inodes.delete(target.ino)
        else:
            self._inodes.release(target, intent.time_ns, keep=intent.keep)

    def _exchange(
        self, intent: intents.Rename, one: Attributes, other: Attributes | None, version: int
    ) -> OperationRecord:
        if intent.flags != intents.RENAME_EXCHANGE:
            raise Invalid("flags of rename")
        if other is None:
            raise FileMissing("exchange with nothing")
        if one.is_directory:
            self._names.check_place(intent.new_parent, one.ino)
        if other.is_directory:
            self._names.check_place(intent.parent, other.ino)
        if one.ino != other.ino:
            self._names.remove(intent.parent, intent.name)
            self._names.remove(intent.new_parent, intent.new_name)
            self._names.insert(intent.parent, intent.name, other.ino)
            self._names.insert(intent.new_parent, intent.new_name, one.ino)
            drift = int(one.is_directory) - int(other.is_directory)
            self._names.touch_parent(intent.parent, intent.time_ns, -drift)
            self._names.touch_parent(intent.new_parent, intent.time_ns, drift)
            self._inodes.count_link(one.ino, 0, intent.time_ns)
            self._inodes.count_link(other.ino, 0, intent.time_ns)
        return OperationRecord(intent, one.ino, other.ino, version)
