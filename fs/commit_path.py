"""The way of a mount's changes into the journal, and of everybody's changes to whom they concern."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass

from lucidnode.fs.checkpoints.keeper import CheckpointKeeper
from lucidnode.fs.commit.committer import Committer
from lucidnode.fs.commit.entry_codec import EntryCodec
from lucidnode.fs.commit.ordered_journal import OrderedJournal
from lucidnode.fs.commit.project_access import ProjectAccess
from lucidnode.fs.commit.remote_changes import RemoteChanges
from lucidnode.fs.events.entry_chain import EntryChain
from lucidnode.fs.events.project_events import ProjectEvents
from lucidnode.fs.file_layer import Ground, ReadPath, WritePath
from lucidnode.fs.files.conflicts import Conflicts
from lucidnode.fs.files.on_their_way import OnTheirWay
from lucidnode.fs.files.remote_effects import RemoteEffects
from lucidnode.fs.files.work_here import WorkHere
from lucidnode.fs.kernel import kernel_cache
from lucidnode.fs.kernel.invalidation import Invalidation
from lucidnode.fs.write.marks import Marks
from lucidnode.fs.write.resealed_work import ResealedWork
from lucidnode.fs.write.shipments import Shipments
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.ids import Seq


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitPath:
    """What commits and follows, over the paths of a file layer."""

    shipments: Shipments
    marks: Marks
    on_their_way: OnTheirWay
    conflicts: Conflicts
    invalidation: Invalidation
    changes: RemoteChanges
    journal: OrderedJournal
    committer: Committer
    events: ProjectEvents
    checkpoints: CheckpointKeeper


def commit_path(
    ground: Ground,
    write: WritePath,
    read: ReadPath,
    effects: RemoteEffects,
    client: DaemonClient,
    access: ProjectAccess,
    work: WorkHere,
    *,
    read_only: bool,
) -> CommitPath:
    """Build the commit path of the mount whose files and device are those of *work*.

    Keep `committer.run`, `shipments.run` and `checkpoints.run` running, and `marks.run` unless *read_only*; enter
    `invalidation` while the kernel is served, and call `journal.stop_ahead` at the end.
    """
    project, replica, clock = ground.keys.project, ground.replica, ground.clock
    sendable = asyncio.Event()
    shipments = Shipments(project, replica, client.blocks, write.unfinished, clock, sendable.set)
    marks = Marks(replica, shipments, write.unfinished, read.open_files.written, work.device, clock)

    def before_batch() -> None:
        write.packer.pack()
        if not read_only:
            marks.renew()

    conflicts = Conflicts(replica.tree)
    invalidation = Invalidation(kernel_cache)
    # Who mounted it read-only is told of a deletion alone.
    closed = (lambda: access.deleted) if read_only else (lambda: access.closed)
    codec = EntryCodec(
        access.keys,
        work.device,
        access.writer_key,
        secrets.token_bytes,
        access.trusted_key,
        closed,
    )
    checkpoints = CheckpointKeeper(
        replica,
        client.checkpoints,
        client.journal,
        codec,
        write.stager,
        write.notifier.notify,
        ground.alerts,
        clock,
    )

    def passed(seq: Seq, changeset: bytes | None, *, ours: bool) -> None:
        if ours:
            shipments.committed()
        checkpoints.passed(seq, changeset, ours=ours)

    changes = RemoteChanges(
        effects,
        read.open_files,
        invalidation,
        before_batch,
        access.refresh,
        conflicts,
        passed,
    )
    journal = OrderedJournal(client.journal, write.packer, write.notifier, clock, ground.tasks)
    committer = Committer(
        replica,
        journal,
        project,
        codec,
        changes,
        ground.alerts,
        clock,
        shipments,
        write.group_sync.before_sending,
        sendable,
        ResealedWork(
            replica, ground.keys, client.blocks, write.stager, write.packer, write.notifier
        ).reseal,
        read_only=read_only,
    )
    return CommitPath(
        shipments=shipments,
        marks=marks,
        on_their_way=OnTheirWay(work, shipments, write.unsaved.get, ground.block_size, clock),
        conflicts=conflicts,
        invalidation=invalidation,
        changes=changes,
        journal=journal,
        committer=committer,
        events=ProjectEvents(
            replica,
            EntryChain(client.journal, project, codec),
            lambda: committer.progress,
            access.who,
            clock,
        ),
        checkpoints=checkpoints,
    )
