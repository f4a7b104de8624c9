"""What programs do with the contents of files, and how a file without a name goes with its content."""

from __future__ import annotations

from lucidnode.fs.errors import FileTooBig, Invalid
from lucidnode.fs.replica import intents
from lucidnode.fs.replica.inode import MAX_FILE_SIZE
from lucidnode.fs.replica.intents import OperationRecord
from lucidnode.fs.replica.sqlite.database import Database
from lucidnode.fs.replica.tree.extent_table import SLICE_EXTENTS, ExtentTable
from lucidnode.fs.replica.tree.inode_table import InodeTable
from lucidnode.fs.replica.tree.queries import Queries

# Time 0 means: the content changes now, but the user's write was accounted for already.
_SET_CONTENT = """
    UPDATE inode SET size = ?2, version = ?3,
        mtime_ns = CASE ?4 WHEN 0 THEN mtime_ns ELSE ?4 END,
        ctime_ns = CASE ?4 WHEN 0 THEN ctime_ns ELSE ?4 END
    WHERE ino = ?1
"""


class ContentOperations:
    """Operations on contents in *database*: see `Operations`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = Queries(database)
        self._content = ExtentTable(database)
        self._inodes = InodeTable(database)

    def truncate(self, intent: intents.Truncate, version: int) -> OperationRecord:
        """Cut a file, or let it grow by a hole. Raises FileMissing, IsDirectory, Invalid, FileTooBig."""
        self._inodes.file(intent.ino)
        if intent.size < 0:
            raise Invalid("size")
        if intent.size > MAX_FILE_SIZE:
            raise FileTooBig("truncate")
        self._content.clear(intent.ino, intent.size)
        self._database.change(_SET_CONTENT, (intent.ino, intent.size, version, intent.time_ns))
        return OperationRecord(intent, intent.ino, 0, version)

    def punch(self, intent: intents.Punch, version: int) -> OperationRecord:
        """Make a part of a file a hole. Raises FileMissing, IsDirectory, Invalid."""
        size = self._inodes.file(intent.ino).size
        if intent.offset < 0 or intent.length <= 0:
            raise Invalid("hole")
        self._content.clear(intent.ino, intent.offset, intent.offset + intent.length)
        self._database.change(_SET_CONTENT, (intent.ino, size, version, intent.time_ns))
        return OperationRecord(intent, intent.ino, 0, version)

    def write(self, intent: intents.Write, version: int) -> OperationRecord:
        """Lay extents over a file. Raises FileMissing, IsDirectory, Invalid, FileTooBig."""
        size = max(self._inodes.file(intent.ino).size, intent.size_at_least)
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

    def name_blocks(self, intent: intents.NameBlocks, version: int) -> OperationRecord:
        """Name blocks that extents will lie in."""
        self._content.name_blocks(intent.blocks)
        return OperationRecord(intent, 0, 0, version)

    def rekey(self, intent: intents.Rekey, version: int) -> OperationRecord:
        """Have the extents that lie where they did lie in other blocks; the others stay."""
        used = {
            move.new
            for move in intent.moves
            if self._content.move(intent.ino, move.offset, move.old, move.new)
        }
        self._content.name_blocks(block for block in intent.blocks if block.id in used)
        return OperationRecord(intent, 0, 0, version)

    def forget(self, intent: intents.Forget, version: int) -> OperationRecord:
        """Remove a file without a name, or a slice of its extents from the end."""
        found = self._queries.attributes(intent.ino)
        if found is not None and found.nlink == 0:
            # A slice at a time, from the end; whoever asked goes on until the inode is gone.
            start = self._content.cut_point(intent.ino, SLICE_EXTENTS)
            self._content.clear(intent.ino, start)
            if start > 0:
                return OperationRecord(intent, intent.ino, 0, version)
            self._inodes.delete(intent.ino)
        self._database.change("DELETE FROM orphan WHERE ino = ?", (intent.ino,))
        return OperationRecord(intent, intent.ino, 0, version)
