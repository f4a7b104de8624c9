"""How the loops of a committer, and those who wait for them, wake each other."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lucidnode.fs.replica.inode import InodeNo
from lucidnode.node.client.clock import Clock


@dataclass(slots=True, eq=False)
class Wanted:
    """What is to be committed: all up to the number *mark*, or *ino*'s part of it if it is not None."""

    mark: int
    ino: InodeNo | None


class CommitSignals:
    """The events of one committer. *sendable* is also set when uploads make it so."""

    def __init__(self, sendable: asyncio.Event) -> None:
        self.work = asyncio.Event()
        """Something waits to be committed."""
        self.hurry = asyncio.Event()
        """Somebody waits for a commit: let no more work gather."""
        self.sendable = sendable
        """What could not be committed at the last look may be by now."""
        self.hinted = asyncio.Event()
        """Somebody says that there is an entry after our head."""
        self.waiters = 0
        """How many wait for a commit."""
        self._wanted: list[Wanted] = []
        self._progress = asyncio.Event()

    @contextlib.contextmanager
    def wanted(self, mark: int, ino: InodeNo | None) -> Iterator[Wanted]:
        """Yield what somebody waits for, as it is called after each rebase."""
        wanted = Wanted(mark, ino)
        self._wanted.append(wanted)
        try:
            yield wanted
        finally:
            self._wanted.remove(wanted)

    def rebased(self, newest: int, moved: Mapping[InodeNo, InodeNo]) -> None:
        """Hear that work was done again up to number *newest*, some of it in copies of files."""
        for wanted in self._wanted:
            wanted.mark = newest
            if wanted.ino is not None:
                wanted.ino = moved.get(wanted.ino, wanted.ino)

    @property
    def progress(self) -> asyncio.Event:
        """Set when a slot is decided next, or when this mount is read-only, or no longer."""
        return self._progress

    def worked(self) -> None:
        """Say that there is work."""
        self.work.set()
        self.sendable.set()

    def ask_for_commit(self) -> None:
        """Have what waits committed now, as far as it can be."""
        self.hurry.set()
        self.sendable.set()

    def progressed(self) -> None:
        """Wake everybody who waits for progress now; those who come later wait for the next time."""
        self._progress.set()
        self._progress = asyncio.Event()

    def changed_state(self) -> None:
        """Have both loops look at once: this mount is read-only now."""
        self.progressed()
        self.worked()
        self.hinted.set()


async def set_within(event: asyncio.Event, limit_s: float, clock: Clock) -> None:
    """Return when *event* is set, or after *limit_s*."""
    async with asyncio.TaskGroup() as group:
        waits = {group.create_task(event.wait()), group.create_task(clock.sleep(limit_s))}
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
