"""Tells the daemon what lies in staging. The files themselves are the record; this is the nudge."""

from __future__ import annotations

import asyncio
from typing import Protocol

from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.ids import BlockId, ProjectId

_RETRY = 1.0
"""Seconds. A daemon that starts later finds the files by itself; this is for one that hiccups."""


class StagingService(Protocol):
    """The part of the daemon that uploads."""

    async def staged(self, project: ProjectId, blocks: list[BlockId]) -> None:
        """Take note that *blocks* lie in staging."""


class Announcer:
    """Collects block ids and hands them to the daemon in batches."""

    def __init__(self, project: ProjectId, daemon: StagingService, clock: Clock) -> None:
        self._project = project
        self._daemon = daemon
        self._clock = clock
        self._waiting: list[BlockId] = []
        self._any = asyncio.Event()

    def announce(self, block: BlockId) -> None:
        """Have the daemon told of *block*, soon."""
        self._waiting.append(block)
        self._any.set()

    async def deliver(self) -> None:
        """Tell the daemon of everything announced so far, now. Raises a NodeError if it cannot."""
        batch, self._waiting = self._waiting, []
        self._any.clear()
        if not batch:
            return
        try:
            await self._daemon.staged(self._project, batch)
        except NodeError:
            self._waiting += batch
            self._any.set()
            raise

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            await self._any.wait()
            try:
                await self.deliver()
            except NodeError:
                await self._clock.sleep(_RETRY)
