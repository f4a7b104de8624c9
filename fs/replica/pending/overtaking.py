"""Operations that are ready overtake those that wait: new numbers, and rows as they were left. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.pending.batch_selection import Choice
from lucidnode.fs.replica.pending.write_set import Step
from lucidnode.fs.replica.sqlite.rows import TIME_COLUMNS, Row, RowChange


def renumbered(choice: Choice) -> list[Step]:
    """Return the steps of *choice* in their new order, the ready ones with numbers before the held.

    No number grows: whoever waits for one never believes too early that it is committed.
    """
    limit = choice.held[0].id
    moved = []
    for step in reversed(choice.ready):
        limit = min(step.id, limit - 1)
        moved.append(step._replace(id=limit))
    return [*reversed(moved), *choice.held]


def shared_times(choice: Choice) -> set[InodeNo]:
    """Return the inodes in which ready operations overtake held ones that set their times, too."""
    first_held: dict[InodeNo, int] = {}
    for step in choice.held:
        for ino in step.touches.changed:
            first_held.setdefault(ino, step.id)
    return {
        ino
        for step in choice.ready
        for ino in step.touches.changed
        if first_held.get(ino, step.id) < step.id
    }


def row_met(ino: InodeNo, changes: Iterable[RowChange]) -> Row | None:
    """Return the row of *ino* as the first of *changes* found it."""
    for table, old, new in changes:
        if table == "inode" and old is not None and new is not None and old[0] == ino:
            return old
    return None


def laid_again(before: Row, changes: list[list[RowChange]], ages: list[int]) -> None:
    """Have *changes*, those of operations in their new order, follow each other in one inode's row.

    *before* is the row that the first of them found. A time is moved by no operation that has a lower
    number in *ages* than one ahead of it that set it: in the end the row is as the program left it,
    also where a program set the time back. Changes the lists in place.
    """
    row = before
    latest: dict[int, int] = {}
    for age, of_operation in zip(ages, changes, strict=True):
        kept: list[RowChange] = []
        for change in of_operation:
            table, old, new = change
            if table != "inode" or old is None or new is None or old[0] != row[0]:
                kept.append(change)
                continue
            moved = {place for place, was in enumerate(old) if was != new[place]}
            moved = {place for place in moved if latest.get(place, age) <= age}
            latest |= {place: age for place in moved if place in TIME_COLUMNS}
            later = tuple(new[at] if at in moved else was for at, was in enumerate(row))
            if later != row:
                kept.append(("inode", row, later))
            row = later
        of_operation[:] = kept
