"""Has a past read on to the end of the journal, judged as a mount judges it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lucidnode.fs.commit.entries_ahead import EntriesAhead
from lucidnode.fs.commit.entry_verifier import EntryVerifier
from lucidnode.fs.commit.head_check import HeadCheck
from lucidnode.fs.commit.journal_client import JournalClient
from lucidnode.fs.commit.repair.access import RepairAccess, reading_codec
from lucidnode.fs.errors import FsError
from lucidnode.fs.history.past import Past
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.ids import Seq
from lucidnode.node.client.wire import Slot


async def read_on(
    past: Past,
    journal: JournalClient,
    access: RepairAccess,
    clock: Clock,
    progress: Callable[[Seq], None],
) -> None:
    """Read every entry behind the head of *past*, one request each; *progress* is told of each.

    What was read stays read when it breaks off. Raises Unavailable where the bucket no longer has
    what was read before, HistoryForked, another FsError or a NodeError.
    """
    failure: FsError | NodeError | None = None
    async with asyncio.TaskGroup() as tasks:
        ahead = EntriesAhead(journal.entry, clock, tasks)
        try:
            await _read(past, ahead, journal, access, clock, progress)
        except (FsError, NodeError) as error:
            failure = error  # as itself, not as a group of one
        ahead.stop()
    if failure is not None:
        raise failure


async def _read(
    past: Past,
    ahead: EntriesAhead[Slot],
    journal: JournalClient,
    access: RepairAccess,
    clock: Clock,
    progress: Callable[[Seq], None],
) -> None:
    project = access.keys().project
    head = HeadCheck(past.replica.pending, journal, project, clock)
    verifier = EntryVerifier(
        journal, project, reading_codec(access), access.refresh, head, Alerts(clock)
    )
    while True:
        stands_on = past.head()
        seq = Seq(stands_on.seq + 1)
        slot = await ahead.entry(project, seq)
        if slot is None:
            await head.confirm()
            return
        slot, body = await verifier.verified(seq, slot, stands_on)
        past.take(seq, slot, body)
        progress(seq)
