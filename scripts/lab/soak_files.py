"""Programs at work on the file layer while it commits, another workstation, a full disk, and ends.

Each program owns a part of one file, lines in one log, and a file of its own, so that what it reads
and what must be left is known exactly, whatever the others do meanwhile. A life ends at any moment:
with kill -9, which leaves all that was written, or with a power cut, which leaves what was synced
and anything of the rest (tests/disk_record.py). Everything runs on virtual time: threads end in an
order that the seed gives.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import gc
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random  # noqa: TID251 - seeded
from unittest import mock

from blake3 import blake3
from committer_fixture import Bucket
from disk_record import ROOT as ROOT_DIRECTORY
from disk_record import Disk, Tree
from file_layer_fixture import BLOCK, ME, PROJECT, Commits, FileLayer, QuickClock, file_layer
from recorded_directory import RecordedDirectory, recorded_directory
from recording_database import RecordingDatabase, recording_database
from recording_disk import bytes_only, everything, laid_down, names_only, nothing_loose, some
from replica_fixture import rows_of

from lab.file_elsewhere import Door, Elsewhere
from lab.file_models import PROGRAMS, Program
from lab.file_programs import Running
from lab.virtual_loop import LoopClock, run_virtual
from lucidnode.fs.replica import pending_operations
from lucidnode.fs.replica.changes import Touched
from lucidnode.fs.replica.inode import ROOT, InodeNo
from lucidnode.fs.replica.pending import pending_journal
from lucidnode.fs.replica.pending.batch_selection import WINDOW_OPERATIONS
from lucidnode.fs.replica.sqlite.checkpoints import Checkpoints
from lucidnode.fs.replica.tree.row_rules import MAX_ROWS
from lucidnode.node.client.ids import BlockId

LIVES = 4
STEPS = 250
"""Of each program in one life."""

OTHER_OUTCOMES = 2
"""Of a power cut, looked at besides the one that the next life begins with."""

_BOUNDS = ((MAX_ROWS, WINDOW_OPERATIONS), (MAX_ROWS, 25))
"""Rows and operations looked at for an entry: as they are, and as if thousands waited."""

_ANOTHER_BOOT = "after the power cut"

MOST_S = 3000.0
"""Virtual seconds of a life at most; programs are through with their steps long before."""

REST_S = 600.0
"""Virtual seconds in which everything must be committed and seen, in the end."""


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

    def __init__(
        self, seed: int, home: Path, disk: RecordedDirectory, database: RecordingDatabase
    ) -> None:
        self.chance = Random(f"files {seed}")
        self.disk = disk
        self.database = database
        self.home = disk.path / "home"
        self.bucket = home / "bucket"
        self.bucket.mkdir()
        self.programs = [Program(number) for number in range(PROGRAMS)]
        self.happened: Counter[str] = Counter()
        entries = Bucket()
        self.door = Door(entries, "a", self.bucket, Random(f"door a {seed}"))
        there = Door(entries, "b", self.bucket, Random(f"door b {seed}"))
        self.elsewhere = Elsewhere(home, there, self.bucket, seed)
        self.devices = {door.device: door.public for door in (self.door, there)}
        self.elsewhere.devices.update(self.devices)
        self.relaxed = seed % 3 == 0
        self.boot: str | None = None
        self.shared = InodeNo(0)
        """The file with our version of what all programs share."""

    async def run(self) -> None:
        """Live, end, look what is there, and go on; in the end all must have got everywhere."""
        other = asyncio.ensure_future(self.elsewhere.run())
        try:
            for life in range(LIVES):
                async with self._layer() as layer:
                    if life == 0:
                        await self._begin(layer)
                    else:
                        await self._look(layer, self.programs)
                    left, is_cut = await self._live(layer)
                await self._end(left, is_cut)
            async with self._layer() as layer:
                await self._look(layer, self.programs)
                await self._come_to_rest(layer)
        finally:
            other.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await other
        self.elsewhere.node.close()
        self.happened += self.door.happened + self.elsewhere.door.happened

    @contextlib.asynccontextmanager
    async def _layer(self) -> AsyncIterator[FileLayer]:
        """Open the file layer as the disk is now."""
        async with file_layer(
            self.home,
            staging_limit=self.chance.choice([1 << 40, 4 * BLOCK, 2 * BLOCK]),
            max_buffered=self.chance.choice([1 << 26, 4 * BLOCK]),
            clock=VirtualClock(),
            relaxed=self.relaxed,
            boot=self.boot,
            bucket=self.bucket,
            replica_path=self.database.directory / "replica.db",
            commits=Commits(self.door, self.door.device, self.devices.get, self._touched),
            random_bytes=self.chance.randbytes,
        ) as layer:
            yield layer
            failed = [each for each in layer.alerts.current() if each.topic.startswith("work:")]
            assert not failed, f"some work failed: {failed}"

    def _touched(self, touched: Touched) -> None:
        self.happened["entries of others"] += 1
        self.happened["moved into a conflict copy"] += len(touched.moved)
        self.shared = touched.moved.get(self.shared, self.shared)

    async def _begin(self, layer: FileLayer) -> None:
        self.shared = layer.files.make(ROOT, b"shared", 0o100644, ME).ino
        layer.files.make(ROOT, b"log", 0o100644, ME)
        await layer.files.sync_directory()
        self.disk.sync_everything()

    # -- a life and its end ------------------------------------------------------------------

    async def _live(self, layer: FileLayer) -> tuple[Disk, bool]:
        """Run all programs until they are through, or ended amid their work.

        Returns the disk as it was then, and whether the power was cut.
        """
        layer.daemon.uploads = self.chance.random() < 0.5
        running = [
            Running(
                layer, program, lambda: self.shared, Random(self.chance.random()), self.happened
            )
            for program in self.programs
        ]
        at_work = [asyncio.ensure_future(each.steps(STEPS)) for each in running]
        around = [
            asyncio.ensure_future(each)
            for each in (self._ship(layer), self._weather(), self._let_go(layer))
        ]
        try:
            end_after = self.chance.choice([3.0, 30.0, 100.0, MOST_S]) * self.chance.random()
            done, waiting = await asyncio.wait(
                at_work, timeout=end_after, return_when=asyncio.FIRST_EXCEPTION
            )
            is_cut = self.chance.random() < 0.7
            self.happened["power cuts" if is_cut else "kills"] += 1
            self.happened["ended amid work"] += bool(waiting)
            self.disk.mark("the end")
            for each in running:
                each.end()
            for task in done:
                task.result()
        finally:
            self.disk.be_full(False)
            for task in [*at_work, *around]:
                task.cancel()
            await asyncio.wait([*at_work, *around])
        return self.disk.up_to("the end"), is_cut

    async def _ship(self, layer: FileLayer) -> None:
        """Let what is staged leave, now and then: full staging passes."""
        while True:
            stuck = self.chance.random() < 0.3
            await asyncio.sleep(40.0 if stuck else self.chance.uniform(0.05, 1.0))
            self._upload(layer)

    async def _let_go(self, layer: FileLayer) -> None:
        """Have staged what is deleted go, as a mount does."""
        while True:
            await asyncio.sleep(self.chance.expovariate(1))
            before = len(layer.daemon.unneeded)
            await layer.deleted_files.look()
            self.happened["blocks deleted"] += len(layer.daemon.unneeded) - before

    def _upload(self, layer: FileLayer) -> None:
        for path in sorted((self.home / "staging" / PROJECT).iterdir()):
            if not path.name.startswith("."):
                layer.daemon.upload(BlockId(bytes.fromhex(path.name)))

    async def _weather(self) -> None:
        """Have the disk be full, and the bucket away, for a while each."""
        while True:
            await asyncio.sleep(self.chance.expovariate(1 / 4))
            match self.chance.randrange(3):
                case 0:
                    self.disk.be_full(True)
                    self.happened["full disks"] += 1
                    await asyncio.sleep(self.chance.choice([0.01, 0.1, 3.0, 20.0]))
                    self.disk.be_full(False)
                case 1:
                    door = self.chance.choice([self.door, self.elsewhere.door])
                    door.reachable = False
                    self.happened["bucket away"] += 1
                    await asyncio.sleep(self.chance.uniform(0.1, 10.0))
                    door.reachable = True
                case _:
                    pass

    async def _end(self, left: Disk, is_cut: bool) -> None:
        """Have the disk hold what that end leaves; look at other things that it may leave."""
        self.boot = _ANOTHER_BOOT if is_cut else None
        self.door.reachable = self.elsewhere.door.reachable = True
        outcomes = [self._outcome(left, is_cut) for _ in range(1 + OTHER_OUTCOMES * is_cut)]
        for tree in outcomes[1:]:
            with laid_down(tree) as elsewhere:
                async with file_layer(
                    elsewhere / "home",
                    clock=VirtualClock(),
                    boot=_ANOTHER_BOOT,
                    bucket=self.bucket,
                    replica_path=elsewhere / "replica" / "replica.db",
                ) as layer:
                    layer.daemon.uploads = False
                    await self._look(layer, copy.deepcopy(self.programs))
        self.database.lay_down(outcomes[0])
        self._drop_torn(self.home)
        if not is_cut:
            for program in self.programs:
                del program.own[:-1]

    def _outcome(self, left: Disk, is_cut: bool) -> Tree:
        """Return what that end may leave, with an empty cache."""
        loose = [nothing_loose, names_only, bytes_only, some(self.chance.random())]
        tree = left.after_power_cut(self.chance.choice(loose) if is_cut else everything)
        home = tree.inodes[tree.inodes[ROOT_DIRECTORY].names[b"home"]]
        home.names.pop(b"blocks", None)
        return tree

    @staticmethod
    def _drop_torn(home: Path) -> None:
        """Drop staged blocks that are not whole, as uploads do: no one was promised anything."""
        for path in sorted((home / "staging" / PROJECT).glob("*")):
            if blake3(path.read_bytes()).hexdigest() != path.name:
                path.unlink()

    # -- what must hold ----------------------------------------------------------------------

    async def _look(self, layer: FileLayer, programs: list[Program]) -> None:
        """Assert that what was acknowledged is there; have *programs* go on from it."""
        self.shared = await self._ours(layer, programs)
        log = await layer.contents(layer.files.lookup(ROOT, b"log").ino)
        for program in programs:
            program.check_log(log)
            own = layer.replica.tree.lookup(ROOT, program.own_name)
            program.check_own(None if own is None else await layer.contents(own.ino))

    async def _ours(self, layer: FileLayer, programs: list[Program]) -> InodeNo:
        """Return the file with all that the programs have in `shared`: it, or a conflict copy."""
        whys = []
        for name, attributes in layer.replica.tree.list_names(ROOT, None, 1000):
            if not name.startswith(b"shared"):
                continue
            self.shared = attributes.ino  # an entry of others may move it while it is read
            found = await layer.contents(attributes.ino)
            contradictions = [each.shared_contradiction(found) for each in programs]
            if not any(contradictions):
                for program in programs:
                    program.found_shared(found)
                return self.shared
            whys.append((name, [why for why in contradictions if why]))
        raise AssertionError(f"nowhere is all that was acknowledged: {whys}")

    async def _come_to_rest(self, layer: FileLayer) -> None:
        """Assert that both workstations end with the same, and that every line is in the log."""
        assert layer.committer is not None
        other = self.elsewhere.node
        self.elsewhere.append()
        until = LoopClock().boot() + REST_S
        self.elsewhere.is_used = False
        while not self._is_at_rest(layer):
            self._upload(layer)
            await asyncio.sleep(1.0)
            assert until > LoopClock().boot(), (
                f"no rest: {layer.replica.pending.head()} with {layer.replica.pending.count()}, "
                f"{other.replica.pending.head()} with {other.replica.pending.count()}"
            )
        await self._look(layer, self.programs)
        other.check()
        assert rows_of(layer.replica) == other.rows(), "the replicas differ"
        log = await layer.contents(layer.files.lookup(ROOT, b"log").ino)
        for line in self.elsewhere.lines:
            assert log.count(line) == 1, f"{line!r} is {log.count(line)} times in the log"
        self.happened["entries"] += layer.replica.pending.head().seq

    def _is_at_rest(self, layer: FileLayer) -> bool:
        last = len(self.door.bucket.entries)
        return all(
            not replica.pending.has_work() and replica.pending.head().seq == last
            for replica in (layer.replica, self.elsewhere.node.replica)
        )


@contextlib.contextmanager
def _entries_of(rows: int, window: int) -> Iterator[None]:
    """Have an entry hold so many rows, of so many operations that wait."""
    with (
        mock.patch.object(pending_journal, "MAX_ROWS", rows),
        mock.patch.object(pending_operations, "MAX_ROWS", rows),
        mock.patch.object(pending_journal, "WINDOW_OPERATIONS", window),
    ):
        yield


def _checkpoint_soon(checkpoints: Checkpoints) -> None:
    """Move the log in the loop's own thread, at its next turn: in another, no two runs were alike."""

    def run() -> None:
        if checkpoints._running.acquire(blocking=False):
            checkpoints._checkpoint()

    asyncio.get_running_loop().call_soon(run)


def run_seed(seed: int) -> Counter[str]:
    """Play one run; raises AssertionError where something does not hold."""
    with (
        tempfile.TemporaryDirectory(prefix="lucid-files-", dir="/dev/shm") as home,
        recorded_directory(Path(home, "disk")) as disk,
        recording_database(Path(home, "replica"), disk) as database,
        _entries_of(*_BOUNDS[seed % len(_BOUNDS)]),
        mock.patch.object(Checkpoints, "_checkpoint_beside", _checkpoint_soon),
    ):
        world = World(seed, Path(home), disk, database)
        run_virtual(world.run, seed)
        happened = world.happened
        del world
        gc.collect()  # what this seed holds open, the next does not keep
    return happened
