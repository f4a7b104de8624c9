"""Two people who open, take and break the same project files, cut off, restarted, with clocks that drift.

Never two who have a file for themselves, nothing that was acknowledged is lost, and once all are
there again and have closed what they had, everything is free: no lock is without an end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random  # noqa: TID251  # seeded

from committer_fixture import Fault
from file_layer_fixture import ME
from write_seats import NAMES, WriteSeat, WriteStudio

from lab.drifting_clock import DriftingClock
from lab.virtual_loop import run_virtual
from lucidnode.fs.errors import FileError, ReadOnlyHere
from lucidnode.fs.leases.write_leases import LockOnOpen
from lucidnode.fs.replica.inode import ROOT
from lucidnode.node.client.errors import NodeError

STEPS = 40
SLOT = 16
"""Bytes of one write; each has a place of its own."""

_FILES = ("cut.prproj", "notes.txt")
_FAULTS: tuple[Fault, ...] = ("unreachable", "unknown", "applied")
_REST_S = 1200
_DRIFT = 0.015
"""By how much a clock is fast or slow: two of them less than the margin of 5 s in 120 s."""


class _Person:
    """Somebody at one workstation, who starts its mount again when it has died."""

    def __init__(self, studio: WriteStudio, name: str, chance: Random) -> None:
        self._studio = studio
        self._name = name
        self._chance = chance
        self._clock = DriftingClock(1 + chance.uniform(-_DRIFT, _DRIFT))
        self._policy = LockOnOpen(("*.prproj",), "read-only", alone_when_away=chance.random() < 0.5)
        self._mount = contextlib.AsyncExitStack()
        self.door = studio.doors[name]
        self.is_there = False
        self.handles: list[int] = []
        self.written: dict[int, list[int]] = {}
        """Slots that were written through a handle and not acknowledged yet."""

    async def start(self) -> None:
        self.seat: WriteSeat = await self._mount.enter_async_context(
            self._studio.seat(self._name, self._policy, self._clock)
        )

        self.is_there = True

    async def die(self) -> None:
        """Lose all that was not acknowledged, and what was open."""
        self.is_there = False
        await self._mount.aclose()
        self.handles.clear()
        self.written.clear()

    def holds(self, name: str) -> bool:
        leases = self.seat.layer.leases
        return (
            self.is_there
            and leases is not None
            and name in self.seat.names()
            and leases.rows.holds(self.seat.ino(name))
        )

    async def close(self, handle: int) -> list[int]:
        """Close *handle*; return the slots that are acknowledged now."""
        self.handles.remove(handle)
        await self.seat.close(handle)
        return self.written.pop(handle, [])


class _Run:
    def __init__(self, seed: int, home: Path) -> None:
        self.chance = Random(f"leases {seed}")
        self.studio = WriteStudio.of(home)
        self.people = [_Person(self.studio, name, self.chance) for name in NAMES]
        self.acknowledged: set[int] = set()
        self.slots = 0
        self.happened: Counter[str] = Counter()

    async def play(self) -> None:
        for person in self.people:
            await person.start()
        first = self.people[0].seat
        for name in _FILES:
            _, (handle, _) = first.layer.files.create(ROOT, name.encode(), 0o644, ME, os.O_RDWR, 0)
            await first.write(handle, b"." * SLOT)
            await first.close(handle)
        await self._until(lambda: set(self.people[1].seat.names()) == set(_FILES), "both files")
        for _ in range(STEPS):
            await self._step(self.chance.choice(self.people))
            await self._pass(self.chance.choice((0, 1, 5, 40, 150)))
        await self._end()

    async def _step(self, person: _Person) -> None:
        name = self.chance.choice(_FILES)
        does = self.chance.choices(
            (
                "open",
                "write",
                "close",
                "take",
                "release",
                "break",
                "cut off",
                "back",
                "die",
                "fault",
            ),
            (6, 8, 6, 2, 2, 1, 1, 3, 1, 2),
        )[0]
        try:
            await self._do(does, person, name)
            self.happened[does] += 1
        except ReadOnlyHere:
            self.happened["refused"] += 1
        except (FileError, NodeError) as error:
            self.happened[type(error).__name__] += 1

    async def _do(self, does: str, person: _Person, name: str) -> None:
        match does:
            case "open" if len(person.handles) < 3:
                person.handles.append(await person.seat.open(name))
            case "write" if person.handles:
                handle = self.chance.choice(person.handles)
                self.slots += 1
                await person.seat.write(handle, _content(self.slots), self.slots * SLOT)
                person.written.setdefault(handle, []).append(self.slots)
            case "close" if person.handles:
                self.acknowledged.update(await person.close(self.chance.choice(person.handles)))
            case "take" | "release" | "break":
                await person.seat.order(name, does.encode())
            case "cut off":
                person.door.reachable = False
            case "back":
                person.door.reachable = True
            case "die":
                await person.die()
                await self._pass(self.chance.choice((0, 30, 200)))
                await person.start()
            case "fault":
                person.door.faults.append(self.chance.choice(_FAULTS))
            case _:
                self.happened["nothing to do"] += 1

    async def _pass(self, seconds: float) -> None:
        for _ in range(max(1, int(seconds))):
            for name in _FILES:
                assert not all(person.holds(name) for person in self.people), f"two have {name}"
            await asyncio.sleep(seconds / max(1, int(seconds)))

    async def _end(self) -> None:
        for person in self.people:
            person.door.reachable = True
            person.door.faults.clear()
            for handle in list(person.handles):
                self.acknowledged.update(await person.close(handle))
            for name in _FILES:
                with contextlib.suppress(FileError):
                    await person.seat.order(name, b"release")
        await self._until(self._is_at_rest, "everything is free, and one history")
        one, other = (person.seat for person in self.people)
        found: set[int] = set()
        for name in one.names():
            content = await one.read(name)
            assert await other.read(name) == content, f"{name} differs"
            found |= {
                slot
                for slot in range(1, self.slots + 1)
                if content[slot * SLOT : (slot + 1) * SLOT] == _content(slot)
            }
        lost = self.acknowledged - found
        assert not lost, f"writes that were acknowledged are in no file: {sorted(lost)}"
        self.happened["copies"] += len(one.names()) - len(_FILES)
        for person in self.people:
            await person.seat.close(await person.seat.open(_FILES[0]))
            await self._until(self._is_at_rest, "it is free again")
        for person in self.people:
            await person.die()

    def _is_at_rest(self) -> bool:
        """Tell whether nobody has anything for himself, nothing waits, and both have read all."""
        replicas = [person.seat.layer.replica for person in self.people]
        return (
            not any(person.seat.lock(name) for person in self.people for name in _FILES)
            and not any(replica.pending.has_work() for replica in replicas)
            and len({replica.pending.head().seq for replica in replicas}) == 1
        )

    async def _until(self, done: Callable[[], bool], what: str) -> None:
        for _ in range(_REST_S):
            if done():
                return
            await self._pass(1)
        raise AssertionError(f"not so after {_REST_S} s: {what}")


def _content(slot: int) -> bytes:
    return b"%015d\n" % slot


def run_seed(seed: int) -> Counter[str]:
    """Play one seed; return what happened. Raises AssertionError."""
    with tempfile.TemporaryDirectory(prefix="lucid-leases-") as home:
        run = _Run(seed, Path(home))
        run_virtual(run.play, seed)
        return run.happened
