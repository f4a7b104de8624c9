"""Blocks are held to a rate, small ones first; nothing else waits."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from committer_fixture import VirtualClock

from lucidnode.node.bucket.keys import block_key, journal_key
from lucidnode.node.bucket.memory import MemoryBucket
from lucidnode.node.bucket.pace import Pace, PacedBucket, RateLimit
from lucidnode.node.client.errors import NotThere
from lucidnode.node.client.ids import BlockId, ProjectId, Seq

PROJECT = ProjectId("ab" * 16)
RATE = 1_000_000
BLOCK = 1_000_000


class Line:
    """A bucket in memory behind paces, whose limits a test sets."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.limit: RateLimit | None = RateLimit(RATE)
        self.behind = MemoryBucket()
        self.bucket = PacedBucket(
            self.behind,
            Pace(lambda: self.limit, self.clock),
            Pace(lambda: self.limit, self.clock),
        )
        self.done: list[tuple[str, float]] = []
        self.began = self.clock.now
        self.tasks: list[asyncio.Future[None]] = []

    def begin(self, name: str, what: str, size: int = BLOCK) -> None:
        """Begin to get or put a block of *size* bytes, noted under *name* when it ends."""
        key = block_key(PROJECT, BlockId(os.urandom(32)))

        async def put() -> None:
            await self.bucket.put(key, bytes(size))
            self.done.append((name, self.clock.now - self.began))

        async def get() -> None:
            await self.behind.put(key, bytes(size))
            assert len(await self.bucket.get(key)) == size
            self.done.append((name, self.clock.now - self.began))

        self.tasks.append(asyncio.ensure_future({"put": put, "get": get}[what]()))

    async def all_done(self) -> list[tuple[str, float]]:
        await self.clock.until(lambda: all(task.done() for task in self.tasks))
        return self.done


@pytest.mark.parametrize("what", ["put", "get"])
async def test_blocks_pass_one_by_one_at_the_rate(what: str) -> None:
    line = Line()
    for number in range(5):
        line.begin(str(number), what)
    done = await line.all_done()
    assert [name for name, _ in done] == ["0", "1", "2", "3", "4"]
    took = done[-1][1]
    # The first passes at once; what came after it has waited for those before.
    assert 3.5 <= took <= 4.5


async def test_the_first_blocks_pass_one_by_one_as_well() -> None:
    line = Line()
    at_once = line.behind.get

    async def slowly(key: str, span: tuple[int, int] | None = None) -> bytes:
        await line.clock.sleep(0.2)
        return await at_once(key, span)

    line.behind.get = slowly  # type: ignore[method-assign]
    for name in "abcdefgh":
        line.begin(name, "get", 1024 * 1024)
    times = [when for _, when in await line.all_done()]
    apart = 1024 * 1024 / RATE
    for number, when in enumerate(times):
        assert (number - 0.5) * apart < when < (number + 0.5) * apart + 1


async def test_what_is_small_goes_first_and_entries_do_not_wait() -> None:
    line = Line()
    for number in range(5):
        line.begin(f"large {number}", "put")
    await asyncio.sleep(0)
    line.begin("small", "put", 10_000)
    started = line.clock.now
    await line.bucket.create(journal_key(PROJECT, Seq(1)), b"entry")
    await line.bucket.put("studio", b"what")
    assert await line.bucket.size("studio") == 4
    assert line.clock.now == started
    done = [name for name, _ in await line.all_done()]
    assert done.index("small") <= 1
    assert done[-1] == "large 4"


async def test_no_limit_holds_up_nothing_and_a_pause_saves_up_little() -> None:
    line = Line()
    line.limit = None
    for number in range(20):
        line.begin(str(number), "put")
    assert {at for _, at in await line.all_done()} == {0.0}
    line.limit = RateLimit(RATE)
    await line.clock.pass_by(3600)
    before = line.clock.now
    for number in range(3):
        line.begin(str(number), "put")
    await line.all_done()
    assert line.clock.now - before >= 1.5


async def test_a_limit_that_is_lifted_lets_all_go_that_wait() -> None:
    line = Line()
    for number in range(30):
        line.begin(str(number), "put")
    await line.clock.pass_by(2)
    line.limit = None
    assert (await line.all_done())[-1][1] <= 3.5


async def test_who_is_cancelled_holds_up_nobody_and_what_was_not_there_costs_nothing() -> None:
    line = Line()
    for name in ("first", "given up", "last"):
        line.begin(name, "put")
    first, waiting, _ = line.tasks
    await line.clock.until(first.done)
    waiting.cancel()
    names = [name for name, _ in await line.all_done()]
    assert names == ["first", "last"]
    line.begin("to learn the size", "get")
    await line.all_done()
    for _ in range(5):
        asked = line.bucket.get(block_key(PROJECT, BlockId(bytes(32))))
        task = asyncio.ensure_future(asked)
        await line.clock.until(task.done)
        with pytest.raises(NotThere):
            await task
    before = line.clock.now
    line.begin("there", "get")
    await line.all_done()
    assert line.clock.now - before <= 1.5


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC-2")  # two hours east, as POSIX writes it
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("zone")
def test_hours_are_those_of_the_clock_on_the_wall() -> None:
    def holds(limit: RateLimit, hour: int, minute: int = 0) -> bool:
        at = datetime(2026, 3, 2, hour, minute, tzinfo=UTC)
        return limit.holds_at(int(at.timestamp() * 1e9))

    day, night = RateLimit(1, 8 * 60, 19 * 60), RateLimit(1, 22 * 60, 6 * 60)
    assert [holds(day, hour) for hour in (5, 6, 16, 17)] == [False, True, True, False]
    assert [holds(night, hour) for hour in (19, 20, 3, 4)] == [False, True, True, False]
    assert holds(day, 16, 59)
    assert not holds(day, 17)
    assert holds(RateLimit(1), 3)
