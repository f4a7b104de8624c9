"""One workstation of a soak: daemon and mount side by side in one loop, each of which can be killed.

The parts are the real ones, put together as `node/daemon.py` and `fs/mount.py` do it; what is
missing is FUSE, the socket between the two, and the network between daemons.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random  # noqa: TID251  # seeded by the caller
from typing import Any, TypeVar

from replica_fixture import Blocks
from simulated_node import SimulatedNode

from lab.hostile_bucket import HostileBucket
from lab.soak_checkpoints import EVERY, SoakCheckpoints, joined_late
from lab.virtual_loop import Life, life
from lucidnode.fs.checkpoints.keeper import CheckpointKeeper
from lucidnode.fs.commit.committer import Committer
from lucidnode.fs.commit.entries_ahead import EntriesAhead
from lucidnode.fs.commit.entry_codec import EntryCodec
from lucidnode.fs.commit.project_access import ProjectAccess
from lucidnode.fs.format import sodium
from lucidnode.fs.format.block import BlockName
from lucidnode.fs.format.geometry import padded_size
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.replica.changes import Touched
from lucidnode.node.blocks.uploads import Uploads
from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.counted import CountedBucket
from lucidnode.node.bucket.health import ARCHIVE_TOPIC, BucketHealth
from lucidnode.node.bucket.keys import STUDIO
from lucidnode.node.bucket.open_bucket import patient
from lucidnode.node.cache.mark import CacheMark
from lucidnode.node.cache.staging import Staging
from lucidnode.node.cache.verified import block_id
from lucidnode.node.client import mount_messages, wire
from lucidnode.node.client.alerts import Alert, Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import DaemonUnreachable, NotThere
from lucidnode.node.client.ids import BlockId, DeviceId, ProjectId, Seq
from lucidnode.node.client.roster_entry import device_id
from lucidnode.node.client.staging import staged_path
from lucidnode.node.client.supervision import supervised
from lucidnode.node.journal import register
from lucidnode.node.journal.checkpoint_objects import CheckpointObjects
from lucidnode.node.journal.kept_entries import KeptEntries
from lucidnode.node.journal.service import JournalService
from lucidnode.node.mounts import Mount, MountTable
from lucidnode.node.peer_events import PeerEventHandlers
from lucidnode.node.roster.service import RosterService

T = TypeVar("T")

_COMMIT_S = 60.0


class NoCache:
    """Keeps nothing: released blocks are deleted."""

    async def adopt(self, block: BlockId, staged: Path, size: int) -> None:
        pass


class StagedBlocks(Blocks):
    """Blocks named as real ones are, laid into staging when they are sealed."""

    def __init__(self, directory: Path, project: ProjectId, shared: dict[bytes, bytes]) -> None:
        super().__init__()
        self._held = shared
        self._directory = directory
        self._project = project

    def seal(self, data: bytes) -> BlockName:
        block = block_id(data)
        self._held[block] = data
        path = staged_path(self._directory, self._project, block)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return BlockName(block, 1, bytes(block), padded_size(max(len(data), 1)))


class Process:
    """Runs the tasks of one process until it is killed."""

    def __init__(self, name: str) -> None:
        self.life = Life(name)
        self.tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Callable[[], Awaitable[T]]) -> asyncio.Task[T]:
        """Run *work* as this process."""

        async def mine() -> T:
            life.set(self.life)
            return await work()

        task = asyncio.get_running_loop().create_task(mine())
        self.tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waits for it hears of it; its sender may have died

    async def die(self) -> None:
        """End at whatever awaits the tasks are; threads do nothing any more."""
        self.life.alive = False
        while self.tasks:
            for task in list(self.tasks):
                task.cancel()
            await asyncio.wait(self.tasks)


class Daemon(Process):
    """The ciphertext side of a node."""

    journal: JournalService
    roster: RosterService
    uploads: Uploads
    events: PeerEventHandlers
    checkpoints: CheckpointObjects
    bucket: Bucket
    alerts: Alerts

    def __init__(self, node: SoakNode) -> None:
        super().__init__(f"{node.name}.daemon")
        self._node = node
        self.mounts = MountTable()
        self.up = asyncio.Event()

    async def run(self) -> None:
        """Serve until killed."""
        node, clock, jitter = self._node, self._node.clock, self._node.random.random
        self.alerts = Alerts(clock)
        health = BucketHealth(
            is_wanted=lambda: any(True for _ in self.mounts),
            skew=lambda: None,
            alerts=self.alerts,
            clock=clock,
        )
        counted = CountedBucket(node.bucket, clock, health.note)
        self.bucket = bucket = patient(counted, clock, jitter)

        async def commit(
            key: str, body: bytes
        ) -> register.Committed | register.Lost | register.Unknown:
            deadline = clock.boot() + _COMMIT_S
            return await register.commit(bucket, key, body, clock, deadline, jitter)

        async with contextlib.AsyncExitStack() as stack:
            tasks = await stack.enter_async_context(supervised(self.alerts, clock))
            staging = await stack.enter_async_context(
                Staging.open(CacheMark(node.directory, None), NoCache(), clock)
            )
            self.roster = RosterService(
                bucket=bucket,
                genesis=node.membership.genesis,
                saved=node.directory / "roster.bin",
                clock=clock,
                jitter=jitter,
                alerts=self.alerts,
            )
            await self.roster.know()
            self.uploads = Uploads(
                staging=staging,
                bucket=bucket,
                offer=_offer_nobody,
                on_uploaded=lambda project, blocks: None,
                alerts=self.alerts,
                clock=clock,
                jitter=jitter,
            )
            self.journal = JournalService(
                bucket=bucket,
                staging=staging,
                uploads=self.uploads,
                sign=lambda message: sodium.sign(node.seed, message),
                writer_key=self.roster.writer_key,
                device_key=self.roster.device_key,
                announce=node.announce,
                me=node.device,
                signed_elsewhere=_nobody_looks,
                why_forbidden=str,
                is_deleted=self.roster.is_deleted,
                is_witnessed=self.roster.is_shown,
                kept=KeptEntries(node.directory / "entries"),
                alerts=self.alerts,
                clock=clock,
                jitter=jitter,
            )
            self.checkpoints = CheckpointObjects(
                bucket,
                self.uploads,
                node.device,
                lambda message: sodium.sign(node.seed, message),
                clock,
                jitter,
            )
            self.events = PeerEventHandlers(
                self.mounts,
                self.journal,
                tasks,
                self.roster.projects,
                self.roster.heard,
                lambda *_: None,
                self.alerts,
                clock,
            )
            tasks.keep("uploads", self.uploads.run)
            tasks.keep("what was being committed", self.journal.resume)
            tasks.keep("looking for lost entries", self.journal.look_for_lost)
            tasks.keep("membership", self.roster.run)
            tasks.keep("comparing with peers", self.events.run)
            tasks.keep("looking at the bucket", partial(health.run, partial(counted.size, STUDIO)))
            self.up.set()
            await asyncio.Event().wait()

    async def announce_staged(self, project: ProjectId, blocks: list[BlockId]) -> None:
        """Queue *blocks*, which lie in staging."""
        await self.uploads.add(project, blocks)


def _nobody_looks() -> None:
    """No other daemon has the keys of one of these nodes."""


async def _offer_nobody(project: ProjectId, block: BlockId, ciphertext: bytes) -> None:
    """Nobody else is asked to keep a copy here."""


class Door:
    """A mount's way to its daemon, as `DaemonClient` is: a request goes on when its sender dies."""

    def __init__(self, node: SoakNode) -> None:
        self._node = node

    async def commit(
        self, project: ProjectId, seq: Seq, request: wire.CommitRequest
    ) -> wire.CommitReply:
        needs = [BlockId(block) for block in request.needs]

        async def announced(daemon: Daemon) -> wire.CommitReply:
            await daemon.uploads.add(project, needs)
            return await daemon.journal.commit(project, seq, request)

        reply = await self.asked(announced)
        if reply.outcome == "committed":
            self._node.acknowledged(seq, reply.body)
        return reply

    async def entry(self, project: ProjectId, seq: Seq) -> wire.Slot | None:
        try:
            held = await self.asked(lambda daemon: daemon.journal.entry(project, seq))
        except NotThere:
            return None
        return wire.Slot(held.hash, held.body)

    async def proven(self, project: ProjectId, seq: Seq) -> wire.Slot | None:
        try:
            held = await self.asked(lambda daemon: daemon.journal.proven(project, seq))
        except NotThere:
            return None
        return wire.Slot(held.hash, held.body)

    async def roster(self, look: wire.RosterLook = "try") -> list[bytes]:
        return await self.asked(lambda daemon: daemon.roster.entries(look))

    async def asked(self, ask: Callable[[Daemon], Awaitable[T]]) -> T:
        daemon = self._node.daemon
        if daemon is None or not daemon.up.is_set():
            raise DaemonUnreachable("no daemon answers")
        task = daemon.start(lambda: ask(daemon))
        await asyncio.wait({task})
        if task.cancelled():
            raise DaemonUnreachable("the daemon closed the connection")
        return task.result()


class MountProcess(Process):
    """The plaintext side of a node, without FUSE. It is its committer's hooks as well."""

    committer: Committer
    alerts: Alerts
    keeper: CheckpointKeeper

    def __init__(self, node: SoakNode) -> None:
        super().__init__(f"{node.name}.mount")
        self._node = node
        self.up = asyncio.Event()

    async def run(self) -> None:
        """Serve until killed."""
        node, clock = self._node, self._node.clock
        self.alerts = Alerts(clock)
        door = Door(node)
        self._access = await ProjectAccess.open(door, node.membership, node.project)
        async with supervised(self.alerts, clock) as tasks:
            codec = EntryCodec(
                self._access.keys, node.device, self._access.writer_key, node.random.randbytes
            )
            journal = _Journal(door, EntriesAhead(door.entry, clock, tasks))
            self.committer = Committer(
                node.user.replica, journal, node.project, codec, self, self.alerts, clock
            )
            checkpoints = SoakCheckpoints(door.asked, codec, node.directory / "staging")
            self.keeper = CheckpointKeeper(
                node.user.replica,
                checkpoints,
                codec,
                checkpoints,
                lambda _block: None,
                self.alerts,
                clock,
                every=EVERY,
            )
            tasks.keep("commits", self.committer.run)
            if node.checkpoints:
                tasks.keep("checkpoints", self.keeper.run)
            tasks.keep("the conversation with the daemon", self._listen)
            self.up.set()
            await asyncio.Event().wait()

    async def _listen(self) -> None:
        """Be registered with the daemon, again and again, and hear what it tells."""
        node = self._node
        while True:
            daemon = node.daemon
            if daemon is None or not daemon.up.is_set():
                await node.clock.sleep(0.5)
                continue
            mount = Mount(
                node.project,
                mount_messages.MountHello("/mount", 1, head=node.user.replica.pending.head().seq),
            )
            daemon.mounts.add(mount)
            try:
                await self._hear(mount, daemon)
            finally:
                daemon.mounts.remove(mount)

    async def _hear(self, mount: Mount, daemon: Daemon) -> None:
        while daemon.life.alive:
            mount.stats = mount_messages.MountStats(head=self._node.user.replica.pending.head().seq)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    message = await mount.outbox.get()
                    if isinstance(message, mount_messages.Look):
                        self.committer.hinted(Seq(message.seq))

    async def join_late(self) -> bool:
        """Have somebody join, and tell whether he began with a checkpoint. Raises AssertionError.

        He must end with what this node has.
        """
        node, clock = self._node, self._node.clock
        door = Door(node)
        codec = EntryCodec(
            self._access.keys, node.device, self._access.writer_key, node.random.randbytes
        )
        async with supervised(Alerts(clock), clock) as tasks:
            begun, rows = await joined_late(
                node.directory / "late.db",
                SoakCheckpoints(door.asked, codec, node.directory / "staging"),
                _Journal(door, EntriesAhead(door.entry, clock, tasks)),
                codec,
                _Onlooker(self._access),
                clock,
            )
        assert rows == node.user.rows(), f"who joined by the checkpoint at {begun} has other rows"
        return begun is not None

    # -- hooks --------------------------------------------------------------------------------

    def before_batch(self) -> None:
        self._node.user.pack_tails()

    def touched(self, touched: Touched) -> None:
        for old, new in touched.moved.items():
            if old in self._node.user.open:
                self._node.user.open.remove(old)
                self._node.user.open.add(new)

    def passed(self, seq: Seq, changeset: bytes | None, *, ours: bool) -> None:
        if self._node.checkpoints:
            self.keeper.passed(seq, changeset, ours=ours)

    async def refresh_roster(self) -> None:
        await self._access.refresh()


class _Onlooker:
    """Hooks of somebody who has just joined."""

    def __init__(self, access: ProjectAccess) -> None:
        self.refresh_roster = access.refresh

    def before_batch(self) -> None:
        """Nothing is written here."""

    def touched(self, touched: Touched) -> None:
        """Nobody has a file open."""

    def passed(self, seq: Seq, changeset: bytes | None, *, ours: bool) -> None:
        """No checkpoint is made here."""


class _Journal:
    def __init__(self, door: Door, ahead: EntriesAhead[wire.Slot]) -> None:
        self._door = door
        self._ahead = ahead

    async def commit(
        self, project: ProjectId, seq: Seq, request: wire.CommitRequest
    ) -> wire.CommitReply:
        return await self._door.commit(project, seq, request)

    async def entry(self, project: ProjectId, seq: Seq) -> wire.Slot | None:
        return await self._ahead.entry(project, seq)

    async def proven(self, project: ProjectId, seq: Seq) -> wire.Slot | None:
        return await self._door.proven(project, seq)


class SoakNode:
    """One workstation. `user` does random things in its replica whenever it is mounted."""

    def __init__(
        self,
        directory: Path,
        name: str,
        *,
        seed: int,
        device_seed: bytes,
        membership: Membership,
        project: ProjectId,
        bucket: HostileBucket,
        clock: Clock,
        contents: dict[bytes, bytes],
        announce: Callable[[SoakNode, Seq], None],
        checkpoints: bool,
    ) -> None:
        """With *checkpoints*, its mount makes and checks them."""
        self.name = name
        self.seed = device_seed
        self.device: DeviceId = device_id(sodium.signing_public(device_seed))
        self.membership = membership
        self.project = project
        self.bucket = bucket
        self.clock = clock
        self.random = Random(f"{name} {seed}")
        self._announce = announce
        self.checkpoints = checkpoints
        self._lives = 0
        self.directory = directory / f"{name}-0"
        self.directory.mkdir()
        self._blocks = StagedBlocks(self.directory / "staging", project, contents)
        self.user = SimulatedNode(self.directory / "replica.db", name, self._blocks, seed)
        self.daemon: Daemon | None = None
        self.mount: MountProcess | None = None
        self.died: list[str] = []
        """How processes ended by themselves; none should."""
        self.committed: dict[Seq, bytes] = {}
        """The entries that were acknowledged to this node as its own."""

    # -- processes ----------------------------------------------------------------------------

    def start_daemon(self) -> None:
        self.daemon = Daemon(self)
        self._watch(self.daemon, self.daemon.run)

    def start_mount(self) -> None:
        self.mount = MountProcess(self)
        self._watch(self.mount, self.mount.run)

    def _watch(self, process: Daemon | MountProcess, work: Callable[[], Awaitable[None]]) -> None:
        task = process.start(work)
        task.add_done_callback(lambda ended: self._ended(process, ended))

    def _ended(self, process: Daemon | MountProcess, task: asyncio.Task[None]) -> None:
        """Note a process that ended by itself."""
        if not process.life.alive or task.cancelled():
            return
        process.life.alive = False
        self.died.append(f"{process.life.name}: {task.exception()!r}")

    async def kill(self, *, daemon: bool, mount: bool) -> None:
        """End processes as SIGKILL does. What a mount finds next is the disk as it is now."""
        if mount and self.mount is not None:
            path = self._copied_replica()
            await self.mount.die()
            self.mount = None
            self.user.replica.close()
            self.user.path = path
            self.user.replica = self.user._open()
            self.user.open.clear()
        if daemon and self.daemon is not None:
            await self.daemon.die()
            self.daemon = None

    def _copied_replica(self) -> Path:
        self._lives += 1
        path = self.directory / f"replica-{self._lives}.db"
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{self.user.path}{suffix}", f"{path}{suffix}")
        return path

    @property
    def is_up(self) -> bool:
        """Whether both processes serve."""
        return self.daemon_is_up and self.mount is not None and self.mount.up.is_set()

    @property
    def daemon_is_up(self) -> bool:
        return self.daemon is not None and self.daemon.up.is_set()

    # -- what it says -------------------------------------------------------------------------

    def announce(self, project: ProjectId, seq: Seq) -> None:
        """Tell the other nodes of an entry, over a network that loses some."""
        self._announce(self, seq)

    def acknowledged(self, seq: Seq, body: bytes) -> None:
        """Note that the mount was told: committed."""
        self.committed[seq] = body

    def alerts(self) -> list[Alert]:
        """Return what `status` would show now and somebody has to see the end of.

        That of an archive ends by itself: nobody can see that all was restored.
        """
        return [alert for alert in self._alerts() if alert.topic != ARCHIVE_TOPIC]

    def _alerts(self) -> Iterator[Alert]:
        for process in (self.daemon, self.mount):
            if process is not None and process.up.is_set():
                yield from process.alerts.current()

    @property
    def stopped(self) -> str | None:
        """Why this project is read-only here for good, if it is."""
        return self.mount.committer.stopped if self.is_up and self.mount else None
