"""The events of a mounted project as one stream, across restarts of its mount and of the daemon."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import msgspec

from lucidnode.node.client.clock import Clock
from lucidnode.node.client.daemon_socket.mounts import DaemonMounts
from lucidnode.node.client.errors import DaemonUnreachable, NotThere, Unavailable
from lucidnode.node.client.ids import ProjectId
from lucidnode.node.client.mount_messages import ProjectEvent

PATIENCE_S = 60.0
"""How long a mount or a daemon may be away until the stream ends: both come back by themselves."""

_PAUSE_S = 0.5


class MissedEvents(
    msgspec.Struct, frozen=True, tag_field="event", tag="missed", omit_defaults=True
):
    """In the place of the events of entries *first* to *last*, which nobody can tell any more."""

    first: int
    last: int


class EventStream:
    """Where one reader is. `after` is the newest entry that was told whole."""

    def __init__(
        self, mounts: DaemonMounts, project: ProjectId, clock: Clock, since: int | None = None
    ) -> None:
        """Begin behind entry *since*, or with what comes next."""
        self._mounts = mounts
        self._project = project
        self._clock = clock
        self._reader = secrets.token_hex(8)
        self._told = 0
        self.after = since

    async def begin(self) -> int:
        """Return the number of the newest entry. Raises NotThere if the project is not mounted."""
        newest = (await self._mounts.changes(self._project, self._reader, None, 0)).after
        if self.after is None:
            self.after = newest
        return newest

    async def read(self, upto: int | None = None) -> AsyncIterator[ProjectEvent | MissedEvents]:
        """Yield one event after the other, each once; with *upto* until that entry was told.

        Raises what `begin` raises, DaemonUnreachable and Unavailable once that lasts for PATIENCE_S.
        """
        answered = self._clock.boot()
        while upto is None or self.after is None or self.after < upto:
            try:
                page = await self._mounts.changes(
                    self._project, self._reader, self.after, self._told
                )
            except (NotThere, DaemonUnreachable, Unavailable):
                if self._clock.boot() - answered > PATIENCE_S:
                    raise
                await self._clock.sleep(_PAUSE_S)
                continue
            answered = self._clock.boot()
            self.after, self._told = page.after, page.told
            if page.missed_from is not None:
                yield MissedEvents(page.missed_from, page.after)
            for event in page.events:
                yield event
