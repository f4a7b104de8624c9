"""Workstations that make and check checkpoints, in one loop, and what a newcomer makes of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from committer_fixture import KEYS, Bucket, Daemon, Desk, VirtualClock

from lucidnode.fs.checkpoints.keeper import CheckpointKeeper
from lucidnode.fs.checkpoints.newcomer import Newcomer
from lucidnode.fs.checkpoints.pieces import TABLES, StateRow, TableRows
from lucidnode.fs.commit.entry_codec import EntryCodec
from lucidnode.fs.errors import NoSpace
from lucidnode.fs.format import sodium
from lucidnode.fs.format.block import BlockName, seal
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.replica.sqlite.rows import KEY_COLUMNS
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.attestation import Attestation, attestation_message
from lucidnode.node.client.checkpoint import checkpoint_message
from lucidnode.node.client.errors import NotThere, Unavailable
from lucidnode.node.client.ids import BlockId, DeviceId, ProjectId, Seq
from lucidnode.node.client.wire import CommitReply, CommitRequest, Slot, Source

EVERY = 10
"""Entries from one checkpoint to the next, here."""


def state_rows(found: list[TableRows]) -> list[StateRow]:
    """Return in one order what a piece says of its tables."""
    rows: list[StateRow] = []
    for table, there, gone in found:
        number, keys = TABLES.index(table), KEY_COLUMNS[table]
        rows += [((number, *row[1 : keys + 1]), row[1:]) for row in there]
        rows += [((number, *key), None) for key in gone]
    return sorted(rows, key=lambda each: each[0])


class CheckpointBucket(Bucket):
    """A journal with checkpoints beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.manifests: dict[int, bytes] = {}
        self.attestations: dict[tuple[Seq, DeviceId], bytes] = {}
        self.blocks: dict[BlockId, bytes] = {}


class CheckpointDaemon:
    """What a daemon does for checkpoints; counts what it asks the bucket for.

    Staged blocks are in the bucket at once. With *full*, staging has no room.
    """

    def __init__(self, bucket: CheckpointBucket, daemon: Daemon) -> None:
        self.bucket = bucket
        self.daemon = daemon
        self.requests: list[str] = []
        self.full = False
        self.forgets = False
        self.unreachable = 0
        """So many questions meet no bucket."""
        self.staged: list[BlockId] = []
        self.checkpoints = self.journal = self.blocks = self

    def _ask(self, what: str) -> None:
        self.requests.append(what)
        if self.unreachable:
            self.unreachable -= 1
            raise Unavailable("no route to the bucket")

    async def stage(self, plaintext: bytes) -> BlockName:
        if self.full:
            raise NoSpace("the disk of the cache directory is full")
        name, ciphertext = seal(KEYS, plaintext)
        self.bucket.blocks[name.id] = ciphertext
        self.staged.append(name.id)
        return name

    async def seqs(self, project: ProjectId) -> list[Seq]:
        self._ask("list")
        return [Seq(seq) for seq in sorted(self.bucket.manifests)]

    async def manifest(self, project: ProjectId, seq: Seq) -> bytes | None:
        self._ask("manifest")
        return self.bucket.manifests.get(seq)

    async def make(self, project: ProjectId, seq: Seq, request: CommitRequest) -> CommitReply:
        self._ask("create")
        body = self.signed(request.unsigned)
        held = self.bucket.manifests.setdefault(seq, body)
        return CommitReply("committed" if held == body else "lost", held)

    async def attestations(self, project: ProjectId) -> list[tuple[Seq, DeviceId]]:
        return sorted(self.bucket.attestations)

    async def attestation(self, project: ProjectId, seq: Seq, device: DeviceId) -> bytes | None:
        return self.bucket.attestations.get((seq, device))

    async def attest(self, project: ProjectId, seq: Seq, manifest: bytes) -> None:
        device = self.daemon.device
        unsigned = Attestation(seq, project, device, manifest).encode()
        signature = sodium.sign(self.daemon.seed, attestation_message(unsigned))
        self.bucket.attestations.setdefault((seq, device), unsigned + signature)

    def signed(self, unsigned: bytes) -> bytes:
        return unsigned + sodium.sign(self.daemon.seed, checkpoint_message(unsigned))

    async def kept(self, project: ProjectId, seq: Seq) -> bytes | None:
        return None if self.forgets else self.bucket.entries.get(seq)

    async def entry(
        self, project: ProjectId, seq: Seq, max_bytes: int | None = None
    ) -> Slot | None:
        self._ask("entry")
        return await self.daemon.entry(project, seq)

    async def proven(self, project: ProjectId, seq: Seq) -> Slot | None:
        return await self.daemon.proven(project, seq)

    async def obtain(
        self, project: ProjectId, block: BlockId, *, patience_s: float, as_bytes: bool = False
    ) -> tuple[Source, bytes | None]:
        self._ask("block")
        if block not in self.bucket.blocks:
            raise NotThere("no such block")
        return "bucket", self.bucket.blocks[block]


class Office:
    """Desks of one project that all know each other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bucket = CheckpointBucket()
        self.clock = VirtualClock()
        self.desks: list[Desk] = []
        self.services: dict[str, CheckpointDaemon] = {}
        self.keepers: dict[str, CheckpointKeeper] = {}
        self.devices: dict[DeviceId, bytes] = {}
        self.keys = KEYS
        self.loaded: list[tuple[int, int]] = []
        """What the last newcomer told of how far it was, in bytes."""

    @contextlib.asynccontextmanager
    async def desk(
        self, name: str, *, load: bool = False, forgets: bool = False
    ) -> AsyncIterator[Desk]:
        """Have a workstation at work, with *load* one that begins with a checkpoint.

        One that *forgets* keeps no entries it has seen.
        """
        service = CheckpointDaemon(self.bucket, Daemon(self.bucket, name.encode().ljust(32, b".")))
        self.services[name] = service
        if load:
            await self.newcomer(name)
        desk = Desk(self.path, name, self.bucket, self.clock)
        service.daemon = desk.daemon
        service.forgets = forgets
        self.devices[desk.daemon.device] = desk.daemon.public
        desk.devices = self.devices
        desk.keys = self.keys
        desk.committer = desk._committer()
        self.keep(desk, name)
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(desk.committer.run()),
                tasks.create_task(self.keepers[name].run()),
            ]
            try:
                yield desk
            finally:
                for task in running:
                    task.cancel()
        desk.node.close()

    def keep(self, desk: Desk, name: str) -> None:
        service = self.services[name]
        keeper = CheckpointKeeper(
            desk.node.replica,
            service.checkpoints,
            service.journal,
            self.codec(service),
            service,
            lambda _block: None,
            desk.alerts,
            self.clock,
            every=EVERY,
        )
        self.keepers[name] = desk.keeper = keeper
        self.clock.threads.append(lambda: keeper._due is not None and not keeper._wake.is_set())

    def codec(self, service: CheckpointDaemon) -> EntryCodec:
        return EntryCodec(
            lambda: self.keys,
            service.daemon.device,
            lambda device, _: self.devices.get(device),
            sodium.random_bytes,
        )

    async def newcomer(self, name: str, alerts: Alerts | None = None) -> Seq | None:
        """Load the newest checkpoint into a new replica of that name; return where it stands."""
        service = self.services.setdefault(
            name,
            CheckpointDaemon(self.bucket, Daemon(self.bucket, name.encode().ljust(32, b"."))),
        )
        replica = Replica.open(self.path / f"{name}.db", bytes(range(32)), name)
        try:
            told = alerts or Alerts(self.clock)
            self.loaded.clear()
            loading = Newcomer(
                replica,
                service,
                self.codec(service),
                told,
                self.clock,
                lambda *loaded: self.loaded.append(loaded),
            )
            return await loading.load()
        finally:
            replica.close()

    async def committed(self, desk: Desk, act: Callable[[], object], times: int = 1) -> None:
        """Have *desk* do something and commit it, each time as an entry of its own."""
        for _ in range(times):
            act()
            await self.clock.until(lambda: not desk.node.replica.pending.has_work())

    async def all_checked(self, seq: int) -> None:
        """Wait until every keeper knows the checkpoint at *seq*."""
        await self.clock.until(lambda: all(k.newest == seq for k in self.keepers.values()))
