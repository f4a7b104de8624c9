"""The file layer under several programs at once, a disk that fills up, and kills at any moment.

Each program owns a part of one file, lines in one log, and a file of its own, so that what it reads
and what must be left after a kill is known exactly, whatever the others do meanwhile. Everything
runs on virtual time: threads end in an order that the seed gives.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random  # noqa: TID251 - seeded

from file_layer_fixture import BLOCK, ME, PROJECT, FileLayer, QuickClock, file_layer

from lab.virtual_loop import LoopClock, run_virtual
from lucidnode.fs.errors import NoSpace
from lucidnode.fs.replica.inode import ROOT, InodeNo
from lucidnode.node.client.ids import BlockId

PROGRAMS = 4
LIVES = 3
STEPS = 60
"""Of each program in one life."""

SLOT = 90_000
"""Bytes in a row that belong to one program; less than a block, and across its boundaries."""

SLOTS = 3
"""Of each program."""

_LINE = 40


@dataclass
class Versions:
    """What a run of bytes may hold after a kill: as acknowledged, and everything written since."""

    now: bytes = b""
    since: list[bytes] = field(default_factory=lambda: [b""])

    def write(self, offset: int, data: bytes) -> None:
        old = self.now.ljust(offset, b"\0")
        self.now = old[:offset] + data + old[offset + len(data) :]
        self.since.append(self.now)

    def cut(self, size: int) -> None:
        self.now = self.now[:size].ljust(size, b"\0")
        self.since.append(self.now)

    def acknowledged(self, at: int) -> None:
        """Note that what was the version number *at*, or a later one, is there for good."""
        self.since = self.since[at:]

    def check(self, found: bytes, padded: bool) -> None:
        """Assert that *found* is made of these; *padded*: zeros may follow, of others' bytes."""
        if found not in self.since:
            size = max(map(len, self.since)) if padded else len(found)
            versions = [each.ljust(size, b"\0") for each in self.since]
            found = found.ljust(size, b"\0")
            sizes = [len(each) for each in self.since]
            assert padded or min(sizes) <= len(found) <= max(sizes), "a size that it never had"
            for at, byte in enumerate(found[:size]):
                known = any(byte == each[at] for each in versions if at < len(each))
                assert known, f"byte {at} was never written so"
        self.now, self.since = found, [found]


@dataclass
class Program:
    """One of those at work: what it knows of its own bytes."""

    number: int
    slots: list[Versions] = field(default_factory=lambda: [Versions() for _ in range(SLOTS)])
    lines: list[bytes] = field(default_factory=list)
    lines_sure: int = 0
    private: Versions | None = None
    """The content of its own file, None if there is none."""
    named: bytes = b""

    def offset(self, slot: int) -> int:
        return (slot * PROGRAMS + self.number) * SLOT


class VirtualClock(QuickClock):
    """The time of the virtual loop, for a file layer."""

    def boot(self) -> float:
        return LoopClock().boot()

    def wall_ns(self) -> int:
        return LoopClock().wall_ns()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class World:
    """One seed."""

    def __init__(self, seed: int, home: Path) -> None:
        self.chance = Random(f"files {seed}")
        self.home = home
        self.programs = [Program(number) for number in range(PROGRAMS)]
        self.happened: Counter[str] = Counter()

    async def run(self) -> None:
        """Live, be killed, look what is there, and go on."""
        for life in range(LIVES):
            limit = self.chance.choice([1 << 40, 4 * BLOCK, 2 * BLOCK])
            buffered = self.chance.choice([1 << 26, 4 * BLOCK])
            async with file_layer(
                self.home, staging_limit=limit, max_buffered=buffered, clock=VirtualClock()
            ) as layer:
                if life == 0:
                    for name in (b"shared", b"log"):
                        layer.files.make(ROOT, name, 0o100644, ME)
                else:
                    await self._look(layer)
                await self._live(layer)
        async with file_layer(self.home, clock=VirtualClock()) as layer:
            await self._look(layer)

    async def _live(self, layer: FileLayer) -> None:
        """Run all programs until they are through, or killed amid their work."""
        layer.daemon.uploads = self.chance.random() < 0.5
        at_work = [
            asyncio.ensure_future(Run(self, layer, program).steps()) for program in self.programs
        ]
        shipping = asyncio.ensure_future(self._ship(layer))
        try:
            kill_after = self.chance.choice([0.5, 30.0, 1e6])
            done, _ = await asyncio.wait(
                at_work, timeout=kill_after, return_when=asyncio.FIRST_EXCEPTION
            )
            self.happened["kills"] += len(done) < len(at_work)
        finally:
            for task in [*at_work, shipping]:
                task.cancel()
            for task in [*at_work, shipping]:
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _ship(self, layer: FileLayer) -> None:
        """Let what is staged leave, now and then: a full disk passes."""
        while True:
            stuck = self.chance.random() < 0.3
            await asyncio.sleep(40.0 if stuck else self.chance.uniform(0.05, 1.0))
            for path in list((self.home / "staging" / PROJECT).iterdir()):
                if not path.name.startswith("."):
                    layer.daemon.upload(BlockId(bytes.fromhex(path.name)))

    async def _look(self, layer: FileLayer) -> None:
        """Assert that what was acknowledged is there."""
        shared = await layer.contents(layer.files.lookup(ROOT, b"shared").ino)
        log = await layer.contents(layer.files.lookup(ROOT, b"log").ino)
        for program in self.programs:
            for slot, versions in enumerate(program.slots):
                at = program.offset(slot)
                versions.check(shared[at : at + SLOT], padded=True)
            places = [log.find(line) for line in program.lines[: program.lines_sure]]
            assert -1 not in places, "an acknowledged line is gone"
            assert places == sorted(places), "lines changed their order"
            assert all(log.count(line) <= 1 for line in program.lines), "a line twice"
            program.lines_sure = len(program.lines) if log.endswith(b"\n") else program.lines_sure
            program.lines = [line for line in program.lines if line in log]
            program.lines_sure = len(program.lines)
            if program.private is not None:
                ino = layer.files.lookup(ROOT, program.named).ino
                program.private.check(await layer.contents(ino), padded=False)


class Run:
    """A program in one life."""

    def __init__(self, world: World, layer: FileLayer, program: Program) -> None:
        self._world = world
        self._layer = layer
        self._files = layer.files
        self._program = program
        self._chance = Random(world.chance.random())
        self._shared = self._log = self._own = 0
        self._ino = InodeNo(0)
        self._syncing: asyncio.Task[None] | None = None

    async def steps(self) -> None:
        """Do STEPS random things; a full disk ends none of them but the one it meets."""
        self._shared = await self._opened(b"shared")
        self._log = await self._opened(b"log", os.O_APPEND)
        if self._program.private is not None:
            self._own = await self._opened(self._program.named)
            self._ino = self._files.lookup(ROOT, self._program.named).ino
        try:
            await self._act()
        finally:
            if self._syncing is not None:
                self._syncing.cancel()

    async def _act(self) -> None:
        for _ in range(STEPS):
            name = self._chance.choice(_ACTIONS)
            try:
                await getattr(self, f"_{name}")()
            except NoSpace:
                self._world.happened["no space"] += 1
            self._world.happened[name] += 1
            rest = self._chance.random()
            if rest < 0.3:
                await asyncio.sleep(40.0 if rest < 0.01 else self._chance.random() * 0.1)

    async def _opened(self, name: bytes, flags: int = 0) -> int:
        handle, _ = await self._files.open(self._files.lookup(ROOT, name).ino, os.O_RDWR | flags)
        return handle

    # -- the shared file ---------------------------------------------------------------------

    def _somewhere(self) -> tuple[Versions, int, int, bytes]:
        slot = self._chance.randrange(SLOTS)
        offset = self._chance.randrange(SLOT)
        size = min(self._chance.choice([1, 100, 5000, SLOT]), SLOT - offset)
        data = bytes([self._chance.randrange(1, 256)]) * size
        return self._program.slots[slot], self._program.offset(slot), offset, data

    async def _write(self) -> None:
        versions, base, offset, data = self._somewhere()
        await self._files.write(self._shared, base + offset, data)
        versions.write(offset, data)

    async def _late_write(self) -> None:
        """Come in as a page of a map does, whose handle is closed."""
        versions, base, offset, data = self._somewhere()
        ino = self._files.lookup(ROOT, b"shared").ino
        await self._layer.writer.write(ino, base + offset, data)
        versions.write(offset, data)

    async def _read(self) -> None:
        slot = self._chance.randrange(SLOTS)
        versions, base = self._program.slots[slot], self._program.offset(slot)
        found = bytes(await self._files.read(self._shared, base, len(versions.now)))
        assert found.ljust(len(versions.now), b"\0") == versions.now, "not what was written"

    async def _sync(self) -> None:
        marks = [len(versions.since) - 1 for versions in self._program.slots]
        await self._files.sync(self._shared)
        for versions, mark in zip(self._program.slots, marks, strict=True):
            versions.acknowledged(mark)

    async def _reopen(self) -> None:
        marks = [len(versions.since) - 1 for versions in self._program.slots]
        await self._files.flush(self._shared)
        self._files.release(self._shared)
        for versions, mark in zip(self._program.slots, marks, strict=True):
            versions.acknowledged(mark)
        self._shared = await self._opened(b"shared")

    async def _pack(self) -> None:
        self._layer.writer.pack_tails()

    # -- the log -----------------------------------------------------------------------------

    async def _append(self) -> None:
        word = f"{self._program.number} {self._chance.getrandbits(64):016x} ".encode()
        line = word.ljust(_LINE - 1, b".") + b"\n"
        await self._files.write(self._log, 0, line)
        self._program.lines.append(line)

    async def _sync_log(self) -> None:
        sure = len(self._program.lines)
        await self._files.sync(self._log)
        self._program.lines_sure = max(sure, self._program.lines_sure)

    # -- the file of its own -----------------------------------------------------------------

    async def _make(self) -> None:
        """Save as editors do: a new file, under another name at first, over the old one."""
        name = b"new-%d" % self._program.number
        made = self._files.make(ROOT, name, 0o100644, ME)
        handle, _ = await self._files.open(made.ino, os.O_RDWR)
        content = Versions()
        try:
            for _ in range(3):
                data = self._chance.randbytes(self._chance.choice([50, 4000, BLOCK]))
                at = len(content.now)
                await self._files.write(handle, at, data)
                content.write(at, data)
            mark = len(content.since) - 1
            await self._files.sync(handle)
            content.acknowledged(mark)
            await self._synced()
        except BaseException:
            self._files.release(handle)
            self._files.unlink(ROOT, name)
            raise
        # No await from here on: a kill must not part the name from what is known of it.
        final = b"own-%d" % self._program.number
        self._files.rename(ROOT, name, ROOT, final, 0)
        if self._program.private is not None:
            self._files.release(self._own)
        self._own, self._ino = handle, made.ino
        self._program.private, self._program.named = content, final

    async def _private_write(self) -> None:
        content = self._program.private
        if content is not None:
            offset = self._chance.randrange(len(content.now) + 3000)
            data = self._chance.randbytes(self._chance.choice([1, 900, 70_000, BLOCK, 2 * BLOCK]))
            await self._files.write(self._own, offset, data)
            content.write(offset, data)

    async def _truncate(self) -> None:
        content = self._program.private
        if content is not None:
            size = self._chance.randrange(len(content.now) + 100)
            await self._layer.writer.truncate(self._ino, size)
            content.cut(size)

    async def _private_read(self) -> None:
        content = self._program.private
        if content is not None:
            assert bytes(await self._files.read(self._own, 0, 1 << 40)) == content.now

    async def _private_sync(self) -> None:
        """Begin to sync, and write on meanwhile."""
        content = self._program.private
        if content is not None:
            await self._synced()
            self._syncing = asyncio.ensure_future(self._sync_private(content, self._own))
            await asyncio.sleep(0)

    async def _sync_private(self, content: Versions, handle: int) -> None:
        newest = content.since[-1]
        try:
            await self._files.sync(handle)
        except NoSpace:
            self._world.happened["no space"] += 1
        else:
            content.acknowledged(next(at for at, it in enumerate(content.since) if it is newest))

    async def _synced(self) -> None:
        """Let a sync that was begun end: before its handle is closed, and before the next."""
        if self._syncing is not None:
            await self._syncing

    async def _remove(self) -> None:
        if self._program.private is not None:
            await self._synced()
            self._files.unlink(ROOT, self._program.named)
            self._files.release(self._own)
            self._program.private = None


_ACTIONS = (
    ["write"] * 8
    + ["late_write", "sync", "reopen", "append", "append", "sync_log", "pack", "make"]
    + ["read"] * 3
    + ["private_write"] * 4
    + ["private_read", "private_sync"] * 2
    + ["truncate", "remove"]
)


def run_seed(seed: int) -> Counter[str]:
    """Play one run; raises AssertionError where something does not hold."""
    with tempfile.TemporaryDirectory(prefix="lucid-files-", dir="/dev/shm") as home:
        world = World(seed, Path(home))
        run_virtual(world.run, seed)
    return world.happened
