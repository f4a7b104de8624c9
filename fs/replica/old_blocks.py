"""The blocks of a tree that were sealed in an earlier epoch, and where files lie in them."""

from __future__ import annotations

from typing import NamedTuple

from lucidnode.fs.format.block import BlockName
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.sqlite.database import Database
from lucidnode.node.client.ids import BlockId

_AMOUNT = """
    SELECT count(*), coalesce(sum(size), 0) FROM block
    WHERE epoch < ? AND id IN (SELECT block FROM extent)
"""
_BEHIND = """
    SELECT e.ino, e.offset, b.id, b.epoch, b.nonce, b.size
    FROM extent e CROSS JOIN block b ON b.id = e.block
    WHERE (e.ino, e.offset) > (?, ?) AND b.epoch < ?
    ORDER BY e.ino, e.offset LIMIT ?
"""

Place = tuple[InodeNo, int]
"""A file, and the offset at which an extent of it begins."""

BEGINNING: Place = (InodeNo(0), 0)


class OldExtent(NamedTuple):
    """The extent of the file *ino* that begins at *offset*, and the *block* that it lies in."""

    ino: InodeNo
    offset: int
    block: BlockName


class OldBlocks:
    """Those of one replica (`Replica.old_blocks`). Raises as `Database.rows`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def amount(self, epoch: int) -> tuple[int, int]:
        """Return how many blocks files lie in that are older than *epoch*, and their plain bytes.

        Looks at every extent.
        """
        row = self._database.row(_AMOUNT, (epoch,))
        assert row is not None
        return row[0], row[1]

    def behind(self, after: Place, epoch: int, limit: int) -> list[OldExtent]:
        """Return up to *limit* extents behind *after* that lie in blocks older than *epoch*, in order."""
        return [
            OldExtent(InodeNo(ino), offset, BlockName(BlockId(block), sealed_in, nonce, size))
            for ino, offset, block, sealed_in, nonce, size in self._database.rows(
                _BEHIND, (*after, epoch, limit)
            )
        ]
