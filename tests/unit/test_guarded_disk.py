"""A disk that fails or hangs: what is asked of it ends in time, and nothing more is given to it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from disk_fixture import ManualClock

from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.guarded_disk import TOPIC, GuardedDisk

QUICK_S = 0.05


class Disk:
    """A guarded disk whose work can be made to hang."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.alerts = Alerts(self.clock)
        self.guarded = GuardedDisk(
            "the cache", threads=2, alerts=self.alerts, clock=self.clock, deadline_s=QUICK_S
        )
        self.well = threading.Event()
        self.started = 0

    def hang(self) -> str:
        self.started += 1
        self.well.wait()
        return "read"

    def left_alone(self) -> bool:
        return self.guarded.left_alone

    async def refused(self) -> int | None:
        with pytest.raises(OSError, match=r"answer|alone") as caught:
            await self.guarded.look(self.hang)
        return caught.value.errno


@pytest.fixture
async def disk() -> AsyncIterator[Disk]:
    disk = Disk()
    with contextlib.closing(disk.guarded):
        yield disk
        disk.well.set()


async def test_a_hanging_disk_is_left_alone_and_comes_back(
    disk: Disk, expected_warnings: list[str]
) -> None:
    expected_warnings.append("The cache fails: no answer")
    assert await disk.refused() == errno.ETIMEDOUT
    assert disk.left_alone()
    assert disk.alerts.is_on(TOPIC)
    for _ in range(100):
        assert await disk.refused() == errno.EIO
    assert disk.started == 1
    disk.clock.now += 2
    for _ in range(100):  # one probe is under way, and nobody waits for it
        assert await disk.refused() == errno.EIO
    disk.well.set()
    async with asyncio.timeout(5):
        while disk.left_alone():
            await asyncio.sleep(0.001)
    assert disk.started == 2
    assert not disk.alerts.is_on(TOPIC)
    assert await disk.guarded.look(disk.hang) == "read"


async def test_what_is_not_there_is_an_answer(disk: Disk, tmp_path: Path) -> None:
    for _ in range(10):
        with pytest.raises(FileNotFoundError):
            await disk.guarded.look((tmp_path / "absent").read_bytes)
    assert not disk.left_alone()
    assert disk.alerts.current() == []


async def test_faults_in_a_row_close_the_disk_and_one_does_not(
    disk: Disk, tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings.append("The cache fails: Is a directory")
    for _ in range(2):
        with pytest.raises(IsADirectoryError):
            await disk.guarded.look(tmp_path.read_bytes)
    assert (disk.left_alone(), disk.alerts.is_on(TOPIC)) == (False, True)
    with pytest.raises(IsADirectoryError):
        await disk.guarded.look(tmp_path.read_bytes)
    assert (disk.left_alone(), disk.alerts.is_on(TOPIC)) == (True, True)


async def test_descriptors_are_closed_by_threads(disk: Disk, tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    disk.guarded.afterwards(descriptor)
    os.fstat(descriptor)
    await disk.guarded.look(lambda: None)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
