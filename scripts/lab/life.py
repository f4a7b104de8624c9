"""The life of a project as one workstation makes it, in this process: what `scripts/bench` measures lives with.

Files are created, saved anew, renamed and deleted through the real replica, sealed as entries by the
real codec, and the real keeper makes its checkpoints. The bucket and the daemon are in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from random import Random  # noqa: TID251 - seeded: a run can be repeated
from typing import NamedTuple, Self

from blake3 import blake3

from lab.scale_ground import fill_replica
from lucidnode.fs.checkpoints.keeper import CheckpointKeeper
from lucidnode.fs.commit.entry_codec import EntryCodec
from lucidnode.fs.format import sodium
from lucidnode.fs.format.block import BlockName, seal
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.replica.inode import ROOT, InodeNo, Kind
from lucidnode.fs.replica.intents import Create, NewExtent, Rename, Unlink, Write
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.checkpoint import checkpoint_message
from lucidnode.node.client.clock import Clock, SystemClock
from lucidnode.node.client.ids import BlockId, DeviceId, ProjectId, Seq
from lucidnode.node.client.journal import entry_hash, signed, signing_message
from lucidnode.node.client.roster_entry import device_id
from lucidnode.node.client.wire import CommitReply, CommitRequest, Slot, Source

EVERY = 1000
"""Entries from one checkpoint to the next."""

FOLDER_FILES = 100

_BLOCK_BYTES = 1 << 20


class Writer(NamedTuple):
    """Whose entries they are: the project's keys, and a device that may write."""

    keys: ProjectKeys
    public: bytes
    sign: Callable[[bytes], bytes]

    @classmethod
    def of_nobody(cls) -> Self:
        """Return one of a studio that is nowhere."""
        seed = bytes(range(32))
        keys = ProjectKeys.of(ProjectId("ab" * 16), {1: seed})
        return cls(keys, sodium.signing_public(seed), partial(sodium.sign, seed))

    @property
    def device(self) -> DeviceId:
        """The id of the device."""
        return device_id(self.public)

    def codec(self) -> EntryCodec:
        """Return what seals and opens its entries."""
        known = {self.device: self.public}
        return EntryCodec(
            lambda: self.keys, self.device, lambda device, _: known.get(device), sodium.random_bytes
        )


class LifeStore:
    """A bucket in memory, with what a daemon does over it; counts what is asked of it."""

    def __init__(self, writer: Writer, kept_entries: int | None = None) -> None:
        """Keep so many of the newest entries, or all."""
        self._writer = writer
        self._kept_entries = kept_entries
        self.entries: dict[int, bytes] = {}
        self.journal_bytes = 0
        self.manifests: dict[int, bytes] = {}
        self.bodies: dict[BlockId, bytes] = {}
        self.requests: Counter[str] = Counter()
        self.read = 0
        self.checkpoints = self.journal = self.blocks = self

    def add(self, seq: int, unsigned: bytes) -> bytes:
        """Sign the entry *seq* and keep it; return it."""
        body = signed(unsigned, self._writer.sign(signing_message(unsigned)))
        self.entries[seq] = body
        self.journal_bytes += len(body)
        if self._kept_entries is not None:
            self.entries.pop(seq - self._kept_entries, None)
        return body

    async def stage(self, plaintext: bytes) -> BlockName:
        name, ciphertext = seal(self._writer.keys, plaintext)
        if name.id not in self.bodies:
            self.requests["PUT block"] += 1
        self.bodies[name.id] = ciphertext
        return name

    async def seqs(self, _project: ProjectId) -> list[Seq]:
        self.requests["LIST"] += 1 + len(self.manifests) // 1000
        return [Seq(seq) for seq in sorted(self.manifests)]

    async def manifest(self, _project: ProjectId, seq: Seq) -> bytes | None:
        self.requests["GET manifest"] += 1
        self.read += len(self.manifests[seq])
        return self.manifests[seq]

    async def make(self, _project: ProjectId, seq: Seq, request: CommitRequest) -> CommitReply:
        self.requests["PUT manifest"] += 1
        message = checkpoint_message(request.unsigned)
        self.manifests[seq] = request.unsigned + self._writer.sign(message)
        return CommitReply("committed", self.manifests[seq])

    async def attestations(self, _project: ProjectId) -> list[tuple[Seq, DeviceId]]:
        self.requests["LIST"] += 1 + len(self.manifests) // 1000
        return []

    async def attestation(self, _project: ProjectId, seq: Seq, device: DeviceId) -> bytes | None:
        raise AssertionError(f"there is none at {seq} by {device}")

    async def attest(self, _project: ProjectId, seq: Seq, manifest: bytes) -> None:
        raise AssertionError(f"one device alone attests nothing: {seq}, {manifest.hex()}")

    async def kept(self, _project: ProjectId, seq: Seq) -> bytes | None:
        return self.entries.get(seq)

    async def entry(
        self, _project: ProjectId, seq: Seq, max_bytes: int | None = None
    ) -> Slot | None:
        _ = max_bytes
        self.requests["GET entry"] += 1
        body = self.entries.get(seq)
        if body is None:
            return None
        self.read += len(body)
        return Slot(entry_hash(body), body)

    async def proven(self, project: ProjectId, seq: Seq) -> Slot | None:
        return await self.entry(project, seq)

    async def obtain(
        self, _project: ProjectId, block: BlockId, *, patience_s: float, as_bytes: bool = False
    ) -> tuple[Source, bytes | None]:
        _ = patience_s, as_bytes
        self.requests["GET block"] += 1
        self.read += len(self.bodies[block])
        return "bucket", self.bodies[block]


class LifeEditor:
    """Makes a change an entry."""

    def __init__(self, replica: Replica, seed: int) -> None:
        self._replica = replica
        self._chance = Random(seed)  # noqa: S311  # no secret
        self._files: list[tuple[InodeNo, bytes, InodeNo]] = []
        self._folder = ROOT
        self._folders: dict[InodeNo, bytes] = {}
        self._made = 0
        self._now = 10**18

    def work(self) -> None:
        chance = self._chance.random()
        if chance < 0.6 or len(self._files) < 2:
            self._create()
            return
        at = self._chance.randrange(len(self._files))
        parent, name, ino = self._files[at]
        if chance < 0.85:
            self._write(ino)
        elif chance < 0.95:
            new = b"%s_v%d" % (name.partition(b"_")[0], self._made)
            self._replica.apply(Rename(parent, name, parent, new, self._tick(), 0))
            self._files[at] = parent, new, ino
        else:
            self._replica.apply(Unlink(parent, name, self._tick(), False))
            self._files[at] = self._files[-1]
            self._files.pop()

    def newest(self) -> Path:
        """Return the file that was made last and is still there, from the root."""
        parent, name, _ = self._files[-1]
        return Path(self._folders[parent].decode(), name.decode())

    def _create(self) -> None:
        self._made += 1
        if self._made % FOLDER_FILES == 1:
            name = b"shot %d" % self._made
            self._folder = self._named(ROOT, name, Kind.DIRECTORY)
            self._folders[self._folder] = name
        name = b"plate.%06d.exr" % self._made
        ino = self._named(self._folder, name, Kind.FILE)
        self._files.append((self._folder, name, ino))
        self._write(ino)

    def _named(self, parent: InodeNo, name: bytes, kind: Kind) -> InodeNo:
        ino = self._replica.new_ino()
        mode = 0o755 if kind is Kind.DIRECTORY else 0o644
        self._replica.apply(Create(parent, name, ino, kind, mode, 1000, 1000, self._tick()))
        return ino

    def _write(self, ino: InodeNo) -> None:
        now = self._tick()
        digest = blake3(now.to_bytes(8)).digest()
        block = BlockName(BlockId(digest), 1, digest, _BLOCK_BYTES)
        self._replica.apply(Write(ino, [NewExtent(0, _BLOCK_BYTES, block.id, 0)], [block], now))

    def _tick(self) -> int:
        self._now += 1_000_000_007
        return self._now


class Life:
    """A project that is worked at, entry by entry. Use `begun`."""

    def __init__(
        self, replica: Replica, writer: Writer, store: LifeStore, clock: Clock, seed: int
    ) -> None:
        self.replica = replica
        self.writer = writer
        self.store = store
        self.codec = writer.codec()
        self.keeper = CheckpointKeeper(
            replica,
            store.checkpoints,
            store.journal,
            self.codec,
            store,
            lambda _block: None,
            Alerts(clock),
            clock,
        )
        self.editor = LifeEditor(replica, seed)
        self.seq = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def begun(
        cls,
        path: Path,
        writer: Writer,
        *,
        files: int = 0,
        seed: int = 1,
        kept_entries: int | None = None,
        store: LifeStore | None = None,
    ) -> AsyncIterator[Self]:
        """Begin one whose replica is made at *path*, with so many *files* that no entry has made."""
        Replica.open(path, bytes(32), "maker").close()
        fill_replica(path, bytes(32), files, FOLDER_FILES)
        replica = Replica.open(path, bytes(32), "maker", writer.device)
        store = store or LifeStore(writer, kept_entries)
        life = cls(replica, writer, store, SystemClock(), seed)
        running = asyncio.ensure_future(life.keeper.run())
        try:
            yield life
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            replica.close()

    def work(self, changes: int) -> None:
        """Do *changes* things, and commit them as one entry, of which the keeper hears."""
        for _ in range(changes):
            self.editor.work()
        self.commit(self.seq)
        assert self.replica.pending.next_batch(None) is None, "all of it is one entry"

    def commit(self, wall_ns: int) -> bool:
        """Commit what was done, as far as one entry goes, which the keeper hears; False: it is nothing."""
        batch = self.replica.pending.next_batch(None)
        if batch is None:
            return False
        unsigned = self.codec.seal(batch, wall_ns)
        self.replica.pending.set_in_flight(batch, unsigned)
        body = self.store.add(batch.seq, unsigned)
        self.replica.pending.mark_committed(batch.seq, entry_hash(body))
        self._passed(batch.seq, batch.changeset)
        return True

    def take(self, seq: Seq) -> None:
        """Apply the entry *seq*, which another part of this workstation has made."""
        body = self.store.entries[seq]
        link = self.replica.pending.head().link
        changeset = self.codec.open(body, seq, link).changeset
        self.replica.entries.apply_entry(seq, entry_hash(body), changeset)
        self._passed(seq, changeset)

    def _passed(self, seq: Seq, changeset: bytes) -> None:
        self.seq = seq
        self.keeper.passed(seq, changeset, ours=True)

    @property
    def is_due(self) -> bool:
        """Whether there is a checkpoint at the newest entry."""
        return self.seq % EVERY == 0

    async def checkpointed(self) -> None:
        """Return once the checkpoint at the newest entry is there."""
        while self.keeper.newest < self.seq:  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.001)
