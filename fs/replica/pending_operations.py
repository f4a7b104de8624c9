"""What this node did and no journal entry has carried yet, as the committer asks for it.

The tables are those of pending/pending_journal.py; here each step is one transaction.
"""

from __future__ import annotations

from collections.abc import Iterator

from lucidnode.fs.replica.changes import Batch, Head, InFlight, content_of
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.intents import Lease
from lucidnode.fs.replica.pending.whole_contents import Contents, Shipping
from lucidnode.fs.replica.replica_ground import ReplicaGround
from lucidnode.fs.replica.sqlite.rows import RowChange
from lucidnode.fs.replica.tree.row_rules import MAX_ROWS
from lucidnode.node.client.ids import BlockId, Seq
from lucidnode.node.client.roster import FIRST_EPOCH


class PendingOperations:
    """The work of one replica that waits for its commit (`Replica.pending`).

    Raises as `Database.rows`.
    """

    def __init__(self, ground: ReplicaGround) -> None:
        self._ground = ground

    # -- questions ---------------------------------------------------------------------------

    def head(self) -> Head:
        """Return the journal entry this replica stands on."""
        return self._ground.journal.head()

    def count(self) -> int:
        """Return how many operations are not committed yet; tails are not counted."""
        return self._ground.journal.count()

    def has_work(self) -> bool:
        """Tell whether anything waits for a commit, tails included."""
        return bool(self._ground.tails.ends) or self._ground.journal.oldest() is not None

    def newest(self) -> int:
        """Return a mark for everything done so far, for `is_committed`."""
        return self._ground.journal.last

    def is_committed(self, mark: int, ino: InodeNo | None) -> bool:
        """Tell whether everything up to *mark* is committed, or all that touches *ino* of it."""
        if ino is not None:
            return not self._ground.journal.write_sets.touched(ino, mark)
        oldest = self._ground.journal.oldest()
        return oldest is None or oldest > mark

    def finish(self, ino: InodeNo, mark: int) -> None:
        """Have the content of *ino* up to *mark* be finished: somebody waits for its commit."""
        self._ground.journal.finish(ino, mark)

    def is_pending(self, ino: InodeNo) -> bool:
        """Tell whether an operation that touches *ino*, or a tail of it, is not committed yet."""
        return ino in self._ground.tails.ends or self._ground.journal.write_sets.touches(ino)

    def leases(self, *names: bytes) -> list[Lease]:
        """Return what is not committed yet and changes a lease with one of *names*, oldest first."""
        return [lease for lease in self._ground.journal.write_sets.leases() if lease.name in names]

    def is_unknown(self, directory: InodeNo) -> bool:
        """Tell whether *directory* was made here, and is in no entry that others could have read."""
        number = self._ground.journal.write_sets.makes(directory)
        return number is not None and number > self._ground.journal.last_in_flight()

    def makes_names_in(self, directory: InodeNo) -> bool:
        """Tell whether names in *directory* wait that nobody else may have."""
        return self._ground.journal.write_sets.makes_names_in(directory)

    def directories_named_in(self) -> list[InodeNo]:
        """Return the directories in which such names wait."""
        return self._ground.journal.write_sets.directories_named_in()

    def contents(self, shipping: Shipping) -> Contents:
        """Return how far the contents are that no entry has carried yet."""
        return self._ground.journal.contents(shipping)

    def blocks_waited_for(self) -> Iterator[BlockId]:
        """Yield the blocks that pending work needs in the bucket, oldest first."""
        return (block for step in self._ground.journal.write_sets for block in step.blocks)

    def waits_for(self, block: BlockId) -> bool:
        """Tell whether pending work needs *block* in the bucket. It may say so in vain, not the other way."""
        return self._ground.journal.write_sets.names(block)

    def blocks_of_contents(self) -> dict[InodeNo, set[BlockId]]:
        """Return the blocks that the content of each file lies in, as far as it is not committed."""
        blocks: dict[InodeNo, set[BlockId]] = {}
        for step in self._ground.journal.write_sets:
            if step.content is not None:
                blocks.setdefault(step.content, set()).update(step.uses)
        return blocks

    def blocks_named(self) -> set[BlockId]:
        """Return every block that waiting work names or lays files in."""
        return {
            block
            for step in self._ground.journal.write_sets
            for block in (*step.blocks, *step.uses)
        }

    def unsent_files(self) -> frozenset[InodeNo]:
        """Return the files whose content, or part of it, no entry has carried yet."""
        return content_of(list(self.row_changes())) | frozenset(self._ground.tails.ends)

    def row_changes(self) -> Iterator[RowChange]:
        """Yield how all that waits changes the replicated rows, oldest first."""
        return (change for item in self._ground.journal.waiting() for change in item.changes)

    # -- a commit ----------------------------------------------------------------------------

    def next_batch(self, shipping: Shipping | None) -> Batch | None:
        """Return what the next entry should carry, or None. Operations that cancel out go.

        With *shipping*, that is what can be committed now, ahead of what has to wait; without, all
        of it in its order. Raises NoSpace, or ReplicaCorrupt if the entry would count as empty.
        """
        batch = self._nonempty_batch(None) if shipping is None else self._chosen_batch(shipping)
        if batch is not None and (cut := self._ground.journal.cut_by(batch.last)):
            with self._ground.database.transaction():
                if not cut <= self._ground.replaced.files():
                    waiting = list(self.row_changes())
                    self._ground.replaced.keep(cut, waiting)
                self._ground.journal.say_that_more_follows(cut, batch.last)
            batch = self._ground.journal.batch(self._ground.journal.after(batch.last))
        return batch

    def _chosen_batch(self, shipping: Shipping) -> Batch | None:
        """Return what can be committed now, of which all was chosen together.

        How much an entry holds shows when it is made. What was left out may be what others are not
        to be without, so less is chosen then; if that is nothing, it goes as it is.
        """
        room = MAX_ROWS
        batch: Batch | None = None
        while True:
            choice = self._ground.journal.choose(shipping, room)
            if not choice.ready:
                return batch
            with self._ground.database.transaction():
                order = self._ground.journal.give_way(choice)
            self._ground.journal.write_sets.reorder(order)
            ready, behind = order[: len(choice.ready)], order[len(choice.ready) :]
            batch = self._nonempty_batch(behind[0].id if behind else None)
            if batch is None or batch.last >= ready[-1].id or not room:
                return batch
            room //= 2

    def _nonempty_batch(self, until: int | None) -> Batch | None:
        while (batch := self._ground.journal.batch(until)) is not None and not batch.changeset:
            with self._ground.database.transaction():
                self._ground.journal.drop_committed(batch.last)
            self._ground.journal.write_sets.drop(batch.last)
        return batch

    def in_flight(self) -> InFlight | None:
        """Return the entry that may exist in the bucket already, or None."""
        return self._ground.journal.in_flight()

    def set_in_flight(self, batch: Batch, unsigned: bytes) -> InFlight:
        """Remember that *batch*, sealed as *unsigned*, is about to be sent. Raises NoSpace.

        Wait for `Replica.barrier` before sending: after a power cut we must know our own entry.
        """
        flight = InFlight(batch.seq, unsigned, batch.needs, batch.last)
        with self._ground.database.transaction():
            self._ground.journal.set_in_flight(flight)
        return flight

    def mark_committed(self, seq: Seq, entry_hash: bytes, epoch: int = FIRST_EPOCH) -> None:
        """Note that the entry in flight, of *epoch*, is committed as *seq*. Raises NoSpace."""
        flight = self.in_flight()
        assert flight is not None
        assert flight.seq == seq
        with self._ground.database.transaction():
            self._ground.journal.drop_committed(flight.last)
            self._ground.journal.set_head(Head(seq, entry_hash, max(self.head().epoch, epoch)))
            self._forget_replaced(flight.last)
            if self._ground.earlier and self._ground.journal.oldest() is None:
                self._ground.earlier.forget_gone()
        self._ground.earlier.reload()
        self._ground.watchers.on_content(None)
        self._ground.journal.write_sets.drop(flight.last)

    def _forget_replaced(self, last: int) -> None:
        """Forget what files were before contents that are committed to their end, up to *last*."""
        if replaced := self._ground.replaced.files():
            waiting = {step.content for step in self._ground.journal.write_sets if step.id > last}
            for ino in replaced - waiting:
                self._ground.replaced.forget(ino)
