"""Spares the uplink what was deleted before it was uploaded (docs/design/0004-write-path.md).

A look has these steps, each of which may fail, or be the last before a crash; the next look does
what is left:

    1. The replica drops the contents of files that are gone, and remembers their blocks.
    2. That survives a power cut. Before, one could bring a file back whose blocks are deleted.
    3. The daemon hears that nothing needs the blocks: it uploads them no more.
    4. The staged files are deleted, but for blocks that something needs by now; no block is staged
       meanwhile. The daemon is told of those again, for the daemon has just heard otherwise.
    5. The daemon hears of the deleted ones once more: one that began meanwhile has queued them.
    6. The replica forgets the blocks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol

from lucidnode.fs.errors import FsError
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.write.stager import Stager
from lucidnode.fs.write.staging_notifier import StagingNotifier
from lucidnode.fs.write.unsaved_files import UnsavedFiles
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.ids import BlockId, ProjectId

LOOK_EVERY_S = 2.0
"""Seconds between two looks, at least."""

SHARE = 20
"""A look that took a second is followed by as many without one: the mount answers nobody while
pending work runs again."""

BLOCKS_AT_ONCE = 256
"""Blocks whose files are deleted at once; none of them can be staged meanwhile."""


class UploadQueue(Protocol):
    """The part of the daemon that uploads."""

    async def withdraw(self, project: ProjectId, blocks: Sequence[BlockId]) -> None:
        """Upload none of *blocks*, which nothing needs. Raises NodeError."""

    async def given_up(self, project: ProjectId, blocks: Sequence[BlockId]) -> None:
        """Hear that the staged files of *blocks*, which nothing needs, are gone. Raises NodeError."""


class DeletedContents(Protocol):
    """What can go on without them (Committer)."""

    async def drop_deleted(self, has_arrived: Callable[[BlockId], bool]) -> None:
        """Drop the contents of deleted files that have not arrived. Raises a ReplicaError, NoSpace."""


class DeletedFiles:
    """The look-out of one mount. *durability_wait* waits until all that was done survives a power cut."""

    def __init__(
        self,
        *,
        project: ProjectId,
        replica: Replica,
        daemon: UploadQueue,
        work: DeletedContents,
        has_arrived: Callable[[BlockId], bool],
        durability_wait: Callable[[], Awaitable[None]],
        unsaved: UnsavedFiles,
        stager: Stager,
        notifier: StagingNotifier,
        clock: Clock,
    ) -> None:
        self._project = project
        self._deleted = replica.deleted
        self._daemon = daemon
        self._work = work
        self._has_arrived = has_arrived
        self._durability_wait = durability_wait
        self._unsaved = unsaved
        self._stager = stager
        self._notifier = notifier
        self._clock = clock

    async def run(self) -> None:
        """Look until cancelled."""
        took_s = 0.0
        while True:
            await self._clock.sleep(max(LOOK_EVERY_S, SHARE * took_s))
            began = self._clock.boot()
            await self.look()
            took_s = self._clock.boot() - began

    async def look(self) -> None:
        """Let go what nothing needs, as far as that can be done now."""
        try:
            await self._work.drop_deleted(self._has_arrived)
            self._deleted.add(self._unsaved.take_let_go())
            if not self._deleted.blocks():
                return
            await self._durability_wait()
            blocks = self._deleted.blocks()
            for start in range(0, len(blocks), BLOCKS_AT_ONCE):
                await self._delete(blocks[start : start + BLOCKS_AT_ONCE])
        except (FsError, NodeError, OSError):
            return  # it costs an upload at worst; those whom it hinders tell what is the matter

    async def _delete(self, blocks: Sequence[BlockId]) -> None:
        await self._daemon.withdraw(self._project, blocks)
        deleted = await self._stager.delete(blocks, self._needed)
        for block in set(blocks).difference(deleted):
            self._notifier.notify(block)
        await self._daemon.given_up(self._project, deleted)
        self._deleted.forget(blocks)

    def _needed(self, blocks: Collection[BlockId]) -> set[BlockId]:
        return self._deleted.needed(blocks) | self._unsaved.staged_blocks().intersection(blocks)
