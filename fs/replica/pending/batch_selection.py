"""Lets what is ready be committed before what still waits for its uploads.

An entry names only blocks that the bucket has, so a film that uploads for an hour would hold up
every save behind it. But a save that touches nothing of what waits means the same before it as
behind it. All that the two may share are the times of directories: what was done later shows, as it
does where an entry of another node is fast-forwarded under our work (fs/replica/pending/fast_forward.py).

Which operations go together is for whole_contents.py to say. The name of a new file waits for its
content, but not for long.

A name that nobody else may have waits until its directory is this node's, if another has taken that over.
A lease that is given away waits for what was done under it, and goes in the same entry (handed_over.py).
What may have been a lock is taken away behind the contents beside it that were finished before: else
another node would make the lock its own, and find what was there before the save (docs/design/0007-whole-saves.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cache
from math import inf
from typing import NamedTuple

from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.pending.handed_over import DirectoriesOf, would_overtake
from lucidnode.fs.replica.pending.whole_contents import Contents, Shipping
from lucidnode.fs.replica.pending.write_set import Step, row_of

WINDOW_OPERATIONS = 8192
"""Among how many operations begins what goes into one entry: what is ready behind as many that are
not waits for some of them. A look takes time in which the mount answers nobody."""

_MOST_LOOKS = 16
"""What is left out takes others along, mostly at once."""


class Choice(NamedTuple):
    """What the next entry may carry, and what has to wait; both in their order.

    *is_cut*: nothing may go, but only since no entry, or no look at what waits, has room for all
    that belongs together.
    """

    ready: list[Step]
    held: list[Step]
    is_cut: bool = False


def choose(
    waiting: Iterable[Step],
    contents: Contents,
    shipping: Shipping,
    room: int,
    *,
    window: int | None = WINDOW_OPERATIONS,
    most_rows: int | None = None,
    directories_of: DirectoriesOf = lambda _: (),
) -> Choice:
    """Choose for an entry of about *room* rows, of the first *window* operations that wait.

    *directories_of* returns in which directories a file lies.

    With *most_rows*, the rows that any entry has room for, it shows nobody a file without its
    bytes, as far as all of it goes into one entry, and they are not more than that. Without, it
    shows what there is.
    """
    work = _WaitingWork(list(waiting), contents, shipping, directories_of)
    unseen = work.not_to_be_seen(set())
    is_cut = False
    steps = work.steps
    end = inf if window is None or len(steps) <= window else steps[window].id
    looks = 0
    while True:
        look = _chosen(work, unseen, room, end)
        end = look.end  # nothing further behind takes the place of what is left out: it ends sooner
        waits, cut = _without_bytes(work, unseen, look)
        if most_rows is not None:
            cut = {ino for ino in cut if work.coming.rows[ino] <= most_rows}
            is_cut |= bool(cut)
            looks += 1
            if waits | cut and looks == _MOST_LOOKS:
                return Choice([], [], is_cut=True)
            waits |= cut
        if not waits:
            return Choice(look.ready, look.held, is_cut=is_cut and not look.ready)
        unseen = work.not_to_be_seen(unseen | waits)


class _WaitingWork:
    """What waits: its *steps*, how far the contents in it are on their way, and where files lie.

    Some files are *unseen* in a look: the next entry shall not show them.
    """

    def __init__(
        self,
        steps: list[Step],
        contents: Contents,
        shipping: Shipping,
        directories_of: DirectoriesOf,
    ) -> None:
        self.steps = steps
        self.contents = contents
        self.shipping = shipping
        self.coming = _Coming(steps, contents)
        self.lost = _lost(steps)
        left = _left(steps)
        self.directories_of = cache(lambda ino: directories_of(ino) or left.get(ino, ()))
        self._may_name = cache(shipping.may_name)

    def not_to_be_seen(self, others: set[InodeNo]) -> set[InodeNo]:
        """Return *others*, and the lost that wait as what removes them does: from the last one back."""
        unseen = set(others)
        for ino, removal in sorted(self.lost.items(), key=lambda each: each[1].id, reverse=True):
            if not self.is_whole(removal, unseen):
                unseen.add(ino)
        return unseen

    def is_free(self, step: Step, unseen: set[InodeNo], held: list[Step]) -> bool:
        """Tell whether *step* may go for its own sake, if *held* before it stay behind."""
        return (
            self.is_whole(step, unseen)
            and (step.names is None or self._may_name(step.names))
            and not would_overtake(
                step.lease, held, self.contents, self.shipping, self.directories_of
            )
        )

    def is_whole(self, step: Step, unseen: set[InodeNo]) -> bool:
        """Tell whether *step* shows no file before all that belongs to it is there."""
        contents, shipping = self.contents, self.shipping
        if step.content is not None:
            return step.id <= contents.ready.get(step.content, step.id - 1)
        if step.behind in unseen:
            return step.mark
        if (ino := step.creates) is not None:
            if ino in unseen:
                return False
            is_whole = ino in contents.ready or (
                ino not in contents.on_their_way and not shipping.is_unfinished(ino)
            )
            return is_whole or not shipping.is_young(ino)
        if step.behind in contents.on_their_way or step.behind in contents.unfinished:
            return step.mark
        return all(shipping.has_arrived(block) for block in step.blocks)

    def kept_by(self, step: Step, unseen: set[InodeNo]) -> set[InodeNo]:
        """Return the directories whose locks *step* keeps where they are while it is held."""
        kept: set[InodeNo] = set()
        # What is small becomes a content when an entry is made, behind the lock that is gone by
        # then: what made the file, or gave it its name, stands where it was saved.
        for ino in {step.content, step.creates, step.behind}:
            if ino is None:
                continue
            on_its_way = ino in self.contents.on_their_way or (ino in unseen and ino in self.lost)
            # Also what has arrived and may not go: its name waits for its directory.
            if on_its_way or step.id <= self.contents.ready.get(ino, -1):
                kept.update(self.directories_of(ino))
        return kept


def _without_bytes(
    work: _WaitingWork, unseen: set[InodeNo], look: _Look
) -> tuple[set[InodeNo], set[InodeNo]]:
    """Return the files that *look* shows without their bytes.

    First those of which what makes them whole, or removes them, waits; then those of which it has no
    place.
    """
    waits: set[InodeNo] = set()
    cut: set[InodeNo] = set()
    taken = {step.id for step in look.ready}
    moved = {step.behind for step in look.ready}
    shown = moved | {step.creates for step in look.ready}
    for ino in shown - unseen:
        if ino is None:
            continue
        removal = work.lost.get(ino)
        content = work.coming.first.get(ino)
        if removal is not None:
            if removal.id in look.waiting:
                waits.add(ino)
            elif removal.id not in taken:
                cut.add(ino)
        elif content is not None and content not in taken and work.coming.rows[ino]:
            if content not in look.waiting:
                cut.add(ino)
            elif ino in moved or work.shipping.is_young(ino):
                waits.add(ino)
    return waits, cut


class _Coming:
    """The contents that wait: which operation is the *first* of each.

    Of those that are ready, how many operations and rows they have.
    """

    def __init__(self, steps: list[Step], contents: Contents) -> None:
        self.first: dict[InodeNo, int] = {}
        self.steps: Counter[InodeNo] = Counter()
        self.rows: Counter[InodeNo] = Counter()
        for step in steps:
            if step.content is None:
                continue
            self.first.setdefault(step.content, step.id)
            if step.id <= contents.ready.get(step.content, -1):
                self.steps[step.content] += 1
                self.rows[step.content] += len(step.touches.rows)


class _Look(NamedTuple):
    """What can be taken of what is looked at, and what is not, both in their order.

    Of these, the numbers of those *waiting*, whatever room there is: from *end* on there was no more.
    """

    ready: list[Step]
    held: list[Step]
    waiting: set[int]
    end: float


def _chosen(work: _WaitingWork, unseen: set[InodeNo], room: int, end: float) -> _Look:
    """Take what is free of *work*, but for the files *unseen*, up to *room* rows or *end*.

    What shows a file brings its content along, and the beginning of a content the rest of it, however
    far behind that stands, with the blocks that it lies in and what else happens to the file.
    """
    ready: list[Step] = []
    held: list[Step] = []
    waiting: set[int] = set()
    ahead, ahead_waiting = _Held(), _Held()
    size = _Size(work.coming)
    any_frees = any(step.frees for step in work.steps)
    kept: set[InodeNo] = set()
    for step in work.steps:
        is_behind = step.id >= end
        if is_behind and not size.expects:
            break
        size.passes(step)
        is_free = step.frees not in kept and work.is_free(step, unseen, held)
        if is_free and not ahead.meets(step):
            if not is_behind and ready and size.rows_with(step) > room:
                end, is_behind = step.id, True
            if not is_behind or size.shown.issuperset(step.touches.inodes):
                ready.append(step)
                size.add(step)
                continue
        elif not is_free or ahead_waiting.meets(step):
            waiting.add(step.id)
            ahead_waiting.add(step)
        held.append(step)
        ahead.add(step)
        if any_frees:
            kept |= work.kept_by(step, unseen)
    if work.steps:
        end = min(end, work.steps[-1].id + 1)
    return _Look(ready, held, waiting, end)


class _Size:
    """About how many rows an entry has: what is made and gone again within it is none of them.

    The contents of the files that it shows, and those that are begun, belong to it before they are
    reached.
    """

    def __init__(self, coming: _Coming) -> None:
        self._rows: set[int] = set()
        self._inodes: set[InodeNo] = set()
        self._made: set[InodeNo] = set()
        self._steps_left = coming.steps.copy()
        self._rows_left = coming.rows.copy()
        self._rows_to_come = 0
        self.expects = 0
        """How many operations of contents are still to come."""
        self.shown: set[InodeNo] = set()

    def rows_with(self, step: Step) -> int:
        """Return the number if *step* is taken."""
        new = sum(row not in self._rows for row in step.touches.rows)
        new += sum(ino not in self._inodes for ino in step.touches.changed)
        new += sum(self._rows_left[ino] for ino in self._shows(step))
        return len(self._rows) + len(self._inodes) + self._rows_to_come + new

    def passes(self, step: Step) -> None:
        """Note that *step* is reached, whether it is taken or not."""
        if (ino := step.content) is None or not self._steps_left[ino]:
            return
        rows = len(step.touches.rows)
        self._steps_left[ino] -= 1
        self._rows_left[ino] -= rows
        if ino in self.shown:
            self.expects -= 1
            self._rows_to_come -= rows

    def add(self, step: Step) -> None:
        """Take *step*."""
        shows = self._shows(step)
        self.shown |= shows
        self.expects += sum(self._steps_left[ino] for ino in shows)
        self._rows_to_come += sum(self._rows_left[ino] for ino in shows)
        self._rows.update(step.touches.rows)
        self._inodes.update(step.touches.changed)
        if step.creates is not None:
            self._made.add(step.creates)
        for ino in step.touches.born_or_gone:
            if ino in self._made and ino != step.creates:
                self._inodes.discard(ino)

    def _shows(self, step: Step) -> set[InodeNo]:
        shows = (step.creates, step.behind, step.content)
        return {ino for ino in shows if ino is not None} - self.shown


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


def _left(steps: list[Step]) -> dict[InodeNo, tuple[InodeNo, ...]]:
    """Return the files that lie nowhere any more, and among what they lay in when they were removed."""
    return {
        ino: step.touches.inodes
        for step in steps
        if step.removes
        for ino in step.touches.born_or_gone
    }


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
