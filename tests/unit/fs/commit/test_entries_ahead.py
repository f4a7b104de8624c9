"""Entries behind one that was there are fetched while it is applied, and nothing stale is used."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from disk_fixture import ManualClock

from lucidnode.fs.commit.entries_ahead import (
    FRESH_S,
    MAX_BYTES_AHEAD,
    MAX_ENTRIES_AHEAD,
    EntriesAhead,
)
from lucidnode.node.client.errors import Malformed, Unavailable
from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.client.wire import MAX_JOURNAL_ENTRY_BYTES

PROJECT = ProjectId("ab" * 16)


async def turned(turns: int) -> None:
    """Let the loop turn so many times."""
    for _ in range(turns):
        await asyncio.sleep(0)


class Bucket:
    """Entries 1 to *length*, of *size* bytes each, so many *turns* of the loop away; counts who is waited for."""

    def __init__(self, length: int, size: int = 10, turns: int = 2) -> None:
        self.length = length
        self.size = size
        self.turns = turns
        self.ahead: set[int] = set()
        self.asked: Counter[int] = Counter()
        self.under_way = self.most = 0
        self.down: set[int] = set()

    async def fetch(
        self, project: ProjectId, seq: Seq, max_bytes: int | None = None
    ) -> bytes | None:
        assert project == PROJECT
        self.asked[seq] += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await turned(self.turns)
        finally:
            self.under_way -= 1
        if seq in self.down:
            raise Unavailable("away")
        if max_bytes is not None:
            if self.size > max_bytes:
                raise Malformed("longer than asked for")
            self.ahead.add(seq)
        return b"%d" % seq if seq <= self.length else None


async def test_a_long_journal_is_fetched_many_at_once_and_each_entry_once() -> None:
    bucket = Bucket(100, turns=50)
    async with asyncio.TaskGroup() as tasks:
        ahead = EntriesAhead(bucket.fetch, ManualClock(), tasks)
        for seq in range(1, 101):
            assert await ahead.entry(PROJECT, Seq(seq)) == b"%d" % seq
        assert await ahead.entry(PROJECT, Seq(101)) is None
    assert bucket.most == MAX_ENTRIES_AHEAD - 1
    assert all(bucket.asked[seq] == 1 for seq in range(1, 101))
    assert bucket.under_way == 0


@pytest.mark.parametrize("most", [MAX_ENTRIES_AHEAD, 48])
@pytest.mark.parametrize("are_longer", [False, True])
async def test_what_is_ahead_has_so_many_bytes_at_most_however_long_entries_are(
    most: int, are_longer: bool
) -> None:
    size = MAX_JOURNAL_ENTRY_BYTES if are_longer else MAX_BYTES_AHEAD // most
    bucket = Bucket(99, size)
    widest = 0
    async with asyncio.TaskGroup() as tasks:
        ahead = EntriesAhead(bucket.fetch, ManualClock(), tasks, most)
        for seq in range(1, 100):
            assert await ahead.entry(PROJECT, Seq(seq)) == b"%d" % seq
            await turned(10)
            bucket.ahead.discard(seq)
            assert len(bucket.ahead) * size <= MAX_BYTES_AHEAD
            widest = max(widest, len(bucket.ahead))
        ahead.stop()
    assert widest == (0 if are_longer else most - 1)
    assert all(bucket.asked[seq] <= (2 if are_longer else 1) for seq in range(1, 100))


async def test_one_new_entry_costs_no_question_more() -> None:
    bucket = Bucket(1)
    async with asyncio.TaskGroup() as tasks:
        ahead = EntriesAhead(bucket.fetch, ManualClock(), tasks)
        for seq in range(1, 20):  # each of them new when it is asked for
            bucket.length = seq
            assert await ahead.entry(PROJECT, Seq(seq)) == b"%d" % seq
            assert await ahead.entry(PROJECT, Seq(seq + 1)) is None
    assert bucket.asked == Counter({1: 1, 20: 1, **dict.fromkeys(range(2, 20), 2)})


async def test_that_there_is_none_is_asked_anew() -> None:
    bucket = Bucket(2)
    async with asyncio.TaskGroup() as tasks:
        ahead = EntriesAhead(bucket.fetch, ManualClock(), tasks)
        for seq in (1, 2):
            await ahead.entry(PROJECT, Seq(seq))
        await turned(10)
        assert bucket.asked[3] == 1
        bucket.length = 3  # after it was looked for
        assert await ahead.entry(PROJECT, Seq(3)) == b"3"


async def test_what_was_fetched_before_a_sleep_is_fetched_again() -> None:
    bucket, clock = Bucket(9), ManualClock()
    async with asyncio.TaskGroup() as tasks:
        ahead = EntriesAhead(bucket.fetch, clock, tasks)
        for seq in (1, 2):
            await ahead.entry(PROJECT, Seq(seq))
        await turned(10)
        clock.now += FRESH_S + 1
        assert await ahead.entry(PROJECT, Seq(3)) == b"3"
        assert bucket.asked[3] == 2


async def test_a_fault_is_told_to_whoever_needs_the_entry() -> None:
    bucket = Bucket(9)
    async with asyncio.TaskGroup() as tasks:
        ahead = EntriesAhead(bucket.fetch, ManualClock(), tasks)
        bucket.down = {3}
        for seq in (1, 2):
            await ahead.entry(PROJECT, Seq(seq))
        with pytest.raises(Unavailable):
            await ahead.entry(PROJECT, Seq(3))
        bucket.down = set()
        assert await ahead.entry(PROJECT, Seq(3)) == b"3"


async def test_a_question_out_of_order_gives_up_what_was_read_ahead() -> None:
    bucket = Bucket(99)
    async with asyncio.TaskGroup() as tasks:
        ahead = EntriesAhead(bucket.fetch, ManualClock(), tasks)
        for seq in (1, 2, 3, 4):
            await ahead.entry(PROJECT, Seq(seq))
        assert await ahead.entry(PROJECT, Seq(50)) == b"50"
        await turned(10)
        assert max(seq for seq in bucket.asked if seq != 50) < 20
        assert await ahead.entry(PROJECT, Seq(5)) == b"5"
        assert bucket.asked[5] == 2, "asked anew"


async def test_giving_up_leaves_nothing_under_way() -> None:
    bucket = Bucket(99)
    async with asyncio.TaskGroup() as tasks:
        ahead = EntriesAhead(bucket.fetch, ManualClock(), tasks)
        for seq in (1, 2, 3, 4):
            await ahead.entry(PROJECT, Seq(seq))
        await asyncio.sleep(0)
        assert bucket.under_way > 0
        ahead.stop()
    assert bucket.under_way == 0
    assert max(bucket.asked) < 20
