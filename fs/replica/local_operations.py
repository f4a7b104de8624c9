"""What programs of this node do to the tree: done at once, and recorded to be committed later."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from lucidnode.fs.errors import ReadOnly
from lucidnode.fs.replica import intents
from lucidnode.fs.replica.inode import Attributes, InodeNo
from lucidnode.fs.replica.intents import Intent, OperationRecord
from lucidnode.fs.replica.pending.kept_files import KeptFile
from lucidnode.fs.replica.replica_ground import ReplicaGround
from lucidnode.fs.replica.sqlite.rows import RowChange
from lucidnode.fs.replica.tree.extent_table import SLICE_EXTENTS, ExtentTable
from lucidnode.fs.replica.tree.queries import Queries
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.node.client.ids import BlockId


class LocalOperations:
    """Runs and records the operations of this node (`Replica.apply`)."""

    def __init__(self, ground: ReplicaGround, tree: TreeReader) -> None:
        self._ground = ground
        self._queries = Queries(ground.database)
        self._content = ExtentTable(ground.database)
        self._tree = tree
        self._stopped: str | None = None

    def stop(self, reason: str) -> None:
        """Refuse every operation from now on with ReadOnly; questions are still answered."""
        self._stopped = reason

    def go_on(self) -> None:
        """Take operations again after `stop`."""
        self._stopped = None

    def check_running(self) -> None:
        """Raise ReadOnly if `stop` was called."""
        if self._stopped is not None:
            raise ReadOnly(self._stopped)

    def new_ino(self) -> InodeNo:
        """Return an inode number for a file to be created."""
        return self._ground.numbers.ino()

    def apply(self, intent: Intent, loose: Collection[BlockId] = ()) -> Attributes | None:
        """Do *intent*, and have it committed later. Of its blocks, *loose* are not durable yet.

        Returns the attributes of the file it was about, or None if that is gone now. Raises the
        FileError that the operation meets, ReadOnly after `stop`, or NoSpace on a full disk;
        nothing has changed then.
        """
        intent = self._ground.aliases.redirected(intent)
        if isinstance(intent, intents.Truncate):
            # A huge file shrinks in steps, each small enough for one journal entry.
            while (cut := self._content.cut_point(intent.ino, SLICE_EXTENTS + 1)) > max(
                intent.size, 0
            ):
                self._do(intents.Truncate(intent.ino, cut, intent.time_ns))
        replaced = self._replaced_by(intent)
        recorded = self._do_in_parts(intent, loose)
        if recorded.ino == 0:
            return None
        found = self._tree.attributes(InodeNo(recorded.ino))
        if isinstance(intent, intents.Forget):
            while found is not None and found.nlink == 0:
                self._do(intent)
                found = self._queries.attributes(intent.ino)
        elif isinstance(intent, intents.Unlink | intents.Rename) and not intent.keep:
            # A file that was renamed over none has its name.
            if recorded.replaced or isinstance(intent, intents.Unlink):
                self._reap(InodeNo(recorded.replaced or recorded.ino))
            self._ground.kept.keep(replaced, [])
        return found

    def record(
        self, intent: Intent, changes: list[RowChange], *, behind_tails: bool = False
    ) -> OperationRecord:
        """Run *intent* inside the caller's transaction, whose *changes* grow, and record it.

        Raises a FileError, or NoSpace.
        """
        mark = len(changes)
        recorded = self._ground.operations.run(intent, self._ground.numbers.version())
        if behind_tails or recorded.ino in self._ground.tails.ends:
            recorded = msgspec.structs.replace(recorded, behind_tails=True)
        self._ground.note(done := changes[mark:])
        self._ground.journal.add(recorded, done)
        return recorded

    def forget_orphans(self) -> None:
        """Delete the files that were open without a name when this replica was last closed.

        Raises NoSpace.
        """
        for (ino,) in self._ground.database.rows("SELECT ino FROM orphan"):
            self.apply(intents.Forget(InodeNo(ino)))

    def _do(self, intent: Intent, loose: Collection[BlockId] = ()) -> OperationRecord:
        self.check_running()
        with self._ground.database.transaction(loose) as changes:
            recorded = self.record(intent, changes)
            touched = self._ground.tails.cover(recorded)
        for ino in touched:
            self._ground.tails.recount(ino)
        self._ground.watchers.changed(changes)
        return recorded

    def _do_in_parts(self, intent: Intent, loose: Collection[BlockId]) -> OperationRecord:
        """Do *intent*, a huge write in parts that each fit one journal entry; return the last."""
        if isinstance(intent, intents.Punch) and intent.length > 0:
            return self._punch(intent)
        if not isinstance(intent, intents.Write):
            return self._do(intent)
        parts = self._content.parts(intent)
        recorded = self._do(next(parts), loose)
        for part in parts:
            # All that comes after a part goes with it, so its blocks need not be named again.
            recorded = self._do(part)
        return recorded

    def _punch(self, punch: intents.Punch) -> OperationRecord:
        end = self._ground.tails.ends.get(punch.ino, 0)
        if end > self._queries.existing(punch.ino).size:
            # A tail that goes may be all that makes the file as long as it is.
            self._do(intents.Write(punch.ino, [], [], punch.time_ns, size_at_least=end))
        return [self._do(part) for part in self._content.hole_parts(punch)][-1]

    def _replaced_by(self, intent: Intent) -> list[KeptFile]:
        """Return the file that *intent* takes away, if somebody may be about to open it."""
        if not isinstance(intent, intents.Rename) or intent.keep:
            return []
        found = self._queries.lookup(intent.new_parent, intent.new_name)
        return [] if found is None else self._ground.kept.as_it_is(found.ino)

    def _reap(self, ino: InodeNo) -> None:
        """Delete a file without names that was too big to go with its last name."""
        found = self._queries.attributes(ino)
        if found is not None and found.nlink == 0:
            self.apply(intents.Forget(ino))
