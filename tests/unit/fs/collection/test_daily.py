"""Whose turn it is to collect, what is said of it, and what happens when it goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from committer_fixture import VirtualClock
from replica_fixture import Blocks, Node

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
from lucidnode.fs.replica.intents import Fact
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.ids import DeviceId

OURS, THEIRS = DeviceId("00" * 16), DeviceId("11" * 16)
DAY_NS = 86_400 * 10**9
NOW_NS = 10**18


def test_who_did_it_does_it_again_and_others_only_if_he_does_not() -> None:
    ended = CollectionTurn(OURS, NOW_NS, NOW_NS + 1)
    assert due_ns(None, OURS, NOW_NS) == NOW_NS
    assert due_ns(ended, OURS, NOW_NS) == NOW_NS + DAY_NS
    assert due_ns(ended, THEIRS, NOW_NS) >= NOW_NS + DAY_NS + OTHERS_LATER_NS


def test_a_round_without_an_end_is_begun_again_and_by_others_when_it_can_no_longer_run() -> None:
    begun = CollectionTurn(OURS, NOW_NS)
    assert due_ns(begun, OURS, NOW_NS) == NOW_NS + AGAIN_NS
    theirs = due_ns(begun, THEIRS, NOW_NS) - NOW_NS
    assert ABANDONED_NS <= theirs <= ABANDONED_NS + SPREAD_S * 10**9


def test_who_may_not_delete_stands_back_and_others_come_at_once() -> None:
    refused = CollectionTurn(OURS, NOW_NS, NOW_NS + 1, refused=True)
    assert due_ns(refused, OURS, NOW_NS) == NOW_NS + STANDS_BACK_NS
    assert due_ns(refused, THEIRS, NOW_NS) <= NOW_NS + SPREAD_S * 10**9


def test_a_clock_that_was_years_ahead_stops_nobody() -> None:
    assert due_ns(CollectionTurn(OURS, NOW_NS + 900 * DAY_NS), THEIRS, NOW_NS) == NOW_NS


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
    ],
)
def test_what_no_workstation_says_says_nothing(turn: CollectionTurn) -> None:
    assert collection_turn_in(encoded_fact(turn)) is None


class Place:
    """A mount whose rounds end as *ends* says."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.clock = VirtualClock()
        self.alerts = Alerts(self.clock)
        self.rounds: list[bytes] = []
        self.ends = Collected(3, 3000)
        self.fails = ""
        self.daily = DailyCollection(node.replica, OURS, self._round, self.alerts, self.clock)

    async def _round(self, after: bytes) -> Collected:
        self.rounds.append(after)
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


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    node = Node(tmp_path / "a.db", "a", Blocks())
    yield Place(node)
    node.replica.close()


async def test_a_project_is_collected_once_a_day_and_not_as_soon_as_it_is_mounted(
    place: Place,
) -> None:
    await place.live(FIRST_LOOK_S - 60)
    assert not place.rounds
    await place.live(2 * 86_400 + 7200)
    assert len(place.rounds) == 3
    shown = shown_turn(place.node.replica.tree)
    assert shown is not None
    assert (shown.by, shown.freed_bytes) == (OURS, 3000)
    assert shown.next == pytest.approx(shown.begun + 86_400)


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
    await place.live(20 * 86_400)
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
