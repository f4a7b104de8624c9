"""Lets what is ready be committed before what still waits for its uploads.

An entry names only blocks that the bucket has, so a film that uploads for an hour would hold up
every save behind it. But a save that touches nothing of what waits means the same before it as
behind it. All that the two may share are the times of directories: what was done later shows, as it
does where an entry of another node is fast-forwarded under our work (fs/replica/pending/fast_forward.py).

Which operations go together is for whole_contents.py to say. The name of a new file waits for its
content, but not for long.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.pending.whole_contents import WINDOW_OPERATIONS, Contents, Shipping
from lucidnode.fs.replica.pending.write_set import Step, row_of


class Choice(NamedTuple):
    """What the next entry may carry, and what has to wait; both in their order."""

    ready: list[Step]
    held: list[Step]


def choose(
    waiting: Iterable[Step],
    contents: Contents,
    shipping: Shipping,
    most_rows: int,
    most_steps: int | None = None,
) -> Choice:
    """Choose for an entry of about *most_rows* rows, and of *most_steps* operations if that is given.

    What is chosen shows nobody a file without its bytes, as far as all of it goes into one entry:
    if it does not, choose once more, for as many operations as did.
    """
    everything = list(waiting)
    steps = everything[:WINDOW_OPERATIONS]
    # Also of what is not looked at now: who saves faster than the bucket takes it has much that waits.
    lost = _lost(everything)
    unseen = _not_to_be_seen(lost, contents, shipping)
    while True:
        choice = _chosen(steps, contents, shipping, most_rows, most_steps, unseen)
        ready = {step.id for step in choice.ready}
        about = {ino for step in choice.ready for ino in (step.creates, step.behind)}
        seen = {ino for ino, gone in lost.items() if ino in about and gone.id not in ready}
        seen |= {ino for ino in _cut_off(everything, choice) if ino is not None and ino in about}
        if seen <= unseen:
            return choice
        unseen |= seen


def _chosen(
    steps: list[Step],
    contents: Contents,
    shipping: Shipping,
    most_rows: int,
    most_steps: int | None,
    waiting: set[InodeNo],
) -> Choice:
    chosen = Choice([], [])
    held = _Held()
    size = _Size()
    for step in steps:
        if size.rows > most_rows or len(chosen.ready) == most_steps:
            break
        if _is_free(step, contents, shipping, waiting) and not held.meets(step):
            chosen.ready.append(step)
            size.add(step)
        else:
            chosen.held.append(step)
            held.add(step)
    return chosen


class _Size:
    """About how many rows an entry has: what is made and gone again within it is none of them."""

    def __init__(self) -> None:
        self._rows: set[int] = set()
        self._inodes: set[InodeNo] = set()
        self._made: set[InodeNo] = set()

    @property
    def rows(self) -> int:
        return len(self._rows) + len(self._inodes)

    def add(self, step: Step) -> None:
        self._rows.update(step.touches.rows)
        self._inodes.update(step.touches.changed)
        if step.creates is not None:
            self._made.add(step.creates)
        for ino in step.touches.born_or_gone:
            if ino in self._made and ino != step.creates:
                self._inodes.discard(ino)


def _cut_off(steps: list[Step], choice: Choice) -> set[InodeNo | None]:
    """Return the files of whose content nothing is chosen, since the entry is full before it.

    A name that came with the entry would show them as they were made: empty.
    """
    left = steps[len(choice.ready) + len(choice.held) :]
    return {step.content for step in left} - {step.content for step in choice.ready}


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
