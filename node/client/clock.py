"""Time as an argument. Wall time is for people and records; durations use the boot clock."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """A source of time that a test can replace."""

    def boot(self) -> float:
        """Return seconds of CLOCK_BOOTTIME: never jumps, and runs on in suspend."""

    def wall_ns(self) -> int:
        """Return nanoseconds since 1970, as the user's clock has it. It may jump."""

    async def sleep(self, seconds: float) -> None:
        """Wait at least *seconds*."""


class SystemClock:
    """The machine's own clock."""

    def boot(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall_ns(self) -> int:
        return time.time_ns()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
