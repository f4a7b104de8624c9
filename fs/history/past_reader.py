"""Has a past read on to the end of the journal, judged as a mount judges it; or further back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lucidnode.fs.commit.entries_ahead import EntriesAhead
from lucidnode.fs.commit.entry_codec import EntryCodec
from lucidnode.fs.commit.entry_verifier import EntryVerifier
from lucidnode.fs.commit.head_check import HeadCheck
from lucidnode.fs.commit.journal_client import JournalClient
from lucidnode.fs.commit.repair.access import RepairAccess, reading_codec
from lucidnode.fs.errors import BadEntry, FsError, NoWayBack
from lucidnode.fs.history.past import Past
from lucidnode.fs.replica.sqlite.changesets import ChangesetUnfit
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Malformed, NodeError, Unavailable
from lucidnode.node.client.ids import Seq
from lucidnode.node.client.in_order import in_order
from lucidnode.node.client.journal import EntryHeader, follows
from lucidnode.node.client.wire import Slot


async def read_on(
    past: Past,
    journal: JournalClient,
    access: RepairAccess,
    clock: Clock,
    progress: Callable[[Seq], None],
    until: Seq | None = None,
) -> None:
    """Read every entry behind the head of *past*, one request each; *progress* is told of each.

    Up to entry *until*, if it is given. What was read stays read when it breaks off. Raises Unavailable where the bucket no longer has
    what was read before, HistoryForked, another FsError or a NodeError.
    """
    failure: FsError | NodeError | None = None
    async with asyncio.TaskGroup() as tasks:
        ahead = EntriesAhead(journal.entry, clock, tasks)
        try:
            await _read(past, ahead, journal, access, clock, progress, until)
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
    until: Seq | None,
) -> None:
    project = access.keys().project
    head = HeadCheck(past.replica.pending, journal, project, clock)
    verifier = EntryVerifier(
        journal, project, reading_codec(access), access.refresh, head, Alerts(clock)
    )
    while until is None or past.head().seq < until:
        stands_on = past.head()
        seq = Seq(stands_on.seq + 1)
        slot = await ahead.entry(project, seq)
        if slot is None:
            await head.confirm()
            return
        slot, body = await verifier.verified(seq, slot, stands_on)
        past.take(seq, slot, body)
        progress(seq)


async def read_back(
    past: Past,
    journal: JournalClient,
    access: RepairAccess,
    to: Seq,
    progress: Callable[[Seq], None],
) -> None:
    """Read the entries before *past* begins, the newest first, until it begins at *to*.

    Each is held to the link that the one behind it has to it, so to what the past began with.
    What was read stays read when it breaks off. Raises NoWayBack where an entry that counted as
    empty tells nothing of the one before it; Unavailable, KeyMissing or another NodeError.
    """
    codec = reading_codec(access)
    project = access.keys().project

    async def read(seq: Seq) -> Slot | None:
        return await journal.entry(project, seq)

    wanted = (Seq(seq) for seq in range(past.since, to, -1))
    async for seq, found in in_order(wanted, read):
        link = past.log.begin().link
        slot = found
        if slot is None or not follows(link, slot.hash):
            slot = await journal.proven(project, seq)
        if slot is None or not follows(link, slot.hash):
            raise Unavailable(
                f"the bucket does not show journal entry {seq} as others went on from it"
            )
        if slot.hash != link or slot.body is None:
            raise NoWayBack(f"journal entry {seq} counted as empty")
        await _take_before(past, codec, access, seq, slot, slot.body)
        progress(Seq(seq - 1))


async def _take_before(
    past: Past, codec: EntryCodec, access: RepairAccess, seq: Seq, slot: Slot, entry: bytes
) -> None:
    try:
        previous = EntryHeader.parse(entry).previous
        try:
            body = codec.open(entry, seq, previous)
        except BadEntry:
            await access.refresh()
            body = codec.open(entry, seq, previous)
        past.take_before(slot, body, previous)
    except (BadEntry, Malformed, ChangesetUnfit) as error:
        raise NoWayBack(f"journal entry {seq}: {error}") from error
