"""What a deleted project had in the bucket leaves it in time, and nothing else, and not before."""

from __future__ import annotations

import pytest
from committer_fixture import VirtualClock
from studio_fixture import Studio

from lucidnode.fs.membership.entries import state_entry
from lucidnode.node.bucket.memory import MemoryBucket
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.errors import AccessDenied, Unavailable
from lucidnode.node.client.ids import ProjectId
from lucidnode.node.client.roster import Roster
from lucidnode.node.client.roster_entry import ProjectState
from lucidnode.node.roster.erasure import AGAIN_S, GRACE_S, Erasure, due

DAY_NS = 86_400 * 10**9
REQUESTS = 24 * 100
"""A day; so 100 for each look."""


class Store(MemoryBucket):
    """Refuses to delete, if it is told to; counts."""

    def __init__(self) -> None:
        super().__init__()
        self.refuses = False
        self.requests = 0

    async def delete(self, key: str) -> None:
        self.requests += 1
        if self.refuses:
            raise AccessDenied("may not delete")
        await super().delete(key)


class World:
    """A studio with three projects of 150 objects each; the log that the daemon has read may be old."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.studio = Studio()
        self.film, self.other, self.third = map(self.studio.project, ("film", "other", "third"))
        self.store = Store()
        for project in (self.film, self.other, self.third):
            for number in range(150):
                self.store.objects[f"p/{project}/block/00/{number:04}"] = b"x"
        self.store.objects["studio"] = self.store.objects["roster/0000000000000001"] = b"x"
        self.read = self.studio.roster()
        self.answers = True
        self.skew: float | None = None
        self.forgotten: list[ProjectId] = []
        self.alerts = Alerts(self.clock)
        self.per_day = REQUESTS
        self.erasure = Erasure(
            self.store,
            self,
            self.forget,
            lambda: self.skew,
            lambda: self.per_day,
            self.alerts,
            self.clock,
            lambda: 0.5,
        )

    @property
    def current(self) -> Roster:
        return self.read

    async def refresh(self) -> None:
        if not self.answers:
            raise Unavailable("away")
        self.read = self.studio.roster()

    async def forget(self, project: ProjectId) -> None:
        self.forgotten.append(project)

    def change(self, project: ProjectId, state: ProjectState, days: int = 0) -> None:
        view, now = self.studio.view(self.studio.ada), self.clock.wall_ns()
        [found] = [one for one in view.projects_and_deleted() if one.id == project]
        until = now + days * DAY_NS if state == "deleted" else 0
        self.studio.entries.append(state_entry(view, found, state, now, until))

    def left(self, project: ProjectId) -> int:
        return sum(key.startswith(f"p/{project}/") for key in self.store.objects)


async def test_it_is_all_gone_a_day_after_its_time_and_nothing_of_others() -> None:
    world = World()
    world.change(world.film, "deleted", days=30)
    world.change(world.other, "archived")
    await world.refresh()
    await world.clock.pass_by(31 * 86_400 - 1)
    await world.erasure.look()
    assert world.left(world.film) == 150
    await world.clock.pass_by(2)
    for left in (51, 0):  # an hour's share is 100 requests, one of them the list
        await world.erasure.look()
        assert world.left(world.film) == left
    assert world.left(world.other) == world.left(world.third) == 150
    assert {"studio", "roster/0000000000000001"} <= world.store.objects.keys()
    assert set(world.forgotten) == {world.film}
    # What somebody uploads later who was off meanwhile goes as well, a day after.
    world.store.objects[f"p/{world.film}/block/00/late"] = b"x"
    await world.erasure.look()
    assert world.left(world.film) == 1
    await world.clock.pass_by(AGAIN_S)
    await world.erasure.look()
    assert world.left(world.film) == 0


async def test_nothing_goes_while_it_can_be_that_somebody_brought_it_back() -> None:
    world = World()
    world.change(world.film, "deleted", days=1)
    await world.refresh()
    world.change(world.film, "active")  # this node has not heard of it
    await world.clock.pass_by(3 * 86_400)
    world.answers = False
    await world.erasure.look()
    assert (world.left(world.film), world.forgotten) == (150, [])
    world.answers = True
    await world.erasure.look()
    assert (world.left(world.film), world.forgotten) == (150, [])


@pytest.mark.parametrize(("skew", "left"), [(None, 51), (-86_400 * 365.0, 150), (1e9, 51)])
async def test_a_workstation_whose_clock_is_ahead_goes_by_the_stores(
    skew: float | None, left: int
) -> None:
    world = World()
    world.change(world.film, "deleted", days=1)
    await world.refresh()
    await world.clock.pass_by(86_400 + GRACE_S + 1)
    world.skew = skew
    await world.erasure.look()
    assert world.left(world.film) == left


def test_a_store_whose_clock_is_ahead_brings_nothing_forward() -> None:
    world = World()
    world.change(world.film, "deleted", days=1)
    roster = world.studio.roster()
    until_s = roster.projects[world.film].states[-1].until_ns / 1e9
    assert due(roster, until_s + GRACE_S) == []
    assert due(roster, until_s + GRACE_S + 1) == [world.film]


async def test_a_store_that_refuses_is_told_of_and_one_that_collects_nothing_here_leaves_it(
    expected_warnings: list[str],
) -> None:
    world = World()
    world.change(world.film, "deleted", days=1)
    await world.refresh()
    await world.clock.pass_by(3 * 86_400)
    world.per_day = 0
    await world.erasure.look()
    assert world.store.requests == 0
    world.per_day, world.store.refuses = REQUESTS, True
    await world.erasure.look()
    [alert] = world.alerts.current()
    assert "stays in the bucket" in alert.cause
    assert f"p/{world.film}" in alert.remedy
    world.store.refuses = False
    for _ in range(2):
        await world.erasure.look()
    assert world.left(world.film) == 0
    assert world.alerts.current() == []
    expected_warnings += ["stays in the bucket"]
