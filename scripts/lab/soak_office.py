"""An office of a soak: nodes at work on one project, one store, and what daemons tell each other.

All depends on the seed. Users do random things, processes are killed at any await, and what nodes
push to each other is lost, late, doubled or taken for another's, or their network is in two parts.
Each node has another idea of the time.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random  # noqa: TID251  # seeded: a failure can be repeated

from lab.hostile import Hostility
from lab.hostile_bucket import HostileBucket
from lab.kept_files import KeptFiles
from lab.soak_node import SoakNode
from lab.soak_studio import device_seed, soak_studio
from lab.soak_workstation import Workstation
from lab.virtual_loop import LoopClock, SkewedClock
from lucidnode.fs.errors import FileError, ReadOnly
from lucidnode.fs.replica.intents import Forget
from lucidnode.node.bucket.keys import journal_key, roster_key
from lucidnode.node.bucket.memory import MemoryBucket
from lucidnode.node.client.ids import ProjectId, Seq

QUIESCE_S = 300.0
"""Virtual seconds in which everything must come to rest once the faults are over."""


class Broken(AssertionError):
    """An invariant does not hold; the message says which, with seed and trace."""


class Office:
    """The nodes called *names*, which the soak runs in a task group of its own: see `begin`."""

    def __init__(
        self,
        directory: Path,
        seed: int,
        names: Sequence[str],
        *,
        saves_over: bool,
        checkpoints: bool,
    ) -> None:
        """With *saves_over*, kept files are saved anew now and then, as editors do.

        With *checkpoints*, mounts make and check them.
        """
        self.seed = seed
        self.names = names
        self.random = Random(f"world {seed}")
        self.clock = LoopClock()
        self.store = MemoryBucket()
        self.hostility = Hostility(Random(f"hostility {seed}"))
        self.trace: list[str] = []
        self.kept = KeptFiles()
        self.clocks = {name: SkewedClock(Random(f"clock {name} {seed}")) for name in names}
        self.apart: frozenset[str] = frozenset()
        """The nodes in one part of a network that is in two."""
        self.nodes: list[SoakNode] = []
        self.hits: Counter[str] = Counter()
        """How often each thing happened that is not a fault of the store."""
        studio = soak_studio()
        self.project = studio.project_id
        for number, entry in enumerate(studio.entries, start=1):
            self.store.objects[roster_key(Seq(number))] = entry
        self._directory = directory
        self._members = studio.members
        self._saves_over = saves_over
        self._checkpoints = checkpoints
        self._pushing = True

    async def begin(self, later: asyncio.TaskGroup) -> None:
        """Start all nodes. Of *later* are the tasks that go on by themselves."""
        self._later = later
        contents: dict[bytes, bytes] = {}
        for name in self.names:
            workstation = Workstation(
                name=name,
                directory=self._directory / name,
                device_seed=device_seed(name),
                membership=self._members[name],
                project=self.project,
                bucket=HostileBucket(self.store, name, self.hostility, self.clock, later),
                clock=self.clocks[name],
                random=Random(f"{name} {self.seed}"),
                announce=partial(self._push, name),
            )
            node = SoakNode(workstation, self.seed, contents, checkpoints=self._checkpoints)
            self.nodes.append(node)
            await self.start(node)
            if not node.is_up:
                raise self.broken(f"{name} does not start: {node.died}")

    async def end(self) -> None:
        """Kill all nodes."""
        for node in self.nodes:
            await node.kill(daemon=True, mount=True)
            node.user.close()

    async def start(self, node: SoakNode) -> None:
        """Start what does not run of *node*, and wait for it as long as a service would."""
        if node.daemon is None:
            node.start_daemon()
        await self.until(lambda: node.serving() is not None or bool(node.died), 60)
        if node.mount is None and node.serving() is not None:
            node.start_mount()
            await self.until(lambda: node.is_up or bool(node.died), 60)

    async def use(self, node: SoakNode) -> None:
        """Be the user of *node*, and now and then its power cut."""
        random = node.workstation.random
        while True:
            await self.clock.sleep(random.expovariate(1.0))
            if node.mount is None or not node.is_up:
                await self.start(node)
                continue
            match random.randrange(24):
                case 0:
                    daemon, mount = random.choice(((True, True), (True, False), (False, True)))
                    self.say(node.name, f"killed: daemon {daemon}, mount {mount}")
                    await node.kill(daemon=daemon, mount=mount)
                    self.hits["kill"] += 1
                    await self.clock.sleep(random.uniform(0.0, 10.0))
                case 1 | 2 | 3:
                    _ = node.mount.start(partial(self._flush, node))
                case 4 | 5 | 6 | 7:
                    said = self.kept.keep(node, may_save_over=self._saves_over)
                    self.hits["saved over"] += "saves" in said
                    self.say(node.name, said)
                case _:
                    with contextlib.suppress(FileError):
                        node.user.act()

    async def _flush(self, node: SoakNode) -> None:
        assert node.mount is not None
        with contextlib.suppress(ReadOnly):
            await node.mount.committer.until_committed(None)
            self.say(node.name, f"flushed at {node.user.replica.pending.head().seq}")

    # -- what daemons tell each other ---------------------------------------------------------

    def _push(self, sender: str, project: ProjectId, seq: Seq) -> None:
        self.say(sender, f"committed {seq}")
        for node in self.nodes:
            if self._are_apart(node.name, sender):
                self.hits["push cut"] += 1
            elif node.name != sender and self._pushing:
                _ = self._later.create_task(self._deliver(sender, node, project, seq))

    def _are_apart(self, one: str, other: str) -> bool:
        return (one in self.apart) != (other in self.apart)

    async def _deliver(self, sender: str, node: SoakNode, project: ProjectId, seq: Seq) -> None:
        """Carry a push over a network that loses, holds, doubles and confuses some of them."""
        random = self.random
        times = 1
        match random.randrange(8):
            case 0:
                self.hits["push lost"] += 1
                return
            case 1:
                self.hits["push late"] += 1
                await self.clock.sleep(random.uniform(1.0, 30.0))
            case 2:
                self.hits["push doubled"] += 1
                times = 2
            case 3:
                self.hits["push of another"] += 1
                seq = Seq(max(1, seq + random.choice((-1, 1, 2**40))))
            case _:
                pass
        await self.clock.sleep(random.uniform(0.001, 0.02))
        device = next(each.workstation.device for each in self.nodes if each.name == sender)
        for _ in range(times):
            if self._pushing and (daemon := node.serving()) is not None:
                daemon.events.pushed(device, project, seq)

    async def gossip(self) -> None:
        """Have the nodes tell each other their heads, as linked daemons do."""
        while True:
            await self.clock.sleep(self.random.uniform(1.0, 8.0))
            here, there = self.random.sample(self.nodes, 2)
            if self._are_apart(here.name, there.name):
                continue
            tells, hears = here.serving(), there.serving()
            if tells is not None and hears is not None:
                device = here.workstation.device
                hears.events.heads(device, tells.journal.newest(8))
                hears.events.roster_head(device, *tells.roster.log_head())

    def fall_silent(self) -> None:
        """Have nothing pushed any more, nor what is on its way."""
        self._pushing = False

    # -- coming to rest -----------------------------------------------------------------------

    async def quiesce(self) -> None:
        """Wait until all is committed and seen by all, and close what is open. Raises Broken."""
        if not await self.until(self.is_at_rest, QUIESCE_S):
            states = [
                f"{n.name}: head {n.user.replica.pending.head().seq}, pending {n.user.replica.pending.count()}, "
                f"{[a.cause for a in n.alerts()]}"
                for n in self.nodes
            ]
            raise self.broken(f"no rest after {QUIESCE_S} s: last {self.last()}; {states}")
        for node in self.nodes:
            for ino in sorted(node.user.open):
                node.user.replica.apply(Forget(ino))
            node.user.open.clear()
        if not await self.until(self.is_at_rest, QUIESCE_S):
            raise self.broken("no rest after the last files were closed")

    def is_at_rest(self) -> bool:
        """Tell whether all nodes serve and are done."""
        return all(node.is_up for node in self.nodes) and self.are_done(self.nodes)

    def are_done(self, nodes: Iterable[SoakNode]) -> bool:
        """Tell whether *nodes* stand on the last entry and have nothing to commit."""
        last = self.last()
        journals = [node.user.replica.pending for node in nodes]
        return all(not one.has_work() and one.head().seq == last for one in journals)

    def last(self) -> int:
        """Return the number of the last entry in the store, 0 if there is none."""
        folder = journal_key(self.project, Seq(1)).rpartition("/")[0]
        return max((int(k[-16:]) for k in self.store.objects if k.startswith(folder)), default=0)

    # -- small things -------------------------------------------------------------------------

    async def until(self, done: Callable[[], bool], seconds: float) -> bool:
        """Wait for *done*, so many virtual seconds at most; tell whether it is."""
        end = self.clock.boot() + seconds
        while not done():
            if self.clock.boot() >= end:
                return False
            await self.clock.sleep(0.25)
        return True

    def say(self, who: str, what: str) -> None:
        """Add a line to the trace."""
        self.trace.append(f"{self.clock.boot() - 1000:9.3f} {who:6} {what}")

    def broken(self, what: str) -> Broken:
        """Return what says that *what* does not hold, with the end of the trace."""
        trace = "\n".join(self.trace[-60:])
        return Broken(f"seed {self.seed}: {what}\n{trace}")


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Have a directory in memory if there is one: what survives a power cut is tested elsewhere."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(
        prefix="lucidnode-soak-", dir=memory if memory.is_dir() else None
    ) as name:
        yield Path(name)
