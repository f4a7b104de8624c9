"""Pending work goes on without the contents of files that are gone, and their blocks are let go.

Which work that is, is decided by pending/deleted_contents.py; here it is undone and run again, and
the blocks are remembered until their staged files are deleted (docs/design/0004-write-path.md).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec

from lucidnode.fs.errors import ReplicaCorrupt
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.pending.deleted_contents import Deletions, deletions
from lucidnode.fs.replica.pending.rebase import PendingOperation
from lucidnode.fs.replica.replica_ground import ReplicaGround
from lucidnode.fs.replica.sqlite.rows import TIME_COLUMNS, RowChange, net
from lucidnode.fs.replica.tree.queries import Queries
from lucidnode.node.client.ids import BlockId

MAX_RERUN_ROWS = 262_144
"""Rows that are written again at most: more take seconds in which the mount answers nobody, and what
is deleted is uploaded then."""


class DeletedWork:
    """Drops what one replica need not send of files that are gone (`Replica.deleted`)."""

    def __init__(self, ground: ReplicaGround) -> None:
        self._ground = ground
        self._queries = Queries(ground.database)

    def drop(self, has_arrived: Callable[[BlockId], bool]) -> bool:
        """Drop the contents of files that are gone and have not arrived, as *has_arrived* tells; tell whether any were.

        No content that an entry in flight may carry, or that somebody here may still read. What
        anybody sees stays as it is. Raises NoSpace.
        """
        flight = self._ground.journal.in_flight()
        last = 0 if flight is None else flight.last
        worth = {
            ino
            for ino, blocks in self._ground.journal.write_sets.contents_deleted(behind=last).items()
            if not all(has_arrived(block) for block in blocks)
            and self._queries.attributes(ino) is None
            and self._ground.kept.get(ino) is None
        }
        if not worth:
            return False
        waiting = [item for item in self._ground.journal.waiting() if item.id > last]
        found = deletions(waiting, worth, self._ground.tails.pack_ids(), self._is_there)
        if found is None:
            return False
        again = [item for item in waiting if item.id >= found.first]
        if (
            sum(len(item.changes) for item in again if item.id not in found.dropped)
            > MAX_RERUN_ROWS
        ):
            return False
        with self._ground.database.transaction() as changes:
            self._ground.database.undo([change for item in again for change in item.changes])
            standing = [
                self._again(item, worth, changes) for item in again if item.id not in found.dropped
            ]
            self._keep_times(standing, changes)
            self._ground.journal.replace_from(found.first, standing)
            self._remember(found)
        self._ground.journal.reload()
        self._ground.watchers.changed(changes)
        return True

    def blocks(self) -> list[BlockId]:
        """Return blocks that may not be needed any more, but for those that are `unsynced`.

        A power cut takes work back that names these. Of the others, `needed` tells at any time.
        """
        found = self._ground.database.rows("SELECT id FROM unneeded")
        unsynced = set(self._ground.database.unsynced.blocks()) if found else set()
        return [BlockId(block) for (block,) in found if BlockId(block) not in unsynced]

    def needed(self, blocks: Iterable[BlockId]) -> set[BlockId]:
        """Return those of *blocks* that anything here names: what is committed, or what waits."""
        packs = self._ground.tails.pack_ids()
        return {
            block
            for block in blocks
            if block in packs
            or self._ground.database.row("SELECT 1 FROM block WHERE id = ?", (block,))
        }

    def add(self, blocks: Collection[BlockId]) -> None:
        """Remember *blocks*, which may not be needed any more. Raises NoSpace."""
        if blocks:
            with self._ground.database.transaction():
                self._insert(blocks)

    def forget(self, blocks: Sequence[BlockId]) -> None:
        """Forget *blocks*: they are needed after all, or their staged files are deleted.

        Raises NoSpace.
        """
        with self._ground.database.transaction():
            for block in blocks:
                self._ground.database.change("DELETE FROM unneeded WHERE id = ?", (block,))

    def _is_there(self, parent: InodeNo, name: bytes) -> bool:
        return self._queries.lookup(parent, name) is not None

    def _remember(self, found: Deletions) -> None:
        self._insert(found.blocks - self.needed(found.blocks))

    def _insert(self, blocks: Iterable[BlockId]) -> None:
        for block in blocks:
            self._ground.database.change("INSERT OR IGNORE INTO unneeded VALUES (?)", (block,))

    def _again(
        self, item: PendingOperation, gone: set[InodeNo], changes: list[RowChange]
    ) -> PendingOperation:
        if not item.changes:
            # It did nothing, and so may stand ahead of what it speaks of: a rename to the same name.
            return item
        mark = len(changes)
        recorded = self._ground.operations.run(item.recorded.intent, item.recorded.version)
        # Others shall not see a name of a file that has lost its bytes, unless what removes it comes too.
        behind = item.recorded.behind_tails or item.recorded.ino in gone
        recorded = msgspec.structs.replace(recorded, behind_tails=behind)
        self._ground.note(done := changes[mark:])
        return PendingOperation(item.id, recorded, done)

    def _keep_times(self, standing: list[PendingOperation], changes: list[RowChange]) -> None:
        """Have the last operation on each row leave the times that were there.

        Operations that overtook others have run in another order than programs saw.
        """
        for table, old, new in net(changes):
            if table != "inode" or old is None or new is None:
                continue
            if any(
                was != now
                for at, (was, now) in enumerate(zip(old, new, strict=True))
                if at not in TIME_COLUMNS
            ):
                raise ReplicaCorrupt("pending operations run again leave another tree")
            mtime_ns, ctime_ns = (old[column] for column in TIME_COLUMNS)
            mark = len(changes)
            self._ground.database.change(
                "UPDATE inode SET mtime_ns = ?, ctime_ns = ? WHERE ino = ?",
                (mtime_ns, ctime_ns, old[0]),
            )
            last = next(item for item in reversed(standing) if _touches(item, old[0]))
            last.changes.extend(changes[mark:])


def _touches(item: PendingOperation, ino: int | bytes) -> bool:
    return any(
        table == "inode" and (old or new or (None,))[0] == ino for table, old, new in item.changes
    )
