"""A schedule's snapshots while workstations die, freeze, lose the bucket and have clocks that are wrong.

Of each quarter of an hour in which anybody was there all the time there is one, and only one was ever made: a
state of that quarter. Real replicas, committers and makers on virtual time; the bucket is a dictionary.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random  # noqa: TID251 - seeded: a failure can be repeated

import pytest
from committer_fixture import Bucket, Desk, VirtualClock

from lucidnode.fs.replica.inode import ROOT
from lucidnode.fs.replica.intents import SetXattr
from lucidnode.fs.snapshots.schedule import SCHEDULE, SLOT_S, Schedule, slot_at, slot_name
from lucidnode.fs.snapshots.snapshot_maker import SnapshotMaker
from lucidnode.fs.snapshots.snapshot_row import SnapshotRow, snapshots_of
from lucidnode.node.client.ids import DeviceId

SEATS = 3
SLOTS = 6
STEP_S = 30.0


class SeatClock(VirtualClock):
    """The clock of one workstation: *ahead_s* of the true one, and it wakes nobody while it is frozen."""

    def __init__(self, true: VirtualClock, ahead_s: float) -> None:
        super().__init__()
        self._true = true
        self.ahead_s = ahead_s
        self.threads = true.threads
        self.runs = asyncio.Event()
        self.runs.set()

    def boot(self) -> float:
        return self._true.boot()

    def wall_ns(self) -> int:
        return self._true.wall_ns() + int(self.ahead_s * 1e9)

    async def sleep(self, seconds: float) -> None:
        await self._true.sleep(seconds)
        await self.runs.wait()

    async def store_ahead_s(self) -> float | None:
        return -self.ahead_s


class Seat:
    """A workstation that has the project mounted, or had until it died."""

    def __init__(
        self, path: Path, name: str, bucket: Bucket, clock: SeatClock, wait_s: int
    ) -> None:
        self.desk = Desk(path, name, bucket, clock)
        self.clock = clock
        self.device = DeviceId(f"{wait_s:08x}" + "00" * 12)
        self.loops: list[asyncio.Task[None]] = []
        self.well_since: float | None = None

    def start(self) -> None:
        """Mount."""
        committer = self.desk.committer
        maker = SnapshotMaker(
            self.desk.node.replica, self.device, self.clock, committer.life.end_seen_s, self.clock
        )
        self.loops = [asyncio.ensure_future(each) for each in (committer.run(), maker.run())]

    async def die(self) -> None:
        """End as by SIGKILL, also while frozen."""
        for loop in self.loops:
            loop.cancel()
        if self.loops:
            await asyncio.wait(self.loops)
        self.loops = []
        self.clock.runs.set()
        self.desk.crash()

    @property
    def is_well(self) -> bool:
        """Whether it is mounted, awake, and reaches the bucket."""
        return bool(self.loops) and self.clock.runs.is_set() and self.desk.daemon.reachable

    def heads(self) -> int:
        """Return the entry it stands on."""
        return self.desk.node.replica.pending.head().seq


class World:
    """All of it, for one seed."""

    def __init__(self, path: Path, seed: int) -> None:
        self.random = Random(seed)
        self.true = VirtualClock()
        self.bucket = Bucket()
        wrong = [
            0.0,
            self.random.choice([-7200.0, -600.0, 700.0, 3600.0]),
            self.random.uniform(-2, 2),
        ]
        self.random.shuffle(wrong)
        self.seats = [
            Seat(path, f"{number}", self.bucket, SeatClock(self.true, ahead), wait)
            for number, (ahead, wait) in enumerate(zip(wrong, (0, 50, 119), strict=True))
        ]
        for seat in self.seats:
            for other in self.seats:
                seat.desk.devices[other.desk.daemon.device] = other.desk.daemon.public
        self.made: dict[str, SnapshotRow] = {}
        self.files = 0

    def now(self) -> float:
        return self.true.wall_ns() / 1e9

    async def act(self) -> None:
        """Let something happen to one workstation."""
        seat = self.random.choice(self.seats)
        match self.random.randrange(9):
            case 0 if seat.loops:
                await seat.die()
            case 1 | 2 if not seat.loops:
                seat.start()
            case 3:
                seat.clock.runs.clear()
            case 4 | 5:
                seat.clock.runs.set()
            case 6:
                seat.desk.daemon.reachable = not seat.desk.daemon.reachable
            case _:
                self.save()

    def save(self) -> None:
        """Have somebody who is well save a file."""
        if well := [seat for seat in self.seats if seat.is_well]:
            self.files += 1
            self.random.choice(well).desk.node.create(b"file %d" % self.files)

    def look(self) -> None:
        """See what snapshots there are, whoever shows them; none ever changes."""
        for seat in self.seats:
            for name, row in snapshots_of(seat.desk.node.replica.tree):
                if not seat.desk.node.replica.pending.has_work():
                    assert self.made.setdefault(name, row) == row, name

    async def settle(self) -> None:
        """Have all be well, and know the same."""
        for seat in self.seats:
            seat.clock.runs.set()
            seat.desk.daemon.reachable = True
            if not seat.loops:
                seat.start()
        await self.true.until(
            lambda: (
                all(seat.desk.caught_up() for seat in self.seats)
                and len({seat.heads() for seat in self.seats}) == 1
            )
        )


@pytest.mark.parametrize("seed", [0, 2, 6])
async def test_each_quarter_has_one_snapshot_of_itself_whoever_fails(
    tmp_path: Path, seed: int, expected_warnings: list[str]
) -> None:
    expected_warnings.append("")
    world = World(tmp_path, seed)
    first = world.seats[0].desk.node
    schedule = Schedule(quarters=50, hours=0, days=0, weeks=0)
    first.replica.apply(SetXattr(ROOT, SCHEDULE, schedule.encoded(), first.time()))
    await world.settle()
    around = {slot_name(slot_at(world.now()))}
    owed: list[str] = []
    bounds: dict[str, tuple[int, int]] = {}
    await world.true.pass_by(SLOT_S - world.now() % SLOT_S)
    for _ in range(SLOTS):
        name, began = slot_name(slot_at(world.now())), len(world.bucket.entries)
        world.save()
        there = list(world.seats)
        for _ in range(int(SLOT_S / STEP_S) - 1):
            await world.true.pass_by(STEP_S)
            if world.random.random() < 0.3:
                await world.act()
            there = [seat for seat in there if seat.is_well]
            world.look()
        if there:
            owed.append(name)
        await world.true.pass_by(SLOT_S - world.now() % SLOT_S)
        bounds[name] = began, len(world.bucket.entries)
    await world.settle()
    world.look()
    for seat in world.seats:
        await seat.die()
    made = {name: row.seq for name, row in world.made.items() if name in bounds}
    assert set(owed) <= made.keys(), "none is missed"
    for name, seq in made.items():
        assert bounds[name][0] <= seq <= bounds[name][1], f"{name} is a state of another time"
    around.add(slot_name(slot_at(world.now())))
    assert world.made.keys() - bounds.keys() <= around, "no clock that is wrong has named one"
