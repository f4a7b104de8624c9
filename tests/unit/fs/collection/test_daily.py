"""Whose turn it is to collect, what is said of it, and what happens when it goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
from committer_fixture import VirtualClock
from replica_fixture import Blocks, Journal, Node

from lucidnode.fs.collection.daily import FIRST_LOOK_S, SETTLE_S, DailyCollection, RoundFailed
from lucidnode.fs.collection.round_spec import Collected
from lucidnode.fs.collection.turns import (
    ABANDONED_NS,
    AGAIN_NS,
    OTHERS_LATER_NS,
    SPREAD_S,
    STANDS_BACK_NS,
    due_ns,
    shown_turn,
)
from lucidnode.fs.format.project_facts import (
    COLLECTION,
    MAX_RETENTION_DAYS,
    RETENTION,
    CollectionTurn,
    Retention,
    collection_turn_in,
    encoded_fact,
)
from lucidnode.fs.replica.inode import ROOT
from lucidnode.fs.replica.intents import Fact, SetXattr
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.snapshots.schedule import SCHEDULE, Schedule
from lucidnode.fs.snapshots.snapshot_maker import SnapshotMaker
from lucidnode.fs.snapshots.snapshot_row import snapshots_of
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.ids import DeviceId, Seq

OURS, THEIRS = DeviceId("00" * 16), DeviceId("11" * 16)
DAY_NS = 86_400 * 10**9
NOW_NS = 10**18


def due(turn: CollectionTurn | None, device: DeviceId, *, has_past: bool = True) -> int:
    """Return when it is due where others have committed since."""
    found = due_ns(turn, device, NOW_NS, Seq(100), has_past=has_past)
    assert found is not None
    return found


def test_who_did_it_does_it_again_and_others_only_if_he_does_not() -> None:
    ended = CollectionTurn(OURS, NOW_NS, NOW_NS + 1)
    assert due(None, OURS) == NOW_NS
    assert due(ended, OURS) == NOW_NS + DAY_NS
    assert due(ended, THEIRS) >= NOW_NS + DAY_NS + OTHERS_LATER_NS
    assert due(ended, THEIRS) < due(ended, OURS) + DAY_NS
    assert due(ended, THEIRS, has_past=False) >= NOW_NS + 4 * DAY_NS, "it reads the journal first"
    assert due(None, THEIRS, has_past=False) == NOW_NS, "somebody has to be the first"


def test_a_project_in_which_nothing_happens_is_looked_at_when_a_list_is_due() -> None:
    ended = CollectionTurn(OURS, NOW_NS, NOW_NS + 1, seq=7, quiet=5)
    assert due_ns(ended, OURS, NOW_NS, Seq(8), has_past=True) is None, (
        "the one that said so is the last"
    )
    assert due_ns(ended, OURS, NOW_NS, Seq(9), has_past=True) == NOW_NS + DAY_NS
    listed = CollectionTurn(OURS, NOW_NS, NOW_NS + 1, seq=7, quiet=5, due_ns=NOW_NS + 33 * DAY_NS)
    assert due_ns(listed, OURS, NOW_NS, Seq(8), has_past=True) == NOW_NS + 33 * DAY_NS
    halfway = CollectionTurn(OURS, NOW_NS, NOW_NS + 1, after=b"b" * 32, seq=7, quiet=5)
    assert due_ns(halfway, OURS, NOW_NS, Seq(8), has_past=True) == NOW_NS + DAY_NS
    assert (ended.last_change(Seq(8)), ended.last_change(Seq(9))) == (5, 9)


def test_a_round_without_an_end_is_begun_again_and_by_others_when_it_can_no_longer_run() -> None:
    begun = CollectionTurn(OURS, NOW_NS)
    assert due(begun, OURS) == NOW_NS + AGAIN_NS
    theirs = due(begun, THEIRS) - NOW_NS
    assert ABANDONED_NS <= theirs <= ABANDONED_NS + SPREAD_S * 10**9


def test_who_may_not_delete_stands_back_and_others_come_at_once() -> None:
    refused = CollectionTurn(OURS, NOW_NS, NOW_NS + 1, refused=True)
    assert due(refused, OURS) == NOW_NS + STANDS_BACK_NS
    assert due(refused, THEIRS) <= NOW_NS + SPREAD_S * 10**9


def test_a_clock_that_was_years_ahead_stops_nobody() -> None:
    assert due(CollectionTurn(OURS, NOW_NS + 900 * DAY_NS), THEIRS) == NOW_NS


@pytest.mark.parametrize(
    "turn",
    [
        CollectionTurn(DeviceId("x"), 1),
        CollectionTurn(OURS, 0),
        CollectionTurn(OURS, 2**63),
        CollectionTurn(OURS, 1, -1),
        CollectionTurn(OURS, 1, freed_blocks=-1),
        CollectionTurn(OURS, 1, freed_bytes=-1),
        CollectionTurn(OURS, 1, after=b"short"),
        CollectionTurn(OURS, 1, seq=1, quiet=2),
        CollectionTurn(OURS, 1, seq=2**53),
        CollectionTurn(OURS, 1, due_ns=-1),
    ],
)
def test_what_no_workstation_says_says_nothing(turn: CollectionTurn) -> None:
    assert collection_turn_in(encoded_fact(turn)) is None


class Committing:
    """A replica whose work is committed at once."""

    def __init__(self, node: Node, journal: Journal) -> None:
        self._node = node
        self._journal = journal
        self.tree, self.pending = node.replica.tree, node.replica.pending

    def apply(self, intent: Fact) -> None:
        self._node.replica.apply(intent)
        self._journal.settle(self._node)


class Place:
    """A mount whose rounds end as *ends* says."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.journal = Journal()
        self.clock = VirtualClock()
        self.alerts = Alerts(self.clock)
        self.rounds: list[bytes] = []
        self.ends = Collected(3, 3000)
        self.happens: Callable[[], object] = lambda: None
        self.fails = ""
        self.daily = DailyCollection(
            cast("Replica", Committing(node, self.journal)),
            OURS,
            self._round,
            lambda: True,
            self.alerts,
            self.clock,
        )

    async def _round(self, after: bytes) -> Collected:
        self.rounds.append(after)
        self.happens()
        if self.fails:
            raise RoundFailed(self.fails)
        return self.ends

    @property
    def turn(self) -> CollectionTurn | None:
        return collection_turn_in(self.node.replica.tree.fact(COLLECTION))

    def says(self, turn: CollectionTurn) -> None:
        self.node.replica.apply(Fact(COLLECTION, encoded_fact(turn)))

    async def live(self, seconds: float) -> None:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.daily.run())
            await self.clock.pass_by(seconds)
            task.cancel()

    def change(self) -> None:
        self.node.create(b"%d" % self.clock.wall_ns())
        self.journal.settle(self.node)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    node = Node(tmp_path / "a.db", "a", Blocks())
    yield Place(node)
    node.replica.close()


async def test_a_project_is_collected_once_a_day_and_not_as_soon_as_it_is_mounted(
    place: Place,
) -> None:
    place.happens = place.change
    await place.live(FIRST_LOOK_S - 60)
    assert not place.rounds
    await place.live(2 * 86_400 + 7200)
    assert len(place.rounds) == 3
    shown = shown_turn(place.node.replica.tree)
    assert shown is not None
    assert (shown.by, shown.freed_bytes) == (OURS, 3000)
    assert shown.next == pytest.approx(shown.begun + 86_400)


async def test_where_nothing_happens_there_is_one_round_and_another_when_a_list_is_due(
    place: Place,
) -> None:
    place.change()
    place.ends = Collected(due_ns=place.clock.wall_ns() + 5 * DAY_NS, entries=0)
    await place.live(4 * 86_400)
    assert len(place.rounds) == 1
    place.ends = Collected()
    await place.live(2 * 86_400)
    assert len(place.rounds) == 2
    place.change()
    await place.live(86_400)
    assert len(place.rounds) == 3


class NoClock:
    async def store_ahead_s(self) -> float | None:
        return None


async def test_the_schedule_of_snapshots_does_not_take_a_round_for_a_change(place: Place) -> None:
    maker = SnapshotMaker(place.node.replica, OURS, NoClock(), lambda: 0.0, place.clock)
    schedule = SetXattr(ROOT, SCHEDULE, Schedule().encoded(), place.clock.wall_ns())
    place.node.replica.apply(schedule)
    place.journal.settle(place.node)
    await maker.look()
    place.journal.settle(place.node)
    for _ in range(3):
        place.ends = Collected(due_ns=place.clock.wall_ns() + DAY_NS, entries=0)
        await place.live(2 * 86_400)
        await maker.look()
        place.journal.settle(place.node)
    assert len(place.rounds) == 6
    assert len(snapshots_of(place.node.replica.tree)) == 1
    place.change()
    place.journal.settle(place.node)
    await place.clock.pass_by(900)
    await maker.look()
    assert len(snapshots_of(place.node.replica.tree)) == 2


async def test_the_next_round_looks_behind_the_last_one(place: Place) -> None:
    place.ends = Collected(after=b"b" * 32)
    await place.live(86_400 + 7200)
    assert place.rounds == [b"", b"b" * 32]


async def test_one_of_two_who_say_so_at_once_lets_the_other_do_it(place: Place) -> None:
    async with asyncio.TaskGroup() as group:
        look = group.create_task(place.daily.look())
        await place.clock.until(lambda: place.turn is not None)
        place.says(CollectionTurn(THEIRS, place.clock.wall_ns()))
        await place.clock.until(look.done)
    assert not place.rounds


async def test_who_cannot_says_so_once_and_leaves_it_to_others(
    place: Place, expected_warnings: list[str]
) -> None:
    expected_warnings.append("cannot free")
    place.ends = Collected(why="Access denied.")
    await place.live(5 * 86_400)
    assert len(place.rounds) == 1
    assert place.turn is not None
    assert place.turn.refused
    assert place.alerts.begun == 1


async def test_a_round_that_fails_is_begun_again_and_is_no_alert(place: Place) -> None:
    place.fails = "the bucket is away"
    await place.live(FIRST_LOOK_S + SETTLE_S + 3 * 3600)
    assert len(place.rounds) == 3
    assert not place.alerts.current()
    assert place.turn is not None
    assert not place.turn.ended_ns


async def test_nothing_goes_by_itself_where_all_is_kept_for_ever(place: Place) -> None:
    place.node.replica.apply(Fact(RETENTION, encoded_fact(Retention(MAX_RETENTION_DAYS))))
    await place.live(3 * 86_400)
    assert not place.rounds
