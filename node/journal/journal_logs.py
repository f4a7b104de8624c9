"""The journals in the bucket: one log of slots for each project."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.keys import journal_key, journal_prefix
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.backoff import Jitter
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.ids import ProjectId
from lucidnode.node.journal.log_names import LogNames
from lucidnode.node.journal.log_slots import LogSlots
from lucidnode.node.journal.object_shape import journal_shape


class JournalLogs:
    """Makes the log of a project when it is first asked for."""

    def __init__(
        self,
        bucket: Bucket,
        alerts: Alerts,
        clock: Clock,
        jitter: Jitter,
        is_witnessed: Callable[[], Awaitable[bool]],
    ) -> None:
        """*is_witnessed* as in `LogSlots`."""
        self._bucket = bucket
        self._alerts = alerts
        self._clock = clock
        self._jitter = jitter
        self._is_witnessed = is_witnessed
        self._logs: dict[ProjectId, LogSlots] = {}

    def all(self) -> list[LogSlots]:
        """Return the logs that were asked for anything."""
        return list(self._logs.values())

    def of(self, project: ProjectId) -> LogSlots:
        """Return the log of *project*."""
        log = self._logs.get(project)
        if log is None:
            log = self._logs[project] = LogSlots(
                bucket=self._bucket,
                names=LogNames(
                    folder=journal_prefix(project),
                    key=partial(journal_key, project),
                    called="journal entry",
                    topic=f"journal:{project}",
                ),
                shape_of=partial(journal_shape, project),
                alerts=self._alerts,
                clock=self._clock,
                jitter=self._jitter,
                is_witnessed=self._is_witnessed,
            )
        return log
