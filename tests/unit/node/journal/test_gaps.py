"""When a slot counts as a gap, and for how long a look that found none is believed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from committer_fixture import VirtualClock
from journal_fixture import PROJECT, SEED, entry

from lucidnode.fs.format import sodium
from lucidnode.node.bucket.bucket import Listed
from lucidnode.node.bucket.keys import journal_key
from lucidnode.node.bucket.memory import MemoryBucket
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.errors import AccessDenied, Unavailable
from lucidnode.node.client.ids import DeviceId, Seq
from lucidnode.node.journal.gaps import Gaps
from lucidnode.node.journal.journal_logs import JournalLogs
from lucidnode.node.journal.kept_entries import KeptEntries
from lucidnode.node.journal.log_slots import no_witness
from lucidnode.node.journal.lost_history import LostHistory
from lucidnode.node.journal.register import SlotContent
from lucidnode.node.journal.seen_entries import SeenEntries

ABOUT_THE_GAP = "has no journal entry"


class CountedBucket(MemoryBucket):
    """Counts listings."""

    listings = 0
    refusal: Unavailable | None = None

    async def list(self, prefix: str, after: str | None = None, limit: int = 1000) -> list[Listed]:
        if self.refusal is not None:
            raise self.refusal
        self.listings += 1
        return await super().list(prefix, after, limit)


class Looks:
    """Gaps over a bucket in memory, on virtual time."""

    def __init__(self, directory: Path) -> None:
        self.clock = VirtualClock()
        self.bucket = CountedBucket()
        alerts = Alerts(self.clock)
        lost = LostHistory(alerts)
        self.seen = SeenEntries(KeptEntries(directory), lost)
        self._gaps = Gaps(
            self.bucket,
            JournalLogs(self.bucket, alerts, self.clock, lambda: 0.5, no_witness).of,
            {DeviceId("cd" * 16): sodium.signing_public(SEED)}.get,
            lost,
            self.seen,
            self.clock,
        )

    def write(self, *numbers: int) -> None:
        for seq in numbers:
            self.bucket.objects[journal_key(PROJECT, Seq(seq))] = entry(seq)

    async def is_gap(self, seq: int) -> bool:
        asking = asyncio.ensure_future(self._gaps.is_gap(PROJECT, Seq(seq)))
        await self.clock.until(asking.done)
        return asking.result()


@pytest.fixture
def looks(tmp_path: Path) -> Looks:
    return Looks(tmp_path)


async def test_that_nobody_has_gone_on_counts_for_a_while_and_for_the_slots_behind(
    looks: Looks,
) -> None:
    looks.write(1)
    for seq in (2, 3, 4):
        assert not await looks.is_gap(seq)
    assert looks.bucket.listings == 1
    looks.clock.now += 10
    assert not await looks.is_gap(5)
    assert looks.bucket.listings == 2


async def test_a_store_that_lists_nothing_is_said_to_and_no_slot_may_be_taken_meanwhile(
    looks: Looks,
) -> None:
    looks.bucket.refusal = AccessDenied("The bucket refuses access", "ask for rights", lasting=True)
    for _ in range(2):
        with pytest.raises(Unavailable) as told:
            await looks.is_gap(2)
        assert str(told.value) == (
            "the journal cannot be listed, because the bucket refuses access: ask for rights."
        )
        assert told.value.lasting
    looks.bucket.refusal = None
    assert not await looks.is_gap(2)


async def test_a_look_behind_a_later_slot_tells_nothing_of_an_earlier_one(
    looks: Looks, expected_warnings: list[str]
) -> None:
    """A daemon that heard of 3 looks behind that; its mount was away and would commit 2."""
    expected_warnings.append(ABOUT_THE_GAP)
    looks.write(1, 3)
    assert not await looks.is_gap(4)
    assert await looks.is_gap(2)


async def test_a_slot_that_is_taken_tells_nothing_of_a_gap_behind_it(
    looks: Looks, expected_warnings: list[str]
) -> None:
    expected_warnings.append(ABOUT_THE_GAP)
    looks.write(1, 2, 4)
    assert not await looks.is_gap(2)
    assert await looks.is_gap(3)


async def test_more_taken_slots_than_a_look_shows_tell_nothing_of_a_gap_behind_them(
    looks: Looks, expected_warnings: list[str]
) -> None:
    expected_warnings.append(ABOUT_THE_GAP)
    looks.write(1, 2, 3, 5)
    assert not await looks.is_gap(1)
    assert await looks.is_gap(4)


async def test_what_was_seen_behind_a_slot_since_the_last_look_has_it_looked_at_anew(
    looks: Looks, expected_warnings: list[str]
) -> None:
    expected_warnings.append(ABOUT_THE_GAP)
    looks.write(1)
    assert not await looks.is_gap(2)
    looks.write(3)
    held = SlotContent.of(looks.bucket.objects[journal_key(PROJECT, Seq(3))])
    await looks.seen.note(PROJECT, Seq(3), held)
    assert await looks.is_gap(2)
