"""The mount process: one project, one mount point. This is where its parts are put together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec

from lucidnode.fs.channel.device import AnsweredRead, built
from lucidnode.fs.commit.committer import Committer
from lucidnode.fs.commit.entry_codec import EntryCodec
from lucidnode.fs.commit.ordered_journal import OrderedJournal
from lucidnode.fs.commit.project_access import ProjectAccess
from lucidnode.fs.commit.remote_changes import RemoteChanges
from lucidnode.fs.commit.repair import REPLICA_FILE
from lucidnode.fs.daemon_link import DaemonLink, Facts
from lucidnode.fs.errors import AlreadyMounted, FsError, ReplicaBusy, ReplicaError
from lucidnode.fs.file_layer import Ground, file_system, read_path, write_path
from lucidnode.fs.files.conflicts import Conflicts
from lucidnode.fs.files.file_system import FileSystem
from lucidnode.fs.files.on_their_way import OnTheirWay
from lucidnode.fs.files.stamps import Stamps
from lucidnode.fs.hand_over import SECOND_STANDSTILL_S, STANDSTILL_S, WAITED, Left, sent, why_left
from lucidnode.fs.kernel import kernel_cache
from lucidnode.fs.kernel.invalidation import Invalidation
from lucidnode.fs.kernel.mountpoint import check, clear, raise_read_ahead
from lucidnode.fs.kernel.read_queue import raise_background
from lucidnode.fs.kernel.session import WORKERS, FuseSession
from lucidnode.fs.kernel.spans import Spans
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.read.block_files import MAX_OPEN, BlockFiles
from lucidnode.fs.read.read_counts import ReadCounts
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.write.deleted_files import DeletedFiles
from lucidnode.fs.write.group_sync import GroupSync, recover
from lucidnode.fs.write.lost_blocks import LostBlocks
from lucidnode.fs.write.marks import Marks
from lucidnode.fs.write.shipments import Shipments
from lucidnode.fs.write.writer import Writer
from lucidnode.node.client import wire
from lucidnode.node.client.alerts import EVENT_S, Alert, Alerts
from lucidnode.node.client.clock import Clock, SystemClock
from lucidnode.node.client.connection import DaemonClient
from lucidnode.node.client.disk_words import said_by
from lucidnode.node.client.durable import make_directory
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.guarded_disk import DiskAlert, GuardedDisk
from lucidnode.node.client.ids import BlockId, DeviceId, ProjectId, Seq
from lucidnode.node.client.supervision import supervised

log = logging.getLogger(__name__)

SOCKET = "daemon.sock"
"""The daemon's socket in the home directory."""

DISK_THREADS = 8
"""Threads for staging and ciphers. More than cores: most of the time they wait for an fsync."""

LOOK_THREADS = 8
"""Threads that read block files. Apart from those that write: they may wait long for a full disk."""

READ_AHEAD_KIB = 1024
"""What the kernel asks for at once from a sequential reader: 2.3 GB/s at 128 KiB, 3.3 at 1 MiB."""

MOST_OPEN = 1024
"""Block files open at once with the kernel channel: a gigabyte, at the usual block size."""

CATCH_UP_S = 5.0
"""How long a mount waits for the journal before it serves what it has: without a network, too."""

NAMED = 10
"""Files named in one alert."""

TOUCH_INTERVAL_S = 5.0
"""How often the daemon hears which cached blocks were read."""

Durability = Literal["relaxed", "local", "office", "cloud"]


class MountSpec(msgspec.Struct, frozen=True):
    """What to mount, where and how. Paths are absolute.

    *durability* is what `close` and `fsync` wait for; at `relaxed` only `fsync` does. The daemon does not report which copies the
    office holds, so `office` waits for the bucket: more than it promises, never less.
    *channel* puts the kernel channel (fs/channel) over the device, if it was compiled.
    """

    home: str
    mountpoint: str
    membership: Membership
    project: ProjectId
    durability: Durability = "local"
    read_only: bool = False
    allow_other: bool = False
    channel: bool = True


def check_mountpoint(mountpoint: Path, home: Path) -> None:
    """Raise a MountError, a sentence for a person, if nothing can be mounted there."""
    check(mountpoint, [home])


async def run(spec: MountSpec, ready: Callable[[], None], came_back: str = "") -> None:
    """Mount, call *ready*, and serve until unmounted or told to end by SIGTERM or SIGINT.

    *came_back* says how the process before this one ended, if that was not in order.
    Raises a MountError, another FsError or a NodeError if the mount cannot start. Returning, it
    has unmounted, and everything acknowledged is in staging and in the replica.
    """
    os.chdir("/")  # no working directory inside the mount
    mountpoint = check(Path(spec.mountpoint), [Path(spec.home)])
    async with _parts(spec) as parts:
        if came_back:
            parts.link.has_served = True
            parts.raised.begin(
                "came-back",
                f"This mount {came_back} and was brought back.",
                "Programs that had files open in it must open them again.",
                lasts_s=EVENT_S,
            )
        clear(mountpoint)
        # The kernel is told nothing once the session is closed: pyfuse3 would use it all the same.
        with (
            contextlib.closing(
                FuseSession(
                    parts.files,
                    parts.spans,
                    mountpoint,
                    allow_other=spec.allow_other,
                    channel=spec.channel,
                    on_answered=parts.on_answered,
                )
            ) as session,
            parts.invalidation,
        ):
            _stop_on_signals(session)
            waited = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(WAITED, waited.set)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(session.serve())
                # The kernel sets its read-ahead when the first request is answered, so not before.
                await asyncio.to_thread(mountpoint.stat)
                raise_read_ahead(mountpoint, READ_AHEAD_KIB)
                if await asyncio.to_thread(raise_background, mountpoint, WORKERS) is None:
                    log.info(
                        "a dozen reads that wait for the network hold up all others here: %s",
                        "mount fusectl at /sys/fs/fuse/connections, as systemd does",
                    )
                parts.link.has_served = True
                ready()
        await parts.hand_over(SECOND_STANDSTILL_S if waited.is_set() else STANDSTILL_S)


def _stop_on_signals(session: FuseSession) -> None:
    """End in order on the first SIGTERM or SIGINT, and at once on SIGINT after that.

    A second SIGTERM changes nothing: at shutdown it comes from the system and from our keeper.
    """
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)

    def stop() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        loop.add_signal_handler(signal.SIGTERM, log.info, "ending already")
        session.stop()

    for number in numbers:
        loop.add_signal_handler(number, stop)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """A mount without FUSE, running."""

    name: str
    files: FileSystem
    spans: Spans
    writer: Writer
    group_sync: GroupSync
    counts: ReadCounts
    replica: Replica
    committer: Committer
    shipments: Shipments
    on_their_way: OnTheirWay
    conflicts: Conflicts
    invalidation: Invalidation
    client: DaemonClient
    link: DaemonLink
    raised: Alerts
    on_answered: Callable[[list[AnsweredRead]], None] | None

    def hinted(self, seq: Seq) -> None:
        self.committer.hinted(seq)

    def uploaded(self, blocks: list[BlockId]) -> None:
        self.shipments.heard(blocks)

    def stats(self) -> wire.MountStats:
        counts = self.counts
        return wire.MountStats(
            read_memory=counts.memory,
            read_cache=counts.by_source["cache"],
            read_peer=counts.by_source["peer"],
            read_bucket=counts.by_source["bucket"],
            read_unsent=counts.unsent,
            written=self.writer.written,
            prefetched=counts.ahead,
            prefetched_used=counts.ahead_used,
            pending=self.replica.pending.count(),
            conflicts=self.conflicts.count(),
            alerts=len(self.raised.current()),
            head=self.replica.pending.head().seq,
            requests=self.spans.times(),
        )

    def follow(self, *, names: bool) -> None:
        self.spans.follow(names=names)

    def ignore(self) -> None:
        self.spans.ignore()

    def accesses(self) -> wire.Accesses | None:
        return self.spans.take()

    def facts(self) -> Facts:
        size, inodes = self.replica.tree.usage()
        return {
            "project": self.name,
            "bytes": size,
            "inodes": inodes,
            "conflicts": self.conflicts.paths(),
            "read_only_because": self.committer.stopped or "",
        }

    def alerts(self, *, every: bool) -> list[Alert]:
        return self.raised.every() if every else self.raised.current()

    def files_on_their_way(self) -> list[wire.FileOnItsWay]:
        return self.on_their_way.files()

    async def hand_over(self, standstill_s: float) -> None:
        """Bring down what is unsaved, and give the daemon what it can finish without us.

        Ends once nothing has moved for *standstill_s*.
        """
        try:
            await self.writer.flush_all()
            await self.group_sync.now()
        except (FsError, NodeError, OSError) as error:
            log.error("data that no program waited for could not be saved: %s", error)  # noqa: TRY400  # no fault of ours
        try:
            if await sent(self.committer.drain, self._left, standstill_s):
                return
        except FsError as error:
            log.warning("what was not committed waits for the next mount: %s", error)
            return
        log.warning(
            "%d changes wait for the next mount of this project: %s",
            self.replica.pending.count(),
            await self._why_left(),
        )

    async def _left(self) -> Left:
        try:
            facts = await self.client.facts("status")
        except NodeError:
            return self.replica.pending.count(), 0
        return self.replica.pending.count(), facts["uploads"]["bytes"]

    async def _why_left(self) -> str:
        try:
            status = await self.client.facts("status")
        except NodeError as error:
            return str(error)
        daemons = [alert for alert in status["alerts"] if alert["mountpoint"] is None]
        return why_left(self.raised.current(), daemons)


def _most_open() -> int:
    """Return how many block files may be open for the kernel channel, each with two descriptors.

    Raises this process's limit of descriptors as far as it may.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8 * MOST_OPEN
    if resource.RLIM_INFINITY != soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return MOST_OPEN if soft == resource.RLIM_INFINITY else max(MAX_OPEN, min(MOST_OPEN, soft // 8))


@contextlib.asynccontextmanager
async def _parts(spec: MountSpec) -> AsyncIterator[_Parts]:
    """Start everything of a mount but FUSE; end all of it on leaving."""
    clock = Stamps(SystemClock())
    home = Path(spec.home)
    async with contextlib.AsyncExitStack() as stack:
        alerts = Alerts(clock)
        client = await stack.enter_async_context(DaemonClient(home / SOCKET))
        access = await ProjectAccess.open(client, spec.membership, spec.project)
        replica = stack.enter_context(contextlib.closing(open_replica(home, access)))

        def hello() -> wire.MountHello:
            return wire.MountHello(
                spec.mountpoint,
                os.getpid(),
                replica.pending.head().seq,
                spec.durability,
                kernel_channel=spec.channel and built(),
            )

        link = await stack.enter_async_context(DaemonLink(client, spec.project, hello, clock))
        disk = stack.enter_context(ThreadPoolExecutor(DISK_THREADS, "disk"))
        tasks = await stack.enter_async_context(supervised(alerts, clock))

        blocks_dir, staging_dir = Path(link.welcome.blocks_dir), Path(link.welcome.staging_dir)
        device = DeviceId(link.welcome.device)
        if undone := take_back_lost(replica, staging_dir, spec.project):
            alerts.begin(
                "power-cut",
                "The power went before the last second of work was on the disk, and it is undone: "
                f"{', '.join(undone)}.",
                "Save these files again if what they show is too old; mount with "
                "`--durability local` to have each close wait for the disk.",
                lasts_s=EVENT_S,
            )
        looks = stack.enter_context(
            contextlib.closing(
                GuardedDisk(
                    what := f"the cache in {blocks_dir.parent}",
                    threads=LOOK_THREADS,
                    clock=clock,
                    alert=DiskAlert(what, alerts),
                )
            )
        )
        ground = Ground(
            replica=replica,
            keys=access.keys(),
            block_size=access.block_size,
            blocks_dir=blocks_dir,
            staging_dir=staging_dir,
            staging_limit=link.welcome.staging_limit,
            min_free=link.welcome.min_free,
            daemon=client,
            disk=disk,
            looks=looks,
            alerts=alerts,
            clock=clock,
            tasks=tasks,
        )
        write = write_path(ground, relaxed=spec.durability == "relaxed")
        channel = spec.channel and built()
        read = read_path(
            ground, write, channel=channel, most_open=_most_open() if channel else MAX_OPEN
        )
        writer, unfinished, group_sync = write.writer, write.unfinished, write.group_sync
        open_files, known = read.open_files, read.known
        read_only = spec.read_only or not access.may_write

        async def committed(ino: InodeNo | None) -> None:
            await committer.flush(ino)

        files = file_system(
            ground,
            write,
            read,
            device=device,
            device_name=access.device_name,
            committed=committed if spec.durability in {"office", "cloud"} else None,
            read_only=read_only,
        )
        invalidation = Invalidation(kernel_cache)
        conflicts = Conflicts(replica.tree)
        arrived = asyncio.Event()
        shipments = Shipments(spec.project, replica, client, unfinished, clock, arrived.set)
        marks = Marks(replica, shipments, unfinished, open_files.written, device, clock)

        def before_batch() -> None:
            writer.pack_tails()
            if not read_only:
                marks.renew()

        news = RemoteChanges(
            files, open_files, invalidation, before_batch, access.refresh, conflicts
        )
        journal = OrderedJournal(client, writer, write.announcer, clock, tasks)
        codec = EntryCodec(access.keys, device, access.writer_key, secrets.token_bytes)
        committer = Committer(
            replica,
            journal,
            spec.project,
            codec,
            news,
            alerts,
            clock,
            shipments,
            group_sync.before_sending,
            arrived,
        )
        parts = _Parts(
            name=access.name,
            files=files,
            spans=Spans(time.perf_counter, clock.wall_ns, replica.tree.shown_path),
            writer=writer,
            group_sync=group_sync,
            counts=read.counts,
            replica=replica,
            committer=committer,
            shipments=shipments,
            on_their_way=OnTheirWay(
                replica, shipments, unfinished, open_files, device, access.device_name
            ),
            conflicts=conflicts,
            invalidation=invalidation,
            client=client,
            link=link,
            raised=alerts,
            on_answered=None if known is None else read.reader.note_answered,
        )
        tasks.keep("telling the daemon of blocks", write.announcer.run)
        tasks.keep("committing and following", committer.run)
        tasks.keep("saving old bytes", write.flusher.run)
        tasks.keep("looking where the replica is", write.whereabouts.run)
        if group_sync.relaxed:
            tasks.keep("syncing what was closed", group_sync.run)
        tasks.keep("asking for what has arrived", shipments.run)
        if not read_only:
            lost_blocks = LostBlocks(
                spec.project,
                replica,
                client,
                committer,
                shipments.arrived,
                shipments.unfinished,
                alerts,
                clock,
            )
            tasks.keep("looking for lost blocks", lost_blocks.run)
            deleted_files = DeletedFiles(
                project=spec.project,
                replica=replica,
                daemon=client,
                work=committer,
                arrived=shipments.arrived,
                durable=group_sync.now,
                writer=writer,
                stager=write.stager,
                announcer=write.announcer,
                clock=clock,
            )
            tasks.keep("sparing the uplink what was deleted", deleted_files.run)
            tasks.keep("marking files on their way", marks.run)
        tasks.keep("looking at blocks that could not be read", read.recovered.run)
        tasks.keep("talking with the daemon", partial(link.run, parts, tasks))
        tasks.keep(
            "reporting what is read",
            partial(_report_touched, client, spec.project, read.block_files, clock),
        )
        writer.resume()
        await _caught_up(journal, replica)
        try:
            yield parts
        finally:
            writer.stop()
            read.reader.stop_ahead()
            journal.stop_ahead()


def project_directory(home: Path, project: ProjectId) -> Path:
    """Return where this workstation keeps what it has of *project* beside the cache."""
    return home / "projects" / project


def open_replica(home: Path, access: ProjectAccess) -> Replica:
    """Open this workstation's replica of the project. Raises AlreadyMounted, ReplicaError."""
    directory = project_directory(home, access.keys().project)
    for each in (directory.parent, directory):
        make_directory(each)
    try:
        return Replica.open(directory / REPLICA_FILE, access.keys().replica, access.workstation)
    except ReplicaBusy as error:
        raise AlreadyMounted("this project is mounted already; unmount it there first") from error


def take_back_lost(replica: Replica, staging_dir: Path, project: ProjectId) -> list[str]:
    """Take back what a power cut has torn of work at durability `relaxed`; return what to name.

    Whoever opens a replica does this first. Raises NoSpace, ReplicaError.
    """
    try:
        lost = recover(replica, staging_dir, project)
    except OSError as error:
        raise ReplicaError(f"what was saved last cannot be looked at: {said_by(error)}") from error
    return [*lost[:NAMED], "…"] if len(lost) > NAMED else lost


async def _caught_up(journal: OrderedJournal, replica: Replica) -> None:
    """Wait until the end of the journal was seen, as long as there is progress towards it."""
    head = None
    while head != (head := replica.pending.head().seq):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP_S):
                await journal.asked.wait()
                return


async def _report_touched(
    client: DaemonClient, project: ProjectId, files: BlockFiles, clock: Clock
) -> None:
    while True:
        await clock.sleep(TOUCH_INTERVAL_S)
        touched: list[BlockId] = await files.take_touched()
        if touched:
            # The order of eviction is a matter of speed: what the daemon misses is no loss.
            with contextlib.suppress(NodeError):
                await client.touched(project, touched)
