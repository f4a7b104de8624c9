"""The daemon's journal as this mount must use it: blocks into staging first, then the entry."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from lucidnode.fs.commit.entries_ahead import EntriesAhead
from lucidnode.fs.commit.journal_client import JournalClient
from lucidnode.fs.write.staging_notifier import StagingNotifier
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.ids import BlockId, ProjectId, Seq
from lucidnode.node.client.supervision import Tasks
from lucidnode.node.client.wire import CommitReply, CommitRequest, Slot

_MOST_AHEAD = 48
"""Entries in the window of a mount, which is shown when it has them all: at 20 ms for each answer and two
milliseconds of work, 16 are half a second more of a first mount. A question costs next to nothing."""


class PackStaging(Protocol):
    """What is asked of whoever makes packs (TailPacker)."""

    async def staged(self, blocks: Sequence[BlockId]) -> None:
        """Return once none of *blocks* is still on its way into staging."""


class OrderedJournal:
    """Wraps *daemon*, for one project.

    Entries are read ahead, and what a new one needs lies in staging before the daemon looks there.
    Every question raises NodeError.
    """

    def __init__(
        self,
        daemon: JournalClient,
        packs: PackStaging,
        notifier: StagingNotifier,
        clock: Clock,
        tasks: Tasks,
    ) -> None:
        self._daemon = daemon
        self._packs = packs
        self._notifier = notifier
        self._ahead = EntriesAhead(daemon.entry, clock, tasks, _MOST_AHEAD)
        self.asked = asyncio.Event()
        """Set once the end of the journal was seen, or could not be."""

    async def commit(self, project: ProjectId, seq: Seq, request: CommitRequest) -> CommitReply:
        """Commit once everything that *request* needs is staged, and the daemon knows."""
        await self._packs.staged([BlockId(block) for block in request.needs])
        await self._notifier.deliver()
        return await self._daemon.commit(project, seq, request)

    async def proven(self, project: ProjectId, seq: Seq) -> Slot | None:
        """Return what is proven to lie in slot *seq*, or None if nothing is."""
        return await self._daemon.proven(project, seq)

    async def entry(self, project: ProjectId, seq: Seq) -> Slot | None:
        """Return what lies in slot *seq*, or None if nothing does."""
        try:
            found = await self._ahead.entry(project, seq)
        except NodeError:
            self.asked.set()
            raise
        if found is None:
            self.asked.set()
        return found

    def stop_ahead(self) -> None:
        """Give up what is being read ahead."""
        self._ahead.stop()
