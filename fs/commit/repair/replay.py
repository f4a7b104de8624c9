"""Applies the journal of the bucket to a replica that only follows, judged as a mount does."""

from __future__ import annotations

import asyncio

from lucidnode.fs.commit.committer import Committer
from lucidnode.fs.commit.entries_ahead import EntriesAhead
from lucidnode.fs.commit.journal_client import JournalClient
from lucidnode.fs.commit.repair.access import RepairAccess, reading_codec
from lucidnode.fs.errors import FsError
from lucidnode.fs.replica.changes import Touched
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.client.wire import CommitReply, CommitRequest, Slot


async def caught_up(
    journal: JournalClient,
    access: RepairAccess,
    replica: Replica,
    clock: Clock,
    hooks: Bystander,
    last: Seq | None = None,
) -> None:
    """Apply every entry of the bucket, up to *last*, to *replica*, judged as a mount does.

    Raises a NodeError or an FsError.
    """
    async with asyncio.TaskGroup() as tasks:
        ahead = EntriesAhead(journal.entry, clock, tasks)
        committer = Committer(
            replica,
            _Reading(journal, ahead, last),
            access.keys().project,
            reading_codec(access),
            hooks,
            Alerts(clock),
            clock,
            read_only=True,
        )
        failure: FsError | NodeError | None = None
        try:
            await committer.catch_up()
        except (FsError, NodeError) as error:
            failure = error  # as itself, not as a group of one
        ahead.stop()
    if failure is not None:
        raise failure


class _Reading:
    """The journal for a replica that only follows."""

    def __init__(self, journal: JournalClient, ahead: EntriesAhead[Slot], last: Seq | None) -> None:
        self._ahead = ahead
        self._last = last
        self.proven = journal.proven

    async def entry(self, project: ProjectId, seq: Seq) -> Slot | None:
        if self._last is not None and seq > self._last:
            return None
        return await self._ahead.entry(project, seq)

    async def commit(self, project: ProjectId, seq: Seq, request: CommitRequest) -> CommitReply:  # noqa: ARG002
        raise AssertionError("a repair commits nothing")


class Bystander:
    """Hooks of a committer when nobody looks at the tree."""

    def __init__(self, access: RepairAccess) -> None:
        self.refresh_roster = access.refresh

    def before_batch(self) -> None:
        """Nothing is written here."""

    def touched(self, touched: Touched) -> None:
        """Nobody has a file open."""

    def passed(self, seq: Seq, changeset: bytes | None, *, ours: bool) -> None:
        """No checkpoint is made here."""


class JudgedEntries(Bystander):
    """Takes note of the link to each entry, which says whether it was applied."""

    def __init__(self, access: RepairAccess, replica: Replica) -> None:
        super().__init__(access)
        self._replica = replica
        self.links: dict[Seq, bytes] = {}

    def touched(self, touched: Touched) -> None:  # noqa: ARG002
        head = self._replica.pending.head()
        self.links[head.seq] = head.link
