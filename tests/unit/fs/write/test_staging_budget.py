"""Writers wait while uploads get on, all of them together, and no longer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from file_layer_fixture import PROJECT

from lucidnode.fs.errors import NoSpace
from lucidnode.fs.write import staging_budget
from lucidnode.fs.write.staging_budget import MAX_WAIT_S, StagingBudget
from lucidnode.node.client.clock import SystemClock

BLOCK = 1000
STAGED = 8


class Slept(SystemClock):
    """No time passes but what is slept."""

    def __init__(self) -> None:
        self.slept = 0.0

    def boot(self) -> float:
        return self.slept

    async def sleep(self, seconds: float) -> None:
        self.slept += seconds
        await asyncio.sleep(0)


class Disk:
    """A staging directory with eight blocks in it, on a disk with half a block to spare."""

    def __init__(self, staging: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Slept()
        self.spare = BLOCK // 2
        self.project = staging / PROJECT
        self.project.mkdir()
        for number in range(STAGED):
            (self.project / str(number)).write_bytes(bytes(BLOCK))
        self.looks = 0
        monkeypatch.setattr(staging_budget, "free_bytes", self.free)
        self._threads = ThreadPoolExecutor(4)
        self.room = StagingBudget(staging, 1 << 30, 5 * BLOCK, self.clock, self._threads)

    def free(self, _: Path) -> int:
        self.looks += 1
        return 5 * BLOCK + self.spare

    def upload(self) -> None:
        next(self.project.iterdir()).unlink()

    def close(self) -> None:
        self._threads.shutdown()


@pytest.fixture
async def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Disk]:
    disk = Disk(tmp_path, monkeypatch)
    yield disk
    disk.close()


async def test_all_who_wait_for_a_full_disk_wait_once(disk: Disk) -> None:
    """One who comes while another is looking is no upload, and begins nobody's wait anew."""
    turns = asyncio.Semaphore(4)

    async def stage() -> None:
        async with turns:  # who comes later asks while others are looking
            with pytest.raises(NoSpace):
                await disk.room.admit(BLOCK)

    began = disk.clock.boot()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(12):
            tasks.create_task(stage())
    assert disk.clock.boot() - began < 2 * MAX_WAIT_S


async def test_an_upload_begins_the_wait_anew(disk: Disk) -> None:
    began = disk.clock.boot()
    waiting = asyncio.ensure_future(disk.room.admit(BLOCK))
    for _ in range(3):
        while disk.clock.boot() - began < MAX_WAIT_S * 0.8:
            await asyncio.sleep(0)
        assert not waiting.done()
        disk.upload()
        began = disk.clock.boot()
    disk.spare = BLOCK
    await waiting


async def test_after_a_wait_in_vain_the_next_waits_once_something_has_been_uploaded(
    disk: Disk,
) -> None:
    with pytest.raises(NoSpace):
        await disk.room.admit(BLOCK)
    began = disk.clock.boot()
    with pytest.raises(NoSpace):
        await disk.room.admit(BLOCK)
    assert disk.clock.boot() - began < 1.0
    disk.upload()
    waiting = asyncio.ensure_future(disk.room.admit(BLOCK))
    while disk.clock.boot() - began < MAX_WAIT_S / 2:
        await asyncio.sleep(0)
    assert not waiting.done()
    disk.spare = BLOCK
    await waiting


async def test_after_there_was_room_again_the_next_full_disk_is_waited_for(disk: Disk) -> None:
    """As when another program fills it for a while, and does so once more."""
    with pytest.raises(NoSpace):
        await disk.room.admit(BLOCK)
    disk.spare = BLOCK
    await disk.room.admit(BLOCK)
    (disk.project / "let in").write_bytes(bytes(BLOCK))
    disk.spare = 0
    began = disk.clock.boot()
    with pytest.raises(NoSpace):
        await disk.room.admit(BLOCK)
    assert disk.clock.boot() - began >= MAX_WAIT_S


async def test_a_disk_with_much_to_spare_is_looked_at_now_and_then(disk: Disk) -> None:
    """Each look is a thread and back; a film would have one for each of its blocks."""
    disk.spare = 64 * BLOCK
    for _ in range(8):  # a look, then three of what it found to spare
        await disk.room.admit(BLOCK)
    assert disk.looks == 2
    disk.clock.slept += 1.0
    await disk.room.admit(BLOCK)
    assert disk.looks == 3


async def test_a_disk_that_is_nearly_full_is_looked_at_each_time(disk: Disk) -> None:
    disk.spare = 15 * BLOCK
    for _ in range(5):
        await disk.room.admit(BLOCK)
    assert disk.looks == 5
    disk.spare = 0
    with pytest.raises(NoSpace):
        await disk.room.admit(BLOCK)
