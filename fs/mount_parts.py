"""Puts a mount together, all but FUSE: each part is made of parts above it in the text."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from lucidnode.fs.channel.device import AnsweredRead, built
from lucidnode.fs.checkpoints.newcomer import Progress
from lucidnode.fs.collection.round_process import daily_collection
from lucidnode.fs.commit.catching_up import CatchingUp
from lucidnode.fs.commit.project_access import ProjectAccess
from lucidnode.fs.commit.rights_follower import RightsFollower
from lucidnode.fs.commit_path import CommitPath, commit_path
from lucidnode.fs.daemon_link import DaemonLink
from lucidnode.fs.errors import ReplicaError
from lucidnode.fs.file_layer import (
    DISK_THREADS,
    Ground,
    WritePath,
    cache_disk,
    file_system,
    read_path,
    remote_effects,
    work_here,
    write_path,
)
from lucidnode.fs.files.blocks_of_files import BlocksOfFiles
from lucidnode.fs.files.conflict_settling import ConflictSettling
from lucidnode.fs.files.naming import NamedByAll
from lucidnode.fs.files.opening import OpenToAll
from lucidnode.fs.files.stamps import Stamps
from lucidnode.fs.kernel.invalidation import Invalidation
from lucidnode.fs.kernel.spans import Spans
from lucidnode.fs.leases.lock_holders import LockHolders
from lucidnode.fs.leases.lock_tokens import LockTokens
from lucidnode.fs.leases.office_questions import OfficeQuestions
from lucidnode.fs.leases.recalls import Recalls
from lucidnode.fs.leases.shown_leases import ShownLeases
from lucidnode.fs.leases.shown_progress import ShownProgress
from lucidnode.fs.leases.shown_tokens import ShownTokens
from lucidnode.fs.membership.answering import Answering, answer_always
from lucidnode.fs.membership.role_sealing import seal_always
from lucidnode.fs.mount_events import MountEvents
from lucidnode.fs.mount_leases import MountLeases
from lucidnode.fs.mount_spec import MountSpec
from lucidnode.fs.opened_replica import opened_replica, take_back_torn
from lucidnode.fs.pins.pins import Pins
from lucidnode.fs.programs.program_files import ProgramFiles
from lucidnode.fs.project_home import project_directory
from lucidnode.fs.read.block_files import MAX_OPEN_BLOCKS, most_with_channel
from lucidnode.fs.read.touched_blocks import report_touched
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.shown_snapshots import with_snapshots
from lucidnode.fs.snapshot_tree.files_with_snapshots import ServedFiles
from lucidnode.fs.snapshots.snapshot_maker import SnapshotMaker
from lucidnode.fs.unmount_drain import UnmountDrain
from lucidnode.fs.webhooks.webhook_keeper import WebhookKeeper
from lucidnode.fs.write.deleted_files import DeletedFiles
from lucidnode.fs.write.lost_blocks import LostBlocks
from lucidnode.node.client import mount_messages
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.daemon_socket.blocks import DaemonBlocks
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.daemon_socket.place import SOCKET_FILE
from lucidnode.node.client.ids import DeviceId
from lucidnode.node.client.kept import MOUNT_SERVER_FILE, hold
from lucidnode.node.client.supervision import Supervisor, supervised


@dataclass(frozen=True, slots=True, kw_only=True)
class MountParts:
    """A mount without FUSE, running: what a session serves, and what ends it."""

    files: ServedFiles
    spans: Spans
    on_answered: Callable[[list[AnsweredRead]], None] | None
    programs: ProgramFiles
    invalidation: Invalidation
    locks: LockTokens | None
    """Whether locks are decided here; None where nothing can be written: they are."""
    link: DaemonLink
    alerts: Alerts
    drain: UnmountDrain


@contextlib.asynccontextmanager
async def mount_parts(
    spec: MountSpec, progress: Progress, *, is_back: bool = False
) -> AsyncIterator[MountParts]:
    """Start everything of a mount but FUSE, and read what was committed meanwhile; end all of it on leaving.

    *progress* hears how much of a first state is loaded.

    One that *is_back*, in the place of a process that died, reads on while it serves: programs wait for
    it, and what they were shown is in the replica. Raises AlreadyMounted, another FsError or a NodeError.
    """
    clock = Stamps(SystemClock())
    async with contextlib.AsyncExitStack() as stack:
        alerts = Alerts(clock)
        client = await stack.enter_async_context(DaemonClient(Path(spec.home) / SOCKET_FILE))
        access = await ProjectAccess.open(client.roster, spec.membership, spec.project)
        replica = stack.enter_context(
            contextlib.closing(
                await opened_replica(Path(spec.home), client, access, alerts, clock, progress)
            )
        )
        server = project_directory(Path(spec.home), spec.project) / MOUNT_SERVER_FILE
        stack.callback(_ended, server, hold(server, spec.mountpoint), replica)
        link = await stack.enter_async_context(
            DaemonLink(client.mounts, spec.project, partial(_hello, spec, replica), clock)
        )
        disk = stack.enter_context(ThreadPoolExecutor(DISK_THREADS, "disk"))
        tasks = await stack.enter_async_context(supervised(alerts, clock))
        take_back_torn(replica, Path(link.welcome.staging_dir), spec.project, alerts)
        looks = stack.enter_context(cache_disk(Path(link.welcome.blocks_dir), alerts, clock))
        ground = Ground(
            replica=replica,
            keys=access.keys(),
            block_size=access.block_size,
            blocks_dir=Path(link.welcome.blocks_dir),
            staging_dir=Path(link.welcome.staging_dir),
            staging_limit=link.welcome.staging_limit,
            min_free=link.welcome.min_free,
            memory_limit=spec.memory_limit,
            blocks=client.blocks,
            disk=disk,
            looks=looks,
            alerts=alerts,
            clock=clock,
            tasks=tasks,
        )
        read_only = spec.read_only or not access.may_write
        channel = spec.channel and built()
        write = write_path(ground, relaxed=spec.durability == "relaxed")
        read = read_path(
            ground,
            write,
            channel=channel,
            most_open=most_with_channel() if channel else MAX_OPEN_BLOCKS,
        )
        effects = remote_effects(ground, write, read)
        work = work_here(ground, write, read, DeviceId(link.welcome.device), access.device_name)
        commit = commit_path(
            ground, write, read, effects, client, access, work, read_only=read_only
        )
        recalls = Recalls(
            keys=access.keys,
            writer_key=access.writer_key,
            device=work.device,
            send=link.say,
            random_bytes=secrets.token_bytes,
            clock=clock,
        )
        leases = None if read_only else MountLeases(ground, write, commit, work, recalls, spec)
        files = file_system(
            ground,
            write,
            read,
            effects,
            work,
            touched=commit.changes.touched,
            commit_wait=commit.committer.until_committed if spec.waits_for_bucket else None,
            opening=OpenToAll() if leases is None else leases.files,
            naming=NamedByAll() if leases is None else leases.directories,
            freshen=partial(_fresh, commit) if spec.consistency == "strict" else None,
            read_only=read_only,
        )
        locks = None if leases is None else leases.lock_tokens(files.locks)
        for_reading = read_only and not spec.read_only
        rights = RightsFollower(access, commit.committer, alerts, for_reading=for_reading)
        served: ServedFiles = files
        path_of = replica.tree.shown_path
        if spec.snapdir != "none":
            states, served = with_snapshots(ground, access, files, spec)
            path_of = served.shown_path
            tasks.keep("closing snapshots", states.run)
        spans = Spans(time.perf_counter, clock.wall_ns, path_of)
        blocks_of_files = BlocksOfFiles(replica.tree)
        pins = Pins(spec.project, replica, blocks_of_files, client.pins, clock)
        webhooks = WebhookKeeper(
            replica=replica,
            project=spec.project,
            device=work.device,
            keys=spec.membership.keys,
            rights=access,
            committer=commit.committer,
            clock=clock,
            read_only=read_only,
        )
        catching_up = CatchingUp(
            lambda: replica.pending.head().seq,
            lambda: commit.committer.progress,
            commit.journal.asked,
            partial(client.journal.end, spec.project),
            clock,
        )
        questions = OfficeQuestions(recalls, secrets.token_bytes)
        events = MountEvents(
            access=access,
            spans=spans,
            writer=write.writer,
            counts=read.counts,
            replica=replica,
            committer=commit.committer,
            catching_up=catching_up,
            checkpoints=commit.checkpoints,
            shipments=commit.shipments,
            shown_progress=ShownProgress(commit.on_their_way, questions),
            blocks_of_files=blocks_of_files,
            pinned=pins,
            conflicts=commit.conflicts,
            settling=ConflictSettling(
                files=files,
                tree=replica.tree,
                conflicts=commit.conflicts,
                workstation=lambda: access.workstation,
                touched=commit.changes.touched,
            ),
            kept_webhooks=webhooks,
            happened=commit.events,
            shown_tokens=ShownTokens(work, LockHolders(questions, files.locks)),
            shown_leases=ShownLeases(work),
            raised=alerts,
            rights=rights,
            recalls=recalls,
        )
        tasks.keep("telling the daemon of blocks", write.notifier.run)
        tasks.keep("committing and following", commit.committer.run)
        tasks.keep("following the roster", rights.run)
        tasks.keep("making and checking checkpoints", commit.checkpoints.run)
        tasks.keep("saving old bytes", write.write_back.run)
        tasks.keep("looking where the replica is", write.whereabouts.run)
        tasks.keep("reading the tree into memory", partial(replica.warm, clock))
        tasks.keep("telling the daemon what is pinned", pins.run)
        tasks.keep("looking how much the project may hold", write.quota.run)
        if write.group_sync.relaxed:
            tasks.keep("syncing what was closed", write.group_sync.run)
        tasks.keep("asking for what has arrived", commit.shipments.run)
        holders: list[Holder] = []
        if leases is not None and locks is not None:
            _keep_uploads_sound(ground, write, commit, client.blocks, tasks)
            tasks.keep("noting how far webhooks are", webhooks.run)
            snapshots = SnapshotMaker(
                replica, work.device, client.facts, commit.committer.life.end_seen_s, clock
            )
            tasks.keep("making snapshots by the schedule", snapshots.run)
            if spec.collection_requests:
                collection = daily_collection(spec, replica, work.device, alerts, clock)
                tasks.keep("collecting what nothing needs", collection.run)
            tasks.keep("deciding who locks", locks.run)
            tasks.keep("deciding who writes", leases.files.run)
            tasks.keep("deciding who makes names", leases.directories.run)
            holders += [locks, leases.files, leases.directories, webhooks]
        tasks.keep("looking at blocks that could not be read", read.recovered.run)
        tasks.keep("talking with the daemon", partial(link.run, events, tasks))
        tasks.keep(
            "reporting what is read",
            partial(report_touched, client.blocks, spec.project, read.block_files, clock),
        )
        answering = Answering(client.invitations, client.roster, spec.membership, clock)
        tasks.keep("answering who asks to join", partial(answer_always, answering, alerts, clock))
        tasks.keep(
            "sealing credentials to who came later",
            partial(seal_always, client.credentials, client.roster, spec.membership, clock),
        )
        write.packer.resume()
        if not is_back:
            await catching_up.run()
        try:
            yield MountParts(
                files=served,
                spans=spans,
                on_answered=None if read.channel_files is None else read.reader.note_answered,
                programs=ProgramFiles(
                    files,
                    replica.tree,
                    work.device,
                    write.writer.flush,
                    commit.committer.until_committed,
                ),
                invalidation=commit.invalidation,
                locks=locks,
                link=link,
                alerts=alerts,
                drain=UnmountDrain(
                    write.writer,
                    write.group_sync,
                    commit.committer,
                    replica.pending,
                    client.facts,
                    alerts,
                    partial(_resign, holders),
                ),
            )
        finally:
            write.packer.stop()
            read.ahead.stop()
            commit.journal.stop_ahead()


def _ended(server: Path, held: int, replica: Replica) -> None:
    """Let go of *server*, which stays only where changes wait for the next mount: others tell of that."""
    with contextlib.suppress(ReplicaError):  # whoever cannot tell leaves it
        if not replica.pending.has_work():
            server.unlink(missing_ok=True)
    os.close(held)


def _hello(spec: MountSpec, replica: Replica) -> mount_messages.MountHello:
    return mount_messages.MountHello(
        spec.mountpoint,
        os.getpid(),
        replica.pending.head().seq,
        spec.durability,
        # Without a mount nothing is slower for want of it.
        kernel_channel=(spec.channel or spec.for_programs) and built(),
    )


def _keep_uploads_sound(
    ground: Ground,
    write: WritePath,
    commit: CommitPath,
    blocks: DaemonBlocks,
    tasks: Supervisor,
) -> None:
    """Look for blocks that are lost, spare the uplink what was deleted, mark files on their way."""
    project, shipments = ground.keys.project, commit.shipments
    lost_blocks = LostBlocks(
        project,
        ground.replica,
        blocks,
        commit.committer,
        shipments.has_arrived,
        shipments.is_unfinished,
        ground.alerts,
        ground.clock,
    )
    tasks.keep("looking for lost blocks", lost_blocks.run)
    deleted_files = DeletedFiles(
        project=project,
        replica=ground.replica,
        daemon=blocks,
        work=commit.committer,
        has_arrived=shipments.has_arrived,
        durability_wait=write.group_sync.now,
        unsaved=write.unsaved,
        stager=write.stager,
        notifier=write.notifier,
        clock=ground.clock,
    )
    tasks.keep("sparing the uplink what was deleted", deleted_files.run)
    tasks.keep("marking files on their way", commit.marks.run)


class Holder(Protocol):
    """Has something that others may want."""

    def resign(self) -> None:
        """Say with the next entry that it is had no more: the mount ends."""


def _resign(holders: Sequence[Holder]) -> None:
    for holder in holders:
        holder.resign()


async def _fresh(commit: CommitPath) -> None:
    """Return once all that others have committed by now is shown. Raises an FsError or a NodeError."""
    await commit.committer.catch_up()
    await commit.invalidation.settled()
