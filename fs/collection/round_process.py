"""Has a round done by a process of its own, which gets its keys through a pipe."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec

from lucidnode.fs.collection.daily import DailyCollection, RoundFailed
from lucidnode.fs.collection.round_spec import Collected, CollectSpec
from lucidnode.fs.history.past import Past
from lucidnode.fs.mount_spec import MountSpec
from lucidnode.fs.project_home import project_directory
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.ids import DeviceId
from lucidnode.node.client.own_process import ProcessFailed, written_by

MAX_ROUND_S = 3 * 3600.0
"""Seconds after which a round is ended; the next goes on."""

_COMMAND = "collect-process"


def daily_collection(
    mount: MountSpec,
    replica: Replica,
    device: DeviceId,
    alerts: Alerts,
    clock: Clock,
) -> DailyCollection:
    """Return who has *mount*'s project collected."""
    directory = project_directory(Path(mount.home), mount.project)
    return DailyCollection(
        replica,
        device,
        partial(run_round, mount),
        partial(Past.is_kept, directory),
        alerts,
        clock,
    )


async def run_round(mount: MountSpec, after: bytes) -> Collected:
    """Do a round for *mount* behind the block *after*.

    Raises RoundFailed. Cancelled, the process is killed: it may be, always.
    """
    spec = CollectSpec(
        home=mount.home,
        membership=mount.membership,
        project=mount.project,
        after=after,
        requests=mount.collection_requests,
    )
    try:
        out = await written_by(
            spec.home, [_COMMAND], within_s=MAX_ROUND_S, given=msgspec.msgpack.encode(spec)
        )
    except ProcessFailed as error:
        raise RoundFailed(str(error)) from error
    try:
        return msgspec.json.decode(out, type=Collected)
    except msgspec.DecodeError as error:
        raise RoundFailed(f"it said something else: {error}") from error
