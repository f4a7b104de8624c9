"""What a committer needs of the rest of the mount."""

from __future__ import annotations

from typing import Protocol

from lucidnode.fs.replica.changes import Touched
from lucidnode.node.client.ids import Seq


class CommitHooks(Protocol):
    """What the rest of the mount does around commits (RemoteChanges)."""

    def before_batch(self) -> None:
        """Bring what is not in the replica's pending work yet there: pack the tails."""

    def touched(self, touched: Touched) -> None:
        """Hear what an entry of another node changed."""

    def passed(self, seq: Seq, changeset: bytes | None, *, ours: bool) -> None:
        """Hear that the replica stands on entry *seq* now, before anything else is done to it.

        None counted as empty. With *ours*, this device made it.
        """

    async def refresh_roster(self) -> None:
        """Read the roster again: an entry names a device or a key that we do not know."""
