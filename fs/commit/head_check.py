"""Whether the entry that this replica stands on is still part of the history in the bucket.

An empty slot after it proves nothing by itself: the bucket may have lost its newest entries, or
collected old ones while this workstation slept.
"""

from __future__ import annotations

from typing import NoReturn

from lucidnode.fs.commit.journal_client import CommitJournal
from lucidnode.fs.errors import HistoryForked
from lucidnode.fs.replica.changes import Head
from lucidnode.fs.replica.pending_operations import PendingOperations
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Unavailable
from lucidnode.node.client.ids import ProjectId
from lucidnode.node.client.journal import follows

FRESH_S = 60.0
"""How long one look at our head is believed."""

MISSING_S = 60.0
"""How long our head must be missing before this workstation is read-only: most of what a store, or
what answers in its place, makes of an entry is over sooner. Changes wait here meanwhile."""


class HeadCheck:
    """When the head of the replica with *pending* was last seen in the bucket."""

    def __init__(
        self,
        pending: PendingOperations,
        journal: CommitJournal,
        project: ProjectId,
        clock: Clock,
    ) -> None:
        self._pending = pending
        self._journal = journal
        self._project = project
        self._clock = clock
        self._seen_at: float | None = None
        self._missing: tuple[bytes, float] | None = None

    def is_fresh(self) -> bool:
        """Tell whether it was seen within FRESH_S."""
        return self._seen_at is not None and self._clock.boot() - self._seen_at < FRESH_S

    def seen(self, asked_at: float) -> None:
        """Note that what the bucket showed when it was asked at *asked_at* is our head now."""
        self._seen_at = asked_at

    def doubt(self) -> None:
        """Look again before it is believed."""
        self._seen_at = None

    async def ensure_fresh(self) -> None:
        """Do as `confirm`, and raise as it does, unless it is fresh."""
        if not self.is_fresh():
            await self.confirm()

    async def confirm(self) -> None:
        """See in the bucket that our head is still part of the history.

        Raises Unavailable if it is not, and HistoryForked once that has lasted MISSING_S; or a
        NodeError.
        """
        asked_at = self._clock.boot()
        head = self._pending.head()
        if head.seq > 0:
            slot = await self._journal.entry(self._project, head.seq)
            if slot is None or not follows(head.link, slot.hash):
                slot = await self._journal.proven(self._project, head.seq)
            if slot is None or not follows(head.link, slot.hash):
                self._note_missing(head, asked_at)
        self._missing = None
        self._seen_at = asked_at

    def _note_missing(self, head: Head, at: float) -> NoReturn:
        if self._missing is None or self._missing[0] != head.link:
            self._missing = (head.link, at)
        what = f"the bucket no longer has journal entry {head.seq} as this workstation has seen it"
        if at - self._missing[1] < MISSING_S:
            raise Unavailable(what)
        raise HistoryForked(what)
