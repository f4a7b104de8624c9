"""Three nodes and a bucket that loses for good what it has, and the ways out.

Users work, one of them may be away, the bucket loses, spoils or takes back what it has
(`bucket_losses.py`), people are told, some go on meanwhile, the one who was away comes back, and
then each workstation is repaired as `lucidnode repair` does it. In the end all replicas must be
equal, also to one that begins with nothing, and every file that was kept must be there, under its
own name or as a conflict copy.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from replica_fixture import KEY

from lab.bucket_losses import Loss, lose
from lab.soak_daemon import Daemon
from lab.soak_door import Door
from lab.soak_node import SoakNode
from lab.soak_office import QUIESCE_S, Office, scratch
from lab.soak_studio import NAMES
from lab.virtual_loop import run_virtual
from lucidnode.fs.commit.project_access import ProjectAccess
from lucidnode.fs.commit.repair.findings import examine
from lucidnode.fs.commit.repair.put_back import put_back
from lucidnode.fs.commit.repair.replica_files import REPLICA_FILE
from lucidnode.fs.commit.repair.start_again import start_again
from lucidnode.fs.commit.repair.verdicts import OtherVerdicts, examine_verdicts
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.bucket.keys import roster_key
from lucidnode.node.client.errors import Refused, Unavailable
from lucidnode.node.client.ids import BlockId, ProjectId, Seq
from lucidnode.node.client.wire import BlocksPutBack, CommitReply

TOLD_S = 2400.0
"""Virtual seconds within which a workstation says that the bucket lost what it stands on: the 64
newest entries are read anew, one in half a minute once each was read a second time."""

TRIES = 40
"""How often a person runs a repair that says to try again, ten seconds apart."""

ROUNDS, ROUND_S = 4, 200.0
"""How often those repair who still say that something is lost, and virtual seconds between."""

NEWCOMER_S = 3600.0
"""Virtual seconds for one that begins with nothing: each damaged entry has to last a minute."""

T = TypeVar("T")


class RepairDoor(Door):
    """What the daemon does for a repair."""

    async def lost(self, project: ProjectId) -> list[Seq]:
        async def told(daemon: Daemon) -> list[Seq]:
            return daemon.journal.lost(project)

        return await self.asked(told)

    async def put_back(self, project: ProjectId, seq: Seq) -> CommitReply:
        return await self.asked(lambda daemon: daemon.journal.put_back(project, seq))

    async def forget(self, project: ProjectId) -> None:
        await self.asked(lambda daemon: daemon.journal.forget(project))


class _Blocks:
    """The office's: the bucket of a soak loses entries only."""

    async def put_back(self, _project: ProjectId, _blocks: Sequence[BlockId]) -> BlocksPutBack:
        return BlocksPutBack([], [])


class SoakAccess:
    """The access of one node, with the key that replicas of a soak have."""

    def __init__(self, access: ProjectAccess) -> None:
        self._access = access
        self.device = access.device
        self.workstation = access.workstation
        self.writer_key = access.writer_key
        self.refresh = access.refresh

    def keys(self) -> ProjectKeys:
        return replace(self._access.keys(), replica=KEY)


class Losses(Office):
    """One run."""

    _before: Mapping[str, bytes]

    def __init__(self, directory: Path, seed: int) -> None:
        super().__init__(directory, seed, NAMES[:3], saves_over=False, checkpoints=False)
        self._begun_again = 0

    async def run(self) -> Counter[str]:
        """Play it; return what was lost, and what was done about it. Raises Broken."""
        async with asyncio.TaskGroup() as later:
            await self.begin(later)
            gossip = later.create_task(self.gossip())
            await self._work(self.random.uniform(4.0, 10.0), self.nodes)
            earlier = dict(self.store.objects)
            if self.random.random() < 0.3:
                await self.quiesce()
            away = self.random.choice((None, *self.nodes))
            if away is not None:
                await away.kill(daemon=True, mount=True)
            present = [node for node in self.nodes if node is not away]
            await self._work(self.random.uniform(4.0, 10.0), present)
            if self.random.random() < 0.5:
                await self._rest(present)
            loss = self._lose(earlier)
            standing = [node for node in present if self._has_to_know(node, loss)]
            if self.random.random() < 0.5:
                await self._work(self.random.uniform(5.0, 20.0), present)
            await self._require_told(loss, standing)
            if away is not None:
                await self.start(away)
                if self.random.random() < 0.5:
                    await self._work(self.random.uniform(1.0, 10.0), self.nodes)
                await self.clock.sleep(self.random.uniform(0.0, 60.0))
            self._restore_members(loss)
            for node in self.random.sample(self.nodes, len(self.nodes)):
                await self._repair(node)
            await self._repair_who_still_says_so()
            await self.quiesce()
            self._check_trees()
            await self._check_newcomer(self.random.choice(self.nodes))
            gossip.cancel()
            self.fall_silent()
            await self.end()
        return self.hits

    async def _work(self, seconds: float, nodes: list[SoakNode]) -> None:
        users = [self._later.create_task(self.use(node)) for node in nodes]
        await self.clock.sleep(seconds)
        for user in users:
            user.cancel()
        for node in nodes:
            await self.start(node)

    async def _rest(self, nodes: list[SoakNode]) -> None:
        if not await self.until(lambda: self.are_done(nodes), QUIESCE_S):
            raise self.broken("no rest before the loss")

    def _lose(self, earlier: dict[str, bytes]) -> Loss:
        self._before = dict(self.store.objects)
        loss = lose(self.random, self.store.objects, self.project, earlier)
        self.hits[f"{loss.kind}, {loss.how}"] += 1
        self.hits["lost entries"] += len(loss.seqs)
        self.say("world", str(loss))
        return loss

    async def _require_told(self, loss: Loss, nodes: list[SoakNode]) -> None:
        """See that every node which stands on what is lost says so while it lasts."""
        silent = list(nodes)
        topics = ("history:", "journal:", "roster-history")

        def is_told() -> bool:
            if loss.kind == "roster lost":
                # Whoever sees it first puts it back, and tells of it until he is killed.
                return all(roster_key(seq) in self.store.objects for seq in loss.roster)
            silent[:] = [node for node in silent if not _says(node, topics)]
            return not silent

        if not await self.until(is_told, TOLD_S):
            raise self.broken(f"{[n.name for n in silent]} say nothing of it: {loss}")

    def _has_to_know(self, node: SoakNode, loss: Loss) -> bool:
        if loss.roster:
            return True
        return bool(loss.seqs) and node.user.replica.pending.head().seq >= loss.seqs[0]

    def _restore_members(self, loss: Loss) -> None:
        """Do what the alert says whoever runs the bucket has to do: restore it from a copy."""
        for seq in loss.roster:
            self.store.objects[roster_key(seq)] = self._before[roster_key(seq)]

    async def _repair(self, node: SoakNode) -> None:
        """Do what `lucidnode repair` does, put back if that is possible and wanted."""
        await self.start(node)
        await node.kill(daemon=False, mount=True)
        door = RepairDoor(node.serving, node.acknowledged)
        access = SoakAccess(
            await ProjectAccess.open(door, node.workstation.membership, self.project)
        )
        head = node.user.replica.pending.head()
        found = await self._again(lambda: examine(door, access, head))
        lost = found.lost
        if found.stands:
            has_alert = _says(node, (f"history:{self.project}",))
            verdicts = await self._verdicts(node, door, access, has_alert=has_alert)
            if verdicts is None:
                self.hits["nothing to repair"] += 1
                return
            self.hits["judged otherwise"] += 1
            lost = verdicts.unheard
        elif found.gap and not found.can_put_back:
            self.hits["left to another"] += 1
            return
        elif found.can_put_back and (found.gap or self.random.random() < 0.5):
            try:
                await self._again(
                    lambda: put_back(door, _Blocks(), access, node.user.replica, found.lost)
                )
            except Refused:
                self.hits["others had gone on"] += 1
                if found.absent:
                    return
                if found.gap:
                    verdicts = await self._verdicts(node, door, access, has_alert=True)
                    lost = (*lost, *(verdicts.unheard if verdicts else ()))
            else:
                self.hits["put back"] += 1
                self.say(node.name, f"put back {found.lost}")
                return
        await self._start_again(node, door, access, lost)

    async def _verdicts(
        self, node: SoakNode, door: RepairDoor, access: SoakAccess, *, has_alert: bool
    ) -> OtherVerdicts | None:
        head = node.user.replica.pending.head()
        return await self._again(
            lambda: examine_verdicts(
                door, access, node.workstation.directory, head, self.clock, has_alert=has_alert
            )
        )

    async def _start_again(
        self, node: SoakNode, door: RepairDoor, access: SoakAccess, lost: Sequence[Seq]
    ) -> None:
        self._begun_again += 1
        directory = node.workstation.directory / f"home-{self._begun_again}"
        directory.mkdir()
        place = directory / REPLICA_FILE
        node.user.replica.close()
        shutil.move(node.user.path, place)
        carried = await self._again(
            lambda: start_again(
                door, access, directory, Replica.open(place, KEY, node.name), lost, self.clock
            )
        )
        node.user.path = place
        node.user.replica = node.user._open()
        self.hits["started again"] += 1
        self.hits["carried over"] += len(carried)
        self.say(node.name, f"started again with {carried}")

    async def _again(self, step: Callable[[], Awaitable[T]]) -> T:
        """Do what a person does who is told that the bucket does not answer now."""
        for _ in range(TRIES - 1):
            try:
                return await step()
            except Unavailable:
                self.hits["repair run again"] += 1
                await self.clock.sleep(10.0)
        return await step()

    async def _repair_who_still_says_so(self) -> None:
        """Have those repair again who stand on what another has exchanged meanwhile."""
        for _ in range(ROUNDS):
            for node in self.nodes:
                await self.start(node)
            await self.clock.sleep(ROUND_S)
            worried = [node for node in self.nodes if _is_worried(node)]
            if not worried:
                return
            self.hits["repaired again"] += len(worried)
            for node in self.random.sample(worried, len(worried)):
                await self._repair(node)
        said = {node.name: [alert.cause for alert in node.alerts()] for node in self.nodes}
        raise self.broken(f"after repair they still say {said}")

    def _check_trees(self) -> None:
        first, *others = self.nodes
        tree = first.user.tree()
        for node in self.nodes:
            node.user.check()
        for node in others:
            if node.user.rows() != first.user.rows():
                raise self.broken(f"{node.name} and {first.name} differ")
        for name, data in self.kept.now.items():
            if data not in tree.values():
                raise self.broken(f"{name.decode()} is lost")

    async def _check_newcomer(self, node: SoakNode) -> None:
        """Have *node* begin with nothing, and see that it comes to what the others have."""
        rows = node.user.rows()
        await node.kill(daemon=True, mount=True)
        node.user.replica.close()
        shutil.rmtree(node.workstation.directory / "entries", ignore_errors=True)
        node.user.path = node.workstation.directory / "newcomer.db"
        node.user.replica = node.user._open()
        await self.start(node)
        if not await self.until(self.is_at_rest, NEWCOMER_S):
            raise self.broken(f"{node.name} does not catch up when it begins with nothing")
        if node.user.rows() != rows:
            raise self.broken(f"{node.name} comes to something else when it begins with nothing")


def _says(node: SoakNode, topics: tuple[str, ...]) -> bool:
    return any(alert.topic.startswith(topics) for alert in node.alerts())


def _is_worried(node: SoakNode) -> bool:
    topics = {alert.topic for alert in node.alerts()}
    return bool(topics & {f"history:{node.workstation.project}", "roster-history", "read-only"})


def run_seed(seed: int) -> Counter[str]:
    """Run one seed; returns what was lost, and what was done about it."""
    with scratch() as directory:
        return run_virtual(lambda: Losses(directory, seed).run(), seed)
