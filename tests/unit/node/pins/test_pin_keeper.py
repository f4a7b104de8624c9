"""What mounts tell of pins is fetched, stays, and is known after a restart."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from disk_fixture import PROJECT, FastClock, Told, make_block, stage_early

from lucidnode.node.cache.disk import DiskCache
from lucidnode.node.cache.mark import CacheMark, take
from lucidnode.node.cache.staging import Staging
from lucidnode.node.client import wire
from lucidnode.node.client.errors import Malformed, NotThere, Unavailable
from lucidnode.node.client.ids import BlockId, ProjectId
from lucidnode.node.client.pins import PinnedProject
from lucidnode.node.mounts import MountTable
from lucidnode.node.pins.book import PINS_FILE, PinBook
from lucidnode.node.pins.keeper import PinKeeper
from lucidnode.node.pins.pinned_blocks import PinnedBlocks

SIZE = 4096
LIMIT = 10 * SIZE
"""Of which pins may take 8."""


class Office:
    """Has blocks, and counts who asks for one."""

    def __init__(self) -> None:
        self.blocks = dict(make_block(SIZE) for _ in range(12))
        self.ids = list(self.blocks)
        self.asked: list[BlockId] = []
        self.away = False
        self.cache: DiskCache | None = None

    async def obtain(
        self, project: ProjectId, block: BlockId, *, patience_s: float, as_bytes: bool
    ) -> tuple[wire.Source, bytes | None]:
        assert project == PROJECT
        assert patience_s > 0
        assert not as_bytes
        assert self.cache is not None
        self.asked.append(block)
        if self.away:
            raise Unavailable("the bucket does not answer")
        if block not in self.blocks:
            raise NotThere("no such block")
        kept = await self.cache.put(block, self.blocks[block])
        return "bucket", None if kept else self.blocks[block]


class Life:
    """One run of a daemon's part that keeps what is pinned."""

    def __init__(self, cache: DiskCache, keeper: PinKeeper, told: list[str]) -> None:
        self.cache = cache
        self.keeper = keeper
        self.told = told

    async def tell(self, blocks: Sequence[BlockId]) -> None:
        """Be a mount that says what is pinned, in two parts."""
        half = len(blocks) // 2
        for some, first in ((blocks[:half], True), (blocks[half:], False)):
            sizes = dict.fromkeys(some, SIZE)
            await self.keeper.part(PROJECT, sizes, first=first, last=not first)

    async def facts(self) -> list[PinnedProject]:
        return self.keeper.here().projects

    async def until(self, blocks: Sequence[BlockId]) -> None:
        async with asyncio.timeout(10):
            while not all(map(self.cache.holds, blocks)):
                await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def life(folder: Path, office: Office) -> AsyncIterator[Life]:
    told: list[str] = []
    clock, alerts = FastClock(), Told(told)
    directory = folder / "cache"
    known = folder / "mark"
    mark = CacheMark(directory, known.read_text() if known.exists() else take(directory))
    known.write_text(mark.id or "")
    with contextlib.closing(PinBook(folder / PINS_FILE)) as book:
        pinned = PinnedBlocks(book.all())
        async with (
            DiskCache.open(mark, LIMIT, 0, clock, alerts, pinned=pinned) as cache,
            Staging.open(mark, cache, clock) as staging,
        ):
            office.cache = cache
            keeper = PinKeeper(
                pinned, book, cache, staging, MountTable(), office.obtain, alerts, clock
            )
            running = asyncio.ensure_future(keeper.run())
            try:
                yield Life(cache, keeper, told)
            finally:
                running.cancel()
                await asyncio.wait({running})


async def test_what_is_pinned_comes_and_stays_whatever_else_comes(tmp_path: Path) -> None:
    office = Office()
    pinned, others = office.ids[:5], office.ids[5:]
    async with life(tmp_path, office) as here:
        await here.tell(pinned)
        await here.until(pinned)
        for _ in range(3):
            for block in others:
                await here.cache.put(block, office.blocks[block])
        assert all(map(here.cache.holds, pinned))
        assert sum(map(here.cache.holds, others)) == 5
        assert await here.cache.evict(office.ids) == (5, 5 * SIZE)
        assert await here.cache.clear() == 0
        assert await here.facts() == [PinnedProject(PROJECT, 5 * SIZE, 5 * SIZE, "")]
        assert sorted(office.asked) == sorted(pinned)
        # Wanted no more, they are like any other.
        await here.tell([])
        assert await here.cache.clear() == 5 * SIZE
        assert await here.facts() == []
    assert not here.told


async def test_a_restart_evicts_nothing_that_is_pinned(tmp_path: Path) -> None:
    office = Office()
    pinned, others = office.ids[:5], office.ids[5:]
    async with life(tmp_path, office) as here:
        await here.tell(pinned)
        await here.until(pinned)
    office.asked.clear()
    async with life(tmp_path, office) as here:
        for block in others:
            await here.cache.put(block, office.blocks[block])
        assert all(map(here.cache.holds, pinned))
        assert (await here.facts())[0].bytes_here == 5 * SIZE
    assert not office.asked


async def test_what_is_more_than_pins_may_take_is_said_and_not_fetched_for_nothing(
    tmp_path: Path,
) -> None:
    office = Office()
    async with life(tmp_path, office) as here:
        await here.tell(office.ids)
        await here.until(office.ids[:8])
        async with asyncio.timeout(10):
            while not here.told:
                await asyncio.sleep(0.005)
        assert "More is pinned" in here.told[0]
        [facts] = await here.facts()
        assert (facts.bytes, facts.bytes_here) == (12 * SIZE, 8 * SIZE)
        assert "more is pinned" in facts.why
        # As soon as there is room, the rest comes.
        await here.tell(office.ids[4:])
        await here.until(office.ids[4:])
    assert len(office.asked) == 12


async def test_what_does_not_come_now_comes_when_it_can(tmp_path: Path) -> None:
    office = Office()
    office.away = True
    lost = make_block(SIZE)[0]
    pinned = [lost, *office.ids[:3]]
    async with life(tmp_path, office) as here:
        await here.tell(pinned)
        async with asyncio.timeout(10):
            while not (await here.facts())[0].why:
                await asyncio.sleep(0.005)
        assert (await here.facts())[0].why == "the bucket does not answer"
        office.away = False
        await here.until(office.ids[:3])  # what the bucket has lost holds up nothing else
        assert (await here.facts())[0].bytes_here == 3 * SIZE


async def test_what_waits_for_its_upload_is_here(tmp_path: Path) -> None:
    office = Office()
    block, ciphertext = make_block(SIZE)
    take(tmp_path / "cache")
    stage_early(tmp_path / "cache" / "staging", PROJECT, block, ciphertext)
    async with life(tmp_path, office) as here:
        await here.tell([block])
        async with asyncio.timeout(10):
            while not (await here.facts())[0].bytes_here:
                await asyncio.sleep(0.005)
    assert not office.asked


async def test_the_middle_of_a_list_that_nobody_began_is_refused(tmp_path: Path) -> None:
    async with life(tmp_path, Office()) as here:
        with pytest.raises(Malformed):
            await here.keeper.part(PROJECT, {BlockId(bytes(32)): 1}, first=False, last=True)
        assert await here.facts() == []
