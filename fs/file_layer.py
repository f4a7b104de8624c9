"""The file layer of a mount: its read path, its write path, and the file system over both.

This is the one place where they are put together: a mount (fs/mount_parts.py), a state of the past
(fs/past_state.py) and the tests of the file layer call it alike. Each part is made of parts above it
in the text; nothing is filled in later.
What commits and follows stands on the layer, and is made by whoever holds the journal.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lucidnode.fs.files.file_states import FileStates
from lucidnode.fs.files.file_system import FileSystem
from lucidnode.fs.files.kept_listings import KeptListings
from lucidnode.fs.files.lifetimes import FileLifetimes
from lucidnode.fs.files.naming import Naming
from lucidnode.fs.files.opening import Opening
from lucidnode.fs.files.remote_effects import RemoteEffects
from lucidnode.fs.files.stamps import Stamps
from lucidnode.fs.files.work_here import WorkHere
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.read.block_fetcher import BlockFetcher, BlockService
from lucidnode.fs.read.block_files import BlockFiles
from lucidnode.fs.read.channel_files import ChannelFiles
from lucidnode.fs.read.open_files import OpenFiles
from lucidnode.fs.read.read_counts import ReadCounts
from lucidnode.fs.read.reader import Reader
from lucidnode.fs.read.reading_ahead import ReadingAhead
from lucidnode.fs.read.reading_programs import ReadingPrograms, command_line
from lucidnode.fs.read.recovered_blocks import BadObjectService, RecoveredBlocks
from lucidnode.fs.read.segment_memory import SEGMENTS_SHARE, SegmentMemory
from lucidnode.fs.read.segments import Segments
from lucidnode.fs.read.unreadable_files import UnreadableFiles
from lucidnode.fs.replica.changes import Touched
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.replica.whereabouts import Whereabouts
from lucidnode.fs.write.file_saver import FileSaver
from lucidnode.fs.write.group_sync import GroupSync
from lucidnode.fs.write.quota_gate import QuotaGate
from lucidnode.fs.write.stager import Stager
from lucidnode.fs.write.staging_budget import StagingBudget
from lucidnode.fs.write.staging_notifier import StagingNotifier, StagingService
from lucidnode.fs.write.tail_packer import TailPacker
from lucidnode.fs.write.unfinished import Unfinished
from lucidnode.fs.write.unsaved_files import UnsavedFiles
from lucidnode.fs.write.write_back import WriteBack
from lucidnode.fs.write.write_buffer import UNSAVED_SHARE, WriteBuffer
from lucidnode.fs.write.writer import Writer
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.bad_blocks import BadBlocks
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.guarded_disk import DiskAlert, GuardedDisk
from lucidnode.node.client.ids import DeviceId
from lucidnode.node.client.supervision import Tasks

DISK_THREADS = 8
"""Threads for staging and ciphers. More than cores: most of the time they wait for an fsync."""

LOOK_THREADS = 8
"""Threads that read block files. Apart from those that write: they may wait long for a full disk."""


class BlockClient(BlockService, BadObjectService, StagingService, Protocol):
    """What the daemon does for the bytes of files (DaemonBlocks)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a file layer stands on; all of it must outlive the layer.

    *disk* runs staging and ciphers, *looks* the reads of block files. *staging_limit* and
    *min_free* are bytes: what staging may hold, and what must stay free on its disk. *memory_limit* is
    for plaintext in memory, saved and not.
    """

    replica: Replica
    keys: ProjectKeys
    block_size: int
    blocks_dir: Path
    staging_dir: Path
    staging_limit: int
    min_free: int
    memory_limit: int
    blocks: BlockClient
    disk: Executor
    looks: GuardedDisk
    alerts: Alerts
    clock: Stamps
    tasks: Tasks


def cache_disk(blocks_dir: Path, alerts: Alerts, clock: Clock) -> contextlib.closing[GuardedDisk]:
    """Return what reads the block files below *blocks_dir*, and says if that disk does not answer."""
    what = f"the cache in {blocks_dir.parent}"
    disk = GuardedDisk(what, threads=LOOK_THREADS, clock=clock, alert=DiskAlert(what, alerts))
    return contextlib.closing(disk)


@dataclass(frozen=True, slots=True, kw_only=True)
class WritePath:
    """From a write to its bytes in staging and in the replica."""

    notifier: StagingNotifier
    stager: Stager
    whereabouts: Whereabouts
    group_sync: GroupSync
    unsaved: UnsavedFiles
    unfinished: Unfinished
    buffer: WriteBuffer
    packer: TailPacker
    writer: Writer
    quota: QuotaGate
    write_back: WriteBack


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPath:
    """From a read to the bytes of blocks, wherever they are."""

    open_files: OpenFiles
    counts: ReadCounts
    block_files: BlockFiles
    segments: Segments
    recovered: RecoveredBlocks
    channel_files: ChannelFiles | None
    """What the kernel channel may answer by itself; None without the channel."""
    ahead: ReadingAhead
    reader: Reader


def write_path(ground: Ground, *, relaxed: bool) -> WritePath:
    """Build the write path. With *relaxed*, `close` does not wait for the disk.

    Keep `notifier.run`, `quota.run`, `write_back.run` and `whereabouts.run` running, and `group_sync.run` with *relaxed*; call
    `packer.resume` before the first write, and `packer.stop` at the end.
    """
    replica, alerts, clock = ground.replica, ground.alerts, ground.clock
    notifier = StagingNotifier(ground.keys.project, ground.blocks, clock)
    room = StagingBudget(
        ground.staging_dir, ground.staging_limit, ground.min_free, clock, ground.disk
    )
    stager = Stager(ground.keys, ground.staging_dir, room, ground.disk, replica.collected.is_listed)
    whereabouts = Whereabouts(replica.files, replica.pending.count, alerts, clock)
    group_sync = GroupSync(replica, stager, alerts, clock, whereabouts.require, relaxed=relaxed)
    unsaved = UnsavedFiles()
    unfinished = Unfinished(clock)
    buffer = WriteBuffer(int(ground.memory_limit * UNSAVED_SHARE))
    packer = TailPacker(
        replica=replica,
        keys=ground.keys,
        block_size=ground.block_size,
        stager=stager,
        notifier=notifier,
        buffer=buffer,
        alerts=alerts,
        clock=clock,
        tasks=ground.tasks,
    )
    saver = FileSaver(
        files=unsaved,
        block_size=ground.block_size,
        replica=replica,
        stager=stager,
        notifier=notifier,
        buffer=buffer,
        clock=clock,
        tasks=ground.tasks,
        relaxed=relaxed,
    )
    quota = QuotaGate(replica.tree, unsaved, alerts, clock)
    writer = Writer(
        files=unsaved,
        replica=replica,
        unfinished=unfinished,
        saver=saver,
        group_sync=group_sync,
        buffer=buffer,
        clock=clock,
        quota=quota,
    )
    replica.entries.set_dirty_source(unsaved.appended_only)
    return WritePath(
        notifier=notifier,
        stager=stager,
        whereabouts=whereabouts,
        group_sync=group_sync,
        unsaved=unsaved,
        unfinished=unfinished,
        buffer=buffer,
        packer=packer,
        writer=writer,
        quota=quota,
        write_back=WriteBack(unsaved, writer.flush, clock, alerts),
    )


def read_path(ground: Ground, write: WritePath, *, channel: bool, most_open: int) -> ReadPath:
    """Build the read path over what *write* holds; with *channel*, it tells the kernel channel.

    *most_open* block files are open at once. Keep `recovered.run` running, and call
    `ahead.stop` at the end.
    """
    replica, alerts = ground.replica, ground.alerts
    open_files = OpenFiles()
    block_files = BlockFiles(
        ground.keys,
        ground.blocks_dir,
        ground.staging_dir,
        ground.looks,
        most_open=most_open,
        channel=channel,
    )
    counts = ReadCounts(block_files.came)
    unreadable = UnreadableFiles(replica.tree, alerts)
    bad = BadBlocks(ground.clock, unreadable.over)
    fetcher = BlockFetcher(
        ground.keys.project,
        block_files,
        ground.blocks,
        ground.clock,
        counts.fetched,
        bad,
        ground.tasks,
        ReadingPrograms(ground.clock, command_line),
        secrets.token_hex(8),
    )
    segments = Segments(
        keys=ground.keys,
        files=block_files,
        plaintext_of=write.packer.plaintext_of,
        fetcher=fetcher,
        disk=ground.looks,
        memory=SegmentMemory(int(ground.memory_limit * SEGMENTS_SHARE)),
        bad=bad,
    )
    channel_files = ChannelFiles(replica, write.unsaved, block_files) if channel else None
    if channel_files is not None:
        replica.watch_contents(channel_files.changed)
        write.unsaved.watch(channel_files.changed)
        open_files.watch(channel_files.closed)
    ahead = ReadingAhead(
        replica=replica,
        segments=segments,
        counts=counts,
        tasks=ground.tasks,
        open_files=open_files,
        channel_files=channel_files,
    )
    reader = Reader(
        replica=replica,
        unsaved=write.unsaved,
        segments=segments,
        counts=counts,
        unreadable=unreadable,
        ahead=ahead,
        open_files=open_files,
        channel_files=channel_files,
    )
    return ReadPath(
        open_files=open_files,
        counts=counts,
        block_files=block_files,
        segments=segments,
        recovered=RecoveredBlocks(
            ground.keys.project,
            replica.tree,
            segments,
            bad,
            unreadable,
            ground.blocks,
            ground.clock,
        ),
        channel_files=channel_files,
        ahead=ahead,
        reader=reader,
    )


def remote_effects(ground: Ground, write: WritePath, read: ReadPath) -> RemoteEffects:
    """Build what has the files that are open here follow the changes of others."""
    lifetimes = FileLifetimes(ground.replica, read.open_files, write.writer)
    listings = KeptListings(ground.clock.boot)
    return RemoteEffects(lifetimes, listings, read.open_files, write.writer)


def work_here(
    ground: Ground,
    write: WritePath,
    read: ReadPath,
    device: DeviceId,
    device_name: Callable[[DeviceId], str],
) -> WorkHere:
    """Build what is asked about files under way, as *device*."""
    return WorkHere(ground.replica, write.unfinished, read.open_files, device, device_name)


def file_system(
    ground: Ground,
    write: WritePath,
    read: ReadPath,
    effects: RemoteEffects,
    work: WorkHere,
    *,
    touched: Callable[[Touched], None],
    commit_wait: Callable[[InodeNo | None], Coroutine[None, None, None]] | None,
    opening: Opening,
    naming: Naming,
    freshen: Callable[[], Coroutine[None, None, None]] | None,
    read_only: bool,
) -> FileSystem:
    """Build the file system over both paths, as the device of *work*.

    *touched*, *commit_wait*, *opening*, *naming* and *freshen* are as `FileSystem` has them.
    """
    return FileSystem(
        replica=ground.replica,
        states=FileStates(work, write.unsaved.is_dirty),
        reader=read.reader,
        writer=write.writer,
        group_sync=write.group_sync,
        unsaved=write.unsaved,
        write_back=write.write_back,
        unfinished=write.unfinished,
        open_files=read.open_files,
        clock=ground.clock,
        lifetimes=effects.lifetimes,
        listings=effects.listings,
        touched=touched,
        commit_wait=commit_wait,
        opening=opening,
        naming=naming,
        freshen=freshen,
        read_only=read_only,
    )
