"""Two to five nodes, one journal, and a store that is hostile for a while: what holds after it.

Each seed is one run on virtual time: an office at work (`lab.soak_office`), and faults of its store
that come and go by phases. Then the faults end, and everything must come to rest.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random  # noqa: TID251  # seeded: a failure can be repeated

from lab.hostile import CATALOGUE, LIES, METHODS, Method, Rule
from lab.soak_node import SoakNode
from lab.soak_office import Office, scratch
from lab.soak_silence import Silence
from lab.soak_studio import NAMES
from lab.virtual_loop import run_virtual
from lucidnode.node.bucket.keys import journal_key
from lucidnode.node.client.ids import Seq
from lucidnode.node.client.journal import NO_ENTRY, EntryHeader, entry_hash

CALM_S = 90.0
"""Virtual seconds after which no alert may be left."""

MOST_REQUESTS = 400
"""Requests of one node in any ten seconds of the clock: a retry loop without a rate makes more."""

_NODES = (2, 2, 2, 3, 3, 3, 4, 5)
"""How many there are: most of what can happen takes two or three, and each costs its share."""

_PHASES = (1, 3)
_PHASE_S = (2.0, 9.0)
"""Virtual seconds. Most are longer than what a node may be silent for; to play one costs the more
processor the longer it is."""

TRANSIENT = sorted(set(CATALOGUE) - LIES)
"""Faults that leave the bucket as it is, so that all is well once they are over."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a seed was made of. *hits* counts faults that befell requests."""

    hits: Counter[str]
    entries: int
    trace: tuple[str, ...]


class HostileTimes(Office):
    """One run: phases of faults, and what must hold during them and after."""

    def __init__(self, directory: Path, seed: int, faults: Sequence[str]) -> None:
        names = NAMES[: Random(f"nodes {seed}").choice(_NODES)]
        super().__init__(directory, seed, names, saves_over=True, checkpoints=True)
        self._faults = faults
        self._silences: list[Silence] = []

    async def run(self) -> Report:
        """Play it. Raises Broken."""
        async with asyncio.TaskGroup() as later:
            await self.begin(later)
            users = [later.create_task(self.use(node)) for node in self.nodes]
            gossip = later.create_task(self.gossip())
            watching = later.create_task(self._watch())
            # Seeds in a row play every fault there is, each before all requests of some node.
            client = self.random.choice(("*", *self.names))
            await self._phase([Rule(self._faults[self.seed % len(self._faults)], client=client)])
            for _ in range(self.random.randint(*_PHASES) - 1):
                await self._phase([])
            self.hostility.set([])
            self.apart = frozenset()
            self.say("world", "faults are over")
            for user in users:
                user.cancel()
            for node in self.nodes:
                await self.start(node)
            await self.quiesce()
            await self.until(lambda: not any(node.alerts() for node in self.nodes), CALM_S)
            watching.cancel()
            gossip.cancel()
            self.fall_silent()
            self._check()
            await self._join_late()
            await self.end()
        return Report(self.hostility.hits + self.hits, self.last(), tuple(self.trace))

    async def _phase(self, rules: list[Rule]) -> None:
        """Put *rules* and a few more in force for a while."""
        rules = [*rules, *(self._rule() for _ in range(self.random.choice((0, 1, 1, 1, 2, 3))))]
        self.hostility.set(rules)
        length = self.random.uniform(*_PHASE_S)
        apart = self.random.sample(self.names, self.random.randrange(len(self.names)))
        self.apart = frozenset(apart if self.random.random() < 0.3 else ())
        for clock in self.clocks.values():
            if self.random.random() < 0.2:
                clock.set_anew()
                self.hits["wall clock set"] += 1
        self.say("world", f"for {length:.1f} s: {'; '.join(map(str, rules)) or 'calm'}")
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
            self.random.choice(self._faults),
            self.random.choice(methods),
            self.random.choice(("*", "*", "*", "journal/*", "journal/*", "roster/*", "block/*")),
            self.random.choice((1.0, 1.0, 0.5, 0.2)),
            self.random.choice((None, None, None, 1, 3)),
            self.random.choice(("*", *self.names)),
        )

    # -- what must hold all the time ----------------------------------------------------------

    async def _watch(self) -> None:
        silences = self._silences = [Silence(node) for node in self.nodes]
        while True:
            await self.clock.sleep(1.0)
            for node, silence in zip(self.nodes, silences, strict=True):
                for complaint in silence.look(
                    self.clock.boot(), self.hostility.rules, behind=self._is_behind(node)
                ):
                    self.say(node.name, complaint)
                if why := self.kept.contradiction(node):
                    raise self.broken(why)
                if node.died:
                    raise self.broken(f"a process ended by itself: {node.died}")
                if node.stopped:
                    raise self.broken(f"{node.name} is read-only for good: {node.stopped}")

    def _is_behind(self, node: SoakNode) -> bool:
        head = node.user.replica.pending.head().seq
        return journal_key(self.project, Seq(head + 1)) in self.store.objects

    # -- what must hold in the end ------------------------------------------------------------

    def _check(self) -> None:
        first, *others = self.nodes
        tree = first.user.tree()
        for node in self.nodes:
            try:
                node.user.check()
            except AssertionError as error:
                raise self.broken(f"the replica of {node.name} is not sound: {error}") from error
        for node in others:
            if node.user.rows() != first.user.rows() or node.user.tree() != tree:
                raise self.broken(f"{node.name} and {first.name} differ")
            if node.user.replica.pending.head() != first.user.replica.pending.head():
                raise self.broken(f"{node.name} and {first.name} stand on different heads")
        for name, data in self.kept.now.items():
            if tree.get(b"/" + name) != data:
                raise self.broken(f"{name.decode()} is lost")
        self._check_chain()
        for node, silence in zip(self.nodes, self._silences, strict=True):
            for seq, body in node.committed.items():
                if self.store.objects.get(journal_key(self.project, seq)) != body:
                    raise self.broken(f"entry {seq}, acknowledged to {node.name}, is not there")
            self._check_rate(node)
            if silence.complaints:
                raise self.broken(silence.complaints[0])
            if node.alerts():
                raise self.broken(f"{node.name} still says {[a.cause for a in node.alerts()]}")

    def _check_chain(self) -> None:
        previous = NO_ENTRY
        for number in range(1, self.last() + 1):
            entry = self.store.objects.get(journal_key(self.project, Seq(number)))
            if entry is None:
                raise self.broken(f"slot {number} was left out")
            header = EntryHeader.parse(entry)
            if header.seq != number or header.previous != previous:
                raise self.broken(f"entry {number} does not follow the one before")
            previous = entry_hash(entry)

    def _check_rate(self, node: SoakNode) -> None:
        requests = node.workstation.bucket.requests
        for second in list(requests):
            if sum(requests[second + n] for n in range(10)) > MOST_REQUESTS:
                rate = [requests[second + n] for n in range(10)]
                raise self.broken(f"{node.name} made {rate} requests a second from {second} s on")

    async def _join_late(self) -> None:
        mount = self.nodes[0].mount
        assert mount is not None
        try:
            self.hits["joined by checkpoint"] += await mount.join_late()
        except AssertionError as error:
            raise self.broken(str(error)) from error


def run_seed(seed: int) -> Counter[str]:
    """Run one seed with all faults that pass; returns how often each befell a request."""
    return run(seed).hits


def run(seed: int, faults: Sequence[str] = TRANSIENT) -> Report:
    """Run one seed with *faults* to choose from; raises Broken when something does not hold."""
    with scratch() as directory:
        return run_virtual(lambda: HostileTimes(directory, seed, faults).run(), seed)
