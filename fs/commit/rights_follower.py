"""What a change in the log of members means for one mount: whether it may go on, and in which epoch."""

from __future__ import annotations

import asyncio
import contextlib

from lucidnode.fs.commit.committer import Committer
from lucidnode.fs.commit.project_access import ProjectAccess
from lucidnode.fs.errors import NoSuchProject, NotAMember
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.errors import NodeError

_MAY_WRITE = "may-write"


class RightsFollower:
    """Reads the roster again whenever the daemon says that it has grown (`run`).

    *for_reading*: it was mounted read-only because who mounted it might not write then.
    """

    def __init__(
        self, access: ProjectAccess, committer: Committer, alerts: Alerts, *, for_reading: bool
    ) -> None:
        self._access = access
        self._committer = committer
        self._alerts = alerts
        self._for_reading = for_reading
        self._news = asyncio.Event()

    def look(self) -> None:
        """Read it again soon."""
        self._news.set()

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            # The daemon has read the news: to ask the bucket once more would only cost a request. One
            # that is away says that there is news when it is back.
            with contextlib.suppress(NodeError):
                try:
                    await self._access.refresh("none")
                except (NotAMember, NoSuchProject) as error:
                    self._committer.end(str(error))
                else:
                    self._committer.rights_changed()
                    self._tell_who_may_write_now()

    def _tell_who_may_write_now(self) -> None:
        """Tell who may write now: the kernel cannot be told while the drive is mounted."""
        if self._for_reading and self._access.may_write:
            self._alerts.begin(
                _MAY_WRITE,
                "You may write in this project now, and it was mounted read-only.",
                "Unmount it and mount it again to write.",
            )
        else:
            self._alerts.end(_MAY_WRITE)
