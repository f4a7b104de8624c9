"""The replica of a mount, as it is opened: at a checkpoint if it is new, without what a power cut has torn."""

from __future__ import annotations

import secrets
from pathlib import Path

from lucidnode.fs.checkpoints.newcomer import Newcomer, NewcomerClient, Progress
from lucidnode.fs.commit.entry_codec import EntryCodec
from lucidnode.fs.commit.project_access import ProjectAccess
from lucidnode.fs.project_home import open_replica, take_back_lost
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.alerts import EVENT_S, Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.ids import ProjectId


async def opened_replica(
    home: Path,
    client: NewcomerClient,
    access: ProjectAccess,
    alerts: Alerts,
    clock: Clock,
    progress: Progress,
) -> Replica:
    """Open the replica of *home*; one that stands on nothing begins with a checkpoint, if there is one.

    *progress* hears how much of that is loaded.
    Raises AlreadyMounted, NoSpace, ReplicaError.
    """
    replica = open_replica(home, access)
    try:
        codec = EntryCodec(
            access.keys,
            access.device,
            access.writer_key,
            secrets.token_bytes,
            access.trusted_key,
        )
        loaded = await Newcomer(replica, client, codec, alerts, clock, progress).load()
    except BaseException:
        replica.close()
        raise
    if loaded is None:
        return replica
    replica.close()
    return open_replica(home, access)


def take_back_torn(replica: Replica, staging_dir: Path, project: ProjectId, alerts: Alerts) -> None:
    """Undo what a power cut has torn, and tell of it. Raises NoSpace, ReplicaError."""
    if undone := take_back_lost(replica, staging_dir, project):
        alerts.begin(
            "power-cut",
            "The power went before the last second of work was on the disk, and it is undone: "
            f"{', '.join(undone)}.",
            "Save these files again if what they show is too old; mount with "
            "`--durability local` to have each close wait for the disk.",
            lasts_s=EVENT_S,
        )
