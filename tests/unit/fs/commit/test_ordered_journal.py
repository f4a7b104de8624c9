"""What a new entry needs lies in staging, and the daemon knows of it, before the entry is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from disk_fixture import ManualClock

from lucidnode.fs.commit.ordered_journal import OrderedJournal
from lucidnode.fs.write.staging_notifier import StagingNotifier
from lucidnode.node.client.errors import Unavailable
from lucidnode.node.client.ids import BlockId, ProjectId, Seq
from lucidnode.node.client.wire import CommitReply, CommitRequest, Slot

PROJECT = ProjectId("ab" * 16)
BLOCK = BlockId(b"b" * 32)


class Daemon:
    """Notes in `did` what it hears, with what the writer lays into staging."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.entries: dict[int, Slot] = {}
        self.is_away = False

    async def staged(
        self, project: ProjectId, blocks: Sequence[BlockId], ranks: Sequence[int] = ()
    ) -> None:
        self.did.append("told of the block")

    async def commit(self, project: ProjectId, seq: Seq, request: CommitRequest) -> CommitReply:
        self.did.append("entry")
        return CommitReply("committed", b"")

    async def entry(
        self, project: ProjectId, seq: Seq, max_bytes: int | None = None
    ) -> Slot | None:
        if self.is_away:
            raise Unavailable("away")
        return self.entries.get(seq)

    async def proven(self, project: ProjectId, seq: Seq) -> Slot | None:
        self.did.append("proof")
        return self.entries.get(seq)


class Writer:
    def __init__(self, did: list[str]) -> None:
        self._did = did

    async def staged(self, blocks: Sequence[BlockId]) -> None:
        await asyncio.sleep(0)
        self._did.append("block in staging")


async def test_blocks_lie_in_staging_and_are_told_before_the_entry_that_names_them() -> None:
    daemon, clock = Daemon(), ManualClock()
    notifier = StagingNotifier(PROJECT, daemon, clock)
    async with asyncio.TaskGroup() as tasks:
        journal = OrderedJournal(daemon, Writer(daemon.did), notifier, clock, tasks)
        notifier.notify(BLOCK)
        await journal.commit(PROJECT, Seq(1), CommitRequest(b"", [bytes(BLOCK)]))
    assert daemon.did == ["block in staging", "told of the block", "entry"]


async def test_the_end_of_the_journal_counts_as_asked_once_it_was_seen_or_could_not_be() -> None:
    daemon, clock = Daemon(), ManualClock()
    daemon.entries[1] = Slot(b"h" * 32, b"entry")
    async with asyncio.TaskGroup() as tasks:
        for is_away in (False, True):
            notifier = StagingNotifier(PROJECT, daemon, clock)
            journal = OrderedJournal(daemon, Writer(daemon.did), notifier, clock, tasks)
            daemon.is_away = False
            assert await journal.entry(PROJECT, Seq(1)) is not None
            assert not journal.asked.is_set(), "there may be more"
            daemon.is_away = is_away
            if is_away:
                with pytest.raises(Unavailable):
                    await journal.entry(PROJECT, Seq(2))
            else:
                assert await journal.entry(PROJECT, Seq(2)) is None
            assert journal.asked.is_set()


async def test_a_proof_is_never_what_was_read_ahead() -> None:
    daemon, clock = Daemon(), ManualClock()
    async with asyncio.TaskGroup() as tasks:
        notifier = StagingNotifier(PROJECT, daemon, clock)
        journal = OrderedJournal(daemon, Writer(daemon.did), notifier, clock, tasks)
        assert await journal.proven(PROJECT, Seq(1)) is None
    assert daemon.did == ["proof"]
