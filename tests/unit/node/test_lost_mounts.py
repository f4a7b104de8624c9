"""Mounts that nobody brings back are an alert for as long as they are in their place."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lucidnode.node.client import mount_messages
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.ids import ProjectId
from lucidnode.node.client.kept import RETURN_S
from lucidnode.node.lost_mounts import LostMounts
from lucidnode.node.mounts import Mount, MountTable, lost_topic, unsent_topic

PROJECT = ProjectId("5" * 32)
MOUNTED = b"52 29 0:46 / /mnt/demo rw,nosuid - fuse.lucidnode lucidnode rw,user_id=0\n"

KEEPING = """
import fcntl, sys
with open(sys.argv[1], "r+b") as lock:
    fcntl.lockf(lock, fcntl.LOCK_EX)
    print("holds", flush=True)
    sys.stdin.read()
"""


class Hand:
    """A clock whose hand a test moves."""

    now = 1000.0

    def boot(self) -> float:
        return self.now

    def wall_ns(self) -> int:
        return 0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


class Machine:
    """A home with one project that was mounted, and what the kernel says is mounted."""

    def __init__(self, home: Path) -> None:
        self.lock = home / "projects" / PROJECT / "mount.keeper"
        self.lock.parent.mkdir(parents=True)
        self.lock.write_text("/mnt/demo")
        self.mountinfo = MOUNTED
        self.clock = Hand()
        self.alerts = Alerts(self.clock)
        self.table = MountTable()
        self.lost = LostMounts(
            home, self.table, self.alerts, self.clock, mountinfo=lambda: self.mountinfo
        )

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(alert.topic, alert.cause) for alert in self.alerts.current()]


TOLD = [(lost_topic(PROJECT), "The mount at /mnt/demo has lost its process and its keeper.")]


@contextlib.contextmanager
def kept(lock: Path) -> Iterator[None]:
    """Have another process be the keeper that holds *lock*."""
    with subprocess.Popen(
        [sys.executable, "-c", KEEPING, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as keeper:
        assert keeper.stdin is not None
        assert keeper.stdout is not None
        keeper.stdout.readline()
        yield
        keeper.stdin.close()


@pytest.fixture
def machine(tmp_path: Path, expected_warnings: list[str]) -> Machine:
    expected_warnings += ["has lost its process"]
    return Machine(tmp_path)


async def test_a_dead_mount_without_a_keeper_is_an_alert_until_it_is_unmounted(
    machine: Machine,
) -> None:
    machine.alerts.begin(lost_topic(PROJECT), "The mount at /mnt/demo has lost its process.")
    await machine.lost.look()
    assert machine.told == TOLD
    machine.mountinfo = b""
    await machine.lost.look()
    assert machine.told == []


async def test_a_daemon_that_was_started_later_tells_of_it_as_well(machine: Machine) -> None:
    await machine.lost.look()
    assert machine.told == []  # it may only have to find us again
    machine.clock.now += RETURN_S
    await machine.lost.look()
    assert machine.told == TOLD


async def test_a_mount_that_is_there_or_has_a_keeper_is_not_lost(machine: Machine) -> None:
    mount = Mount(PROJECT, mount_messages.MountHello("/mnt/demo", 1, 0))
    machine.table.add(mount)
    for _ in range(2):
        await machine.lost.look()
        machine.clock.now += 2 * RETURN_S
    machine.table.remove(mount)
    with kept(machine.lock):
        for _ in range(2):
            await machine.lost.look()
            machine.clock.now += 2 * RETURN_S
    assert machine.told == []
    await machine.lost.look()
    assert machine.told == []  # its keeper has only just ended
    machine.clock.now += RETURN_S
    await machine.lost.look()
    assert machine.told == TOLD


async def test_what_waits_for_the_next_mount_is_an_alert_until_that_is_there(
    machine: Machine, expected_warnings: list[str]
) -> None:
    expected_warnings += ["Not all that was saved in the drive at /mnt/demo was in the cloud"]
    server = machine.lock.with_name("mount.server")
    server.write_text("/mnt/demo")
    machine.lock.unlink()  # it was in the foreground
    machine.mountinfo = b""
    with kept(server):
        await machine.lost.look()
        machine.clock.now += RETURN_S
        await machine.lost.look()
        assert machine.told == []
    await machine.lost.look()
    assert machine.told == []  # it may come back by itself
    machine.clock.now += RETURN_S
    await machine.lost.look()
    told = [
        (
            unsent_topic(PROJECT),
            "Not all that was saved in the drive at /mnt/demo was in the cloud when that ended.",
        )
    ]
    assert machine.told == told
    machine.mountinfo = MOUNTED
    await machine.lost.look()
    assert machine.told == TOLD, "who mounts it again has both"
    machine.mountinfo = b""
    await machine.lost.look()
    assert machine.told == told
    server.unlink()
    await machine.lost.look()
    assert machine.told == []
