"""The mount of a soak: what commits and follows, as `fs/mount_parts.py` has it, and no FUSE."""

from __future__ import annotations

import asyncio
import contextlib

from simulated_node import SimulatedNode

from lab.soak_checkpoints import EVERY, SealedPieces, joined_late
from lab.soak_daemon import Daemon
from lab.soak_door import Door
from lab.soak_process import Process
from lab.soak_workstation import Workstation
from lucidnode.fs.checkpoints.keeper import CheckpointKeeper
from lucidnode.fs.commit.committer import Committer
from lucidnode.fs.commit.entries_ahead import EntriesAhead
from lucidnode.fs.commit.entry_codec import EntryCodec
from lucidnode.fs.commit.project_access import ProjectAccess
from lucidnode.fs.replica.changes import Touched
from lucidnode.node.client import mount_messages, wire
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.client.supervision import Tasks, supervised
from lucidnode.node.mounts import Mount


class MountProcess(Process):
    """The plaintext side of a node, for the replica of *user*. It is its committer's hooks as well.

    With *checkpoints*, it makes and checks them.
    """

    committer: Committer
    alerts: Alerts
    keeper: CheckpointKeeper

    def __init__(
        self, workstation: Workstation, user: SimulatedNode, door: Door, *, checkpoints: bool
    ) -> None:
        super().__init__(f"{workstation.name}.mount")
        self._workstation = workstation
        self._user = user
        self._door = door
        self._checkpoints = checkpoints
        self.up = asyncio.Event()

    async def run(self) -> None:
        """Serve until killed."""
        own, replica = self._workstation, self._user.replica
        self.alerts = Alerts(own.clock)
        self._access = await ProjectAccess.open(self._door, own.membership, own.project)
        async with supervised(self.alerts, own.clock) as tasks:
            codec = self._codec()
            self.committer = Committer(
                replica, self._journal(tasks), own.project, codec, self, self.alerts, own.clock
            )
            self.keeper = CheckpointKeeper(
                replica,
                self._door.checkpoints,
                self._door.journal,
                codec,
                SealedPieces(codec, own.staging),
                lambda _block: None,
                self.alerts,
                own.clock,
                every=EVERY,
            )
            tasks.keep("commits", self.committer.run)
            if self._checkpoints:
                tasks.keep("checkpoints", self.keeper.run)
            tasks.keep("the conversation with the daemon", self._listen)
            self.up.set()
            await asyncio.Event().wait()

    def _codec(self) -> EntryCodec:
        own = self._workstation
        return EntryCodec(
            self._access.keys, own.device, self._access.writer_key, own.random.randbytes
        )

    def _journal(self, tasks: Tasks) -> _Journal:
        return _Journal(self._door, EntriesAhead(self._door.entry, self._workstation.clock, tasks))

    async def _listen(self) -> None:
        """Be registered with the daemon, again and again, and hear what it tells."""
        own = self._workstation
        while True:
            daemon = self._door.daemon()
            if daemon is None:
                await own.clock.sleep(0.5)
                continue
            mount = Mount(own.project, mount_messages.MountHello("/mount", 1, head=self._head()))
            daemon.mounts.add(mount)
            try:
                await self._hear(mount, daemon)
            finally:
                daemon.mounts.remove(mount)

    async def _hear(self, mount: Mount, daemon: Daemon) -> None:
        while daemon.life.alive:
            mount.stats = mount_messages.MountStats(head=self._head())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    message = await mount.outbox.get()
                    if isinstance(message, mount_messages.Look):
                        self.committer.hinted(Seq(message.seq))

    def _head(self) -> Seq:
        return self._user.replica.pending.head().seq

    async def join_late(self) -> bool:
        """Have somebody join, and tell whether he began with a checkpoint. Raises AssertionError.

        He must end with what this node has.
        """
        clock = self._workstation.clock
        async with supervised(Alerts(clock), clock) as tasks:
            begun, rows = await joined_late(
                self._workstation.directory / "late.db",
                self._door,
                self._journal(tasks),
                self._codec(),
                _Onlooker(self._access),
                clock,
            )
        assert rows == self._user.rows(), f"who joined by the checkpoint at {begun} has other rows"
        return begun is not None

    # -- hooks --------------------------------------------------------------------------------

    def before_batch(self) -> None:
        self._user.pack_tails()

    def touched(self, touched: Touched) -> None:
        for old, new in touched.moved.items():
            if old in self._user.open:
                self._user.open.remove(old)
                self._user.open.add(new)

    def passed(self, seq: Seq, changeset: bytes | None, *, ours: bool) -> None:
        if self._checkpoints:
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
    """The journal behind a door, of which entries are asked ahead."""

    def __init__(self, door: Door, ahead: EntriesAhead[wire.Slot]) -> None:
        self.commit = door.commit
        self.proven = door.proven
        self._ahead = ahead

    async def entry(self, project: ProjectId, seq: Seq) -> wire.Slot | None:
        return await self._ahead.entry(project, seq)
