"""Fast-forward: applies another node's entry below our pending work, where the two commute.

To undo all that waits and to run it again (fs/replica/pending/rebase.py) takes a second for some ten
thousand operations, in which the mount answers nobody; and a render that uploads for hours has so
many waiting whenever a colleague saves a file. But most entries touch nothing that we touch. Or
they touch the times of a directory in which both sides make files, and how many directories lie in it:
then the entry finds the row it was made on, and what we changed in it is laid over that again, as if our operations had been run once more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from lucidnode.fs.replica.inode import InodeNo, Kind
from lucidnode.fs.replica.pending.pending_journal import PendingJournal
from lucidnode.fs.replica.pending.write_set import needs_of, write_set_of
from lucidnode.fs.replica.sqlite.database import Database
from lucidnode.fs.replica.sqlite.rows import (
    KIND_COLUMN,
    LINKS_COLUMN,
    TIME_COLUMNS,
    Row,
    RowChange,
)
from lucidnode.fs.replica.tree.tree_rules import check_tree


class _Shared(NamedTuple):
    """A directory whose times both sides set, or in which they count the directories."""

    before: Row
    """Its row when our first operation changed it."""
    now: Row
    """As it is here once the entry is applied."""


def fast_forward(
    database: Database,
    journal: PendingJournal,
    changeset: bytes,
    winner: list[RowChange],
    tails: set[InodeNo],
    on_base: Callable[[], None],
) -> bool:
    """Apply the winner's *changeset* as if it had been before everything in *journal*.

    False, and nothing done, if that needs a rebase. *tails* are the files with bytes of ours that
    are no operations yet; *on_base* is called when the tables are ready for the entry. Raises ChangesetUnfit, with something done, if the entry does not fit the state it
    claims to be made on, or breaks the tree. Inside the caller's transaction.

    Whether an entry counts is the same here as after a rebase, where our work is out of the way: no
    file is shared, the blocks it needs are not ours alone, and each directory that is shared was
    there before our work and still is, at its old place. So all that `check_tree` asks about is as
    the journal has it.
    """
    theirs = write_set_of(winner)
    shared = journal.write_sets.shared(theirs, needs_of(winner))
    if shared is None or not tails.isdisjoint(theirs.inodes):
        return False
    if journal.write_sets.removes() and _moves_directory(database, winner):
        return False  # what we remove may lie in it, at any depth
    rows = {(old or new or ())[0]: (old, new) for table, old, new in winner if table == "inode"}
    firsts = journal.write_sets.first_changes_of(shared)
    directories: list[_Shared] = []
    changes: dict[int, list[RowChange]] = {}  # of our operations, on top of the winner's entry
    for ino in shared:
        now = database.row("SELECT * FROM inode WHERE ino = ?", (ino,))
        if now is None or now[KIND_COLUMN] != Kind.DIRECTORY:
            return False
        theirs_in_row = _times_and_links(*rows[ino]) if ino in rows else ({}, 0)
        if theirs_in_row is None:
            return False
        times, links = theirs_in_row
        if links and _moves_directory(database, winner):
            return False
        if (first := firsts.get(ino)) is None:
            continue
        # One operation can be the first in two directories.
        changes[first] = changes.get(first) or journal.changes_of(first)
        before = _put_on_top(changes[first], ino, times)
        if before is None:
            return False
        for number in journal.write_sets.changing(ino) if links else ():
            changes[number] = changes.get(number) or journal.changes_of(number)
            _count_links(changes[number], ino, links)
        if times or links:
            directories.append(_Shared(before, _linked(now, links)))
    for directory in directories:
        _set_row(database, directory.before)
    on_base()
    check_tree(database, database.apply(changeset))
    for directory in directories:
        _set_row(database, directory.now)
    for number, of_operation in changes.items():
        journal.set_changes_of(number, of_operation)
    return True


def _moves_directory(database: Database, winner: list[RowChange]) -> bool:
    """Tell whether *winner* gives a directory another place."""
    taken = {old[2] for table, old, _ in winner if table == "name" and old is not None}
    placed = {new[2] for table, _, new in winner if table == "name" and new is not None}
    return any(
        database.row("SELECT 1 FROM inode WHERE ino = ? AND kind = ?", (ino, Kind.DIRECTORY))
        for ino in taken & placed
    )


def _times_and_links(old: Row | None, new: Row | None) -> tuple[dict[int, int | bytes], int] | None:
    """Return which times the winner sets in a row, by column, and how many links it adds; None if it does more."""
    if old is None or new is None:
        return None
    columns: tuple[int | bytes | None, ...] = new  # what stays is None in an update from outside
    set_to = {place: value for place, value in enumerate(columns) if value is not None}
    links = int(set_to.pop(LINKS_COLUMN, 0)) - int(old[LINKS_COLUMN] or 0)
    return (set_to, links) if set_to.keys() <= set(TIME_COLUMNS) else None


def _put_on_top(
    changes: list[RowChange], ino: InodeNo, theirs: dict[int, int | bytes]
) -> Row | None:
    """Have *changes*, our first of directory *ino*, start from the winner's times.

    Returns the row they started from before; None if there was none, or if the winner's times would
    show, or ours not.
    """
    place, old, new = next(
        (
            (place, old, new)
            for place, (table, old, new) in enumerate(changes)
            if table == "inode" and _is_of(ino, old, new)
        ),
        (0, None, None),  # what waits does not change it after all: only its write set says so
    )
    if old is None or new is None:
        return None
    found = tuple(theirs.get(column, value) for column, value in enumerate(old))
    if theirs and any(new[at] in {old[at], found[at]} for at in TIME_COLUMNS):
        return None
    changes[place] = ("inode", found, new)
    return old


def _count_links(changes: list[RowChange], ino: InodeNo, links: int) -> None:
    """Have *changes* start from a row of *ino* with so many *links* more, and leave it so."""
    for place, (table, old, new) in enumerate(changes):
        if table == "inode" and old is not None and new is not None and old[0] == ino:
            changes[place] = ("inode", _linked(old, links), _linked(new, links))


def _linked(row: Row, more: int) -> Row:
    return (*row[:LINKS_COLUMN], int(row[LINKS_COLUMN]) + more, *row[LINKS_COLUMN + 1 :])


def _is_of(ino: InodeNo, *versions: Row | None) -> bool:
    return any(row is not None and row[0] == ino for row in versions)


def _set_row(database: Database, row: Row) -> None:
    ino, links, times = row[0], row[LINKS_COLUMN], [row[at] for at in TIME_COLUMNS]
    database.change(
        "UPDATE inode SET nlink = ?, mtime_ns = ?, ctime_ns = ? WHERE ino = ?", (links, *times, ino)
    )
