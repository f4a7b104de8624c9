"""Entries of other nodes, applied below what waits here: fast-forwarded, or by a rebase."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping

from lucidnode.fs.replica.changes import Head, Touched, touched_by
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.pending.fast_forward import fast_forward
from lucidnode.fs.replica.pending.kept_files import KeptFile
from lucidnode.fs.replica.pending.rebase import Rebase, RebaseResult
from lucidnode.fs.replica.replica_ground import ReplicaGround
from lucidnode.fs.replica.sqlite.changesets import ChangesetUnfit
from lucidnode.fs.replica.sqlite.rows import RowChange
from lucidnode.fs.replica.tree.row_rules import checked_changes
from lucidnode.node.client.ids import Seq
from lucidnode.node.client.journal import empty_link
from lucidnode.node.client.roster import FIRST_EPOCH

log = logging.getLogger(__name__)


class RemoteEntries:
    """Takes the entries of others into one replica (`Replica.entries`), in order."""

    def __init__(self, ground: ReplicaGround) -> None:
        self._ground = ground
        self._unsaved: Callable[[], Mapping[InodeNo, bool]] = dict

    def set_dirty_source(self, unsaved: Callable[[], Mapping[InodeNo, bool]]) -> None:
        """Count the files that *unsaved* names as changed by us when another's entry comes in.

        Their bytes in memory were written over the content as it was. Laid over the winner's they
        would make a file that nobody wrote; so our version goes into a conflict copy. Not if
        *unsaved* says that all of them belong at the end of the file: then they follow it.
        """
        self._unsaved = unsaved

    def apply_entry(
        self, seq: Seq, entry_hash: bytes, changeset: bytes | None, epoch: int = FIRST_EPOCH
    ) -> Touched:
        """Stand on entry *seq* of another, made in *epoch*, our pending work on top; ours in flight has lost.

        None is an entry that failed verification: it counts as empty. So does a changeset that
        does not fit, on every node alike since all stand on the same state; `refused` says why.
        Raises NoSpace, or ReplicaCorrupt if pending work does not fit its own undo.
        """
        before = self._ground.journal.head()
        assert seq == before.seq + 1, "entries are applied in order"
        refused = rebased = None
        leaving: list[KeptFile] = []
        with self._ground.database.transaction() as changes:
            if changeset:
                try:
                    with self._ground.database.attempt():
                        winner = checked_changes(changeset)
                        leaving = self._ground.kept.leaving(winner)
                        rebased = self._apply_winner(changeset, winner, changes)
                except ChangesetUnfit as error:
                    refused = str(error)
            outcome = rebased or RebaseResult()
            for old, new in outcome.moved.items():
                self._ground.tails.move(old, new)
            for ino, by in outcome.shifted.items():
                self._ground.tails.shift(ino, by)
            empty = changeset is None or refused is not None
            self._ground.journal.set_head(
                Head(seq, empty_link(entry_hash), before.epoch)
                if empty
                else Head(seq, entry_hash, max(before.epoch, epoch))
            )
        if rebased is not None:
            self._ground.journal.reload()
        self._ground.tails.recount_all()
        self._ground.earlier.reload()
        self._ground.watchers.on_content(None)
        self._ground.kept.keep(leaving, changes)
        self._ground.aliases.forget(_inserted(changes))
        self._ground.aliases.add(outcome.merged)
        self._ground.watchers.changed(changes)
        return touched_by(
            changes,
            moved={**outcome.merged, **outcome.moved},
            conflicts=tuple(outcome.conflicts),
            refused=refused,
            shifted=outcome.shifted,
        )

    def _apply_winner(
        self, changeset: bytes, winner: list[RowChange], changes: list[RowChange]
    ) -> RebaseResult | None:
        """Apply the winner's *changeset*; return how our work was rebased, or None if it was not."""
        unsaved = self._unsaved()
        ours = {*self._ground.tails.ends, *unsaved}

        def on_base() -> None:
            self._ground.earlier.note(winner)
            self._ground.replaced.note_before(winner)

        if fast_forward(
            self._ground.database, self._ground.journal, changeset, winner, ours, on_base
        ):
            log.debug("fast-forward: %d rows under our pending work", len(winner))
            return None
        rebase = Rebase(
            self._ground.database,
            self._ground.operations,
            device_name=self._ground.device_name,
            new_ino=self._ground.numbers.ino,
            tails=ours,
            appending={
                ino
                for ino in ours
                if unsaved.get(ino, True) and self._ground.tails.only_appended(ino)
            },
            version_of=self._ground.earlier.version,
            on_base=on_base,
        )
        outcome = rebase.run(self._ground.journal.waiting(), changeset, winner, changes)
        for item in outcome.standing:
            self._ground.note(item.changes)
        for _, done in outcome.restored:
            self._ground.note(done)
        self._ground.journal.replace(outcome)
        log.debug(
            "rebase: %d rows came first; %d operations of ours stand, %d are new, %d conflicts",
            len(winner),
            len(outcome.standing),
            len(outcome.restored),
            len(outcome.conflicts),
        )
        return outcome


def _inserted(changes: list[RowChange]) -> Iterator[InodeNo]:
    """Return the inodes that were not there before, some of them perhaps long before."""
    for table, old, new in changes:
        if table == "inode" and old is None and new is not None:
            yield InodeNo(int(new[0]))
