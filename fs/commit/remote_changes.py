"""What happens in a project besides our own requests, brought to whom it concerns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from lucidnode.fs.files.conflicts import Conflicts
from lucidnode.fs.files.remote_effects import RemoteEffects
from lucidnode.fs.kernel.invalidation import Invalidation
from lucidnode.fs.read.open_files import OpenFiles
from lucidnode.fs.replica.changes import Touched
from lucidnode.node.client.ids import Seq


class Passed(Protocol):
    """Told of each entry that the replica stands on (CheckpointKeeper.passed)."""

    def __call__(self, seq: Seq, changeset: bytes | None, *, ours: bool) -> None: ...


class RemoteChanges:
    """The committer's hooks: other nodes' changes go to open files and to the kernel."""

    def __init__(
        self,
        effects: RemoteEffects,
        open_files: OpenFiles,
        invalidation: Invalidation,
        before_batch: Callable[[], None],
        refresh_roster: Callable[[], Awaitable[None]],
        conflicts: Conflicts,
        passed: Passed,
    ) -> None:
        """Take whom to tell; *passed* hears of each entry, as `CommitHooks.passed` does."""
        self._effects = effects
        self._open_files = open_files
        self._invalidation = invalidation
        self._before_batch = before_batch
        self._refresh_roster = refresh_roster
        self._conflicts = conflicts
        self._passed = passed

    def before_batch(self) -> None:
        """Bring what waits in the tail table into blocks, and say which files are on their way."""
        self._before_batch()

    def touched(self, touched: Touched) -> None:
        """Follow another node's entry, or what was made here to go on beside it."""
        self._effects.follow(touched)
        for parent, name in touched.names:
            self._invalidation.name(parent, name)
        for ino in touched.inodes:
            self._invalidation.inode(ino, is_open=self._open_files.is_open(ino))
        self._conflicts.names_changed((*touched.conflicts, *touched.names))

    def passed(self, seq: Seq, changeset: bytes | None, *, ours: bool) -> None:
        """Pass on that the replica stands on entry *seq* now."""
        self._passed(seq, changeset, ours=ours)

    async def refresh_roster(self) -> None:
        """Read the roster again."""
        await self._refresh_roster()
