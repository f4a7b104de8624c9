"""A mount is shown once it has what was committed when it began, whatever others go on committing."""

from __future__ import annotations

import asyncio

import pytest
from committer_fixture import VirtualClock

from lucidnode.fs.commit.catching_up import LOOK_AFTER_S, STANDSTILL_S, CatchingUp
from lucidnode.node.client.errors import Unavailable
from lucidnode.node.client.ids import Seq


class Log:
    """A log that a mount reads, *every_s* seconds for an entry, and whose end somebody may move meanwhile."""

    def __init__(self, clock: VirtualClock, end: int, every_s: float) -> None:
        self.clock = clock
        self.end = end
        self.every_s = every_s
        self.head = 0
        self.is_busy = False
        self.is_away = False
        self.asking_s = 0.0
        self.is_told_of_end = True
        """Whether the reader hears that there is no entry more."""
        self.asked: list[int] = []
        self.end_seen = asyncio.Event()
        self._moved = asyncio.Event()
        self.catching_up = CatchingUp(
            lambda: Seq(self.head), lambda: self._moved, self.end_seen, self._find_end, clock
        )

    async def read(self) -> None:
        while self.head < self.end:
            await self.clock.sleep(self.every_s)
            self.head += 1
            if self.is_busy:
                self.end += 1
            self._moved.set()
            self._moved = asyncio.Event()
        if self.is_told_of_end:
            self.end_seen.set()

    async def _find_end(self, known: Seq) -> Seq:
        self.asked.append(known)
        if self.is_away:
            raise Unavailable("away")
        await self.clock.sleep(self.asking_s)
        return Seq(self.end)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


async def _shown_after(log: Log, seconds: float) -> float:
    """Return after how many virtual seconds, at most *seconds*, the mount that reads *log* is shown."""
    began = log.clock.now
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(log.read())
        catching_up = tasks.create_task(log.catching_up.run())
        await log.clock.until(catching_up.done, seconds)
        reading.cancel()
    return log.clock.now - began


async def test_a_colleague_who_never_stops_does_not_keep_a_mount_away(clock: VirtualClock) -> None:
    log = Log(clock, end=100, every_s=0.5)
    log.is_busy = True
    # What was there when it asked, a second after it began; without that it would read for ever.
    assert await _shown_after(log, 600) == pytest.approx((100 + LOOK_AFTER_S / 0.5) * 0.5, abs=1.0)
    assert 100 <= log.head < log.end, "all that was committed when it began is there"


async def test_what_was_committed_before_is_there_when_a_mount_is_shown_however_long_it_takes(
    clock: VirtualClock,
) -> None:
    log = Log(clock, end=100, every_s=2.0)
    assert await _shown_after(log, 600) == pytest.approx(200, abs=1.0)
    assert log.head == 100


async def test_who_is_at_the_end_within_a_second_asks_nobody_where_it_is(
    clock: VirtualClock,
) -> None:
    log = Log(clock, end=5, every_s=0.1)
    assert await _shown_after(log, LOOK_AFTER_S) == pytest.approx(0.5)
    assert log.asked == []


@pytest.mark.parametrize(
    ("asking_s", "at_asking"), [(0.0, 5), (2.0, 2)], ids=["since it asked", "since it was told"]
)
async def test_a_mount_that_stands_where_the_log_ends_waits_for_nothing_more(
    clock: VirtualClock, asking_s: float, at_asking: int
) -> None:
    log = Log(clock, end=5, every_s=0.9 * LOOK_AFTER_S / at_asking)
    log.asking_s, log.is_told_of_end = asking_s, False
    assert await _shown_after(log, 60) == pytest.approx(LOOK_AFTER_S + asking_s)
    assert log.asked == [at_asking]


async def test_a_mount_that_gets_nowhere_is_shown_with_what_it_has(clock: VirtualClock) -> None:
    log = Log(clock, end=5, every_s=1000.0)
    log.is_away = True
    assert await _shown_after(log, 600) == pytest.approx(STANDSTILL_S)
    assert log.head == 0


async def test_the_entry_that_is_waited_for_is_told_until_the_mount_is_shown(
    clock: VirtualClock,
) -> None:
    log = Log(clock, end=10, every_s=1.0)
    told: list[Seq | None] = [log.catching_up.upto]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(log.read())
        catching_up = tasks.create_task(log.catching_up.run())
        await clock.pass_by(LOOK_AFTER_S + 1)
        told.append(log.catching_up.upto)
        await clock.until(catching_up.done)
    assert [*told, log.catching_up.upto] == [None, 10, None]
