"""Holds work to a rate. Lives in one event loop."""

from __future__ import annotations

from lucidnode.node.client.clock import Clock


class Throttle:
    """Lets *rate* bytes a second pass."""

    def __init__(self, rate: float, clock: Clock) -> None:
        self._rate = rate
        self._clock = clock
        self._free_at = 0.0

    async def spend(self, size: int) -> None:
        """Return once *size* bytes, done just now, are within the rate; whoever asks later waits longer."""
        now = self._clock.boot()
        self._free_at = max(self._free_at, now) + size / self._rate
        await self._clock.sleep(self._free_at - now)
