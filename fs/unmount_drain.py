"""The end of a mount: what is unsaved is saved, and what can still get to the bucket gets there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from lucidnode.fs.commit.committer import Committer
from lucidnode.fs.errors import FsError
from lucidnode.fs.hand_over import Left, sent, why_left
from lucidnode.fs.replica.pending_operations import PendingOperations
from lucidnode.fs.write.group_sync import GroupSync
from lucidnode.fs.write.writer import Writer
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.daemon_socket.facts import DaemonFacts
from lucidnode.node.client.errors import NodeError

log = logging.getLogger(__name__)


class UnmountDrain:
    """Drains one mount, once nobody can write to it any more."""

    def __init__(
        self,
        writer: Writer,
        group_sync: GroupSync,
        committer: Committer,
        pending: PendingOperations,
        facts: DaemonFacts,
        alerts: Alerts,
        resign: Callable[[], None],
    ) -> None:
        """Take what is drained. *resign* has the last entry say that nothing is held here any more."""
        self._writer = writer
        self._group_sync = group_sync
        self._committer = committer
        self._pending = pending
        self._facts = facts
        self._alerts = alerts
        self._resign = resign

    async def run(self, standstill_s: float, at_once: asyncio.Event) -> None:
        """Save what is unsaved, and give the daemon what it can finish without us.

        Ends once nothing has moved for *standstill_s*, or what is unsaved is saved and *at_once* set.
        """
        try:
            await self._writer.flush_all()
            await self._group_sync.now()
        except (FsError, NodeError, OSError) as error:
            log.error("data that no program waited for could not be saved: %s", error)  # noqa: TRY400  # no fault of ours
        self._resign()
        async with asyncio.TaskGroup() as tasks:
            hurried = tasks.create_task(at_once.wait())
            sending = tasks.create_task(self._send(standstill_s))
            await asyncio.wait([hurried, sending], return_when=asyncio.FIRST_COMPLETED)
            hurried.cancel()
            if not sending.done():
                sending.cancel()
                log.info("%d changes wait for the next mount", self._pending.count())

    async def _send(self, standstill_s: float) -> None:
        try:
            if await sent(self._committer.drain, self._left, standstill_s):
                return
        except FsError as error:
            log.warning("what was not committed waits for the next mount: %s", error)
            return
        log.warning(
            "%d changes wait for the next mount of this project: %s",
            self._pending.count(),
            await self._why_left(),
        )

    async def _left(self) -> Left:
        try:
            facts = await self._facts.on("status")
        except NodeError:
            return self._pending.count(), 0
        return self._pending.count(), facts["uploads"]["bytes"]

    async def _why_left(self) -> str:
        try:
            status = await self._facts.on("status")
        except NodeError as error:
            return str(error)
        daemons = [alert for alert in status["alerts"] if alert["mountpoint"] is None]
        return why_left(self._alerts.current(), daemons)
