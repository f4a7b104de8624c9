"""The file layer of one mount without FUSE: a real replica, real block files, a daemon in memory."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from office_links import OfficeLinks

from lucidnode.fs.commit.committer import Committer
from lucidnode.fs.commit.entry_codec import EntryCodec
from lucidnode.fs.commit.journal_client import JournalClient
from lucidnode.fs.commit.ordered_journal import OrderedJournal
from lucidnode.fs.file_layer import (
    Ground,
    file_system,
    read_path,
    remote_effects,
    work_here,
    write_path,
)
from lucidnode.fs.files.file_system import Caller, FileSystem
from lucidnode.fs.files.naming import NamedByAll
from lucidnode.fs.files.opening import OpenToAll
from lucidnode.fs.files.remote_effects import RemoteEffects
from lucidnode.fs.files.stamps import Stamps
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.leases.directory_leases import DirectoryLeases
from lucidnode.fs.leases.locked_work import LockedWork
from lucidnode.fs.leases.write_leases import LockOnOpen, WriteLeases
from lucidnode.fs.read.block_files import MAX_OPEN_BLOCKS
from lucidnode.fs.read.channel_files import ChannelFiles
from lucidnode.fs.read.read_counts import ReadCounts
from lucidnode.fs.read.reader import Reader
from lucidnode.fs.read.recovered_blocks import RecoveredBlocks
from lucidnode.fs.read.segments import Segments
from lucidnode.fs.replica.changes import Touched
from lucidnode.fs.replica.inode import ROOT, InodeNo
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.write.deleted_files import DeletedFiles
from lucidnode.fs.write.group_sync import GroupSync, recover
from lucidnode.fs.write.resealed_work import ResealedWork
from lucidnode.fs.write.shipments import Shipments
from lucidnode.fs.write.tail_packer import TailPacker
from lucidnode.fs.write.unfinished import Unfinished
from lucidnode.fs.write.unsaved_files import UnsavedFiles
from lucidnode.fs.write.write_buffer import WriteBuffer
from lucidnode.fs.write.writer import Writer
from lucidnode.node.client import wire
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import SystemClock, boot_id
from lucidnode.node.client.errors import NotThere, Unavailable, Withheld
from lucidnode.node.client.guarded_disk import DiskAlert, GuardedDisk
from lucidnode.node.client.ids import BlockId, DeviceId, ProjectId, Seq
from lucidnode.node.client.staging import FETCHED, cached_path, staged_path
from lucidnode.node.client.supervision import supervised

PROJECT = ProjectId("0123456789abcdef0123456789abcdef")
KEYS = ProjectKeys.of(PROJECT, {1: bytes(range(32))})
BLOCK = 256 * 1024
ME = Caller(1000, 1000)


class QuickClock(SystemClock):
    """Real time, but a sleep of a second takes a hundredth, and counts as a second."""

    def __init__(self) -> None:
        self.slept = 0.0

    def boot(self) -> float:
        return super().boot() + self.slept

    async def sleep(self, seconds: float) -> None:
        self.slept += seconds
        await asyncio.sleep(seconds / 100)


@dataclass
class FakeDaemon:
    """Uploads what is staged into a directory, and fetches from it. Faults are attributes."""

    bucket: Path
    blocks_dir: Path
    staging_dir: Path
    uploads: bool = True
    unavailable: bool = False
    frozen: bool = False
    """No question is answered, in no time."""
    keeps: bool = True
    """Whether the cache has room."""
    asked: list[BlockId] = field(default_factory=list)
    withdrawn: list[BlockId] = field(default_factory=list)
    bad_objects: list[BlockId] = field(default_factory=list)
    """What it says of the bucket."""
    unneeded: list[BlockId] = field(default_factory=list)
    withholds: Callable[[wire.Reading], bool] = field(default=lambda _reading: False)
    readings: list[wire.Reading | None] = field(default_factory=list)
    """Who wanted each of the blocks that were asked for."""
    in_the_office: dict[BlockId, bytes] = field(default_factory=dict)
    """What it can put back."""

    async def staged(
        self, project: ProjectId, blocks: Sequence[BlockId], ranks: Sequence[int]
    ) -> None:
        if self.uploads:
            for block in blocks:
                self.upload(block)

    async def uploaded(self, project: ProjectId, blocks: Sequence[BlockId]) -> list[BlockId]:
        return [block for block in blocks if (self.bucket / block.hex()).exists()]

    async def bad(self, project: ProjectId) -> list[BlockId]:
        return list(self.bad_objects)

    async def put_back(self, project: ProjectId, blocks: Sequence[BlockId]) -> wire.BlocksPutBack:
        there = [block for block in blocks if block in self.in_the_office]
        for block in there:
            (self.bucket / block.hex()).write_bytes(self.in_the_office[block])
            self.bad_objects.remove(block)
        missing = [block for block in blocks if block not in there]
        return wire.BlocksPutBack(list(map(bytes, there)), list(map(bytes, missing)))

    async def given_up(self, project: ProjectId, blocks: Sequence[BlockId]) -> None:
        self.unneeded += blocks

    async def withdraw(self, project: ProjectId, blocks: Sequence[BlockId]) -> None:
        if self.unavailable:
            raise Unavailable("the daemon is away")
        self.withdrawn += blocks

    def upload(self, block: BlockId) -> None:
        """Move a block from staging to the bucket and the cache."""
        path = staged_path(self.staging_dir, PROJECT, block)
        if path.exists():
            (self.bucket / block.hex()).write_bytes(path.read_bytes())
            target = cached_path(self.blocks_dir, block)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)

    def evict(self) -> None:
        """Empty the cache."""
        for path in self.blocks_dir.glob("*/*"):
            path.unlink()

    async def obtain(
        self,
        project: ProjectId,
        block: BlockId,
        *,
        patience_s: float,
        as_bytes: bool = False,
        reading: wire.Reading | None = None,
    ) -> tuple[wire.Source, bytes | None]:
        self.asked.append(block)
        self.readings.append(reading)
        await asyncio.sleep(0)
        if reading is not None and self.withholds(reading):
            raise Withheld(f"{reading.program} looks into files by itself")
        while self.frozen:
            await asyncio.sleep(0.001)
        if self.unavailable:
            raise Unavailable("the wire is cut")
        stored = self.bucket / block.hex()
        if not stored.exists():
            raise NotThere(block.hex())
        if not self.keeps or as_bytes:
            return "bucket", stored.read_bytes()
        target = cached_path(self.blocks_dir, block)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(stored.read_bytes())
            target.chmod(FETCHED)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            target.unlink(missing_ok=True)
            return "bucket", stored.read_bytes()
        return "bucket", None


@dataclass(frozen=True, slots=True)
class Commits:
    """What a file layer needs to commit and follow, besides its own parts.

    *key_of* gives the public key of a device that may write; *touched* hears what others changed;
    *links* are those to others of the office, none without.
    """

    journal: JournalClient
    device: DeviceId
    key_of: Callable[[DeviceId], bytes | None]
    touched: Callable[[Touched], None]
    links: OfficeLinks | None = None


@dataclass(frozen=True, slots=True)
class _Hooks:
    """The committer's hooks, as fs/commit/remote_changes.py has them, without a kernel."""

    effects: RemoteEffects
    before_batch: Callable[[], None]
    tell: Callable[[Touched], None]

    def touched(self, touched: Touched) -> None:
        self.effects.follow(touched)
        self.tell(touched)

    def passed(self, seq: Seq, changeset: bytes | None, *, ours: bool) -> None:
        """No checkpoint is made here."""

    async def refresh_roster(self) -> None:
        """Everybody is known from the beginning."""


@dataclass(frozen=True, slots=True)
class _DeletedContents:
    """What drops them where nothing is committed."""

    replica: Replica

    async def drop_deleted(self, has_arrived: Callable[[BlockId], bool]) -> None:
        self.replica.deleted.drop(has_arrived)


@dataclass
class FileLayer:
    """Everything of one mount above the daemon and below FUSE."""

    replica: Replica
    writer: Writer
    packer: TailPacker
    buffer: WriteBuffer
    reader: Reader
    files: FileSystem
    effects: RemoteEffects
    daemon: FakeDaemon
    counts: ReadCounts
    clock: QuickClock
    segments: Segments
    recovered: RecoveredBlocks
    alerts: Alerts
    unsaved: UnsavedFiles
    unfinished: Unfinished
    group_sync: GroupSync
    deleted_files: DeletedFiles
    taken_back: list[str]
    committer: Committer | None = None
    channel_files: ChannelFiles | None = None
    leases: WriteLeases | None = None
    directories: DirectoryLeases | None = None

    async def create(self, name: bytes = b"file") -> tuple[InodeNo, int]:
        """Return a new file and a handle of it."""
        made = self.files.make(ROOT, name, 0o100644, ME)
        handle, _ = await self.files.open(made.ino, 2)
        return made.ino, handle

    async def contents(self, ino: InodeNo) -> bytes:
        """Return the whole file, through a handle of its own."""
        handle, _ = await self.files.open(ino, 0)
        found = bytes(await self.files.read(handle, 0, 1 << 40))
        self.files.release(handle)
        return found


async def _fresh(committer: Committer) -> None:
    await committer.catch_up()


async def _settled() -> None:
    """There is no kernel that shows anything else."""


@contextlib.asynccontextmanager
async def file_layer(
    home: Path,
    *,
    staging_limit: int = 1 << 40,
    max_buffered: int = 64 * 1024 * 1024,
    commit_wait: Callable[[InodeNo | None], Coroutine[None, None, None]] | None = None,
    clock: QuickClock | None = None,
    relaxed: bool = False,
    looks_for_replica: bool = False,
    saves_by_age: bool = True,
    boot: str | None = None,
    bucket: Path | None = None,
    replica_path: Path | None = None,
    commits: Commits | None = None,
    random_bytes: Callable[[int], bytes] = os.urandom,
    channel: bool = False,
    name: str = "studio-a",
    name_of: Callable[[DeviceId], str] = lambda _: "studio-a",
    lock_on_open: LockOnOpen | None = None,
    strict: bool = False,
    read_only: bool = False,
    exclusive: Literal["alone", "never alone"] | None = None,
) -> AsyncIterator[FileLayer]:
    """Open the file layer at *home*, as a mount would, and close it without a last flush.

    Without *saves_by_age* nothing is saved or tried again unless a program asks for it, however
    slow the machine is. *boot* is another one after a power cut; None is this machine's. *bucket* is where uploaded
    blocks are, and *replica_path* the database; both lie in *home* if nothing is said. With
    *commits* it commits and follows meanwhile, with *lock_on_open* files have write leases,
    and with *strict* each open asks the journal; with *exclusive* directories have leases, without which
    names are made *alone*, while there is no bucket, or not at all.
    """
    blocks_dir, staging_dir = home / "blocks", home / "staging"
    bucket = bucket or home / "bucket"
    for directory in (bucket, blocks_dir, staging_dir / PROJECT):
        directory.mkdir(parents=True, exist_ok=True)
    clock = clock or QuickClock()
    daemon = FakeDaemon(bucket, blocks_dir, staging_dir)
    replica_path = replica_path or home / "replica.db"
    replica = Replica.open(replica_path, KEYS.replica, name, random_bytes=random_bytes)
    try:
        taken_back = recover(replica, staging_dir, PROJECT, boot or boot_id())
        with ThreadPoolExecutor(4) as disk:
            alerts = Alerts(clock)
            looks = GuardedDisk(
                "the cache", threads=4, clock=clock, alert=DiskAlert("the cache", alerts)
            )
            with contextlib.closing(looks):
                async with supervised(alerts, clock) as tasks:
                    ground = Ground(
                        replica=replica,
                        keys=KEYS,
                        block_size=BLOCK,
                        blocks_dir=blocks_dir,
                        staging_dir=staging_dir,
                        staging_limit=staging_limit,
                        min_free=0,
                        # Three eighths of it are for what is not saved yet.
                        memory_limit=-(-max_buffered * 8 // 3),
                        blocks=daemon,
                        disk=disk,
                        looks=looks,
                        alerts=alerts,
                        clock=Stamps(clock),
                        tasks=tasks,
                    )
                    write = write_path(ground, relaxed=relaxed)
                    read = read_path(ground, write, channel=channel, most_open=MAX_OPEN_BLOCKS)
                    effects = remote_effects(ground, write, read)
                    packer, group_sync = write.packer, write.group_sync
                    device = DeviceId("d" * 32) if commits is None else commits.device
                    work = work_here(ground, write, read, device, name_of)
                    committer: Committer | None = None
                    shipments: Shipments | None = None
                    has_arrived: Callable[[BlockId], bool] = frozenset[BlockId]().__contains__
                    if commits is not None:
                        sendable = asyncio.Event()
                        shipments = Shipments(
                            PROJECT, replica, daemon, write.unfinished, clock, sendable.set
                        )
                        has_arrived = shipments.has_arrived
                        committer = Committer(
                            replica,
                            OrderedJournal(commits.journal, packer, write.notifier, clock, tasks),
                            PROJECT,
                            EntryCodec(
                                lambda: KEYS,
                                commits.device,
                                lambda device, _: commits.key_of(device),
                                random_bytes,
                            ),
                            _Hooks(effects, packer.pack, commits.touched),
                            alerts,
                            clock,
                            shipments,
                            group_sync.before_sending,
                            sendable,
                            ResealedWork(
                                replica, KEYS, daemon, write.stager, packer, write.notifier
                            ).reseal,
                        )
                    leases: WriteLeases | None = None
                    if committer is not None and lock_on_open is not None:
                        locked = LockedWork(
                            replica, write.writer, write.unsaved, write.unfinished, committer
                        )
                        leases = WriteLeases(
                            work=work,
                            committer=committer,
                            commit_file=locked.commit_alone,
                            settled=_settled,
                            policy=lock_on_open,
                            tasks=tasks,
                            alerts=alerts,
                            clock=ground.clock,
                        )
                    directories: DirectoryLeases | None = None
                    if committer is not None and exclusive is not None:
                        assert commits is not None
                        links = commits.links or OfficeLinks()
                        directories = DirectoryLeases(
                            replica=replica,
                            device=work.device,
                            committer=committer,
                            alone_when_away=exclusive == "alone",
                            recalls=links.mount(KEYS, work.device, random_bytes, ground.clock),
                            alerts=alerts,
                            clock=ground.clock,
                        )
                        assert shipments is not None
                        shipments.heed(directories.may_commit, directories.may_give)
                    freshen = (
                        None if committer is None or not strict else partial(_fresh, committer)
                    )
                    files = file_system(
                        ground,
                        write,
                        read,
                        effects,
                        work,
                        touched=effects.follow,
                        commit_wait=commit_wait,
                        opening=leases or OpenToAll(),
                        naming=directories or NamedByAll(),
                        freshen=freshen,
                        read_only=read_only,
                    )
                    running = [tasks.create_task(write.notifier.run())]
                    if saves_by_age:
                        running.append(tasks.create_task(write.write_back.run()))
                    if looks_for_replica:
                        tasks.keep("looking where the replica is", write.whereabouts.run)
                    if committer is not None and shipments is not None:
                        if relaxed:
                            tasks.keep("syncing what was closed", group_sync.run)
                        tasks.keep("committing and following", committer.run)
                        tasks.keep("asking for what has arrived", shipments.run)
                    if leases is not None:
                        tasks.keep("deciding who writes", leases.run)
                    if directories is not None:
                        tasks.keep("deciding who makes names", directories.run)
                    packer.resume()
                    yield FileLayer(
                        replica,
                        write.writer,
                        packer,
                        write.buffer,
                        read.reader,
                        files,
                        effects,
                        daemon,
                        read.counts,
                        clock,
                        read.segments,
                        read.recovered,
                        alerts,
                        write.unsaved,
                        write.unfinished,
                        group_sync,
                        DeletedFiles(
                            project=PROJECT,
                            replica=replica,
                            daemon=daemon,
                            work=committer or _DeletedContents(replica),
                            has_arrived=has_arrived,
                            durability_wait=group_sync.now,
                            unsaved=write.unsaved,
                            stager=write.stager,
                            notifier=write.notifier,
                            clock=clock,
                        ),
                        taken_back,
                        committer,
                        read.channel_files,
                        leases,
                        directories,
                    )
                    packer.stop()
                    read.ahead.stop()
                    for task in running:
                        task.cancel()
    finally:
        replica.close()
