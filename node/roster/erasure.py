"""Deleted projects leave the bucket, once the time to undo it has passed (docs/design/0023-projects.md).

Nothing but the log of members is asked: no key of the project is needed, and no other node. To delete
what is gone is harmless, so it does not matter how many do this at once.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from lucidnode.node.bucket.bucket import Listed
from lucidnode.node.bucket.keys import project_prefix
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.backoff import Jitter
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import AccessDenied, NodeError, Refused
from lucidnode.node.client.ids import ProjectId
from lucidnode.node.client.roster import Roster

log = logging.getLogger(__name__)

GRACE_S = 86_400.0
"""How much later than the owner said: clocks differ, and who brings it back at the last moment is seen."""

LOOK_S = 3600.0
"""Between two looks for projects whose time has passed."""

AGAIN_S = 86_400.0
"""Then it is looked at again: a workstation that was off may have uploaded what waited there."""

_PAGE = 1000
_TOPIC = "erasure"


class ErasedObjects(Protocol):
    """What this needs of the bucket."""

    async def list(self, prefix: str, after: str | None = None, limit: int = 1000) -> list[Listed]:
        """Return the next objects."""

    async def delete(self, key: str) -> None:
        """Remove the object."""


class RosterToAsk(Protocol):
    """The log of members (RosterService)."""

    @property
    def current(self) -> Roster:
        """The roster as it was read last."""

    async def refresh(self) -> None:
        """Read what is new in the bucket. Raises Unavailable."""


def due(roster: Roster, now_s: float) -> list[ProjectId]:
    """Return the deleted projects of which nothing can be brought back any more."""
    return [
        record.id
        for record in roster.projects.values()
        if record.state == "deleted" and record.states[-1].until_ns / 1e9 + GRACE_S < now_s
    ]


class Erasure:
    """Deletes the objects of projects that are `due`, so many requests a day as the settings allow."""

    def __init__(
        self,
        bucket: ErasedObjects,
        roster: RosterToAsk,
        forget: Callable[[ProjectId], Awaitable[None]],
        skew: Callable[[], float | None],
        requests_per_day: Callable[[], int],
        alerts: Alerts,
        clock: Clock,
        jitter: Jitter,
    ) -> None:
        """*skew* returns by how many seconds the store's clock is ahead, if it is known.

        *forget* drops what this node has seen of a project's journal, which it would miss.
        """
        self._bucket = bucket
        self._roster = roster
        self._forget = forget
        self._skew = skew
        self._requests_per_day = requests_per_day
        self._alerts = alerts
        self._clock = clock
        self._jitter = jitter
        self._erased: dict[ProjectId, float] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            # Not all at one moment: who comes later finds less to do.
            await self._clock.sleep(LOOK_S * (0.5 + self._jitter()))
            await self.look()

    async def look(self) -> None:
        """Delete what may go now, at most an hour's share of the day's requests."""
        left = self._requests_per_day() * LOOK_S // 86_400
        for project in due(self._roster.current, self._now()):
            if left > 0 and self._clock.boot() >= self._erased.get(project, 0.0):
                left = await self._told(project, int(left))

    async def _told(self, project: ProjectId, requests: int) -> int:
        try:
            left = await self._erase(project, requests)
        except (AccessDenied, Refused) as error:
            self._alerts.begin(
                _TOPIC,
                f"A deleted project stays in the bucket: {str(error).rstrip('.')}.",
                "Give the workstations' credentials the right to delete, or delete the folder "
                f"{project_prefix(project)} at the store.",
            )
        except NodeError as error:
            log.info("a deleted project stays in the bucket for now: %s", error)
        else:
            self._alerts.end(_TOPIC)
            return left
        return 0

    async def _erase(self, project: ProjectId, requests: int) -> int:
        """Delete what *requests* reach; return how many of them are left."""
        # The last word is the bucket's: somebody may have brought it back while we were away.
        await self._roster.refresh()
        if self._roster.current.newer is not None or project not in due(
            self._roster.current, self._now()
        ):
            return requests
        await self._forget(project)
        while requests > 0:
            page = await self._bucket.list(project_prefix(project), None, _PAGE)
            requests -= 1
            if not page:
                log.info("the deleted project %s has left the bucket", project)
                self._erased[project] = self._clock.boot() + AGAIN_S
                return requests
            for each in page[: max(requests, 0)]:
                await self._bucket.delete(each.key)
                requests -= 1
        return 0

    def _now(self) -> float:
        """Return the earlier of the store's time and ours, in seconds since 1970."""
        here = self._clock.wall_ns() / 1e9
        return here + min(self._skew() or 0.0, 0.0)
