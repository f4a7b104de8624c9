"""What files were before a content of ours began to replace them part by part.

A content that takes several entries may lose a block when the first of them is committed already
(fs/replica/pending/lost_contents.py). Others still show what the file was before (earlier_contents.py); here
it is kept as well, to be laid there again.
"""

from __future__ import annotations

from collections.abc import Collection

from lucidnode.fs.format.block import BlockName
from lucidnode.fs.replica import intents
from lucidnode.fs.replica.inode import InodeNo, Version, is_partial
from lucidnode.fs.replica.pending.earlier_contents import MAX_EXTENTS
from lucidnode.fs.replica.sqlite.database import Database
from lucidnode.fs.replica.sqlite.rows import (
    MTIME_COLUMN,
    SIZE_COLUMN,
    VERSION_COLUMN,
    RowChange,
    net,
)
from lucidnode.node.client.ids import BlockId


class ReplacedContents:
    """The replaced contents in *database*. Changes run inside the caller's transaction.

    Raises as `Database.rows`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def files(self) -> set[InodeNo]:
        """Return the files of which the content before ours is here."""
        return {InodeNo(ino) for (ino,) in self._database.rows("SELECT ino FROM replaced")}

    def keep(self, inos: Collection[InodeNo], pending: list[RowChange]) -> None:
        """Keep what each of *inos*, of which a part is about to be sent, was before all *pending*."""
        new = set(inos) - self.files()
        changes = net([each for each in pending if _ino(each) in new]) if new else []
        for ino in new:
            self._keep(ino, [each for each in changes if _ino(each) == ino])

    def forget(self, ino: InodeNo) -> None:
        """Keep *ino* no longer: its content is whole, or is laid there again."""
        for table in ("replaced", "replaced_extent"):
            self._database.change(f"DELETE FROM {table} WHERE ino = ?", (ino,))  # noqa: S608  # ours

    def was_there(self, ino: InodeNo) -> bool:
        """Tell whether *ino*, which is here, was a file before ours."""
        row = self._database.row("SELECT existed FROM replaced WHERE ino = ?", (ino,))
        return row is not None and bool(row[0])

    def made_again(self, ino: InodeNo) -> list[intents.Intent]:
        """Return what makes *ino*, which is here, the file that it was."""
        row = self._database.row("SELECT size, mtime_ns FROM replaced WHERE ino = ?", (ino,))
        assert row is not None
        size, mtime_ns = row
        extents, blocks = [], dict[BlockId, BlockName]()
        for offset, length, block, block_offset, epoch, nonce, block_size in self._database.rows(
            "SELECT offset, length, block, block_offset, epoch, nonce, block.size "
            "FROM replaced_extent JOIN block ON block.id = block WHERE ino = ? ORDER BY offset",
            (ino,),
        ):
            name = BlockName(BlockId(block), epoch, nonce, block_size)
            blocks[name.id] = name
            extents.append(intents.NewExtent(offset, length, name.id, block_offset))
        return [
            intents.Truncate(ino, 0, mtime_ns),
            intents.Write(ino, extents, list(blocks.values()), mtime_ns, size_at_least=size),
        ]

    def _keep(self, ino: InodeNo, changes: list[RowChange]) -> None:
        before = next((old for table, old, _ in changes if table == "inode"), None)
        if before is not None and is_partial(Version(int(before[VERSION_COLUMN]))):
            return  # it is too late
        extents = dict[int, tuple[int | bytes, ...]]()
        if before is not None:
            rows = self._database.rows("SELECT * FROM extent WHERE ino = ?", (ino,))
            extents = {row[1]: row for row in rows}
            for table, old, new in changes:
                if table == "extent" and new is not None:
                    extents.pop(int(new[1]), None)
                if table == "extent" and old is not None:
                    extents[int(old[1])] = old
        if len(extents) > MAX_EXTENTS:
            return
        self._database.change(
            "INSERT INTO replaced VALUES (?, ?, ?, ?)",
            (
                ino,
                int(before is not None),
                0 if before is None else before[SIZE_COLUMN],
                0 if before is None else before[MTIME_COLUMN],
            ),
        )
        for row in extents.values():
            self._database.change("INSERT INTO replaced_extent VALUES (?, ?, ?, ?, ?)", row)


def _ino(change: RowChange) -> InodeNo | None:
    """Return the inode whose row, or extent, is changed."""
    table, old, new = change
    row = old or new
    if row is None or table not in {"inode", "extent"}:
        return None
    return InodeNo(int(row[0]))
