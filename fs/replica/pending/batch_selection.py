"""Lets what is ready be committed before what still waits for its uploads.

An entry names only blocks that the bucket has, so a film that uploads for an hour would hold up
every save behind it. But a save that touches nothing of what waits means the same before it as
behind it. All that the two may share are the times of directories: what was done later shows, as it
does where an entry of another node is fast-forwarded under our work (fs/replica/pending/fast_forward.py).

The content of a file goes into one entry, or into entries that follow each other, of which all but
the last say so: none of the operations that make it is ready before all of them are, nor while a
program is at it. The name of
a new file waits for its content, but not for long.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from math import inf
from typing import NamedTuple, Protocol

from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.pending.write_set import Step, WriteSetIndex, row_of
from lucidnode.fs.replica.sqlite.rows import TIME_COLUMNS, VERSION_COLUMN, Row, RowChange
from lucidnode.node.client.ids import BlockId

WINDOW = 8192
"""How many operations are looked at for one entry: what is ready behind as many that are not waits
for some of them. A look takes time in which the mount answers nobody."""


class Shipping(Protocol):
    """What is known of the way to the bucket."""

    def has_arrived(self, block: BlockId) -> bool:
        """Tell whether the bucket has *block*."""

    def is_unfinished(self, ino: InodeNo) -> bool:
        """Tell whether a program has changed *ino*, and neither closed nor synced it yet."""

    def is_young(self, ino: InodeNo) -> bool:
        """Tell whether the name of the new file *ino* may still wait for its content."""


class Contents(NamedTuple):
    """The contents that wait: *ready* files up to this operation, and the files that are not.

    Those *on_their_way* are finished here; their blocks have not all arrived.
    """

    ready: dict[InodeNo, int]
    on_their_way: set[InodeNo]
    unfinished: set[InodeNo]


class Choice(NamedTuple):
    """What the next entry may carry, and what has to wait; both in their order in the line."""

    ready: list[Step]
    held: list[Step]


class Fences:
    """Which operations make a content together: those that waited when it was finished.

    Later changes of a file are a content of their own, so that one which grows for hours is seen to
    grow.
    """

    def __init__(self) -> None:
        self._last: dict[InodeNo, int] = {}

    def contents(self, line: WriteSetIndex, shipping: Shipping, *, decides: bool) -> Contents:
        """Return how far the contents in *line* are.

        Who *decides* has packed all tails before: what is in the line is then all there is of the
        contents that are finished, and stays together.
        """
        waiting: dict[InodeNo, list[Step]] = {}
        cut: InodeNo | None = None
        for place, step in enumerate(line):
            if place == WINDOW:
                cut = step.content  # of which more may follow
                break
            if step.content is not None:
                waiting.setdefault(step.content, []).append(step)
        found = Contents({}, set(), set())
        kept: dict[InodeNo, int] = {}
        for ino, steps in waiting.items():
            last = self._last.get(ino)
            is_known = ino != cut
            if last is None or steps[0].id > last:
                if shipping.is_unfinished(ino):
                    found.unfinished.add(ino)
                    continue
                last = steps[-1].id
            elif (
                is_known
                and not shipping.is_unfinished(ino)
                and _have_arrived(steps, line, shipping)
            ):
                # All of it can go. What it was before might wait for what is behind the fence: a
                # file of which others shall see nothing but its removal goes as a whole.
                last = steps[-1].id
            kept[ino] = last
            finished = [step for step in steps if step.id <= last]
            if is_known and _have_arrived(finished, line, shipping):
                found.ready[ino] = last
            else:
                found.on_their_way.add(ino)
        if decides:
            self._last = kept
        return found

    def cut_by(self, line: Iterable[Step], last: int) -> set[InodeNo]:
        """Return the files of whose content a part of *line* stands up to *last*, and a part behind."""
        ends: dict[InodeNo, float] = {}
        begun: set[InodeNo] = set()
        cut: set[InodeNo] = set()
        for step in line:
            ino = step.content
            if ino is None:
                continue
            if ino not in ends:
                end = self._last.get(ino, 0)
                ends[ino] = end if step.id <= end else inf
            if step.id <= last:
                begun.add(ino)
            elif ino in begun and step.id <= ends[ino]:
                cut.add(ino)
        return cut


def _have_arrived(steps: list[Step], line: WriteSetIndex, shipping: Shipping) -> bool:
    """Tell whether the bucket has the blocks of *steps*, but for those that nothing names any more."""
    return all(
        shipping.has_arrived(block) or not line.names(block)
        for step in steps
        for block in step.uses
    )


class Versions:
    """How the operations of one file follow each other where an entry ends within a content.

    The entry leaves the file with a version below zero (docs/format.md), and what comes behind it
    finds it so. The first operation on the content that comes behind sets a version again, which
    may be the one that was there.
    """

    def __init__(self, ino: InodeNo) -> None:
        self._ino = ino
        self._left: Row | None = None

    def leave_partial(self, changes: list[RowChange]) -> bool:
        """Do so in *changes*, in place; False if they do not touch the row of the file."""
        for place in reversed(range(len(changes))):
            table, old, new = changes[place]
            if table == "inode" and new is not None and new[0] == self._ino:
                self._left = _with_version(new, -abs(int(new[VERSION_COLUMN])))
                changes[place : place + 1] = [] if old == self._left else [(table, old, self._left)]
                return True
        return False

    def start_there(self, changes: list[RowChange], *, of_content: bool) -> bool:
        """Have *changes*, in place, find the file so; tell whether they set a version.

        Those *of_content* do, even if they left the row of the file alone.
        """
        assert self._left is not None
        for place, (table, old, new) in enumerate(changes):
            if table != "inode" or old is None or old[0] != self._ino:
                continue
            found = _with_version(old, int(self._left[VERSION_COLUMN]))
            if new is None or of_content or new[VERSION_COLUMN] != old[VERSION_COLUMN]:
                changes[place] = table, found, new
                return True
            self._left = _with_version(new, int(self._left[VERSION_COLUMN]))
            changes[place] = table, found, self._left
        if of_content:
            whole = _with_version(self._left, abs(int(self._left[VERSION_COLUMN])))
            changes.append(("inode", self._left, whole))
        return of_content


def _with_version(row: Row, version: int) -> Row:
    return (*row[:VERSION_COLUMN], version, *row[VERSION_COLUMN + 1 :])


def choose(line: Iterable[Step], contents: Contents, shipping: Shipping, most_rows: int) -> Choice:
    """Choose for an entry of about *most_rows* rows."""
    steps = list(islice(line, WINDOW))
    lost = _lost(steps)
    waiting = _not_to_be_seen(lost, contents, shipping)
    while True:
        choice = _chosen(steps, contents, shipping, most_rows, waiting)
        ready = {step.id for step in choice.ready}
        about = {ino for step in choice.ready for ino in (step.creates, step.behind)}
        seen = {ino for ino, gone in lost.items() if ino in about and gone.id not in ready}
        if seen <= waiting:
            return choice
        waiting |= seen


def _chosen(
    steps: list[Step],
    contents: Contents,
    shipping: Shipping,
    most_rows: int,
    waiting: set[InodeNo],
) -> Choice:
    chosen = Choice([], [])
    held = _Held()
    rows = 0
    for step in steps:
        if rows > most_rows:
            break
        if _is_free(step, contents, shipping, waiting) and not held.meets(step):
            chosen.ready.append(step)
            rows += len(step.touches.rows) + len(step.touches.changed)
        else:
            chosen.held.append(step)
            held.add(step)
    return chosen


def _lost(steps: list[Step]) -> dict[InodeNo, Step]:
    """Return the files whose bytes were gone before they were packed, and what removed each.

    No content of them comes any more. Who saves often replaces a save that nobody else has seen.
    """
    content: dict[InodeNo, int] = {}
    tails: dict[InodeNo, int] = {}
    gone: dict[InodeNo, Step] = {}
    for step in steps:
        if step.content is not None:
            content[step.content] = step.id
        for ino in step.touches.born_or_gone:
            if ino in tails and ino not in {step.creates, step.content}:
                gone.setdefault(ino, step)
        if step.behind is not None:
            tails[step.behind] = step.id
    return {
        ino: gone[ino]
        for ino, at in tails.items()
        if ino in gone and (ino not in content or at > content[ino])
    }


def _not_to_be_seen(
    lost: dict[InodeNo, Step], contents: Contents, shipping: Shipping
) -> set[InodeNo]:
    """Return those of *lost* that wait, since what removes them does: from the last one back."""
    waiting: set[InodeNo] = set()
    for ino, removal in sorted(lost.items(), key=lambda each: each[1].id, reverse=True):
        if not _is_free(removal, contents, shipping, waiting):
            waiting.add(ino)
    return waiting


def _is_free(step: Step, contents: Contents, shipping: Shipping, waiting: set[InodeNo]) -> bool:
    if step.content is not None:
        return step.id <= contents.ready.get(step.content, step.id - 1)
    if step.behind in waiting:
        return step.mark
    if (ino := step.creates) is not None:
        if ino in waiting:
            return False
        is_whole = ino in contents.ready or (
            ino not in contents.on_their_way and not shipping.is_unfinished(ino)
        )
        return is_whole or not shipping.is_young(ino)
    if step.behind in contents.on_their_way or step.behind in contents.unfinished:
        return step.mark
    return all(shipping.has_arrived(block) for block in step.blocks)


class _Held:
    """All that the operations which wait touch."""

    def __init__(self) -> None:
        self._rows: set[int] = set()
        self._inodes: set[InodeNo] = set()
        self._reshaped: set[InodeNo] = set()
        self._born_or_gone: set[InodeNo] = set()
        self._moves_directory = False

    def add(self, step: Step) -> None:
        touches = step.touches
        self._rows.update(touches.rows)
        self._inodes.update(touches.inodes)
        self._reshaped.update(touches.reshaped)
        self._born_or_gone.update(touches.born_or_gone)
        self._moves_directory |= step.moves_directory

    def meets(self, step: Step) -> bool:
        """Tell whether *step* would mean something else before all of it."""
        touches = step.touches
        if not self._rows.isdisjoint(touches.rows):
            return True
        if not self._rows.isdisjoint(map(row_of, step.uses)):
            return True
        if step.mark:
            return not self._born_or_gone.isdisjoint(touches.inodes)
        # Two moves of directories can make a cycle out of rows that only one of them touches.
        return (
            (self._moves_directory and step.moves_directory)
            or not self._reshaped.isdisjoint(touches.inodes)
            or not self._inodes.isdisjoint(touches.reshaped)
        )


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
