"""Nodes that lock, are cut off, die and come back at random: never two that decide one file's locks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path
from random import Random  # noqa: TID251 - seeded: a failure can be repeated

import pytest
from lock_seats import Office, Seat, never

from lucidnode.fs.replica.inode import InodeNo

STEPS = 40
OWNER, STRANGER = 1, 2


class Worker:
    """A seat whose programs want locks now and then."""

    def __init__(self, seat: Seat, random: Random) -> None:
        self.seat = seat
        self.random = random
        self.stack = contextlib.AsyncExitStack()
        self.wants: dict[InodeNo, asyncio.Task[None]] = {}

    async def start(self) -> None:
        self.wants = {}
        self.stack = contextlib.AsyncExitStack()
        await self.stack.enter_async_context(self.seat.working())

    async def stop(self) -> None:
        for want in self.wants.values():
            want.cancel()
        await self.stack.aclose()

    def has(self, ino: InodeNo) -> bool:
        """Tell whether a program that locks *ino* now is answered from here."""
        return self.seat.tokens.admits(ino, STRANGER)

    async def act(self, ino: InodeNo) -> None:
        match self.random.choices(("lock", "unlock", "cut", "die"), weights=(6, 6, 2, 1))[0]:
            case "lock" if ino not in self.wants:
                lock = self.seat.lock(ino, OWNER, never())
                self.wants[ino] = asyncio.ensure_future(lock)
            case "unlock" if ino in self.wants:
                want = self.wants.pop(ino)
                want.cancel()
                self.seat.unlock(ino, OWNER)
            case "cut":
                self.seat.desk.daemon.reachable ^= True
            case "die":
                await self.stop()
                self.seat.desk.crash()
                await self.start()
            case _:
                pass


@pytest.mark.parametrize("seed", range(2))
async def test_never_two_nodes_decide_the_locks_of_one_file(
    tmp_path: Path,
    seed: int,
    caplog: pytest.LogCaptureFixture,
    expected_warnings: list[str],
) -> None:
    random = Random(seed)
    office = Office(tmp_path, linked=seed > 0)
    office.links.fate = lambda: random.choice((0, 1, 1, 2))
    async with office.working():
        pass
    workers = [Worker(seat, random) for seat in (office.a, office.b)]
    files = office.files[:2]
    for worker in workers:
        worker.seat.desk.crash()
        await worker.start()
    for _ in range(STEPS):
        await random.choice(workers).act(random.choice(files))
        for _ in range(random.choice((1, 1, 4, 40))):
            await office.clock.pass_by(random.choice((0.2, 1)))
            for ino in files:
                assert not all(worker.has(ino) for worker in workers)
    for worker in workers:
        worker.seat.desk.daemon.reachable = True
    for ino in files:  # no lock without an end
        for worker in workers:
            if (want := worker.wants.pop(ino, None)) is not None:
                want.cancel()
                await asyncio.wait({want})
            worker.seat.unlock(ino, OWNER)
    for worker in workers:
        await office.holds(worker.seat, files[0])
    expected_warnings += {
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING
        and ("no route" in record.getMessage() or "took over" in record.getMessage())
    }
    for worker in workers:
        await worker.stop()
        worker.seat.desk.node.check()
        worker.seat.desk.node.close()
