"""Two to five nodes, one journal, and a store that is hostile for a while: what holds after it.

Each seed is one run on virtual time: the nodes' users do random things, faults come and go by
phases, processes are killed at any await, and what nodes push to each other is lost, late, doubled
or taken for another's, or their network is in two parts. Each node has another idea of the time.
Then the faults end, and everything must come to rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random  # noqa: TID251  # seeded: a failure can be repeated

from lab.hostile import BYTES, CATALOGUE, LIES, METHODS, QUIET, Hostility, Method, Rule
from lab.hostile_bucket import DEADLINE_S, HostileBucket
from lab.kept_files import KeptFiles
from lab.soak_node import SoakNode
from lab.soak_studio import NAMES, device_seed, soak_studio
from lab.virtual_loop import LoopClock, SkewedClock, run_virtual
from lucidnode.fs.errors import FileError, ReadOnly
from lucidnode.fs.replica.intents import Forget
from lucidnode.node.bucket.keys import journal_key, roster_key
from lucidnode.node.bucket.memory import MemoryBucket
from lucidnode.node.client.ids import Seq
from lucidnode.node.client.journal import NO_ENTRY, EntryHeader, entry_hash

QUIESCE_S = 300.0
"""Virtual seconds in which everything must come to rest once the faults are over."""

CALM_S = 90.0
"""Virtual seconds after which no alert may be left."""

ALERT_S, PARTIAL_ALERT_S = 5.0, 30.0
"""Virtual seconds a node may be kept from committing or reading before `status` says so. The first
counts if every request of it fails; if only some do, trying again is what helps, for 20 s."""

MOST_REQUESTS = 400
"""Requests of one node in any ten seconds of the clock: a retry loop without a rate makes more."""

_NODES = (2, 2, 2, 3, 3, 3, 4, 5)
"""How many there are: most of what can happen takes two or three, and each costs its share."""

_PHASES = (1, 3)
_PHASE_S = (2.0, 9.0)
"""Virtual seconds. Most are longer than what a node may be silent for; to play one costs the more
processor the longer it is."""

_HANG = frozenset({"hang", "endless", "drip"})
"""Faults that keep a request until its deadline."""

TRANSIENT = sorted(set(CATALOGUE) - LIES)
"""Faults that leave the bucket as it is, so that all is well once they are over."""


class Broken(AssertionError):
    """An invariant does not hold; the message says which, with seed and trace."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a seed was made of. *hits* counts faults that befell requests."""

    hits: Counter[str]
    entries: int
    trace: tuple[str, ...]


@dataclass(slots=True)
class _Watch:
    """Since when a node has been kept from something, and what it said meanwhile."""

    head: int = -1
    commit_since: float | None = None
    read_since: float | None = None
    loud_since: float | None = None
    """Since when it meets faults that it can tell from a store that is well."""
    whole_since: float | None = None
    """Since when all its requests fail so, and not only some."""
    hung_until: float = 0.0
    """Until when requests may hang that were sent while nobody answered."""
    complaints: list[str] = field(default_factory=list)


class World:
    """One run."""

    saves_over = True
    """Kept files are saved anew, now and then, as editors do."""

    checkpoints = True
    """Mounts make and check them, and in the end somebody joins by one."""

    def __init__(
        self, directory: Path, seed: int, faults: Sequence[str], nodes: int | None = None
    ) -> None:
        """*nodes* is how many there are; the seed says so if nothing is said."""
        self.seed = seed
        self.names = NAMES[: nodes or Random(f"nodes {seed}").choice(_NODES)]
        self.random = Random(f"world {seed}")
        self.faults = faults
        self.clock = LoopClock()
        self.store = MemoryBucket()
        self.hostility = Hostility(Random(f"hostility {seed}"))
        self.trace: list[str] = []
        self.kept = KeptFiles()
        self._clocks = {name: SkewedClock(Random(f"clock {name} {seed}")) for name in NAMES}
        self._apart: frozenset[str] = frozenset()
        """The nodes in one part of a network that is in two."""
        studio = soak_studio()
        self.project = studio.project_id
        for number, entry in enumerate(studio.entries, start=1):
            self.store.objects[roster_key(Seq(number))] = entry
        self._directory = directory
        self._members = studio.members
        self._watches = {name: _Watch() for name in self.names}
        self._pushing = True
        self.nodes: list[SoakNode] = []
        self.hits: Counter[str] = Counter()

    # -- the run ------------------------------------------------------------------------------

    async def run(self) -> Report:
        async with asyncio.TaskGroup() as self._later:
            await self._begin()
            life = [self._later.create_task(self._use(node)) for node in self.nodes]
            life.append(self._later.create_task(self._gossip()))
            watching = self._later.create_task(self._watch())
            # Seeds in a row play every fault there is, each before all requests of some node.
            client = self.random.choice(("*", *self.names))
            await self._phase([Rule(self.faults[self.seed % len(self.faults)], client=client)])
            for _ in range(self.random.randint(*_PHASES) - 1):
                await self._phase([])
            self.hostility.set([])
            self._apart = frozenset()
            self._say("world", "faults are over")
            for task in life[:-1]:
                task.cancel()
            for node in self.nodes:
                await self._start(node)
            await self._quiesce()
            await self._until(lambda: not any(node.alerts() for node in self.nodes), CALM_S)
            watching.cancel()
            life[-1].cancel()
            self._pushing = False
            self._check()
            if self.checkpoints:
                await self._join_late()
            for node in self.nodes:
                await node.kill(daemon=True, mount=True)
                node.user.close()
        return Report(self.hostility.hits + self.hits, self._last(), tuple(self.trace))

    async def _begin(self) -> None:
        contents: dict[bytes, bytes] = {}
        for name in self.names:
            bucket = HostileBucket(self.store, name, self.hostility, self.clock, self._later)
            node = SoakNode(
                self._directory,
                name,
                seed=self.seed,
                device_seed=device_seed(name),
                membership=self._members[name],
                project=self.project,
                bucket=bucket,
                clock=self._clocks[name],
                contents=contents,
                announce=self._push,
                checkpoints=self.checkpoints,
            )
            self.nodes.append(node)
            await self._start(node)
            if not node.is_up:
                raise self._broken(f"{name} does not start: {node.died}")

    async def _start(self, node: SoakNode) -> None:
        """Start what does not run of *node*, and wait for it as long as a service would."""
        if node.daemon is None:
            node.start_daemon()
        await self._until(lambda: node.daemon_is_up or bool(node.died), 60)
        if node.mount is None and node.daemon_is_up:
            node.start_mount()
            await self._until(lambda: node.is_up or bool(node.died), 60)

    async def _phase(self, rules: list[Rule]) -> None:
        """Put *rules* and a few more in force for a while."""
        rules = [*rules, *(self._rule() for _ in range(self.random.choice((0, 1, 1, 1, 2, 3))))]
        self.hostility.set(rules)
        length = self.random.uniform(*_PHASE_S)
        apart = self.random.sample(self.names, self.random.randrange(len(self.names)))
        self._apart = frozenset(apart if self.random.random() < 0.3 else ())
        for name in self.names:
            if self.random.random() < 0.2:
                self._clocks[name].set_anew()
                self.hits["wall clock set"] += 1
        self._say("world", f"for {length:.1f} s: {'; '.join(map(str, rules)) or 'calm'}")
        await self.clock.sleep(length)

    def _rule(self) -> Rule:
        methods: tuple[tuple[Method, ...], ...] = (
            METHODS,
            METHODS,
            ("get",),
            ("get",),
            ("get", "list"),
            ("create",),
            ("put", "create"),
        )
        return Rule(
            self.random.choice(self.faults),
            self.random.choice(methods),
            self.random.choice(("*", "*", "*", "journal/*", "journal/*", "roster/*", "block/*")),
            self.random.choice((1.0, 1.0, 0.5, 0.2)),
            self.random.choice((None, None, None, 1, 3)),
            self.random.choice(("*", *self.names)),
        )

    async def _use(self, node: SoakNode) -> None:
        """Be the user of *node*, and now and then its power cut."""
        while True:
            await self.clock.sleep(node.random.expovariate(1.0))
            if node.mount is None or not node.is_up:
                await self._start(node)
                continue
            match node.random.randrange(24):
                case 0:
                    daemon, mount = node.random.choice(((True, True), (True, False), (False, True)))
                    self._say(node.name, f"killed: daemon {daemon}, mount {mount}")
                    await node.kill(daemon=daemon, mount=mount)
                    self.hits["kill"] += 1
                    await self.clock.sleep(node.random.uniform(0.0, 10.0))
                case 1 | 2 | 3:
                    _ = node.mount.start(partial(self._flush, node))
                case 4 | 5 | 6 | 7:
                    said = self.kept.keep(node, may_save_over=self.saves_over)
                    self.hits["saved over"] += "saves" in said
                    self._say(node.name, said)
                case _:
                    with contextlib.suppress(FileError):
                        node.user.act()

    async def _flush(self, node: SoakNode) -> None:
        assert node.mount is not None
        with contextlib.suppress(ReadOnly):
            await node.mount.committer.until_committed(None)
            self._say(node.name, f"flushed at {node.user.replica.pending.head().seq}")

    # -- the office ---------------------------------------------------------------------------

    def _push(self, sender: SoakNode, seq: Seq) -> None:
        self._say(sender.name, f"committed {seq}")
        for node in self.nodes:
            if (node.name in self._apart) != (sender.name in self._apart):
                self.hits["push cut"] += 1
            elif node is not sender and self._pushing:
                _ = self._later.create_task(self._deliver(sender, node, seq))

    async def _deliver(self, sender: SoakNode, node: SoakNode, seq: Seq) -> None:
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
        for _ in range(times):
            if self._pushing and node.daemon_is_up and node.daemon is not None:
                node.daemon.events.pushed(sender.device, self.project, seq)

    async def _gossip(self) -> None:
        """Have the nodes tell each other their heads, as linked daemons do."""
        while True:
            await self.clock.sleep(self.random.uniform(1.0, 8.0))
            here, there = self.random.sample(self.nodes, 2)
            if (here.name in self._apart) != (there.name in self._apart):
                continue
            if here.daemon and there.daemon and here.daemon_is_up and there.daemon_is_up:
                there.daemon.events.heads(here.device, here.daemon.journal.newest(8))
                there.daemon.events.roster_head(here.device, *here.daemon.roster.log_head())

    # -- what must hold -----------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            await self.clock.sleep(1.0)
            for node in self.nodes:
                self._look_at(node, self._watches[node.name])
                if why := self.kept.contradiction(node):
                    raise self._broken(why)
                if node.died:
                    raise self._broken(f"a process ended by itself: {node.died}")
                if node.stopped:
                    raise self._broken(f"{node.name} is read-only for good: {node.stopped}")

    def _look_at(self, node: SoakNode, watch: _Watch) -> None:
        """Note whether *node* is kept from something without a word."""
        now = self.clock.boot()
        if not node.is_up:
            watch.commit_since = watch.read_since = None
            return
        head = node.user.replica.pending.head().seq
        if head != watch.head:
            watch.head = head
            watch.commit_since = watch.read_since = None
        working = node.user.replica.pending.has_work()
        behind = journal_key(self.project, Seq(head + 1)) in self.store.objects
        watch.commit_since = (watch.commit_since or now) if working else None
        watch.read_since = (watch.read_since or now) if behind else None
        rules = _effective(self.hostility.rules, node.name)
        if {rule.name for rule in rules} <= QUIET:
            watch.loud_since = watch.whole_since = None
            return
        watch.loud_since = watch.loud_since or now
        if any(rule.name in _HANG for rule in rules):
            watch.hung_until = now + DEADLINE_S
        # While its own requests hang from before, nothing but looks meets what befalls it now.
        unmet = BYTES if now < watch.hung_until else frozenset[str]()
        is_whole = any(_is_whole(rule) and rule.name not in unmet for rule in rules)
        watch.whole_since = (watch.whole_since or now) if is_whole else None
        for what, since in (("committing", watch.commit_since), ("reading", watch.read_since)):
            if since is None or node.alerts():
                continue
            is_late = now - max(since, watch.loud_since) >= PARTIAL_ALERT_S
            if watch.whole_since is not None:
                is_late |= now - max(since, watch.whole_since) >= ALERT_S
            if not is_late:
                continue
            complaint = f"{node.name} is kept from {what} for {now - since:.0f} s and says nothing"
            if not watch.complaints or watch.complaints[-1][:20] != complaint[:20]:
                self._say(node.name, complaint)
                watch.complaints.append(complaint)

    async def _quiesce(self) -> None:
        if not await self._until(self._is_at_rest, QUIESCE_S):
            states = [
                f"{n.name}: head {n.user.replica.pending.head().seq}, pending {n.user.replica.pending.count()}, "
                f"{[a.cause for a in n.alerts()]}"
                for n in self.nodes
            ]
            raise self._broken(f"no rest after {QUIESCE_S} s: last {self._last()}; {states}")
        for node in self.nodes:
            for ino in sorted(node.user.open):
                node.user.replica.apply(Forget(ino))
            node.user.open.clear()
        if not await self._until(self._is_at_rest, QUIESCE_S):
            raise self._broken("no rest after the last files were closed")

    def _is_at_rest(self) -> bool:
        last = self._last()
        return all(
            node.is_up
            and not node.user.replica.pending.has_work()
            and node.user.replica.pending.head().seq == last
            for node in self.nodes
        )

    def _last(self) -> int:
        folder = journal_key(self.project, Seq(1)).rpartition("/")[0]
        return max((int(k[-16:]) for k in self.store.objects if k.startswith(folder)), default=0)

    def _check(self) -> None:
        first, *others = self.nodes
        tree = first.user.tree()
        for node in self.nodes:
            try:
                node.user.check()
            except AssertionError as error:
                raise self._broken(f"the replica of {node.name} is not sound: {error}") from error
        for node in others:
            if node.user.rows() != first.user.rows() or node.user.tree() != tree:
                raise self._broken(f"{node.name} and {first.name} differ")
            if node.user.replica.pending.head() != first.user.replica.pending.head():
                raise self._broken(f"{node.name} and {first.name} stand on different heads")
        for name, data in self.kept.now.items():
            if tree.get(b"/" + name) != data:
                raise self._broken(f"{name.decode()} is lost")
        self._check_chain()
        for node in self.nodes:
            for seq, body in node.committed.items():
                if self.store.objects.get(journal_key(self.project, seq)) != body:
                    raise self._broken(f"entry {seq}, acknowledged to {node.name}, is not there")
            self._check_rate(node)
            complaints = self._watches[node.name].complaints
            if complaints:
                raise self._broken(complaints[0])
            if node.alerts():
                raise self._broken(f"{node.name} still says {[a.cause for a in node.alerts()]}")

    async def _join_late(self) -> None:
        mount = self.nodes[0].mount
        assert mount is not None
        try:
            self.hits["joined by checkpoint"] += await mount.join_late()
        except AssertionError as error:
            raise self._broken(str(error)) from error

    def _check_chain(self) -> None:
        previous = NO_ENTRY
        for number in range(1, self._last() + 1):
            entry = self.store.objects.get(journal_key(self.project, Seq(number)))
            if entry is None:
                raise self._broken(f"slot {number} was left out")
            header = EntryHeader.parse(entry)
            if header.seq != number or header.previous != previous:
                raise self._broken(f"entry {number} does not follow the one before")
            previous = entry_hash(entry)

    def _check_rate(self, node: SoakNode) -> None:
        requests = node.bucket.requests
        for second in list(requests):
            if sum(requests[second + n] for n in range(10)) > MOST_REQUESTS:
                rate = [requests[second + n] for n in range(10)]
                raise self._broken(f"{node.name} made {rate} requests a second from {second} s on")

    # -- small things -------------------------------------------------------------------------

    async def _until(self, done: Callable[[], bool], seconds: float) -> bool:
        end = self.clock.boot() + seconds
        while not done():
            if self.clock.boot() >= end:
                return False
            await self.clock.sleep(0.25)
        return True

    def _say(self, who: str, what: str) -> None:
        self.trace.append(f"{self.clock.boot() - 1000:9.3f} {who:6} {what}")

    def _broken(self, what: str) -> Broken:
        trace = "\n".join(self.trace[-60:])
        return Broken(f"seed {self.seed}: {what}\n{trace}")


def run_seed(seed: int) -> Counter[str]:
    """Run one seed with all faults that pass; returns how often each befell a request."""
    return run(seed).hits


def run(seed: int, faults: Sequence[str] = TRANSIENT) -> Report:
    """Run one seed with *faults* to choose from; raises Broken when something does not hold."""
    with _scratch() as directory:
        return run_virtual(lambda: World(directory, seed, faults).run(), seed)


def _effective(rules: Iterable[Rule], name: str) -> list[Rule]:
    """Return the *rules* that befall requests of *name*: none behind one that befalls them all."""
    found: list[Rule] = []
    for rule in rules:
        if rule.client in {"*", name}:
            found.append(rule)
            if _is_whole(rule):
                break
    return found


def _is_whole(rule: Rule) -> bool:
    """Tell whether *rule* befalls every request there is."""
    everything = Rule(rule.name, client=rule.client)
    return rule == everything


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """Have a directory in memory if there is one: what survives a power cut is tested elsewhere."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(
        prefix="lucidnode-soak-", dir=memory if memory.is_dir() else None
    ) as name:
        yield Path(name)
