"""Which bytes of a file lie in which block: extents are overlaid and cut, never rewritten."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from lucidnode.fs.format.block import BlockName
from lucidnode.fs.replica.inode import MAX_FILE_SIZE, InodeNo
from lucidnode.fs.replica.intents import NewExtent, Punch, Write
from lucidnode.fs.replica.sqlite.database import Database
from lucidnode.node.client.ids import BlockId

SLICE_EXTENTS = 384
"""Extents that one operation may lay down, and drop. Each that is laid down may name a block and
split another in two: five rows for each fit one entry."""

_OVERLAPPING = """
    SELECT offset, length, block, block_offset FROM extent
    WHERE ino = ?1 AND offset < ?3 AND offset + length > ?2 AND offset >= coalesce(
        (SELECT max(offset) FROM extent WHERE ino = ?1 AND offset <= ?2), 0)
"""
_INSERT = "INSERT INTO extent VALUES (?, ?, ?, ?, ?)"
_SHORTEN = "UPDATE extent SET length = ? WHERE ino = ? AND offset = ?"
_MOVE = "UPDATE extent SET block = ? WHERE ino = ? AND offset = ? AND block = ?"
_DELETE = "DELETE FROM extent WHERE ino = ? AND offset = ?"


def _part(write: Write, extents: list[NewExtent]) -> Write:
    if extents == write.extents:
        return write
    used = {extent.block for extent in extents}
    blocks = [block for block in write.blocks if block.id in used]
    return msgspec.structs.replace(write, extents=extents, blocks=blocks)


class ExtentTable:
    """The extents in *database*; every method runs inside the caller's transaction.

    Raises as `Database.rows`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def clear(self, ino: InodeNo, start: int, end: int = MAX_FILE_SIZE) -> None:
        """Make [start, end) of *ino* a hole."""
        change = self._database.change
        for offset, length, block, block_offset in self._database.rows(
            _OVERLAPPING, (ino, start, end)
        ):
            if offset < start:
                change(_SHORTEN, (start - offset, ino, offset))
            else:
                change(_DELETE, (ino, offset))
            if offset + length > end:
                rest = offset + length - end
                change(_INSERT, (ino, end, rest, block, block_offset + end - offset))

    def overlay(self, ino: InodeNo, extents: Iterable[NewExtent]) -> None:
        """Lay *extents* over *ino*, in order, the later over the earlier."""
        for extent in extents:
            self.clear(ino, extent.offset, extent.offset + extent.length)
            self._database.change(
                _INSERT, (ino, extent.offset, extent.length, extent.block, extent.block_offset)
            )

    def parts(self, write: Write) -> Iterator[Write]:
        """Yield *write* in parts that lay down and drop at most SLICE_EXTENTS each.

        Do each before asking for the next: what is still to be dropped is looked up then.
        """
        part: list[NewExtent] = []
        room = SLICE_EXTENTS
        for extent in write.extents:
            start, end = extent.offset, extent.offset + extent.length
            while True:
                cut, dropped = self._cut(write.ino, start, end, room)
                if cut > start:
                    skipped = start - extent.offset
                    at = extent.block_offset + skipped
                    part.append(NewExtent(start, cut - start, extent.block, at))
                    room -= dropped
                    start = cut
                if start == end and len(part) < SLICE_EXTENTS:
                    break
                yield _part(write, part)
                part, room = [], SLICE_EXTENTS
                if start == end:
                    break
        if part or not write.extents:
            yield _part(write, part)

    def hole_parts(self, punch: Punch) -> Iterator[Punch]:
        """Yield *punch* in parts that drop SLICE_EXTENTS at most; do each before the next."""
        start, end = punch.offset, punch.offset + punch.length
        while start < end:
            cut, _ = self._cut(punch.ino, start, end, SLICE_EXTENTS)
            yield msgspec.structs.replace(punch, offset=start, length=cut - start)
            start = cut

    def _cut(self, ino: InodeNo, start: int, end: int, room: int) -> tuple[int, int]:
        """Return where [start, end) has to be cut so as to drop *room* extents, and how many."""
        rows = self._database.rows(
            "SELECT offset FROM extent WHERE ino = ? AND offset >= ? AND offset < ? "
            "ORDER BY offset LIMIT ?",
            (ino, start, min(end, MAX_FILE_SIZE), room + 1),
        )
        return (rows[room][0], room) if len(rows) > room else (end, len(rows))

    def move(self, ino: InodeNo, offset: int, old: BlockId, new: BlockId) -> bool:
        """Have the extent of *ino* that begins at *offset* lie in *new*; False if it is not in *old*."""
        return bool(self._database.change(_MOVE, (new, ino, offset, old)))

    def name_blocks(self, blocks: Iterable[BlockName]) -> None:
        """Add what is not there yet of *blocks*: equal content is one block, whoever wrote it."""
        for block in blocks:
            self._database.change(
                "INSERT OR IGNORE INTO block VALUES (?, ?, ?, ?)",
                (block.id, block.epoch, block.nonce, block.size),
            )

    def cut_point(self, ino: InodeNo, count: int) -> int:
        """Return the offset of the extent with *count* - 1 extents of *ino* behind it, or 0."""
        row = self._database.row(
            "SELECT offset FROM extent WHERE ino = ? ORDER BY offset DESC LIMIT 1 OFFSET ?",
            (ino, count - 1),
        )
        return 0 if row is None else int(row[0])
