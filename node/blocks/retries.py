"""What is tried again and again, with pauses that can be cut short."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from lucidnode.node.client.backoff import Backoff, Jitter
from lucidnode.node.client.clock import Clock

FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 30.0
"""Seconds before a failed attempt is made again, doubling from the first to the longest."""


class Retries:
    """The pauses of all attempts that somebody repeats."""

    def __init__(self, clock: Clock, jitter: Jitter) -> None:
        self._clock = clock
        self._jitter = jitter
        self._pauses: set[asyncio.Timeout] = set()

    def hurry(self) -> None:
        """End the pauses that are under way."""
        now = asyncio.get_running_loop().time()
        for pause in list(self._pauses):
            pause.reschedule(now)

    async def until(self, attempt: Callable[[], Awaitable[bool]]) -> None:
        """Repeat *attempt*, with pauses, until it returns True. Raises what it raises."""
        backoff = Backoff(self._jitter, FIRST_PAUSE_S, MAX_PAUSE_S)
        while not await attempt():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None) as hurried:
                    self._pauses.add(hurried)
                    try:
                        await self._clock.sleep(backoff.pause())
                    finally:
                        self._pauses.discard(hurried)
