"""The local side of the journal: what waits, what is on its way, and where we stand.

Every method runs inside the caller's transaction; reading needs none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lucidnode.fs.errors import ReplicaCorrupt
from lucidnode.fs.replica import intents
from lucidnode.fs.replica.changes import Batch, Head, InFlight
from lucidnode.fs.replica.inode import MAX_DEPTH, InodeNo
from lucidnode.fs.replica.intents import OperationRecord
from lucidnode.fs.replica.pending.batch_selection import WINDOW_OPERATIONS, Choice, choose
from lucidnode.fs.replica.pending.overtaking import laid_again, renumbered, row_met, shared_times
from lucidnode.fs.replica.pending.partial_versions import PartialVersions
from lucidnode.fs.replica.pending.rebase import PendingOperation, RebaseResult
from lucidnode.fs.replica.pending.whole_contents import (
    Contents,
    Shipping,
    WholeContents,
)
from lucidnode.fs.replica.pending.write_set import Step, WriteSetIndex, used_blocks
from lucidnode.fs.replica.sqlite import rows
from lucidnode.fs.replica.sqlite.changesets import ChangesetUnfit
from lucidnode.fs.replica.sqlite.database import Database
from lucidnode.fs.replica.sqlite.rows import RowChange
from lucidnode.fs.replica.tree.row_rules import (
    MAX_BYTES,
    MAX_ROWS,
    checked_changes,
    encoded_operation,
)
from lucidnode.fs.replica.tree.tree_rules import MAX_ANCESTORS, check_tree
from lucidnode.node.client.ids import BlockId, Seq

_BATCH_MOVES = MAX_ANCESTORS // (2 * MAX_DEPTH)
"""Moves of directories in one entry: each may move two, and both lie below MAX_DEPTH others."""

_BATCH_READ = 8 * MAX_BYTES
"""Changes looked at for one entry, in bytes: most of them may be undone again within it."""

_ID_SIZE = 32

_FIRST_NUMBER = 2**40
"""The number of the first operation of a replica. Those that overtake others count down."""


class PendingJournal:
    """The tables `pending`, `inflight` and `head` in *database*. Raises as `Database.rows`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._last = 0
        self._contents = WholeContents()
        self._write_sets = WriteSetIndex()
        self.start_over()
        database.on_rollback = self._take_back

    def start_over(self) -> None:
        """Know what the tables hold and no more: they are as they were at some time before."""
        row = self._database.row(
            "SELECT max(coalesce((SELECT max(id) FROM pending), 0),"
            " coalesce((SELECT last FROM inflight), 0))"
        )
        assert row is not None
        self._last = max(row[0], _FIRST_NUMBER)
        self._contents = WholeContents()
        self.reload()

    # -- where we stand ----------------------------------------------------------------------

    def head(self) -> Head:
        """Return the entry that the replicated tables stand on, pending work aside."""
        row = self._database.row("SELECT seq, link, epoch FROM head, newest_epoch")
        assert row is not None
        return Head(Seq(row[0]), row[1], row[2])

    def set_head(self, head: Head) -> None:
        """Stand on *head* now; nothing is on its way any more."""
        self._database.change("UPDATE head SET seq = ?, link = ?", (head.seq, head.link))
        self._database.change("UPDATE newest_epoch SET epoch = ?1 WHERE epoch <> ?1", (head.epoch,))
        self.forget_in_flight()

    # -- what waits --------------------------------------------------------------------------

    @property
    def last(self) -> int:
        """The row number of the newest operation ever recorded here."""
        return self._last

    def oldest(self) -> int | None:
        """Return the row number of the oldest pending operation, or None."""
        row = self._database.row("SELECT min(id) FROM pending")
        return None if row is None else row[0]

    def count(self) -> int:
        """Return how many operations wait."""
        row = self._database.row("SELECT count(*) FROM pending")
        assert row is not None
        return int(row[0])

    @property
    def write_sets(self) -> WriteSetIndex:
        """What all that waits touches."""
        return self._write_sets

    def reload(self) -> None:
        """Make `write_sets` anew, after `replace`: once it is committed, and what is dropped is gone."""
        self._write_sets = WriteSetIndex()
        for item in self.waiting():
            self._write_sets.add(item)

    def _take_back(self) -> None:
        """Have `write_sets` hold no operation whose transaction has failed."""
        row = self._database.row("SELECT max(id) FROM pending")
        self._write_sets.take_back(0 if row is None or row[0] is None else row[0])

    def add(self, recorded: OperationRecord, changes: list[RowChange]) -> None:
        """Put an operation behind all that waits; raises FileTooBig if no entry can carry it."""
        encoded = encoded_operation(changes)
        # Counted in memory, not AUTOINCREMENT: its bookkeeping table costs a page for each commit.
        self._last += 1
        self._write_sets.add(PendingOperation(self._last, recorded, changes))
        self._database.change(
            "INSERT INTO pending VALUES (?, ?, ?)",
            (self._last, intents.encode(recorded), encoded),
        )

    def waiting(self) -> list[PendingOperation]:
        """Return everything that waits, oldest first."""
        return [
            PendingOperation(number, intents.decode(intent), rows.decode(changes))
            for number, intent, changes in self._database.rows(
                "SELECT id, intent, changes FROM pending ORDER BY id"
            )
        ]

    def replace(self, outcome: RebaseResult) -> None:
        """Put what a rebase left in the place of everything that waited."""
        self._database.change("DELETE FROM pending")
        self._insert(outcome.standing)
        for recorded, changes in outcome.restored:
            self.add(recorded, changes)

    def replace_from(self, first: int, standing: Iterable[PendingOperation]) -> None:
        """Put *standing* in the place of everything from row *first* on.

        Call `reload` once the transaction is through.
        """
        self._database.change("DELETE FROM pending WHERE id >= ?", (first,))
        self._insert(standing)

    def _insert(self, standing: Iterable[PendingOperation]) -> None:
        for item in standing:
            self._database.change(
                "INSERT INTO pending VALUES (?, ?, ?)",
                (item.id, intents.encode(item.recorded), rows.encode(item.changes)),
            )

    def drop_committed(self, last: int) -> None:
        """Drop what waited up to row *last*: it is committed, or has no effect.

        Call `write_sets.drop` once the transaction is through.
        """
        self._database.change("DELETE FROM pending WHERE id <= ?", (last,))

    def changes_of(self, number: int) -> list[RowChange]:
        """Return the row changes of the operation in row *number*; none if there is no such row."""
        row = self._database.row("SELECT changes FROM pending WHERE id = ?", (number,))
        return [] if row is None else rows.decode(row[0])

    def set_changes_of(self, number: int, changes: list[RowChange]) -> None:
        """Have row *number* undo, and commit, these *changes* to the rows it touched before."""
        self._database.change(
            "UPDATE pending SET changes = ? WHERE id = ?", (rows.encode(changes), number)
        )

    # -- what is on its way ------------------------------------------------------------------

    def contents(self, shipping: Shipping) -> Contents:
        """Return how far the contents are that wait. Nothing is decided by the question."""
        return self._contents.contents(self._write_sets, shipping, decides=False)

    def finish(self, ino: InodeNo, last: int) -> None:
        """Have what waits of *ino* up to row *last* be a content, whatever a program is at."""
        self._contents.finish(ino, last)

    def choose(self, shipping: Shipping, room: int) -> Choice:
        """Return what the next entry, of about *room* rows, may carry, and what waits for *shipping*.

        What belongs together goes together, also if all that waits has to be looked at for that. If
        no entry has room for it, it goes as it comes: nothing may wait for what never comes.
        """
        choice = self._chosen(shipping, room, WINDOW_OPERATIONS, MAX_ROWS)
        if choice.is_cut:
            choice = self._chosen(shipping, room, None, MAX_ROWS)
        if choice.is_cut:
            choice = self._chosen(shipping, room, WINDOW_OPERATIONS, None)
        return choice

    def _chosen(
        self, shipping: Shipping, room: int, window: int | None, most_rows: int | None
    ) -> Choice:
        contents = self._contents.contents(self._write_sets, shipping, decides=True)
        return choose(
            self._write_sets,
            contents,
            shipping,
            room,
            window=window,
            most_rows=most_rows,
            directories_of=self._directories_of,
        )

    def _directories_of(self, ino: InodeNo) -> list[InodeNo]:
        found = self._database.rows("SELECT DISTINCT parent FROM name WHERE ino = ?", (ino,))
        return [parent for (parent,) in found]

    def give_way(self, choice: Choice) -> list[Step]:
        """Let the ready of *choice* overtake the held; return all that waits as it stands then.

        Hand it to `write_sets.reorder` once the transaction is through.
        """
        waiting = list(self._write_sets)
        rest = waiting[len(choice.ready) + len(choice.held) :]
        if not choice.held or not any(step.id > choice.held[0].id for step in choice.ready):
            return waiting
        for ino in shared_times(choice):
            self._lay_again(ino, choice)
        order = renumbered(choice)
        for old, new in zip([*choice.ready, *choice.held], order, strict=True):
            if old.id != new.id:
                self._database.change("UPDATE pending SET id = ? WHERE id = ?", (new.id, old.id))
        return [*order, *rest]

    def _lay_again(self, ino: InodeNo, choice: Choice) -> None:
        """Write anew how the operations change the row of *ino*, one after the other.

        The row itself, and so whatever is behind the choice, stays as it is.
        """
        ahead = [step for step in choice.ready if step.id > choice.held[0].id]
        steps = [step for step in [*ahead, *choice.held] if ino in step.touches.changed]
        changes = [self.changes_of(step.id) for step in steps]
        ages = [step.id for step in steps]
        by_age = sorted(range(len(steps)), key=lambda place: ages[place])
        before = row_met(ino, (change for place in by_age for change in changes[place]))
        if before is None:
            return  # what waits does not change it after all: only its write set says so
        laid_again(before, changes, ages)
        for step, of_step in zip(steps, changes, strict=True):
            self.set_changes_of(step.id, of_step)

    def cut_by(self, last: int) -> set[InodeNo]:
        """Return the files of whose content a part stands up to number *last*, and a part behind."""
        return self._contents.cut_by(self._write_sets, last)

    def say_that_more_follows(self, inos: Iterable[InodeNo], last: int) -> None:
        """Have the operations up to number *last* leave each of *inos* with a version that says so."""
        for ino in inos:
            steps = [
                step
                for step in self._write_sets
                if ino in step.touches.changed or step.content == ino
            ]
            versions = PartialVersions(ino)
            for step in reversed([step for step in steps if step.id <= last]):
                changes = self.changes_of(step.id)
                if versions.leave_partial(changes):
                    self.set_changes_of(step.id, changes)
                    break
            else:
                continue  # the entry leaves its row alone
            for step in (step for step in steps if step.id > last):
                changes = self.changes_of(step.id)
                done = versions.start_there(changes, of_content=step.content == ino)
                self.set_changes_of(step.id, changes)
                if done:
                    break

    def after(self, last: int) -> int | None:
        """Return the row number of the first pending operation behind number *last*, or None."""
        row = self._database.row("SELECT min(id) FROM pending WHERE id > ?", (last,))
        return None if row is None else row[0]

    def batch(self, until: int | None) -> Batch | None:
        """Return the next entry's contents, or None if nothing waits before number *until*.

        An empty changeset means that the operations cancel out: drop them without an entry.
        Raises ReplicaCorrupt if the entry would count as empty: a fault of ours.
        """
        changes: list[RowChange] = []
        last: int | None = None
        for number, change in self._rows_of_one_batch(until):
            last = number
            changes += change
        if last is None:
            return None
        needs = tuple(
            BlockId(bytes(new[0]))
            for table, old, new in changes
            if table == "block" and old is None and new is not None
        )
        changeset = self._database.changeset(changes)
        self._check(changeset, changes, last)
        head = self.head()
        names = frozenset((*needs, *used_blocks(changes)))
        return Batch(Seq(head.seq + 1), head.link, changeset, needs, names, last)

    def _check(self, changeset: bytes, changes: list[RowChange], last: int) -> None:
        """Raise ReplicaCorrupt if others would not take *changeset*: we would part from them.

        The tree can be looked at only if nothing else waits that has changed it since.
        """
        try:
            checked_changes(changeset)
            if not self._database.row("SELECT 1 FROM pending WHERE id > ? LIMIT 1", (last,)):
                check_tree(self._database, rows.net(changes))
        except ChangesetUnfit as error:
            raise ReplicaCorrupt(f"changes made here break the format: {error}") from error

    def _rows_of_one_batch(self, until: int | None) -> Iterator[tuple[int, list[RowChange]]]:
        read = moves = 0
        net = rows.NetCount()
        for number, raw in self._database.stream("SELECT id, changes FROM pending ORDER BY id"):
            if number == until:
                return
            changes = rows.decode(raw)
            read += len(raw)
            net.add(changes)
            moves += self._write_sets.moves_directory(number)
            is_full = net.size > MAX_BYTES or net.rows > MAX_ROWS or moves > _BATCH_MOVES
            if (is_full or read > _BATCH_READ) and read > len(raw):
                return  # alone, each operation fits
            yield number, changes

    def in_flight(self) -> InFlight | None:
        """Return the entry that may exist in the bucket already, or None."""
        row = self._database.row("SELECT seq, unsigned, needs, last FROM inflight")
        if row is None:
            return None
        seq, unsigned, needs, last = row
        ids = tuple(
            BlockId(needs[start : start + _ID_SIZE]) for start in range(0, len(needs), _ID_SIZE)
        )
        return InFlight(Seq(seq), unsigned, ids, last)

    def last_in_flight(self) -> int:
        """Return the number of the last operation in the entry that may exist already; 0 without one."""
        row = self._database.row("SELECT last FROM inflight")
        return 0 if row is None else int(row[0])

    def set_in_flight(self, flight: InFlight) -> None:
        """Remember *flight*. There is none yet."""
        self._database.change(
            "INSERT INTO inflight VALUES (1, ?, ?, ?, ?)",
            (flight.seq, flight.unsigned, b"".join(flight.needs), flight.last),
        )

    def forget_in_flight(self) -> None:
        """Let nothing be on its way: it never left."""
        self._database.change("DELETE FROM inflight")
