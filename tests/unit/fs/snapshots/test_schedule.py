"""A schedule makes one snapshot of a slot, whoever is there, and keeps the first of each period."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from committer_fixture import VirtualClock
from hypothesis import given
from hypothesis import strategies as st
from past_fixture import Chronicle

from lucidnode.fs.replica.inode import ROOT
from lucidnode.fs.replica.intents import RemoveXattr, SetXattr
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.snapshots.schedule import (
    SCHEDULE,
    SLOT_S,
    Schedule,
    slot_at,
    slot_name,
    slot_of,
    surplus,
)
from lucidnode.fs.snapshots.snapshot_maker import SnapshotMaker
from lucidnode.fs.snapshots.snapshot_row import NamedRow, SnapshotRow, attribute, snapshots_of
from lucidnode.node.client.ids import DeviceId, Seq

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
USUAL = Schedule()
FIRST, LAST = DeviceId("00" * 16), DeviceId("00000077" + "00" * 12)
"""Devices that wait no time into a slot, and 119 s."""


def of_slot(slot: datetime) -> NamedRow:
    return NamedRow(slot_name(slot), SnapshotRow(seq=Seq(1), wall_ns=1, scheduled=True))


def lived(slots: list[datetime], schedule: Schedule) -> list[datetime]:
    """Return which slots are left of *slots* when each is made, and thinned out, in its turn."""
    there: list[NamedRow] = []
    for slot in slots:
        there.append(of_slot(slot))
        gone = surplus(there, schedule, slot)
        there = [each for each in there if each not in gone]
    return [left for each in there if (left := slot_of(each)) is not None]


def test_of_a_month_of_work_so_many_stay_as_the_schedule_says() -> None:
    slots = [MONDAY + timedelta(seconds=SLOT_S * number) for number in range(5 * 7 * 96)]
    left = lived(slots, USUAL)
    end = slots[-1]
    quarters = [end - timedelta(minutes=15 * n) for n in range(4)]
    hours = [end.replace(minute=0) - timedelta(hours=n) for n in range(6)]
    days = [end.replace(hour=0, minute=0) - timedelta(days=n) for n in range(7)]
    weeks = [MONDAY + timedelta(weeks=n) for n in range(1, 5)]
    assert set(left) == {*quarters, *hours, *days, *weeks}


@given(st.lists(st.integers(0, 3000), min_size=1, unique=True).map(sorted))
def test_what_stays_does_not_depend_on_when_it_was_thinned_out(numbers: list[int]) -> None:
    slots = [MONDAY + timedelta(seconds=SLOT_S * number) for number in numbers]
    gone = surplus([of_slot(slot) for slot in slots], USUAL, slots[-1])
    at_once = [slot for slot in slots if of_slot(slot) not in gone]
    assert lived(slots, USUAL) == at_once
    assert slots[-1] in at_once


def test_what_was_made_by_hand_stays_and_what_a_wrong_clock_made_goes() -> None:
    by_hand = NamedRow("2026-03-02T00:00Z", SnapshotRow(seq=Seq(1), wall_ns=1))
    named_otherwise = NamedRow("cut", SnapshotRow(seq=Seq(1), wall_ns=1, scheduled=True))
    wrong = of_slot(MONDAY + timedelta(days=400))
    right = of_slot(MONDAY)
    found = surplus([by_hand, named_otherwise, wrong, right], USUAL, MONDAY)
    assert found == [wrong]
    assert surplus([by_hand, named_otherwise, right], None, MONDAY) == [right], "switched off"


@pytest.fixture
async def chronicle(tmp_path: Path) -> Chronicle:
    chronicle = Chronicle(tmp_path)
    node = chronicle.node
    node.replica.apply(SetXattr(ROOT, SCHEDULE, USUAL.encoded(), node.time()))
    await chronicle.commit()
    return chronicle


class Store:
    """A store whose clock is so far ahead; None: it says no time, as a directory."""

    def __init__(self, ahead_s: float | None) -> None:
        self._ahead_s = ahead_s

    async def store_ahead_s(self) -> float | None:
        return self._ahead_s


class LostClock(VirtualClock):
    """A clock that began anew, well into a quarter of an hour."""

    def wall_ns(self) -> int:
        return 200 * 10**9


def maker_of(
    replica: Replica, device: DeviceId, chronicle: Chronicle, ahead_s: float | None = None
) -> SnapshotMaker:
    """Return one that has just seen the end of the journal."""
    return SnapshotMaker(replica, device, Store(ahead_s), lambda: 0.0, chronicle.clock)


async def at(chronicle: Chronicle, seconds: float) -> None:
    """Let the clock go on to so many seconds into the next slot."""
    now = chronicle.clock.wall_ns() / 1e9
    await chronicle.clock.pass_by(SLOT_S - now % SLOT_S + seconds)


async def test_a_slot_has_one_snapshot_and_only_if_something_was_committed(
    chronicle: Chronicle,
) -> None:
    node = chronicle.node
    maker = maker_of(node.replica, FIRST, chronicle)
    await at(chronicle, 1)
    changed = node.replica.tree.attributes(ROOT)
    await maker.look()
    await maker.look()
    [made] = snapshots_of(node.replica.tree)
    assert (made.row.seq, made.row.scheduled) == (1, True)
    assert made.name == slot_name(slot_at(chronicle.clock.wall_ns() / 1e9))
    assert node.replica.tree.attributes(ROOT) == changed, "no program sees a change"
    await chronicle.commit()
    await at(chronicle, 1)
    await maker.look()
    assert len(snapshots_of(node.replica.tree)) == 1, "nothing has happened since"
    node.create(b"a")
    await chronicle.commit()
    await maker.look()
    assert [each.row.seq for each in snapshots_of(node.replica.tree)] == [1, 3]


async def test_who_is_later_finds_it_made_and_who_is_at_once_makes_the_same(
    chronicle: Chronicle,
) -> None:
    other = chronicle.another()
    desks = (chronicle.desk, other)

    async def together() -> None:
        async with asyncio.TaskGroup() as group:
            loops = [group.create_task(desk.committer.run()) for desk in desks]

            def settled() -> bool:
                heads = {desk.node.replica.pending.head() for desk in desks}
                return len(heads) == 1 and all(desk.caught_up() for desk in desks)

            await chronicle.clock.until(settled)
            for loop in loops:
                loop.cancel()

    await together()
    first = maker_of(chronicle.node.replica, FIRST, chronicle)
    last = maker_of(other.node.replica, LAST, chronicle)
    await at(chronicle, 60)
    await last.look()
    assert snapshots_of(other.node.replica.tree) == [], "it waits for its turn"
    await first.look()
    await chronicle.clock.pass_by(60)
    await last.look()
    assert other.node.replica.pending.has_work(), "it has not heard of the other one"
    await together()
    ours, theirs = (snapshots_of(desk.node.replica.tree) for desk in desks)
    assert ours == theirs
    assert len(ours) == 1


async def test_what_would_not_stay_is_not_made(chronicle: Chronicle) -> None:
    """By a clock that is behind, of a store that has none: it was made and taken away at every look."""
    node = chronicle.node
    now = slot_at(chronicle.clock.wall_ns() / 1e9)
    for number in range(5, 12):
        later = now + timedelta(seconds=number * SLOT_S)
        row = SnapshotRow(seq=Seq(1), wall_ns=1, scheduled=True)
        node.replica.apply(SetXattr(ROOT, attribute(slot_name(later)), row.encoded(), node.time()))
    node.replica.apply(
        SetXattr(ROOT, SCHEDULE, Schedule(quarters=2, hours=0, days=0, weeks=0).encoded(), 1)
    )
    await chronicle.commit()
    await at(chronicle, 1)
    maker = maker_of(node.replica, FIRST, chronicle)
    await maker.look()
    await chronicle.commit()
    head = chronicle.head
    node.create(b"a")
    await chronicle.commit()
    await maker.look()
    await chronicle.commit()
    assert chronicle.head == head + 1, "nothing but the file"


@pytest.mark.parametrize("days", [-10_000, -2, 2, 10_000, 2_900_000])
async def test_a_store_whose_time_cannot_be_has_nothing_made_and_nothing_taken_away(
    chronicle: Chronicle, days: int
) -> None:
    node = chronicle.node
    await at(chronicle, 1)
    await maker_of(node.replica, FIRST, chronicle, 3600.0).look()
    [made] = snapshots_of(node.replica.tree)
    assert made.name == slot_name(slot_at(chronicle.clock.wall_ns() / 1e9 + 3600))
    node.create(b"a")
    await chronicle.commit()
    await maker_of(node.replica, FIRST, chronicle, days * 86_400.0).look()
    assert snapshots_of(node.replica.tree) == [made]


async def test_who_lost_his_clock_takes_nothing_away_at_a_store_that_has_none(
    chronicle: Chronicle,
) -> None:
    node = chronicle.node
    await at(chronicle, 1)
    maker = maker_of(node.replica, FIRST, chronicle)
    await maker.look()
    [made] = snapshots_of(node.replica.tree)
    node.create(b"a")
    await chronicle.commit()
    lost = SnapshotMaker(node.replica, FIRST, Store(None), lambda: 0.0, LostClock())
    await lost.look()
    assert snapshots_of(node.replica.tree) == [made]


async def test_switched_off_all_go_that_it_made(chronicle: Chronicle) -> None:
    node = chronicle.node
    maker = maker_of(node.replica, FIRST, chronicle)
    by_hand = SnapshotRow(seq=Seq(1), wall_ns=1)
    node.replica.apply(SetXattr(ROOT, b"user.lucid.snapshot.cut", by_hand.encoded(), node.time()))
    await at(chronicle, 1)
    await maker.look()
    assert len(snapshots_of(node.replica.tree)) == 2
    node.replica.apply(RemoveXattr(ROOT, SCHEDULE, node.time()))
    await maker.look()
    assert [each.name for each in snapshots_of(node.replica.tree)] == ["cut"]


async def test_a_mount_that_takes_nothing_makes_none_and_goes_on(chronicle: Chronicle) -> None:
    node = chronicle.node
    maker = maker_of(node.replica, FIRST, chronicle)
    node.replica.stop("the disk is full")
    async with asyncio.TaskGroup() as group:
        loop = group.create_task(maker.run())
        await at(chronicle, 100)
        node.replica.go_on()
        await chronicle.clock.until(lambda: bool(snapshots_of(node.replica.tree)))
        loop.cancel()
