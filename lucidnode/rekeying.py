"""Has a project's blocks of earlier epochs sealed anew, beside whatever else is done with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from lucidnode.fs.commit.project_access import ProjectAccess
from lucidnode.fs.commit.repair.replay import Bystander, caught_up
from lucidnode.fs.errors import NotAllowed
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.rekey.rekeying import Rekeyed, Rekeying, is_told_otherwise
from lucidnode.fs.rekey.throttle import Throttle
from lucidnode.fs.replica.replica import Replica
from lucidnode.membership import read_roster
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.staging import STAGING
from lucidnode.node.config import cache_directory, load_config
from lucidnode.own_replica import own_replica


@dataclass(frozen=True, slots=True)
class OldProject:
    """A project at the end of its journal: *blocks*, of *bytes* of plaintext, are older than *epoch*."""

    access: ProjectAccess
    client: DaemonClient
    replica: Replica
    staging_dir: Path
    epoch: int
    blocks: int
    bytes: int

    @property
    def is_due(self) -> bool:
        """Whether something is to be done: blocks, or a word on them that does not hold any more."""
        return self.blocks > 0 or (
            self.access.may_write and is_told_otherwise(self.replica, self.epoch)
        )

    async def rekey(self, rate: float, progress: Callable[[int], None]) -> Rekeyed:
        """Seal them anew, at most *rate* bytes a second; *progress* hears of bytes that are done.

        Raises NotAllowed, a NodeError or an FsError; what is done by then stays.
        """
        if not self.access.may_write:
            raise NotAllowed(
                "nothing is changed by a viewer, or in an archived project: ask an editor, or an owner "
                "to restore it"
            )
        clock = SystemClock()
        return await Rekeying(
            self.replica,
            self.client.journal,
            self.client.blocks,
            self.client.file_blocks,
            self.access,
            self.staging_dir,
            Throttle(rate, clock),
            clock,
            progress,
        ).run()


@asynccontextmanager
async def old_project(
    home: Path, socket: Path, mine: Membership, name: str
) -> AsyncIterator[OldProject]:
    """Read the project called *name*, or of that id, to its end. Raises a NodeError or an FsError."""
    project = (await read_roster(socket, mine)).project(name)
    clock = SystemClock()
    async with DaemonClient(socket) as client:
        access = await ProjectAccess.open(client.roster, mine, project.id)
        async with own_replica(home, client, access, clock, "rekey") as replica:
            await caught_up(client.journal, access, replica, clock, Bystander(access))
            epoch = access.keys().current
            yield OldProject(
                access,
                client,
                replica,
                cache_directory(home, load_config(home)) / STAGING,
                epoch,
                *replica.old_blocks.amount(epoch),
            )
