"""What was done to names and files since a past begins, each behind what it was there.

Entries say what changed. Of what they do not touch, and of what was before the first of them that
does, the tree and the changesets tell: so a history that begins in the middle reads like a part of
the whole one.
"""

from __future__ import annotations

from typing import Any

from lucidnode.fs.history.past_log import InodeChange, NameChange, PastLog
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.past_states import PastStates
from lucidnode.fs.replica.sqlite.rows import KIND_COLUMN, SIZE_COLUMN, VERSION_COLUMN
from lucidnode.fs.replica.tree.row_rules import checked_changes
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.node.client.ids import Seq


class PastRecord:
    """The changes in *log*, whose newest left the tree *now*, with *states* its rows.

    What was there when the past begins comes first, as if the entry that it begins behind had made
    it; where that is 0, nothing was. Raises as `Database.rows`.
    """

    def __init__(self, log: PastLog, now: TreeReader, states: PastStates) -> None:
        self._log = log
        self._now = now
        self._states = states

    def of_name(self, parent: InodeNo, name: bytes) -> list[NameChange]:
        """Return the changes of one name, in order."""
        changes = self._log.of_name(parent, name)
        begin = self._log.begin().seq
        if not begin:
            return changes
        if changes:
            first = changes[0].before
        else:
            there = self._now.lookup(parent, name)
            first = None if there is None else there.ino
        if first is None:
            return changes
        return [NameChange(parent, name, begin, None, first), *changes]

    def names_of(self, ino: InodeNo) -> list[NameChange]:
        """Return the changes by which *ino* got and lost names, in order."""
        changes = self._log.names_of(ino)
        begin = self._log.begin().seq
        if not begin:
            return changes
        first = set(self._now.names_of(ino))
        for change in reversed(changes):
            if change.after == ino:
                first.discard((change.parent, change.name))
            if change.before == ino:
                first.add((change.parent, change.name))
        there = [NameChange(parent, name, begin, None, ino) for parent, name in sorted(first)]
        return [*there, *changes]

    def of_inode(self, ino: InodeNo) -> list[InodeChange]:
        """Return what was done to *ino*, in order."""
        changes = self._log.of_inode(ino)
        begin = self._log.begin().seq
        if not begin or (changes and changes[0].kind is not None):
            return changes
        first = self._first(ino, changes, begin)
        return changes if first is None else [first, *changes]

    def _first(self, ino: InodeNo, changes: list[InodeChange], begin: Seq) -> InodeChange | None:
        """Return what *ino* was before all its *changes*; None if it was not there."""
        kind = size = version = None
        if (now := self._now.attributes(ino)) is not None:
            (size, version, _), _ = self._states.content_rows(ino)
            kind = int(now.kind)
        for change in reversed(changes):
            for old, new in self._of_inode_in(ino, change.seq):
                if new is None:
                    kind, size, version = (
                        int(old[column]) for column in (KIND_COLUMN, SIZE_COLUMN, VERSION_COLUMN)
                    )
                elif old is not None and old[VERSION_COLUMN] is not None:
                    version = int(old[VERSION_COLUMN])
                    size = size if old[SIZE_COLUMN] is None else int(old[SIZE_COLUMN])
        return None if kind is None else InodeChange(begin, kind, size, version, is_gone=False)

    def _of_inode_in(self, ino: InodeNo, seq: Seq) -> list[tuple[Any, Any]]:
        changes = checked_changes(self._log.changeset(seq))
        return [
            (old, new)
            for table, old, new in changes
            if table == "inode" and (old or new or (None,))[0] == ino
        ]
