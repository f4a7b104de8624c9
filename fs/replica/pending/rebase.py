"""What becomes of our uncommitted work when another node's entry comes first.

The winner's entry was made without our pending operations, so they are undone, the entry is
applied, and our intents run again on what it left. Where they no longer fit, fixed rules decide
(docs/semantics.md, "When two nodes change the same at once"), so that nothing that either side put
somewhere is lost:

1. While our work is still there, `claims.py` finds what we need of that which the winner removed.
2. It is brought back where it was, before our first operation: so those that move or link it, or
   put something into it, find it. What we have of it in the end stands, whole.
3. Our operations run again, as `fitting.py` says.
4. A name that came back and that nobody needs goes again; what both have written becomes a
   conflict copy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

from lucidnode.fs.errors import FileError, NoSpace
from lucidnode.fs.replica import intents
from lucidnode.fs.replica.inode import Attributes, InodeNo, Kind, is_partial
from lucidnode.fs.replica.intents import Intent, OperationRecord
from lucidnode.fs.replica.pending.claims import OurWork, Winner, claims_on
from lucidnode.fs.replica.pending.fitting import Fates, Fitting
from lucidnode.fs.replica.pending.our_version import OurVersion, Place
from lucidnode.fs.replica.pending.places import Places
from lucidnode.fs.replica.pending.resurrections import Resurrections
from lucidnode.fs.replica.sqlite.database import Database
from lucidnode.fs.replica.sqlite.rows import RowChange
from lucidnode.fs.replica.tree.operations import Operations
from lucidnode.fs.replica.tree.queries import Queries
from lucidnode.fs.replica.tree.row_rules import encoded_operation
from lucidnode.fs.replica.tree.tree_rules import check_tree


@dataclass(frozen=True, slots=True)
class PendingOperation:
    """One pending operation: its place in line, what was asked, and the rows it changed."""

    id: int
    recorded: OperationRecord
    changes: list[RowChange]


@dataclass(slots=True)
class RebaseResult:
    """How a rebase ended: the intents that stand, each with its new changes, and what moved."""

    standing: list[PendingOperation] = field(default_factory=list)
    restored: list[tuple[OperationRecord, list[RowChange]]] = field(default_factory=list)
    moved: dict[InodeNo, InodeNo] = field(default_factory=dict)
    merged: dict[InodeNo, InodeNo] = field(default_factory=dict)
    shifted: dict[InodeNo, int] = field(default_factory=dict)
    conflicts: list[Place] = field(default_factory=list)


class Rebase:
    """One rebase, inside the caller's transaction.

    *tails* are the files with loose tails, or with bytes in memory; in those that are *appending*,
    all of these belong at the end of the file. *version_of* returns a file as it is shown here. *on_base* is called when our work is undone, and the
    tables are ready for the winner's entry.
    """

    def __init__(
        self,
        database: Database,
        operations: Operations,
        *,
        device_name: str,
        new_ino: Callable[[], InodeNo],
        tails: set[InodeNo],
        appending: set[InodeNo],
        version_of: Callable[[Attributes], OurVersion],
        on_base: Callable[[], None],
    ) -> None:
        self._version_of = version_of
        self._database = database
        self._queries = Queries(database)
        self._operations = operations
        self._device_name = device_name
        self._new_ino = new_ino
        self._tails = tails
        self._appending = appending
        self._on_base = on_base
        self._outcome = RebaseResult()
        self._scratch: dict[InodeNo, OurVersion] = {}

    def run(
        self,
        waiting: list[PendingOperation],
        changeset: bytes,
        winner: list[RowChange],
        all_changes: list[RowChange],
    ) -> RebaseResult:
        """Undo *waiting*, apply the winner's *changeset*, run *waiting* again.

        *all_changes* is the transaction's growing list. Raises ChangesetUnfit if the entry does not fit
        the state it claims to be made on, or breaks the tree.
        """
        changes = [change for item in waiting for change in item.changes]
        fates = self._fates(Winner.of(winner), changes, waiting)
        self._database.undo(changes)
        ends = {ino: self._queries.existing(ino).size for ino in fates.appended}
        self._on_base()
        check_tree(self._database, self._database.apply(changeset))
        for ino, end in ends.items():
            fates.appended[ino] = self._queries.existing(ino).size - end
        fates.carried_off = self._carried_off(fates.winner)
        self._keep_carried(fates)
        places = Places(self._queries, self._device_name, fates.winner.above())
        returns = Resurrections(self._queries, fates, places, self._new_ino)
        # Before our first operation, so with numbers before its own.
        back = list(self._run(returns.begin(), all_changes))
        first = waiting[0].id - len(back) if waiting else 0
        if waiting:
            self._outcome.standing = [
                PendingOperation(first + place, *done) for place, done in enumerate(back)
            ]
        else:
            self._outcome.restored = back
        fitting = Fitting(self._queries, places, fates)
        for item in waiting:
            if not self._again(item, fitting, all_changes):
                places.stays(item.recorded.intent)
        self._outcome.restored += self._run(returns.end(), all_changes)
        self._outcome.restored += self._run(self._copies(fates, places), all_changes)
        self._outcome.moved.update(
            {ino: now for ino, now in fates.brought_back.items() if now != ino}
        )
        self._outcome.merged = places.merged
        self._outcome.shifted = {ino: by for ino, by in fates.appended.items() if by}
        self._outcome.conflicts = places.standing_conflicts()
        return self._outcome

    # -- our work, while it is still there ---------------------------------------------------

    def _fates(
        self, winner: Winner, changes: list[RowChange], waiting: list[PendingOperation]
    ) -> Fates:
        wrote = self._tails | _written_by(waiting)
        work = OurWork.of(changes, wrote)
        # Another node brought back a file that we brought back, too: it has two contents now.
        winner.rewritten |= winner.inserted & wrote
        claims = claims_on(self._queries, self._version_of, winner, work)
        nameless = {ino for ino in winner.met() if not self._has_name(ino)}
        orphans = {InodeNo(ino) for (ino,) in self._database.rows("SELECT ino FROM orphan")}
        both = (wrote & winner.rewritten) - nameless | (orphans & nameless)
        both -= claims.files.keys()
        # The end of a content of which more follows is not the one to append to, nor is that of a file
        # which another has for himself.
        appended = both - nameless - work.made - winner.partial - self._written_elsewhere(waiting)
        appended -= winner.leased
        ours = {
            ino: self._version_of(found)
            for ino in sorted(both - appended)
            if (found := self._queries.attributes(ino)) is not None
        }
        removed = {ino: self._has_name(ino) for ino in _removed_by(waiting)}
        if winner.placed & winner.taken.keys():
            for ino in sorted(orphans & removed.keys()):
                self._scratch[ino] = self._version_of(self._queries.existing(ino))
        return Fates(
            winner, work, claims, ours, nameless, dict.fromkeys(appended, 0), removed=removed
        )

    def _written_elsewhere(self, waiting: list[PendingOperation]) -> set[InodeNo]:
        """Return the files in which we wrote not only at the end."""
        rest = (
            item
            for item in waiting
            if not (
                isinstance(item.recorded.intent, intents.Write) and item.recorded.intent.appended
            )
        )
        return _written_by(rest) | (self._tails - self._appending)

    def _has_name(self, ino: InodeNo) -> bool:
        found = self._queries.attributes(ino)
        return found is not None and found.nlink > 0

    def _carried_off(self, winner: Winner) -> set[InodeNo]:
        """Return the directories that the winner, applied by now, has moved."""
        return {
            ino
            for ino in winner.placed & winner.taken.keys()
            if (found := self._queries.attributes(ino)) is not None and found.is_directory
        }

    def _keep_carried(self, fates: Fates) -> None:
        """Note which of the files that we removed the winner, applied by now, carried off."""
        if not fates.carried_off:
            return
        for ino, has_name in fates.removed.items():
            for parent, name in self._queries.names_of(ino):
                if not fates.carried_off.isdisjoint(self._queries.above(parent)):
                    fates.carried.setdefault(ino, set()).add((parent, name))
            if ino in fates.carried and not has_name:
                fates.thrown_away.add(ino)
                if ino in self._scratch:
                    fates.ours[ino] = self._scratch[ino]

    # -- on top of the winner's --------------------------------------------------------------

    def _again(
        self, item: PendingOperation, fitting: Fitting, all_changes: list[RowChange]
    ) -> bool:
        """Run an operation on the new state; False if it is dropped."""
        intent = fitting.fitted(item.recorded)
        if intent is None:
            return False
        mark = len(all_changes)
        try:
            with self._database.attempt():
                recorded = self._operations.run(intent, item.recorded.version)
                encoded_operation(all_changes[mark:])
        except NoSpace:
            raise
        except FileError:
            # A case that the rules decide by dropping, such as an attribute that is gone.
            return False
        recorded = msgspec.structs.replace(recorded, behind_tails=item.recorded.behind_tails)
        self._outcome.standing.append(PendingOperation(item.id, recorded, all_changes[mark:]))
        return True

    def _run(
        self, steps: Iterable[tuple[Intent, int]], all_changes: list[RowChange]
    ) -> Iterator[tuple[OperationRecord, list[RowChange]]]:
        """Run intents of our own, each with the version it gives, as they are asked for."""
        for intent, version in steps:
            mark = len(all_changes)
            recorded = self._operations.run(intent, version)
            yield recorded, all_changes[mark:]

    def _copies(self, fates: Fates, places: Places) -> Iterator[tuple[Intent, int]]:
        """Make our version of each file that both sides have changed: beside the winner's."""
        for ino, ours in fates.ours.items():
            mine = ours.attributes
            theirs = self._queries.attributes(ino)
            if theirs is not None and ino not in self._tails and self._is_same(ours, theirs):
                continue
            if mine.nlink == 0 and mine.kind is not Kind.FILE:
                # Without a name only a file can be used: others have nothing that goes on with it.
                if theirs is None or theirs.nlink > 0:
                    self._database.change("DELETE FROM orphan WHERE ino = ?", (ino,))
                continue
            parent, name = InodeNo(0), b""
            if mine.nlink > 0:
                beside = self._queries.names_of(ino) or ours.names
                parent, name = places.free(*beside[0], mine.ctime_ns, conflict=theirs is not None)
            # Even if the number is free: others may bring back under it what the winner deleted.
            new = self._outcome.moved[ino] = self._new_ino()
            self._database.change("DELETE FROM orphan WHERE ino = ?", (ino,))
            for intent in ours.made_again(new, parent, name):
                yield intent, mine.version

    def _is_same(self, ours: OurVersion, theirs: Attributes) -> bool:
        # Equal content is sealed as equal blocks: two nodes that wrote the same agree.
        return (
            ours.attributes.nlink > 0
            and not is_partial(theirs.version)
            and ours.attributes.size == theirs.size
            and ours.extents == OurVersion.of(self._queries, theirs).extents
        )


def _written_by(waiting: Iterable[PendingOperation]) -> set[InodeNo]:
    return {
        item.recorded.intent.ino
        for item in waiting
        if isinstance(item.recorded.intent, intents.CONTENT_CHANGES | intents.Restore)
    }


def _removed_by(waiting: Iterable[PendingOperation]) -> set[InodeNo]:
    """Return the files from which *waiting* takes a name away."""
    removed = set()
    for item in waiting:
        match item.recorded.intent:
            case intents.Unlink():
                removed.add(InodeNo(item.recorded.ino))
            case intents.Rename() if item.recorded.replaced:
                removed.add(InodeNo(item.recorded.replaced))
            case _:
                pass
    return removed
