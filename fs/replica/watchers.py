"""Who is told of what changes in a replica."""

from __future__ import annotations

from collections.abc import Callable

from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.sqlite.rows import RowChange
from lucidnode.fs.replica.usage import ProjectUsage


class Watchers:
    """The watchers of one replica, and its count of what the project uses."""

    def __init__(self, usage: ProjectUsage) -> None:
        self._usage = usage
        self.on_work: Callable[[], None] = _nobody
        """Called after every operation that needs committing."""
        self.on_content: Callable[[InodeNo | None], None] = _nobody_for
        """Told of each file whose content may change; None is all files."""
        self.followers: list[Callable[[list[RowChange]], None]] = []
        """Told of all changes to replicated rows, once they are through."""

    def changed(self, changes: list[RowChange]) -> None:
        """Tell that *changes* to replicated rows are through."""
        self._usage.count(changes)
        for follower in self.followers:
            follower(changes)
        self.on_work()


def _nobody() -> None:
    """Nobody watches for work yet."""


def _nobody_for(_: InodeNo | None) -> None:
    """Nobody watches contents yet."""
