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
from lucidnode.node.client.guarded_disk import TOPIC, DiskAlert, DiskMissing, GuardedDisk

QUICK_S = 0.05


class Disk:
    """A guarded disk whose work can be made to hang."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.alerts = Alerts(self.clock)
        self.guarded = GuardedDisk(
            "the cache",
            threads=2,
            clock=self.clock,
            alert=(alert := DiskAlert("the cache", self.alerts)),
            deadline_s=QUICK_S,
        )
        self.alert = alert
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


async def test_descriptors_that_come_after_the_last_look_are_closed_too(
    disk: Disk, tmp_path: Path
) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    disk.guarded.close()
    disk.guarded.afterwards(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


async def test_work_that_writes_is_refused_while_the_disk_is_left_alone_and_never_a_probe(
    disk: Disk, expected_warnings: list[str]
) -> None:
    expected_warnings.append("The cache fails: no answer")
    await disk.refused()
    disk.clock.now += 2
    with pytest.raises(OSError, match="left alone"):
        await disk.guarded.run(disk.hang)
    assert disk.started == 1
    probed = GuardedDisk("x", threads=1, clock=disk.clock, alert=None, probe=lambda: seen.append(1))
    seen: list[int] = []
    with contextlib.closing(probed):
        probed.failed(OSError(errno.ETIMEDOUT, "hangs"))
        disk.clock.now += 2
        with pytest.raises(OSError, match="left alone"):
            await probed.run(disk.hang)
        async with asyncio.timeout(5):
            while probed.left_alone:
                await asyncio.sleep(0.001)
    assert seen == [1]
    assert disk.started == 1


async def test_of_a_disk_that_several_look_at_there_is_one_alert_until_all_are_answered(
    disk: Disk, expected_warnings: list[str]
) -> None:
    expected_warnings.append("The cache fails: hangs")
    other = GuardedDisk("the cache", threads=1, clock=disk.clock, alert=disk.alert)
    with contextlib.closing(other):
        for one in (disk.guarded, other):
            one.failed(OSError(errno.ETIMEDOUT, "hangs"))
        disk.guarded.answered()
        assert [alert.topic for alert in disk.alerts.current()] == [TOPIC]
        other.answered()
        assert disk.alerts.current() == []


async def test_what_is_missing_is_told_with_what_helps_and_is_asked_for_again_at_once(
    disk: Disk, expected_warnings: list[str]
) -> None:
    expected_warnings.append("The cache is missing: its disk is not mounted")

    def missing() -> None:
        raise DiskMissing("the cache is missing", "Mount it.")

    for _ in range(10):
        with pytest.raises(DiskMissing):
            await disk.guarded.look(missing)
    assert not disk.left_alone()
    disk.guarded.failed(DiskMissing("the cache is missing", "Mount it."))
    [alert] = disk.alerts.current()
    assert alert.remedy == "Mount it."
