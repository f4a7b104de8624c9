"""Mounts that nobody brings back: their process was killed, and the keeper that has their keys too.

We cannot mount them again, for a daemon holds no key. We can say so for as long as the dead mount is
in its place, also after we were started anew: the keepers' locks and the kernel's list of mounts
tell it, and neither asks the dead mount anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.ids import ProjectId
from lucidnode.node.client.kept import MOUNT_KEEPER_FILE, RETURN_S, holder, mount_keepers
from lucidnode.node.client.mountinfo import mounts
from lucidnode.node.mounts import MountTable, lost_topic

LOOK_EVERY_S = 1.0


class LostMounts:
    """Tells of the mounts of *home* that have neither a process nor a keeper."""

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
        """Begin and end the alerts about mounts that nobody brings back."""
        left = await asyncio.to_thread(self._left)
        registered = {mount.project for mount in self._table}
        now = self._clock.boot()
        for project, mount in left.items():
            topic = lost_topic(project)
            if mount.is_kept or project in registered:
                self._missing_since.pop(project, None)
            elif not mount.is_there:
                self._missing_since.pop(project, None)
                self._alerts.end(topic)  # somebody has unmounted it
            elif now - self._missing_since.setdefault(
                project, now
            ) >= RETURN_S or self._alerts.is_on(topic):
                self._alerts.begin(
                    topic,
                    f"The mount at {mount.point} has lost its process and its keeper.",
                    f"Nobody else has its keys: mount it again at {mount.point}, or unmount it.",
                )

    def _left(self) -> dict[ProjectId, _Left]:
        there = {str(mount.directory) for mount in mounts(self._mountinfo()) if mount.is_ours}
        found = {}
        for lock in mount_keepers(self._home):
            if lock.name != MOUNT_KEEPER_FILE:
                continue  # of the past, where nobody writes
            keeper, point = holder(lock)
            found[ProjectId(lock.parent.name)] = _Left(point, keeper is not None, point in there)
        return found


class _Left(NamedTuple):
    """What the last keeper of a project's mount left."""

    point: str
    is_kept: bool
    is_there: bool
