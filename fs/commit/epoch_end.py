"""Ends the epoch that a journal is in, without a mount of its project."""

from __future__ import annotations

import asyncio
import os

from lucidnode.fs.commit.commit_signals import set_within
from lucidnode.fs.commit.committer import Committer
from lucidnode.fs.commit.entry_codec import EntryCodec
from lucidnode.fs.commit.repair.access import RepairAccess, RepairJournal
from lucidnode.fs.commit.repair.replay import Bystander, caught_up
from lucidnode.fs.errors import ReadOnly
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Unavailable

_PATIENCE_S = 60.0
"""Seconds without any entry after which it is given up; the next writer of the project does it."""


async def end_epoch(
    journal: RepairJournal, access: RepairAccess, replica: Replica, clock: Clock
) -> bool:
    """Have an entry of the newest epoch in the journal; tell whether it took one of ours.

    *replica* is one of its own, on which nothing waits. Raises Unavailable if the bucket takes
    nothing, another NodeError or an FsError.
    """
    await caught_up(journal, access, replica, clock, Bystander(access))
    epoch = access.keys().current
    if replica.pending.head().epoch >= epoch:
        return False
    alerts = Alerts(clock)
    committer = Committer(
        replica,
        journal,
        access.keys().project,
        EntryCodec(access.keys, access.device, access.writer_key, os.urandom),
        Bystander(access),
        alerts,
        clock,
    )
    async with asyncio.TaskGroup() as tasks:
        loops = tasks.create_task(committer.run())
        head, given_up_at = replica.pending.head(), clock.boot() + _PATIENCE_S
        while head.epoch < epoch and committer.stopped is None and clock.boot() < given_up_at:
            await set_within(committer.progress, given_up_at - clock.boot(), clock)
            before, head = head, replica.pending.head()
            if head != before:
                given_up_at = clock.boot() + _PATIENCE_S
        loops.cancel()
    if committer.stopped is not None:
        raise ReadOnly(committer.stopped)
    if replica.pending.head().epoch < epoch:
        causes = " ".join(alert.cause for alert in alerts.current())
        raise Unavailable(causes or "the bucket takes nothing now")
    return True
