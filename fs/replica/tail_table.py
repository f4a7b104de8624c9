"""Acknowledged bytes that are too few for a block of their own, until they are packed into one.

A tail lies over its file's extents. Packing moves many tails into one block: the extents are
written at once, and the rows stay until the block is safely staged, so that a crash between the
two can seal the same block again (the same plaintext gives the same block).
"""

from __future__ import annotations

from collections.abc import Iterable

from lucidnode.fs.replica import intents
from lucidnode.fs.replica.inode import MAX_FILE_SIZE, InodeNo, Tail
from lucidnode.fs.replica.intents import OperationRecord
from lucidnode.fs.replica.sqlite.database import Database
from lucidnode.node.client.ids import BlockId

_LOOSE = "SELECT row, ino, offset, data, pack_offset FROM tail WHERE pack IS NULL"


class TailTable:
    """The tails in *database*. Changes run inside the caller's transaction.

    *ends* says for each file with loose tails where the last of them ends, *sizes* how many bytes
    they have; the caller has both renewed by `recount` once the transaction is committed. Raises as
    `Database.rows`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.ends: dict[InodeNo, int] = {}
        self.sizes: dict[InodeNo, int] = {}
        self.recount_all()

    def loose(self) -> list[Tail]:
        """Return every tail without a pack, oldest first."""
        return [_tail(row) for row in self._database.rows(f"{_LOOSE} ORDER BY row")]

    def of(self, ino: InodeNo) -> list[Tail]:
        """Return the loose tails of *ino*, which never overlap."""
        if ino not in self.ends:
            return []
        return [
            _tail(row) for row in self._database.rows(f"{_LOOSE} AND ino = ? ORDER BY row", (ino,))
        ]

    def packs(self) -> dict[BlockId, bytes]:
        """Return what the packs that are not released were made of.

        Two packs of the same bytes are one block, and have the tails of both: each byte lies where
        its tail says, and is there as often as it was packed.
        """
        packs: dict[BlockId, bytearray] = {}
        for pack, data, offset in self._database.rows(
            "SELECT pack, data, pack_offset FROM tail "
            "WHERE pack IS NOT NULL ORDER BY pack, pack_offset"
        ):
            packs.setdefault(BlockId(pack), bytearray())[offset : offset + len(data)] = data
        return {pack: bytes(plaintext) for pack, plaintext in packs.items()}

    def pack_ids(self) -> set[BlockId]:
        """Return the packs that are not released."""
        rows = self._database.rows("SELECT DISTINCT pack FROM tail WHERE pack IS NOT NULL")
        return {BlockId(pack) for (pack,) in rows}

    def put(self, ino: InodeNo, offset: int, data: bytes, *, appended: bool = False) -> None:
        """Add a tail over whatever the file has there; *appended*, it moves with the file's end."""
        self.clear(ino, offset, offset + len(data))
        self._insert(ino, offset, data, int(appended))

    def clear(self, ino: InodeNo, start: int, end: int) -> None:
        """Cut [start, end) out of the loose tails of *ino*: something newer lies there."""
        if ino not in self.ends:
            return
        for tail in self.of(ino):
            if tail.offset >= end or tail.end <= start:
                continue
            self._database.change("DELETE FROM tail WHERE row = ?", (tail.row,))
            if tail.offset < start:
                self._insert(ino, tail.offset, tail.data[: start - tail.offset], tail.pack_offset)
            if tail.end > end:
                self._insert(ino, end, tail.data[end - tail.offset :], tail.pack_offset)

    def cover(self, done: OperationRecord) -> tuple[InodeNo, ...]:
        """Cut what *done* overwrote or deleted out of the loose tails; return of which files."""
        if not self.ends:
            return ()
        match done.intent:
            case intents.Write(ino=ino, extents=extents):
                for extent in extents:
                    self.clear(ino, extent.offset, extent.offset + extent.length)
                return (ino,)
            case intents.Punch(ino=ino, offset=offset, length=length):
                self.clear(ino, offset, offset + length)
                return (ino,)
            case intents.Truncate(ino=ino, size=size):
                self.clear(ino, size, MAX_FILE_SIZE)
                return (ino,)
            case intents.Unlink() | intents.Rename() | intents.Forget():
                files = (InodeNo(done.ino), InodeNo(done.replaced))
                gone = tuple(file for file in files if self._is_gone(file))
                for file in gone:
                    self.drop(file)
                return gone
            case _:
                return ()

    def drop(self, ino: InodeNo) -> None:
        """Forget the loose tails of a file. Packs hold other files' bytes as well."""
        self._database.change("DELETE FROM tail WHERE ino = ? AND pack IS NULL", (ino,))

    def move(self, old: InodeNo, new: InodeNo) -> None:
        """Make the loose tails of *old* those of *new*."""
        self._database.change("UPDATE tail SET ino = ? WHERE ino = ? AND pack IS NULL", (new, old))

    def only_appended(self, ino: InodeNo) -> bool:
        """Tell whether all loose tails of *ino* belong at its end. So it is if there are none."""
        return not self._database.row(
            "SELECT 1 FROM tail WHERE ino = ? AND pack IS NULL AND NOT pack_offset LIMIT 1", (ino,)
        )

    def shift(self, ino: InodeNo, by: int) -> None:
        """Move the loose tails of *ino* by as many bytes: its end has moved."""
        self._database.change(
            "UPDATE tail SET offset = offset + ? WHERE ino = ? AND pack IS NULL", (by, ino)
        )

    def assign(self, pack: BlockId, places: Iterable[tuple[int, int]]) -> None:
        """Put tails into *pack*: (row, offset in the pack's plaintext) each."""
        for row, pack_offset in places:
            self._database.change(
                "UPDATE tail SET pack = ?, pack_offset = ? WHERE row = ?", (pack, pack_offset, row)
            )

    def release(self, pack: BlockId) -> None:
        """Forget the tails of *pack*: its block is safely staged."""
        self._database.change("DELETE FROM tail WHERE pack = ?", (pack,))

    def count_first(self, ino: InodeNo, offset: int, size: int) -> None:
        """Do as `recount` for a file whose only loose tail was put just now: nobody has to be asked."""
        self.ends[ino], self.sizes[ino] = offset + size, size

    def recount(self, ino: InodeNo) -> None:
        """Renew what `ends` and `sizes` say of *ino*."""
        row = self._database.row(
            "SELECT max(offset + length(data)), sum(length(data)) FROM tail "
            "WHERE ino = ? AND pack IS NULL",
            (ino,),
        )
        if row is None or row[0] is None:
            self.ends.pop(ino, None)
            self.sizes.pop(ino, None)
        else:
            self.ends[ino], self.sizes[ino] = row

    def recount_all(self) -> None:
        """Renew `ends` and `sizes` for every file."""
        rows = self._database.rows(
            "SELECT ino, max(offset + length(data)), sum(length(data)) FROM tail "
            "WHERE pack IS NULL GROUP BY ino"
        )
        self.ends = {ino: end for ino, end, _ in rows}
        self.sizes = {ino: size for ino, _, size in rows}

    def _is_gone(self, ino: InodeNo) -> bool:
        """Tell whether *ino* has loose tails and is no more."""
        return ino in self.ends and not self._database.row(
            "SELECT 1 FROM inode WHERE ino = ?", (ino,)
        )

    def _insert(self, ino: InodeNo, offset: int, data: bytes, appended: int) -> None:
        self._database.change(
            "INSERT INTO tail (ino, offset, data, pack_offset) VALUES (?, ?, ?, ?)",
            (ino, offset, data, appended),
        )


def _tail(row: tuple[int, int, int, bytes, int]) -> Tail:
    number, ino, offset, data, pack_offset = row
    return Tail(number, InodeNo(ino), offset, data, pack_offset)
