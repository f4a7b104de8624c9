"""A studio that grows behind a hostile store: three nodes, guests with tickets, and a vandal.

Owners invite, guests join, editors create projects and nodes restart while the store's answers are
lost, delayed, faked and refused, and while somebody with the bucket's credentials deletes old
entries of the log of members and writes nonsense in its next places. When that is over all nodes
have read the same log, whole, as a newcomer reads it; who was told that he joined is a member, what
was acknowledged is there, and no alert is left but those of what happened. A node that was told the
same lie again and again may end with a log of its own: it has to say so, and a person then has it
start again from the store, which has to be enough.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random  # noqa: TID251  # seeded: the choices can be repeated, the keys differ

from studio_fixture import Studio, claim

from lab.hostile import CATALOGUE, LIES, METHODS, Hostility, Method, Rule
from lab.hostile_bucket import HostileBucket
from lab.virtual_loop import LoopClock, run_virtual
from lucidnode.fs.errors import FsError
from lucidnode.fs.membership.entries import invite_entry, project_entry
from lucidnode.fs.membership.member import MemberKeys
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.membership.roster_view import RosterView
from lucidnode.fs.membership.ticket import Ticket
from lucidnode.joining import join_log
from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.keys import roster_key
from lucidnode.node.bucket.limited import LimitedBucket
from lucidnode.node.bucket.memory import MemoryBucket
from lucidnode.node.bucket.retrying import RetryingBucket
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.client.roster_entry import entry_hash
from lucidnode.node.client.roster_rules import RosterReader, verified
from lucidnode.node.roster.copy import DamagedCopy, RosterCopy
from lucidnode.node.roster.service import RosterService
from lucidnode.node.roster.slots import read_all, roster_slots

NAMES = ("a", "b", "c")
FAULTS = sorted(set(CATALOGUE) - LIES)
EVENTS = {"roster-void", "roster-lost", "roster-copy"}
"""Topics of what happened and does not go on."""

LASTING_LIES = {"flip-same", "swap-same", "stale"}
"""Faults that give the same false answer each time: no number of looks finds out."""

_PHASES, _PHASE_S = (1, 3), (5.0, 30.0)
_PATIENCE_S = 10.0
_QUIESCE_S = 900.0
"""Virtual seconds in which all must agree once the faults are over: a gap is looked for in turn."""

_PERSON_S = 600.0
"""Virtual seconds after which a person looks after a node that still has another log."""

_FAR_NS = 2**62


class Node:
    """A workstation's roster service, which can be killed and started again."""

    def __init__(self, world: World, name: str, member: Membership) -> None:
        self.name = name
        self.member = member
        self._world = world
        self._saved = world.directory / f"{name}.bin"
        self._running: asyncio.Task[None] | None = None
        self.start()

    def start(self) -> None:
        """Start it as the daemon does."""
        world = self._world
        self.alerts = Alerts(world.clock)
        self.service = RosterService(
            bucket=world.bucket_of(self.name),
            genesis=self.member.genesis,
            saved=self._saved,
            clock=world.clock,
            jitter=world.random.random,
            alerts=self.alerts,
        )
        self._running = world.later.create_task(self._run())

    async def _run(self) -> None:
        while True:
            try:
                await self.service.know()
                break
            except NodeError:
                assert not self.service.current.head, "a daemon with a roster did not start"
                await self._world.clock.sleep(1.0)  # a service manager starts it again
        await self.service.run()

    async def kill(self) -> None:
        """End it wherever it is."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running})

    def kept(self) -> int:
        """Return how many items it would still know if it were killed now."""
        try:
            return len(RosterCopy(self._saved).read(self.member.genesis).log)
        except DamagedCopy:
            return 0

    async def append(self, make: Callable[[RosterView], bytes]) -> bool:
        """Append what *make* builds, as the command line does; return whether it was acknowledged."""
        for _ in range(5):
            try:
                view = RosterView.read(await self.service.entries(), self.member)
                body = make(view)
                reply = await self.service.append(Seq(view.roster.head + 1), body)
            except (NodeError, FsError):
                return False
            if reply.outcome != "lost":
                return reply.outcome == "committed"
        return False


class World:
    """One run."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.directory = directory
        self.random = Random(f"members {seed}")
        self.clock = LoopClock()
        self.store = MemoryBucket()
        self.hostility = Hostility(Random(f"hostility {seed}"))
        self.studio = Studio()
        editors = [self.studio.join(name=name) for name in NAMES[1:]]
        self._members = dict(zip(NAMES, [self.studio.ada, *editors], strict=True))
        for number, raw in enumerate(self.studio.entries, start=1):
            self.store.objects[roster_key(Seq(number))] = raw
        self.told: Counter[str] = Counter()
        self.invites: list[MemberKeys] = []
        self.joined: list[Membership] = []
        self.projects: list[ProjectId] = []

    def bucket_of(self, client: str) -> Bucket:
        """Return the store as *client* meets it."""
        hostile = HostileBucket(self.store, client, self.hostility, self.clock, self.later)
        limited = LimitedBucket(hostile, 32, 8, 8)
        return RetryingBucket(limited, self.clock, self.random.random, _PATIENCE_S)

    async def run(self) -> Counter[str]:
        """Live through some phases, then see that all is well."""
        async with asyncio.TaskGroup() as self.later:
            self.nodes = [Node(self, name, member) for name, member in self._members.items()]
            life = [
                self.later.create_task(work())
                for work in (self._owner, self._guests, self._editor, self._vandal, self._restarts)
            ]
            gossip = self.later.create_task(self._gossip())
            for _ in range(self.random.randint(*_PHASES)):
                self.hostility.set([self._rule() for _ in range(self.random.randint(0, 2))])
                await self.clock.sleep(self.random.uniform(*_PHASE_S))
            self.hostility.set([])
            for task in life:
                task.cancel()
            await asyncio.wait(life)
            await self._check()
            gossip.cancel()
            for node in self.nodes:
                await node.kill()
        return self.told + self.hostility.hits

    def _rule(self) -> Rule:
        methods: tuple[tuple[Method, ...], ...] = (METHODS, ("get",), ("get", "list"), ("create",))
        return Rule(
            self.random.choice(FAULTS),
            self.random.choice(methods),
            "*",
            self.random.choice((1.0, 0.5, 0.2)),
            self.random.choice((None, None, 1, 3)),
            self.random.choice(("*", *NAMES, "guest")),
        )

    # -- who acts --------------------------------------------------------------------------------

    async def _pause(self, seconds: float) -> None:
        await self.clock.sleep(self.random.uniform(0.2, seconds))

    async def _owner(self) -> None:
        while True:
            await self._pause(6)
            keys = MemberKeys.new()
            if await self.nodes[0].append(
                lambda view, keys=keys: invite_entry(view, keys, "editor", _FAR_NS, "")  # type: ignore[misc]
            ):
                self.invites.append(keys)
                self.told["invited"] += 1

    async def _guests(self) -> None:
        while True:
            await self._pause(6)
            if not self.invites:
                continue
            invite = self.invites[0]
            who = self.studio.newcomer()
            ticket = Ticket(
                "", None, None, {}, b"", self.studio.ada.genesis, b"", b"", invite, _FAR_NS, ""
            )
            device = claim(self.studio.studio, who.keys, self.random.randbytes(32))
            for _ in range(10):  # a person tries again, with the keys of the first time
                try:
                    await join_log(self.bucket_of("guest"), ticket, who, device, self.clock)
                except (NodeError, FsError):
                    self.told["not joined yet"] += 1
                    await self._pause(10)
                    continue
                self.joined.append(who)
                self.told["joined"] += 1
                break
            self.invites.remove(invite)

    async def _editor(self) -> None:
        while True:
            await self._pause(8)
            project = ProjectId(self.random.randbytes(16).hex())
            if await self.nodes[1].append(
                lambda view, project=project: project_entry(view, project, project, 1 << 20)  # type: ignore[misc]
            ):
                self.projects.append(project)
                self.told["project created"] += 1

    async def _vandal(self) -> None:
        while True:
            await self._pause(15)
            newest = len(self.store.objects)
            known = min(node.kept() for node in self.nodes)
            if self.random.random() < 0.5:
                # Not the newest: whoever comes next could not tell that from the log's end. And
                # only what every node has read and kept, as after some seconds of peace: to one that
                # is killed before it has kept it, it never was there.
                seq = Seq(self.random.randint(2, max(2, min(newest, known) - 1)))
                if seq < min(newest, known):
                    self.told["vandal deletes"] += bool(
                        self.store.objects.pop(roster_key(seq), None)
                    )
            else:
                nonsense = self.random.choice(
                    [b"", b"<html>", bytes(36), self.random.randbytes(99)]
                )
                top = max(self.store.objects)
                self.store.objects.setdefault(roster_key(Seq(int(top[-16:]) + 1)), nonsense)
                self.told["vandal writes"] += 1

    async def _restarts(self) -> None:
        while True:
            await self._pause(20)
            node = self.random.choice(self.nodes)
            await node.kill()
            node.start()
            self.told["restarted"] += 1

    async def _gossip(self) -> None:
        while True:
            await self._pause(8)
            here, there = self.random.sample(self.nodes, 2)
            head = here.service.log_hashes()
            if head:
                device = self.studio.roster().members[here.member.keys.public].device
                there.service.heard(device, Seq(len(head)), head[-1])

    # -- what must hold --------------------------------------------------------------------------

    async def _check(self) -> None:
        begun = self.clock.boot()
        while (fault := await self._fault()) and self.clock.boot() < begun + _QUIESCE_S:
            await self.clock.sleep(5.0)
            if self.clock.boot() >= begun + _PERSON_S:
                await self._person()
        assert not fault, fault

    async def _person(self) -> None:
        """Have a node start again that a store lied to, if it says that its log is another."""
        if not LASTING_LIES & set(self.hostility.hits):
            return
        for node in self.nodes:
            if any(alert.topic == "roster-history" for alert in node.alerts.current()):
                shown = (await node.service.shown()).entries
                if shown != await node.service.entries("none"):
                    await node.service.start_again(Seq(len(shown)), entry_hash(shown[-1]))
                    self.told["started again"] += 1

    async def _fault(self) -> str:
        """Return what is not as it should be, empty if all is well."""
        reader = RosterReader(self.studio.ada.genesis)
        alerts = Alerts(self.clock)
        genesis = self.studio.ada.genesis
        slots = roster_slots(self.store, genesis, alerts, self.clock, self.random.random)
        await read_all(slots, reader)
        if len(reader.log) != len(self.store.objects):
            # Nonsense behind an end is no entry's successor: it is reached by whoever appends.
            await self.nodes[0].append(
                lambda view: invite_entry(view, MemberKeys.new(), "editor", _FAR_NS, "")
            )
            return "the log in the store has a gap"
        for node in self.nodes:
            if node.service.log_hashes() != reader.hashes:
                return f"{node.name} has read another log than a newcomer"
            items = await node.service.entries()
            if list(map(entry_hash, items)) != reader.hashes:
                return f"{node.name} hands out other items than it has read"
            if verified(items, self.studio.ada.genesis).members != reader.roster().members:
                return f"a member at {node.name} reads another roster"
            left = {alert.topic.partition(":")[0] for alert in node.alerts.current()} - EVENTS
            if left - {"roster-answers"}:
                return f"{node.name} still says {left}"
        state = reader.roster()
        if any(who.keys.public not in state.members for who in self.joined):
            return "somebody was told that he joined, and is no member"
        if any(project not in state.projects for project in self.projects):
            return "a project that was acknowledged is not there"
        return ""


def run_seed(seed: int) -> Counter[str]:
    """Run one seed; return what happened, and how often each fault befell a request."""
    with _scratch() as directory:
        try:
            return run_virtual(lambda: World(directory, seed).run(), seed)
        except* AssertionError as group:
            raise AssertionError(f"seed {seed}: {group.exceptions[0]}") from group


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(
        prefix="lucidnode-soak-", dir=memory if memory.is_dir() else None
    ) as name:
        yield Path(name)
