"""Mounts that nobody brings back: their process was killed, and the keeper that has their keys too.

We cannot mount them again, for a daemon holds no key. We can say so for as long as the dead mount is
in its place, also after we were started anew: the keepers' locks and the kernel's list of mounts
tell it, and neither asks the dead mount anything. Likewise of what was saved in a mount that has ended
since, and waits there for the next one: who served it has left his lock in its place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.ids import ProjectId
from lucidnode.node.client.kept import (
    MOUNT_KEEPER_FILE,
    MOUNT_SERVER_FILE,
    RETURN_S,
    holder,
    mount_keepers,
    mount_servers,
)
from lucidnode.node.client.mountinfo import mounts
from lucidnode.node.mounts import MountTable, lost_topic, unsent_topic

LOOK_EVERY_S = 1.0


class LostMounts:
    """Tells of the mounts of *home* that have neither a process nor a keeper, and what waits for them."""

    def __init__(
        self,
        home: Path,
        table: MountTable,
        alerts: Alerts,
        clock: Clock,
        mountinfo: Callable[[], bytes] = Path("/proc/self/mountinfo").read_bytes,
    ) -> None:
        self._home = home
        self._table = table
        self._alerts = alerts
        self._clock = clock
        self._mountinfo = mountinfo
        self._missing_since: dict[ProjectId, float] = {}

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self.look()
            await self._clock.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Begin and end the alerts about mounts that nobody brings back, and what waits for the next."""
        left = await asyncio.to_thread(self._left)
        registered = {mount.project for mount in self._table}
        now = self._clock.boot()
        for project in self._missing_since.keys() - left.keys():
            del self._missing_since[project]
            self._alerts.end(lost_topic(project))
            self._alerts.end(unsent_topic(project))
        for project, mount in left.items():
            lost, unsent = lost_topic(project), unsent_topic(project)
            if mount.is_kept or project in registered:
                self._missing_since.pop(project, None)
                self._alerts.end(unsent)
                continue
            missing_s = now - self._missing_since.setdefault(project, now)
            if not mount.is_there:
                self._alerts.end(lost)  # somebody has unmounted it
            elif missing_s >= RETURN_S or self._alerts.is_on(lost):
                self._alerts.begin(
                    lost,
                    f"The mount at {mount.point} has lost its process and its keeper.",
                    f"Nobody else has its keys: mount it again at {mount.point}, or unmount it.",
                )
            if not mount.is_unsent or mount.is_there:
                self._alerts.end(unsent)
            elif missing_s >= RETURN_S:
                self._alerts.begin(unsent, *self._words(mount.point))

    def _words(self, point: str) -> tuple[str, str]:
        if Path(point).is_relative_to(self._home):
            return (
                "Not all that programs saved in a project without a mount was in the cloud when that ended.",
                "It waits on this disk. Use the project once more, or mount it: it goes on by itself.",
            )
        return (
            f"Not all that was saved in the drive at {point} was in the cloud when that ended.",
            f"It waits on this disk. Mount it again at {point}: it goes on by itself.",
        )

    def _left(self) -> dict[ProjectId, _Left]:
        there = {str(mount.directory) for mount in mounts(self._mountinfo()) if mount.is_ours}
        locks = [*mount_keepers(self._home), *mount_servers(self._home)]
        found = {}
        for directory in {lock.parent for lock in locks}:
            keeper, kept = holder(directory / MOUNT_KEEPER_FILE)
            server, served = holder(directory / MOUNT_SERVER_FILE)
            if point := served or kept:  # else it is a mount of the past, where nobody writes
                is_kept = keeper is not None or server is not None
                found[ProjectId(directory.name)] = _Left(
                    point, is_kept, point in there, is_unsent=bool(served)
                )
        return found


class _Left(NamedTuple):
    """What the last mount of a project left."""

    point: str
    is_kept: bool
    """Whether somebody serves it, or would bring it back."""
    is_there: bool
    is_unsent: bool
