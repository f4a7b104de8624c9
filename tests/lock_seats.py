"""Workstations whose programs lock files, on virtual time: a bucket, two desks, and their tokens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from random import Random  # noqa: TID251  # seeded
from typing import Any

from committer_fixture import KEYS, Bucket, Desk, VirtualClock
from office_links import OfficeLinks

from lucidnode.fs.files.file_locks import FileLocks, LockedFile
from lucidnode.fs.files.lock_table import LAST_BYTE, LockedRange
from lucidnode.fs.files.work_here import WorkHere
from lucidnode.fs.leases.lease_row import LeaseRow, decoded_lease
from lucidnode.fs.leases.lock_holders import LockHolders
from lucidnode.fs.leases.lock_tokens import LockTokens
from lucidnode.fs.leases.office_questions import OfficeQuestions
from lucidnode.fs.leases.shown_tokens import ShownTokens
from lucidnode.fs.read.open_files import OpenFiles
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.intents import LOCKS_LEASE
from lucidnode.fs.write.unfinished import Unfinished
from lucidnode.node.client.ids import DeviceId

WHOLE = LockedRange(0, LAST_BYTE, exclusive=True, pid=1)


class Seat:
    """A workstation whose programs lock files."""

    def __init__(
        self, path: Path, name: str, bucket: Bucket, clock: VirtualClock, links: OfficeLinks
    ) -> None:
        self.links = links
        self.name = name
        self.random = Random(name)
        self.desk = Desk(path, name, bucket, clock)
        self.clock = clock
        self.alone_when_away = False
        self.settled = self.committed = 0
        self.films: set[InodeNo] = set()
        """Files with so much work that it is committed before anything else."""

    @property
    def device(self) -> DeviceId:
        return self.desk.daemon.device

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Run a mount of it: nothing in memory is left of the one before."""
        self.locks = FileLocks(100)
        async with asyncio.TaskGroup() as group:
            self.recalls = self.links.mount(KEYS, self.device, self.random.randbytes, self.clock)
            self.questions = OfficeQuestions(self.recalls, self.random.randbytes)
            self.holders = LockHolders(
                self.questions, self.locks, lambda pid: f"{pid} of {self.name}"
            )
            self.tokens = LockTokens(
                replica=self.desk.node.replica,
                device=self.desk.daemon.device,
                locks=self.locks,
                committer=self.desk.committer,
                work=self,
                settled=self._settle,
                alone_when_away=self.alone_when_away,
                recalls=self.recalls,
                tasks=self,
                alerts=self.desk.alerts,
                clock=self.clock,
            )
            self.running = [
                group.create_task(self.desk.committer.run()),
                group.create_task(self.tokens.run()),
            ]
            yield
            for task in self.running:
                task.cancel()

    def create_task(
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None
    ) -> asyncio.Task[Any]:
        """Run an errand: it ends with the mount."""
        task = asyncio.get_running_loop().create_task(coro, name=name)
        self.running.append(task)
        return task

    def shown(self) -> ShownTokens:
        names = {DeviceId(name.encode().ljust(16, b".").hex()): name for name in "ab"}
        node = self.desk.node.replica
        work = WorkHere(
            node, Unfinished(self.clock), OpenFiles(), self.desk.daemon.device, names.__getitem__
        )
        return ShownTokens(work, self.holders)

    def is_much(self, ino: InodeNo) -> bool:
        return ino in self.films

    async def commit(self, ino: InodeNo) -> None:
        self.committed += 1
        await self.desk.committer.until_committed(None)

    async def finish(self, ino: InodeNo) -> None:
        self.committed += 1
        self.desk.committer.finish([ino])

    async def _settle(self) -> None:
        self.settled += 1

    async def lock(
        self,
        ino: InodeNo,
        owner: int = 1,
        given_up: asyncio.Future[None] | None = None,
        *,
        whole: bool = False,
    ) -> None:
        """Do as LockRequests does."""
        await self.tokens.admitted(ino, owner, given_up, whole=whole)
        assert self.tokens.admits(ino, owner)
        await self.locks.lock(LockedFile(ino, whole), owner, WHOLE, owner, given_up)

    def unlock(self, ino: InodeNo, owner: int = 1) -> None:
        self.locks.unlock(LockedFile(ino, whole=False), owner)

    def row(self, ino: InodeNo) -> LeaseRow | None:
        return decoded_lease(self.desk.node.replica.tree.lease(ino, LOCKS_LEASE))


class Office:
    """Two seats, one bucket, one clock, and files that both know."""

    def __init__(self, path: Path, *, linked: bool = False) -> None:
        self.clock = VirtualClock()
        self.bucket = Bucket()
        self.links = OfficeLinks()
        self.links.cut = not linked
        self.a, self.b = (Seat(path, name, self.bucket, self.clock, self.links) for name in "ab")
        self.b.desk.node.blocks = self.a.desk.node.blocks
        for one, other in ((self.a, self.b), (self.b, self.a)):
            one.desk.devices[other.desk.daemon.device] = other.desk.daemon.public
        self.files = [self.a.desk.node.create(b"%d" % number) for number in range(5)]

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[tuple[Seat, Seat]]:
        async with self.a.working(), self.b.working():
            await self.clock.until(lambda: self.a.desk.caught_up() and self.b.desk.caught_up())
            yield self.a, self.b

    async def done(self, task: asyncio.Task[None], within_s: float = 600) -> None:
        await self.clock.until(task.done, within_s)
        await task

    async def holds(self, seat: Seat, ino: InodeNo) -> None:
        """Let *seat* lock *ino* and let it go, so that its token is there."""
        async with asyncio.TaskGroup() as group:
            await self.done(group.create_task(seat.lock(ino, given_up=never())))
        seat.unlock(ino)


def never() -> asyncio.Future[None]:
    """Return what gives no lock up."""
    return asyncio.get_running_loop().create_future()
