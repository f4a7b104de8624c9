"""One clock for all stamps on files: ours, and those that the kernel brings along.

`touch` has the kernel take the time, a write has us. Two clocks that differ by a tick would show
what was made later as older, and `make` would build again.
"""

from __future__ import annotations

from lucidnode.node.client.clock import Clock

_TICK_NS = 10_000_000
"""The longest that the kernel's coarse clock stands still (100 Hz)."""


class Stamps:
    """A clock whose wall time is never behind a stamp that the kernel has just taken.

    The kernel stamps with CLOCK_REALTIME_COARSE, as `SystemClock.wall_ns` does; but since Linux
    6.13 it goes ahead of it, by less than a tick, once any file system has asked for a finer stamp.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead = 0

    def boot(self) -> float:
        return self._clock.boot()

    def wall_ns(self) -> int:
        now = self._clock.wall_ns()
        return self._ahead if now < self._ahead <= now + _TICK_NS else now

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)

    def seen(self, time_ns: int) -> None:
        """Note that the kernel gave a file this time. What a user made up is no such time."""
        if self.wall_ns() < time_ns <= self._clock.wall_ns() + _TICK_NS:
            self._ahead = time_ns
