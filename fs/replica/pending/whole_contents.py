"""The content of a file is committed as a whole: which operations make it, and whether it may go.

It goes into one entry, or into entries that follow each other, of which all but the last say so
(partial_versions.py): none of the operations that make it is ready before all of them are, nor
while a program is at it.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import NamedTuple, Protocol

from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.pending.write_set import Step, WriteSetIndex
from lucidnode.node.client.ids import BlockId


class Shipping(Protocol):
    """What is known of the way to the bucket."""

    def has_arrived(self, block: BlockId) -> bool:
        """Tell whether the bucket has *block*."""

    def is_unfinished(self, ino: InodeNo) -> bool:
        """Tell whether a program has changed *ino*, and neither closed nor synced it yet."""

    def is_young(self, ino: InodeNo) -> bool:
        """Tell whether the name of the new file *ino* may still wait for its content."""

    def may_name(self, directory: InodeNo) -> bool:
        """Tell whether names that nobody else may have may be made in *directory* for others to see."""

    def may_give(self, directory: InodeNo) -> bool:
        """Tell whether *directory* may be another node's before names that were made in it are committed."""


class Contents(NamedTuple):
    """The contents that wait: *ready* files up to this operation, and the files that are not.

    Those *on_their_way* are finished here; their blocks have not all arrived.
    """

    ready: dict[InodeNo, int]
    on_their_way: set[InodeNo]
    unfinished: set[InodeNo]


class WholeContents:
    """Which operations make a content together: those that waited when it was finished.

    Later changes of a file are a content of their own, so that one which grows for hours is seen to
    grow.
    """

    def __init__(self) -> None:
        self._last: dict[InodeNo, int] = {}
        self._wanted: dict[InodeNo, int] = {}
        """Up to where somebody waits for a content that may go on."""

    def finish(self, ino: InodeNo, last: int) -> None:
        """Have what waits of *ino* up to *last* be a content. All tails of it were packed before."""
        self._wanted[ino] = last

    def contents(self, waiting: WriteSetIndex, shipping: Shipping, *, decides: bool) -> Contents:
        """Return how far the contents are that wait.

        Who *decides* has packed all tails before: what waits is then all there is of the
        contents that are finished, and stays together.
        """
        by_file: dict[InodeNo, list[Step]] = {}
        for step in waiting:
            if step.content is not None:
                by_file.setdefault(step.content, []).append(step)
        found = Contents({}, set(), set())
        kept: dict[InodeNo, int] = {}
        for ino, steps in by_file.items():
            last = self._last.get(ino)
            if last is None or steps[0].id > last:
                last = steps[-1].id
                if shipping.is_unfinished(ino):
                    if steps[0].id > self._wanted.get(ino, 0):
                        found.unfinished.add(ino)
                        continue
                    last = max(step.id for step in steps if step.id <= self._wanted[ino])
            elif not shipping.is_unfinished(ino) and _have_arrived(steps, waiting, shipping):
                # All of it can go. What it was before might wait for what is behind the fence: a
                # file of which others shall see nothing but its removal goes as a whole.
                last = steps[-1].id
            kept[ino] = last
            finished = [step for step in steps if step.id <= last]
            if _have_arrived(finished, waiting, shipping):
                found.ready[ino] = last
            else:
                found.on_their_way.add(ino)
        if decides:
            self._last = kept
            first = next((step.id for step in waiting), inf)
            self._wanted = {ino: at for ino, at in self._wanted.items() if at >= first}
        return found

    def cut_by(self, waiting: Iterable[Step], last: int) -> set[InodeNo]:
        """Return the files of whose content a part of *waiting* stands up to *last*, and a part behind."""
        ends: dict[InodeNo, float] = {}
        begun: set[InodeNo] = set()
        cut: set[InodeNo] = set()
        for step in waiting:
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


def _have_arrived(steps: list[Step], waiting: WriteSetIndex, shipping: Shipping) -> bool:
    """Tell whether the bucket has the blocks of *steps*, but for those that nothing names any more."""
    return all(
        shipping.has_arrived(block) or not waiting.names(block)
        for step in steps
        for block in step.uses
    )
