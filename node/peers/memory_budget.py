"""One budget of bytes for all that others can make this process hold, whoever and how many they are.

A connection counts with all that it can make us keep: half a message, what waits to be sent to it,
the buffers below. Blocks on their way to or from peers count one by one, and wait for each other.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager

MAX_SHARE = 0.5
"""The part of it that the blocks of one of them may take."""

STREAM_BYTES = 512 * 1024
"""What a connection of HTTP can make us hold: what asyncio reads at once, aiohttp's own buffers,
and a piece on its way out."""


class Reservation:
    """Bytes held for somebody."""

    def __init__(self, memory: MemoryBudget, who: Hashable, size: int) -> None:
        self._memory = memory
        self._who = who
        self.size = size

    def change(self, size: int) -> None:
        """Hold *size* bytes from now on: what is known by now is not waited for."""
        self._memory.count(self._who, size - self.size)
        self.size = size


class MemoryBudget:
    """At most *limit* bytes. Connections that do not fit are turned away, blocks wait."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._blocks: Counter[Hashable] = Counter()
        self._connections: list[Callable[[], int]] = []
        self._changed = asyncio.Condition()

    @property
    def used(self) -> int:
        """Return how many bytes others may be holding now."""
        return self._blocks.total() + sum(held() for held in self._connections)

    def has_room(self, size: int) -> bool:
        """Return whether *size* bytes more fit now."""
        return self.used + size <= self._limit

    def watch(self, held: Callable[[], int]) -> None:
        """Count what *held* returns, at each moment, as well."""
        self._connections.append(held)

    @asynccontextmanager
    async def hold(self, who: Hashable, size: int) -> AsyncIterator[Reservation]:
        """Wait until *size* bytes fit, also within the share of *who*; they count meanwhile.

        Where no other block is held there is no wait: somebody always gets on.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._fits(who, size))
            self.count(who, size)
        hold = Reservation(self, who, size)
        try:
            yield hold
        finally:
            hold.change(0)
            async with self._changed:
                self._changed.notify_all()

    def count(self, who: Hashable, size: int) -> None:
        """Enter *size* bytes more, or less, for the blocks of *who*."""
        self._blocks[who] += size
        if not self._blocks[who]:
            del self._blocks[who]

    def _fits(self, who: Hashable, size: int) -> bool:
        mine = self._blocks[who]
        share_left = not mine or mine + size <= self._limit * MAX_SHARE
        return share_left and (not self._blocks.total() or self.has_room(size))
