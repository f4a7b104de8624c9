"""Tells the daemon what lies in staging. A hint: it finds the files by itself, but later."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.ids import BlockId, ProjectId

GATHER_S = 0.02
"""Seconds for which blocks of a file that is being written gather. Each message is a request of its
own: for each block it was a tenth of what the mount and the daemon did in Python of a write."""

_RETRY_S = 1.0
"""Seconds. A daemon that starts later finds the files by itself; this is for one that hiccups."""


class StagingService(Protocol):
    """The part of the daemon that uploads."""

    async def staged(
        self, project: ProjectId, blocks: Sequence[BlockId], ranks: Sequence[int]
    ) -> None:
        """Take note that *blocks* lie in staging; those of lower *ranks* are wanted earlier."""


def rank(blocks_before: int) -> int:
    """Return the rank of a file's block behind *blocks_before* others: small files go first.

    The rank grows by one when a file doubles. So of many large files the beginnings go first, and
    what is saved in one pack or block overtakes all of them.
    """
    return blocks_before.bit_length()


class StagingNotifier:
    """Collects block ids and hands them to the daemon in batches."""

    def __init__(self, project: ProjectId, daemon: StagingService, clock: Clock) -> None:
        self._project = project
        self._daemon = daemon
        self._clock = clock
        self._waiting: dict[BlockId, int] = {}
        self._any = asyncio.Event()
        self._due = asyncio.Event()

    def notify(self, block: BlockId, blocks_before: int = 0) -> None:
        """Have the daemon told of *block*, soon; *blocks_before* it in its file are written.

        Of the first block of a file at once: whoever ends the save asks for the same by `hurry`.
        """
        self._waiting[block] = rank(blocks_before)
        self._any.set()
        if not blocks_before:
            self._due.set()

    def hurry(self) -> None:
        """Have the daemon told at once of all that was noted: a save waits for it."""
        if self._waiting:
            self._due.set()

    async def deliver(self) -> None:
        """Tell the daemon of everything noted so far, now. Raises a NodeError if it cannot."""
        batch, self._waiting = self._waiting, {}
        self._any.clear()
        self._due.clear()
        if not batch:
            return
        try:
            await self._daemon.staged(self._project, [*batch], [*batch.values()])
        except NodeError:
            self._waiting = {**batch, **self._waiting}
            self._any.set()
            raise

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._gather())
            while True:
                await self._due.wait()
                try:
                    await self.deliver()
                except NodeError:
                    await self._clock.sleep(_RETRY_S)
                    self._due.set()

    async def _gather(self) -> None:
        while True:
            await self._any.wait()
            await self._clock.sleep(GATHER_S)
            self.hurry()
            # What is being told, or cannot be, is not noted a second time.
            self._any.clear()
