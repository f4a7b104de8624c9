"""What a change in the log of members means for one mount: whether it may go on, and in which epoch."""

from __future__ import annotations

import asyncio
import contextlib

from lucidnode.fs.commit.committer import Committer
from lucidnode.fs.commit.project_access import ProjectAccess
from lucidnode.fs.errors import NoSuchProject, NotAMember
from lucidnode.node.client.errors import NodeError


class RightsFollower:
    """Reads the roster again whenever the daemon says that it has grown (`run`)."""

    def __init__(self, access: ProjectAccess, committer: Committer) -> None:
        self._access = access
        self._committer = committer
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
