"""What a committer needs of the rest of the mount."""

from __future__ import annotations

from typing import Protocol

from lucidnode.fs.replica.changes import Touched


class CommitHooks(Protocol):
    """What the rest of the mount does around commits (RemoteChanges)."""

    def before_batch(self) -> None:
        """Bring what is not in the replica's pending work yet there: pack the tails."""

    def touched(self, touched: Touched) -> None:
        """Hear what an entry of another node changed."""

    async def refresh_roster(self) -> None:
        """Read the roster again: an entry names a device or a key that we do not know."""
