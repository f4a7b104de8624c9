"""`scripts/bench lives`: what checkpoints cost in the life of a project, and what they spare a newcomer.

One workstation makes all entries, in this process and without a kernel: files are created, saved
anew, renamed and deleted, one change an entry or several, as in an import. Counts and processor seconds, which other work on
the machine changes little; nothing here is timed by the clock on the wall.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random  # noqa: TID251 - seeded: a run can be repeated

import click
import msgspec
import psutil
from blake3 import blake3
from rich.console import Console
from rich.table import Table

from lab.scale_ground import fill_replica
from lucidnode.fs.checkpoints.keeper import CheckpointKeeper
from lucidnode.fs.checkpoints.newcomer import Newcomer
from lucidnode.fs.commit.entry_codec import EntryCodec
from lucidnode.fs.format import sodium
from lucidnode.fs.format.block import BlockName, seal
from lucidnode.fs.format.checkpoint import open_checkpoint
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.replica.inode import ROOT, InodeNo, Kind
from lucidnode.fs.replica.intents import Create, NewExtent, Rename, Unlink, Write
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.checkpoint import checkpoint_message
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.ids import BlockId, DeviceId, ProjectId, Seq
from lucidnode.node.client.journal import entry_hash, signed, signing_message
from lucidnode.node.client.roster_entry import device_id
from lucidnode.node.client.wire import CommitReply, CommitRequest, Slot, Source

_PROJECT = ProjectId("ab" * 16)
_KEYS = ProjectKeys.of(_PROJECT, {1: bytes(range(32))})
_SEED = bytes(range(32))
_DEVICE = device_id(sodium.signing_public(_SEED))
_FOLDER_FILES = 100
_BLOCK_BYTES = 1 << 20
_MIB = 1 << 20


class _Store:
    """A bucket in memory, with what a daemon does over it; counts what is asked of it."""

    def __init__(self) -> None:
        self.entries: dict[int, bytes] = {}
        self.manifests: dict[int, bytes] = {}
        self.blocks: dict[BlockId, bytes] = {}
        self.requests: Counter[str] = Counter()
        self.read = 0

    async def stage(self, plaintext: bytes) -> BlockName:
        name, ciphertext = seal(_KEYS, plaintext)
        if name.id not in self.blocks:
            self.requests["PUT block"] += 1
        self.blocks[name.id] = ciphertext
        return name

    async def checkpoints(self, _project: ProjectId) -> list[Seq]:
        self.requests["LIST"] += 1 + len(self.manifests) // 1000
        return [Seq(seq) for seq in sorted(self.manifests)]

    async def checkpoint(self, _project: ProjectId, seq: Seq) -> bytes | None:
        self.requests["GET manifest"] += 1
        self.read += len(self.manifests[seq])
        return self.manifests[seq]

    async def make_checkpoint(
        self, _project: ProjectId, seq: Seq, request: CommitRequest
    ) -> CommitReply:
        self.requests["PUT manifest"] += 1
        message = checkpoint_message(request.unsigned)
        self.manifests[seq] = request.unsigned + sodium.sign(_SEED, message)
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

    async def entry(self, _project: ProjectId, seq: Seq) -> Slot | None:
        self.requests["GET entry"] += 1
        body = self.entries.get(seq)
        if body is None:
            return None
        self.read += len(body)
        return Slot(entry_hash(body), body)

    async def proven(self, project: ProjectId, seq: Seq) -> Slot | None:
        return await self.entry(project, seq)

    async def block(
        self, _project: ProjectId, block: BlockId, *, patience_s: float, as_bytes: bool = False
    ) -> tuple[Source, bytes | None]:
        _ = patience_s, as_bytes
        self.requests["GET block"] += 1
        self.read += len(self.blocks[block])
        return "bucket", self.blocks[block]


class _Editor:
    """Makes a change an entry."""

    def __init__(self, replica: Replica, seed: int) -> None:
        self._replica = replica
        self._chance = Random(seed)  # noqa: S311  # no secret
        self._files: list[tuple[InodeNo, bytes, InodeNo]] = []
        self._folder = ROOT
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

    def _create(self) -> None:
        self._made += 1
        if self._made % _FOLDER_FILES == 1:
            self._folder = self._named(ROOT, b"shot %d" % self._made, Kind.DIRECTORY)
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


class Life(msgspec.Struct, frozen=True):
    """What was counted over the life of a project of so many *entries*."""

    entries: int
    changes_an_entry: int
    inodes: int
    journal_mib: float
    checkpoints: int
    bases: int
    written_mib: float
    """By all checkpoints together, manifests included."""
    written_newest_mib: float
    keeper_cpu_s: float
    """Of all checkpoints together, and of taking note of each entry."""
    requests: dict[str, int]
    """Of a newcomer, until it stands on the checkpoint."""
    read_mib: float
    tail: int
    """Entries that are left to read then."""
    load_cpu_s: float
    load_memory_mib: float
    """By how much a process that does nothing else grew for it, at most."""
    equal: bool
    """Whether the newcomer's tables are those of the maker at that entry."""
    replay_cpu_s: float | None
    """Of applying all entries instead; None if that was not tried."""


def _codec() -> EntryCodec:
    return EntryCodec(
        lambda: _KEYS,
        _DEVICE,
        lambda device, _: {_DEVICE: sodium.signing_public(_SEED)}.get(device),
        sodium.random_bytes,
    )


async def _life(entries: int, changes: int, files: int, folder: Path, *, replay: bool) -> Life:
    store, clock = _Store(), SystemClock()
    codec = _codec()
    Replica.open(folder / "maker.db", bytes(32), "maker").close()
    fill_replica(folder / "maker.db", bytes(32), files, _FOLDER_FILES)
    maker = Replica.open(folder / "maker.db", bytes(32), "maker")
    keeper = CheckpointKeeper(maker, store, codec, store, lambda _block: None, Alerts(clock), clock)
    editor = _Editor(maker, entries)
    cpu_s, written, newest = 0.0, 0, 0
    state = b""
    running = asyncio.ensure_future(keeper.run())
    for seq in range(1, entries + 1):
        for _ in range(changes):
            editor.work()
        batch = maker.pending.next_batch(None)
        assert batch is not None
        unsigned = codec.seal(batch, seq)
        maker.pending.set_in_flight(batch, unsigned)
        body = signed(unsigned, sodium.sign(_SEED, signing_message(unsigned)))
        store.entries[seq] = body
        maker.pending.mark_committed(batch.seq, entry_hash(body))
        held = sum(map(len, store.blocks.values())) if seq % 1000 == 0 else 0
        begun = time.process_time()
        keeper.passed(batch.seq, batch.changeset, ours=True)
        if seq % 1000 == 0:
            await _known(keeper, seq)
            newest = sum(map(len, store.blocks.values())) - held + len(store.manifests[seq])
            written += newest
        cpu_s += time.process_time() - begun
        if seq == entries // 1000 * 1000:
            state = _state(maker)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    inodes = maker.tree.usage()[1]
    maker.close()
    bases = sum(
        len(open_checkpoint(_KEYS, raw, Seq(seq), codec.may_write_now)[1].parts) == 1
        for seq, raw in store.manifests.items()
    )
    store.requests.clear()
    newcomer = Replica.open(folder / "newcomer.db", bytes(32), "newcomer")
    begun = time.process_time()
    stands = await Newcomer(newcomer, store, codec, Alerts(clock), clock).load() or 0
    load_cpu_s = time.process_time() - begun
    life = Life(
        entries=entries,
        changes_an_entry=changes,
        inodes=inodes,
        journal_mib=round(sum(map(len, store.entries.values())) / _MIB, 1),
        checkpoints=len(store.manifests),
        bases=bases,
        written_mib=round(written / _MIB, 2),
        written_newest_mib=round(newest / _MIB, 3),
        keeper_cpu_s=round(cpu_s, 2),
        requests=dict(store.requests),
        read_mib=round(store.read / _MIB, 2),
        tail=entries - stands,
        load_cpu_s=round(load_cpu_s, 2),
        load_memory_mib=_load_memory(store, folder),
        equal=_state(newcomer) == state,
        replay_cpu_s=_replayed(store, codec, folder) if replay else None,
    )
    newcomer.close()
    return life


def _load_memory(store: _Store, folder: Path) -> float:
    """Have a process of its own load the newest checkpoint; return its growth in MiB."""
    kept = folder / "store"
    kept.write_bytes(msgspec.msgpack.encode((store.entries, store.manifests, store.blocks)))
    asked = [sys.executable, "-P", "-m", "lab.long_lives", "--newcomer", str(folder)]
    return float(subprocess.run(asked, check=True, stdout=subprocess.PIPE, text=True).stdout)


def _grown(folder: Path) -> float:
    store, clock = _Store(), SystemClock()
    kept = tuple[dict[int, bytes], dict[int, bytes], dict[BlockId, bytes]]
    store.entries, store.manifests, store.blocks = msgspec.msgpack.decode(
        (folder / "store").read_bytes(), type=kept
    )
    replica = Replica.open(folder / "measured.db", bytes(32), "measured")
    Path("/proc/self/clear_refs").write_text("5")  # begins the count of the peak anew (proc(5))
    before = psutil.Process().memory_info().rss
    if asyncio.run(Newcomer(replica, store, _codec(), Alerts(clock), clock).load()) is None:
        raise RuntimeError("the checkpoint was not taken")
    replica.close()
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return round(int(peak) / 1024 - before / _MIB, 1)


async def _known(keeper: CheckpointKeeper, seq: int) -> None:
    while keeper.newest < seq:  # noqa: ASYNC110  # it tells nobody
        await asyncio.sleep(0.001)


def _state(replica: Replica) -> bytes:
    """Return a hash of the replicated tables."""
    snapshot = replica.snapshot()
    assert snapshot is not None
    hashed = blake3()
    with contextlib.closing(snapshot):
        for table in ("inode", "name", "extent", "block", "xattr"):
            for row in snapshot.table(table):
                hashed.update(msgspec.msgpack.encode(row))
    return hashed.digest()


def _replayed(store: _Store, codec: EntryCodec, folder: Path) -> float:
    replica = Replica.open(folder / "replayed.db", bytes(32), "replayed")
    begun = time.process_time()
    link = bytes(32)
    for seq, body in store.entries.items():
        change = codec.open(body, Seq(seq), link)
        link = entry_hash(body)
        replica.entries.apply_entry(Seq(seq), link, change.changeset)
    cpu_s = time.process_time() - begun
    replica.close()
    return round(cpu_s, 1)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("entries", type=click.IntRange(1000), nargs=-1)
@click.option("--changes", type=click.IntRange(1, 200), default=1, help="Changes an entry.")
@click.option("--replay", is_flag=True, help="Apply all entries as well, for comparison.")
@click.option(
    "--files", type=int, default=0, help="Files that are there before; not with --replay."
)
@click.option("--newcomer", type=click.Path(path_type=Path), hidden=True)
def lives(
    entries: tuple[int, ...], changes: int, files: int, newcomer: Path | None, *, replay: bool
) -> None:
    """Measure lives of so many ENTRIES; a table on standard error, JSON on standard output."""
    if newcomer is not None:
        click.echo(_grown(newcomer))
        return
    if files and replay:
        raise click.UsageError("no entry makes the files of --files: they cannot be replayed")
    found = []
    for each in entries or (10_000,):
        with tempfile.TemporaryDirectory() as folder:
            found.append(asyncio.run(_life(each, changes, files, Path(folder), replay=replay)))
    table = Table("", *(f"{life.entries:,} entries" for life in found))
    for name in Life.__struct_fields__:
        table.add_row(name.replace("_", " "), *(str(getattr(life, name)) for life in found))
    Console(stderr=True, highlight=False).print(table)
    click.echo(msgspec.json.encode(found))


if __name__ == "__main__":
    lives()
