"""Time as an argument. Wall time is for people and records; durations use the boot clock."""

from __future__ import annotations

import asyncio
import secrets
import time
from pathlib import Path
from typing import Protocol

_CLOCK_REALTIME_COARSE = 5
"""Of Linux's <time.h>; Python has no name for it."""


class Clock(Protocol):
    """A source of time that a test can replace."""

    def boot(self) -> float:
        """Return seconds of CLOCK_BOOTTIME: never jumps, and runs on in suspend."""

    def wall_ns(self) -> int:
        """Return nanoseconds since 1970, as the user's clock has it. It may jump.

        In ticks of up to 10 ms, as the kernel stamps files.
        """

    async def sleep(self, seconds: float) -> None:
        """Wait at least *seconds*."""


class SystemClock:
    """The machine's own clock."""

    def boot(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall_ns(self) -> int:
        return time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def boot_id() -> str:
    """Return what the kernel calls this run of the machine: another one after each power cut.

    A name that is never met again where the kernel has none.
    """
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return secrets.token_hex()
