"""One sync for all who wait, and at durability `relaxed` one for all that nobody waits for.

At `relaxed` a `close` is acknowledged once the bytes are where `kill -9` cannot reach them: blocks
in files of staging, all else in the replica's log, none of it synced. What makes it survive a power
cut is one sync within a second, in this order: the blocks, then the note that they are on the disk,
then the log. Where the log came to the disk without its blocks, `recover` finds out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from lucidnode.fs.errors import FsError
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.disk_words import help_for, said_by
from lucidnode.node.client.errors import NodeError, Unavailable
from lucidnode.node.client.ids import BlockId, ProjectId
from lucidnode.node.client.staging import gone, make_durable, missing, torn

GATHER_S = 0.5
"""Seconds that changes gather before they are synced. The sync itself may take as long again:
within a second all of it is on a disk that keeps up."""

RETRY_S = 5.0
"""Seconds until a sync that failed is tried again."""

TOPIC = "unsynced"


class BlockSync(Protocol):
    """The part of a Stager that this needs."""

    async def make_durable(self, blocks: Iterable[BlockId]) -> None:
        """Return once *blocks*, staged before, survive a power cut. Raises NoSpace, OSError."""


class GroupSync:
    """The syncs of one mount. Lives in one event loop. Without *relaxed*, `close` waits for one.

    *in_place* raises a ReplicaError where what is synced would not be found by the next mount.
    """

    def __init__(
        self,
        replica: Replica,
        stager: BlockSync,
        alerts: Alerts,
        clock: Clock,
        in_place: Callable[[], None],
        *,
        relaxed: bool,
    ) -> None:
        self.relaxed = relaxed
        self._in_place = in_place
        self._replica = replica
        self._stager = stager
        self._alerts = alerts
        self._clock = clock
        self._turn = asyncio.Lock()
        """Held while blocks are synced: who comes meanwhile finds little left to do."""
        self._due = asyncio.Event()
        self._failing = False
        replica.count_commits(self._due.set)

    @property
    def is_due(self) -> bool:
        """Return whether anything was done that no sync has begun to bring down."""
        return self._due.is_set()

    async def acknowledge_close(self) -> None:
        """Return once what was done before is acknowledged as a `close` is at this mount.

        Raises as `now`.
        """
        # A disk that fails is no place to promise anything of.
        if not self.relaxed or self._failing:
            await self.now()
        else:
            self._in_place()

    async def now(self) -> None:
        """Return once everything done before this call survives a power cut.

        Raises NoSpace, ReplicaError, or another OSError that says why the disk refuses.
        """
        self._in_place()
        await self._bring_down()

    async def _bring_down(self) -> None:
        if self._replica.unsynced.newest():
            async with self._turn:
                mark = self._replica.unsynced.newest()
                await self._stager.make_durable(self._replica.unsynced.blocks())
                self._replica.unsynced.synced(mark)
        # Here and not after the wait: what is recorded meanwhile is due again. So is what named
        # blocks while others were synced.
        self._due.clear()
        if self._replica.unsynced.newest():
            self._due.set()
        await self._replica.barrier()

    async def before_sending(self) -> None:
        """Do as `now`, wherever the replica is: what the bucket has need not be found here.

        A disk that refuses is Unavailable: what is not sent now is sent later.
        """
        try:
            await self._bring_down()
        except OSError as error:
            raise Unavailable(said_by(error)) from error

    async def run(self) -> None:
        """Sync what was done, each time within a second, until cancelled."""
        while True:
            await self._due.wait()
            await self._clock.sleep(GATHER_S)
            try:
                await self._bring_down()
            except (FsError, NodeError, OSError) as error:
                self._failing = True
                self._due.set()
                self._alerts.begin(
                    TOPIC,
                    f"What was saved in the last seconds would not survive a power cut: "
                    f"{said_by(error)}.",
                    help_for(
                        error,
                        "the cache or of the home directory",
                        "Check the disks of the cache and of the home directory.",
                    )
                    + " Until then programs wait for them at each close.",
                )
                await self._clock.sleep(RETRY_S)
            else:
                self._failing = False
                self._alerts.end(TOPIC)


def recover(replica: Replica, staging_dir: Path, project: ProjectId, boot: str) -> list[str]:
    """Take back what a power cut has torn, and make the rest durable but for `barrier`.

    Returns the paths of the files that have lost a content. After `kill -9` that is none: in the
    same boot a block without a file is one that the bucket has. After a power cut it may be lost,
    and nobody was promised it. *boot* is this one's. Blocking; raises NoSpace, DiskFull, OSError, and then
    nobody may use the replica: FileNotFoundError if all of staging is missing.
    """
    if not replica.unsynced.newest():
        return []
    if not staging_dir.is_dir():
        raise gone(staging_dir)
    blocks = replica.unsynced.blocks()
    of_before = replica.unsynced.blocks(but_of=boot)
    lost = torn(staging_dir, project, blocks) | missing(staging_dir, project, of_before)
    paths = replica.unsynced.take_back(lost)
    make_durable(staging_dir, project, replica.unsynced.blocks())
    replica.unsynced.synced(replica.unsynced.newest())
    return paths
