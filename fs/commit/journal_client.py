"""The journal in the bucket, as this plane sees it through the daemon."""

from __future__ import annotations

from typing import Protocol

from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.client.wire import CommitReply, CommitRequest, Slot


class CommitJournal(Protocol):
    """What a committer asks of the journal. Everything raises NodeError."""

    async def commit(self, project: ProjectId, seq: Seq, request: CommitRequest) -> CommitReply:
        """Have the entry signed and created as *seq*. Safe to call again with the same request."""

    async def entry(self, project: ProjectId, seq: Seq) -> Slot | None:
        """Return what one look at slot *seq* shows, or None if there is nothing."""

    async def proven(self, project: ProjectId, seq: Seq) -> Slot | None:
        """Return what is proven to lie in slot *seq*, or None if nothing is."""


class JournalClient(CommitJournal, Protocol):
    """What the daemon does for whoever reads the journal (DaemonJournal). Everything raises NodeError."""

    async def entry(
        self, project: ProjectId, seq: Seq, max_bytes: int | None = None
    ) -> Slot | None:
        """Return what one look at slot *seq* shows, or None if there is nothing.

        Raises Malformed, having read none of it, where that is longer than *max_bytes*.
        """
