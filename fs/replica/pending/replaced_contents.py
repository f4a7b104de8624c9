"""What files were before a content of ours began to replace them part by part.

A content that takes several entries may lose a block when the first of them is committed already
(fs/replica/pending/lost_contents.py). Others still show what the file was before (earlier_contents.py); here
what has changed of it since is kept as well (changed_extents.py), to be laid there again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from lucidnode.fs.format.block import BlockName
from lucidnode.fs.replica import intents
from lucidnode.fs.replica.inode import InodeNo, Version, is_partial
from lucidnode.fs.replica.pending.changed_extents import ChangedExtents
from lucidnode.fs.replica.sqlite.database import Database
from lucidnode.fs.replica.sqlite.rows import (
    MTIME_COLUMN,
    SIZE_COLUMN,
    VERSION_COLUMN,
    RowChange,
    net,
)
from lucidnode.node.client.ids import BlockId

_EXTENTS_AT_ONCE = 4096


class ReplacedContents:
    """The replaced contents in *database*. Changes run inside the caller's transaction.

    Raises as `Database.rows`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changed = ChangedExtents(database, "replaced")

    def files(self) -> set[InodeNo]:
        """Return the files of which the content before ours is here."""
        return {InodeNo(ino) for (ino,) in self._database.rows("SELECT ino FROM replaced")}

    def keep(self, inos: Collection[InodeNo], pending: list[RowChange]) -> None:
        """Keep what each of *inos*, of which a part is about to be sent, was before all *pending*."""
        new = set(inos) - self.files()
        changes = net([each for each in pending if _ino(each) in new]) if new else []
        for ino in new:
            self._keep(ino, [each for each in changes if _ino(each) == ino])
        self._changed.note(changes)

    def note(self, changes: Iterable[RowChange]) -> None:
        """Hear of *changes* that operations of ours have made."""
        self._changed.note(changes)

    def note_before(self, winner: Iterable[RowChange]) -> None:
        """Hear of the entry *winner* of another that is about to be applied."""
        self._changed.note_before(winner)

    def forget(self, ino: InodeNo) -> None:
        """Keep *ino* no longer: its content is whole, or is laid there again."""
        self._database.change("DELETE FROM replaced WHERE ino = ?", (ino,))
        self._changed.clear(ino)

    def was_there(self, ino: InodeNo) -> bool:
        """Tell whether *ino*, which is here, was a file before ours."""
        row = self._database.row("SELECT existed FROM replaced WHERE ino = ?", (ino,))
        return row is not None and bool(row[0])

    def made_again(self, ino: InodeNo) -> Iterator[intents.Intent]:
        """Yield what makes *ino*, which is here, the file that it was; do each before the next."""
        row = self._database.row("SELECT size, mtime_ns FROM replaced WHERE ino = ?", (ino,))
        assert row is not None
        size, mtime_ns = row
        # After that all that was there has changed since: so it is in the table.
        yield intents.Truncate(ino, 0, mtime_ns)
        yield intents.Write(ino, [], [], mtime_ns, size_at_least=size)
        behind = -1
        while True:
            extents, blocks = [], dict[BlockId, BlockName]()
            for (
                offset,
                length,
                block,
                block_offset,
                epoch,
                nonce,
                block_size,
            ) in self._database.rows(
                "SELECT offset, length, block, block_offset, epoch, nonce, block.size "
                "FROM replaced_extent JOIN block ON block.id = block WHERE ino = ? AND offset > ? "
                "ORDER BY offset LIMIT ?",
                (ino, behind, _EXTENTS_AT_ONCE),
            ):
                name = BlockName(BlockId(block), epoch, nonce, block_size)
                blocks[name.id] = name
                extents.append(intents.NewExtent(offset, length, name.id, block_offset))
                behind = offset
            if not extents:
                return
            yield intents.Write(ino, extents, list(blocks.values()), mtime_ns)

    def _keep(self, ino: InodeNo, changes: list[RowChange]) -> None:
        before = next((old for table, old, _ in changes if table == "inode"), None)
        if before is not None and is_partial(Version(int(before[VERSION_COLUMN]))):
            return  # it is too late
        self._database.change(
            "INSERT INTO replaced VALUES (?, ?, ?, ?)",
            (
                ino,
                int(before is not None),
                0 if before is None else before[SIZE_COLUMN],
                0 if before is None else before[MTIME_COLUMN],
            ),
        )


def _ino(change: RowChange) -> InodeNo | None:
    """Return the inode whose row, or extent, is changed."""
    table, old, new = change
    row = old or new
    if row is None or table not in {"inode", "extent"}:
        return None
    return InodeNo(int(row[0]))
