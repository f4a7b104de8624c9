"""What operations touch: by this the work of two nodes is known to be independent, or not."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

from lucidnode.fs.replica import intents
from lucidnode.fs.replica.inode import InodeNo, Kind
from lucidnode.fs.replica.rebase import Waiting
from lucidnode.fs.replica.rows import RowChange, key_of

T = TypeVar("T")


class Footprint(NamedTuple):
    """What a list of row changes touches.

    *rows* are hashes of the keys of names, extents, attributes and blocks: numbers, since there may
    be very many, and a collision does no harm. *inodes* are the files and directories that such rows
    belong to or mean, and *changed* those of them with a changed row of their own: an operation that
    sets a directory's time to what it was leaves no trace there.
    """

    rows: tuple[int, ...]
    inodes: tuple[InodeNo, ...]
    changed: tuple[InodeNo, ...]


def footprint(changes: list[RowChange]) -> Footprint:
    """Return what *changes* touch. In updates, columns that stay may be None, except for the key."""
    rows: set[int] = set()
    inodes: set[InodeNo] = set()
    changed: set[InodeNo] = set()
    for change in changes:
        table, *versions = change
        key = key_of(change)
        if table == "inode":
            changed.update(_numbers(key[1]))
            continue
        rows.add(hash(key))
        if table != "block":
            inodes.update(_numbers(key[1]))
        if table == "name":
            inodes.update(_numbers(*(row[2] for row in versions if row is not None)))
    return Footprint(tuple(rows), tuple(inodes | changed), tuple(changed))


def _numbers(*values: int | bytes | str | None) -> Iterator[InodeNo]:
    return (InodeNo(value) for value in values if isinstance(value, int))


class _Step(NamedTuple):
    id: int
    touches: Footprint
    moves_directory: bool


class Line:
    """The footprints of all that waits, oldest first: one look tells whether an entry meets them.

    It may know too much (an operation whose transaction failed, a collision), never too little.
    """

    def __init__(self) -> None:
        self._steps: deque[_Step] = deque()
        self._rows: Counter[int] = Counter()
        self._inodes: Counter[InodeNo] = Counter()
        self._moves = 0

    def add(self, item: Waiting) -> None:
        """Put *item* at the end."""
        step = _Step(item.id, footprint(item.changes), _moves_directory(item))
        self._steps.append(step)
        self._rows.update(step.touches.rows)
        self._inodes.update(step.touches.inodes)
        self._moves += step.moves_directory

    def drop(self, last: int) -> None:
        """Forget everything up to *last*: it waits no more."""
        while self._steps and self._steps[0].id <= last:
            step = self._steps.popleft()
            _uncount(self._rows, step.touches.rows)
            _uncount(self._inodes, step.touches.inodes)
            self._moves -= step.moves_directory

    def shared(self, theirs: Footprint) -> set[InodeNo] | None:
        """Return the files and directories that both sides touch; None if they touch a row both.

        None also while we move directories: two such moves make a cycle out of rows that only one
        of them touches.
        """
        if self._moves or any(key in self._rows for key in theirs.rows):
            return None
        return {ino for ino in theirs.inodes if ino in self._inodes}

    def first_change_of(self, ino: InodeNo) -> int | None:
        """Return the oldest operation that changed the row of *ino* itself, or None."""
        return next((step.id for step in self._steps if ino in step.touches.changed), None)


def _uncount(counted: Counter[T], gone: tuple[T, ...]) -> None:
    for each in gone:
        counted[each] -= 1
        if not counted[each]:
            del counted[each]


def _moves_directory(item: Waiting) -> bool:
    if not isinstance(item.recorded.intent, intents.Rename):
        return False
    return any(
        table == "inode"
        and old is not None
        and old[0] in {item.recorded.ino, item.recorded.replaced}
        and old[1] == Kind.DIRECTORY
        for table, old, _ in item.changes
    )
