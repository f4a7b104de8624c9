"""A replica under a mount, where some files have bytes that the replica does not know yet."""

from __future__ import annotations

from collections.abc import Callable, Collection

from lucidnode.fs.replica.changes import Touched
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.ids import Seq


class MountedReplica(Replica):
    """Counts files with unsaved bytes as changed by us when another node's entry comes in.

    Such bytes were written over the content as it was. Laid over the winner's, they would make a
    file that nobody wrote; so our version goes into a conflict copy, as with saved bytes.
    """

    unsaved: Callable[[], Collection[InodeNo]] = tuple

    def apply_entry(self, seq: Seq, entry_hash: bytes, changeset: bytes | None) -> Touched:
        """Do as `Replica.apply_entry` does."""
        # To a rebase, a tail of no length says just that: ours, and not in the extents.
        for ino in self.unsaved():
            self._tails.ends.setdefault(ino, 0)
        try:
            return super().apply_entry(seq, entry_hash, changeset)
        finally:
            self._tails.recount_all()
