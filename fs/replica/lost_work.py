"""Pending work goes on without the contents whose blocks are lost.

Which work that is, is decided by pending/lost_contents.py; here it is undone and run again.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from lucidnode.fs.errors import FileError, NoSpace
from lucidnode.fs.replica import intents
from lucidnode.fs.replica.changes import GivenUp, touched_by
from lucidnode.fs.replica.inode import InodeNo, is_partial
from lucidnode.fs.replica.local_operations import LocalOperations
from lucidnode.fs.replica.pending.lost_contents import losses
from lucidnode.fs.replica.pending.rebase import PendingOperation
from lucidnode.fs.replica.replica_ground import ReplicaGround
from lucidnode.fs.replica.sqlite.rows import RowChange
from lucidnode.fs.replica.tree.queries import Queries
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.node.client.ids import BlockId


class LostWork:
    """Gives up the contents of one replica that nobody has any more (`Replica.give_up`)."""

    def __init__(self, ground: ReplicaGround, tree: TreeReader, local: LocalOperations) -> None:
        self._ground = ground
        self._queries = Queries(ground.database)
        self._tree = tree
        self._local = local

    def give_up(self, lost: Collection[BlockId], time_ns: int) -> GivenUp:
        """Go on without the contents of which a block is *lost*: nobody has it any more.

        Pending work is undone and runs again without them, so each file is as it was before; a name
        that others saw ahead of its content goes. An entry in flight that needs one of *lost*
        cannot be in the bucket, and is forgotten; what another one carries stays. Raises NoSpace.
        """
        flight = self._ground.journal.in_flight()
        is_sent = flight is not None and set(lost).isdisjoint(flight.needs)
        last = flight.last if flight is not None and is_sent else None
        waiting = [
            item for item in self._ground.journal.waiting() if last is None or item.id > last
        ]
        gone = losses(waiting, lost)
        paths = {ino: self._queries.shown_path(ino) for ino in gone.files if self._has_name(ino)}
        with self._ground.database.transaction() as changes:
            self._ground.database.undo([change for item in waiting for change in item.changes])
            standing = [
                again
                for item in waiting
                if item.id not in gone.dropped and (again := self._again(item, changes))
            ]
            if waiting:
                self._ground.journal.replace_from(waiting[0].id, standing)
            for ino in gone.bare:
                self._ground.tails.drop(ino)
            if not is_sent:
                self._ground.journal.forget_in_flight()
        self._ground.journal.reload()
        self._ground.tails.recount_all()
        self._ground.watchers.changed(changes)
        touched = touched_by(changes, moved={}, conflicts=(), refused=None)
        for ino in gone.files:
            if ino in gone.bare:
                self._make_whole(ino, time_ns)
            self._remove_if_never_whole(ino, time_ns)
        return GivenUp(tuple(paths.values()), touched)

    def _again(self, item: PendingOperation, changes: list[RowChange]) -> PendingOperation | None:
        """Run an operation of ours again; None if it needs what is no more. Raises NoSpace."""
        mark = len(changes)
        try:
            with self._ground.database.attempt():
                recorded = self._ground.operations.run(item.recorded.intent, item.recorded.version)
        except NoSpace:
            raise
        except FileError:
            return None
        recorded = msgspec.structs.replace(recorded, behind_tails=item.recorded.behind_tails)
        self._ground.note(done := changes[mark:])
        return PendingOperation(item.id, recorded, done)

    def _has_name(self, ino: InodeNo) -> bool:
        found = self._queries.attributes(ino)
        return found is not None and found.nlink > 0

    def _make_whole(self, ino: InodeNo, time_ns: int) -> None:
        """Make a file of which parts of the lost content are sent what it was before them."""
        found = self._queries.attributes(ino)
        if (
            found is None
            or not is_partial(found.version)
            or ino not in self._ground.replaced.files()
        ):
            return
        if self._ground.replaced.was_there(ino):
            for intent in self._ground.replaced.made_again(ino):
                self._local.apply(intent)
        else:
            for parent, name in self._queries.names_of(ino):
                self._local.apply(
                    intents.Unlink(parent, name, time_ns, keep=self._ground.kept.in_use(ino))
                )

    def _remove_if_never_whole(self, ino: InodeNo, time_ns: int) -> None:
        """Remove a file that others know by its name and mark only."""
        found = self._tree.attributes(ino)
        if found is None or found.size or self._queries.mark(ino) is None:
            return
        for parent, name in self._queries.names_of(ino):
            self._local.apply(
                intents.Unlink(parent, name, time_ns, keep=self._ground.kept.in_use(ino))
            )
