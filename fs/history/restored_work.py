"""Has what was brought back committed, as another short-lived writer of this workstation."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator

from lucidnode.fs.commit.committer import Committer
from lucidnode.fs.commit.entry_codec import EntryCodec
from lucidnode.fs.commit.journal_client import JournalClient
from lucidnode.fs.commit.repair.access import RepairAccess
from lucidnode.fs.errors import FsError
from lucidnode.fs.replica.changes import Touched
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NodeError, Unavailable
from lucidnode.node.client.ids import BlockId, Seq

_SLICE_OPERATIONS = 8192
"""Operations that wait for their commit in memory, about a kilobyte each, before more are done."""

_PATIENCE_S = 90.0
"""Seconds without any entry after which it is given up: what is committed by then stays."""


async def commit(
    replica: Replica,
    steps: Iterator[int],
    journal: JournalClient,
    access: RepairAccess,
    clock: Clock,
    progress: Callable[[int], None],
    *,
    patience_s: float = _PATIENCE_S,
) -> list[str]:
    """Do *steps* on *replica*, and have all of them committed; return the conflict copies it made.

    Where another workstation commits meanwhile, it is rebased like any work. *progress* hears the
    bytes of each step. Raises Unavailable if the bucket takes nothing for *patience_s* seconds, ReadOnly,
    and what a step raises.
    """
    alerts = Alerts(clock)
    hooks = _Hooks(access)
    committer = Committer(
        replica,
        journal,
        access.keys().project,
        EntryCodec(access.keys, access.device, access.writer_key, os.urandom),
        hooks,
        alerts,
        clock,
        _AllThere(),
    )
    failure: FsError | NodeError | None = None
    async with asyncio.TaskGroup() as tasks:
        loops = tasks.create_task(committer.run())
        try:
            for size in steps:
                progress(size)
                if replica.pending.count() >= _SLICE_OPERATIONS:
                    await _committed(replica, committer, alerts, clock, patience_s)
            await _committed(replica, committer, alerts, clock, patience_s)
        except (FsError, NodeError) as error:
            failure = error  # as itself, not as a group of one
        loops.cancel()
    if failure is not None:
        raise failure
    return [replica.tree.shown_path(parent) + "/" + name for parent, name in hooks.conflicts]


async def _committed(
    replica: Replica, committer: Committer, alerts: Alerts, clock: Clock, patience_s: float
) -> None:
    """Wait until all is committed, as long as entries are made."""
    failure: FsError | None = None

    async def waited() -> None:
        nonlocal failure
        try:
            await committer.until_committed(None)
        except FsError as error:
            failure = error  # as itself, not as a group of one

    while replica.pending.has_work():
        before = replica.pending.count(), replica.pending.head()
        async with asyncio.TaskGroup() as tasks:
            done = tasks.create_task(waited())
            timer = tasks.create_task(clock.sleep(patience_s))
            await asyncio.wait({done, timer}, return_when=asyncio.FIRST_COMPLETED)
            for task in (done, timer):
                task.cancel()
        if failure is not None:
            raise failure
        if before == (replica.pending.count(), replica.pending.head()):
            causes = " ".join(alert.cause for alert in alerts.current())
            raise Unavailable(
                f"{causes or 'The bucket takes nothing now.'} What is done by now stays; run it "
                "again later, and it goes on."
            )


class _AllThere:
    """The way to the bucket of what lies there already."""

    def has_arrived(self, block: BlockId) -> bool:  # noqa: ARG002
        return True

    def is_unfinished(self, ino: InodeNo) -> bool:  # noqa: ARG002
        return False

    def is_young(self, ino: InodeNo) -> bool:  # noqa: ARG002
        return False

    def may_name(self, directory: InodeNo) -> bool:  # noqa: ARG002
        return True

    def may_give(self, directory: InodeNo) -> bool:  # noqa: ARG002
        return True


class _Hooks:
    """Hooks of a committer when nobody but us looks at the tree."""

    def __init__(self, access: RepairAccess) -> None:
        self.refresh_roster = access.refresh
        self.conflicts: list[tuple[InodeNo, str]] = []

    def passed(self, seq: Seq, changeset: bytes | None, *, ours: bool) -> None:
        """No checkpoint is made here."""

    def before_batch(self) -> None:
        """Nothing waits outside of the replica."""

    def touched(self, touched: Touched) -> None:
        """Take note of the copies that a rebase had to make."""
        self.conflicts += [
            (parent, name.decode(errors="replace")) for parent, name in touched.conflicts
        ]
