"""Three nodes and a bucket that loses its newest journal entries for good, and the ways out.

Users work, the bucket loses or spoils what it has, people are told, some go on meanwhile, and then
each workstation is repaired as `lucidnode repair` does it. In the end all replicas must be equal,
and every file that was kept must be there, under its own name or as a conflict copy.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from replica_fixture import KEY

from lab.soak_entries import World
from lab.soak_node import Door, SoakNode
from lab.virtual_loop import run_virtual
from lucidnode.fs import repair
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.project_access import ProjectAccess
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.bucket.keys import journal_key
from lucidnode.node.client.errors import NotThere, Unavailable
from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.client.wire import CommitReply
from lucidnode.node.log_slots import FRESH_S

TOLD_S = 180.0
"""Virtual seconds within which a workstation says that the bucket lost what it stands on."""

MOST_LOST = 4

TRIES = 10
"""How often a person runs a repair that says to try again, ten seconds apart."""

T = TypeVar("T")


class RepairDoor(Door):
    """What the daemon does for a repair."""

    async def kept(self, project: ProjectId, seq: Seq) -> bytes | None:
        try:
            return await self._asked(lambda daemon: daemon.journal.kept(project, seq))
        except NotThere:
            return None

    async def put_back(self, project: ProjectId, seq: Seq) -> CommitReply:
        return await self._asked(lambda daemon: daemon.journal.put_back(project, seq))

    async def forget(self, project: ProjectId) -> None:
        await self._asked(lambda daemon: daemon.journal.forget(project))


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


class LossyWorld(World):
    """One run."""

    _lost_any = False

    async def losses(self) -> Counter[str]:
        async with asyncio.TaskGroup() as self._later:
            await self._begin()
            gossip = self._later.create_task(self._gossip())
            await self._work(self.random.uniform(8.0, 20.0))
            await self._quiesce()
            how = self.random.choice(("deleted", "deleted", "replaced", "cut"))
            if how != "deleted":
                # Within that time an entry may be made on top of what is spoiled by then, and a
                # listing tells what is not there, not what is another.
                await self.clock.sleep(FRESH_S)
            self._lose(how)
            if self.random.random() < 0.5:
                await self._work(self.random.uniform(5.0, 20.0))
            if not await self._until(self._all_know, TOLD_S):
                silent = [node.name for node in self.nodes if not node.alerts()]
                raise self._broken(f"{silent} stand on what the bucket lost and say nothing")
            for node in self.random.sample(self.nodes, len(self.nodes)):
                await self._repair(node)
            for node in self.nodes:
                await self._start(node)
            await self._quiesce()
            gossip.cancel()
            self._pushing = False
            self._check_trees()
            for node in self.nodes:
                await node.kill(daemon=True, mount=True)
                node.user.close()
        return self.hits

    async def _work(self, seconds: float) -> None:
        users = [self._later.create_task(self._use(node)) for node in self.nodes]
        await self.clock.sleep(seconds)
        for user in users:
            user.cancel()
        for node in self.nodes:
            await self._start(node)

    def _lose(self, how: str) -> None:
        """Delete the newest entries, or put something else in their places."""
        last = self._last()
        # One that is sound stays: a bucket that shows none cannot be told from a gateway.
        count = self.random.randint(1, min(MOST_LOST, last - 1)) if last > 1 else 0
        for number in range(last - count + 1, last + 1):
            key = journal_key(self.project, Seq(number))
            body = self.store.objects.pop(key)
            if how == "replaced":
                self.store.objects[key] = b"not an entry of anybody"
            elif how == "cut":
                self.store.objects[key] = body[:100]
        self.hits[f"{how} entries"] += count
        self._lost_any = count > 0
        self._say("world", f"{count} newest of {last} entries {how}")

    def _all_know(self) -> bool:
        return not self._lost_any or all(node.alerts() for node in self.nodes)

    async def _repair(self, node: SoakNode) -> None:
        """Do what `lucidnode repair` does, put back if that is possible and wanted."""
        await self._start(node)
        await node.kill(daemon=False, mount=True)
        door = RepairDoor(node)
        access = SoakAccess(await ProjectAccess.open(door, node.membership, self.project))
        head = node.user.replica.head()
        found = await self._again(lambda: repair.examine(door, self.project, head))
        if found.stands:
            self.hits["nothing to repair"] += 1
            return
        is_gap = found.lost and found.lost[-1] < found.head  # nothing else mends that
        if found.can_put_back and (is_gap or self.random.random() < 0.5):
            await repair.put_back(door, self.project, found.lost)
            self.hits["put back"] += 1
            self._say(node.name, f"put back {found.lost}")
            return
        directory = node.directory / "home"
        directory.mkdir()
        place = directory / repair.REPLICA_FILE
        node.user.replica.close()
        shutil.move(node.user.path, place)
        carried = await self._again(
            lambda: repair.start_again(
                door,
                access,
                directory,
                Replica.open(place, KEY, node.name),
                found.lost,
                self.clock,
            )
        )
        node.user.path = place
        node.user.replica = node.user._open()
        self.hits["started again"] += 1
        self.hits["carried over"] += len(carried)
        self._say(node.name, f"started again with {carried}")

    async def _again(self, step: Callable[[], Awaitable[T]]) -> T:
        """Do what a person does who is told that the bucket does not answer now."""
        for _ in range(TRIES - 1):
            try:
                return await step()
            except Unavailable:
                self.hits["repair run again"] += 1
                await self.clock.sleep(10.0)
        return await step()

    def _check_trees(self) -> None:
        first, *others = self.nodes
        tree = first.user.tree()
        for node in self.nodes:
            node.user.check()
        for node in others:
            if node.user.rows() != first.user.rows():
                raise self._broken(f"{node.name} and {first.name} differ")
        for name, data in self.keepsakes.items():
            if data not in tree.values():
                raise self._broken(f"{name.decode()} is lost")


def run_seed(seed: int) -> Counter[str]:
    """Run one seed; returns what was lost, and what was done about it."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(
        prefix="lucidnode-soak-", dir=memory if memory.is_dir() else None
    ) as name:
        directory = Path(name)
        return run_virtual(lambda: LossyWorld(directory, seed, ()).losses(), seed)
