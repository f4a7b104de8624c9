"""How long an unmounted project waits for what is on its way to the bucket."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

WAITED = signal.SIGUSR1
"""Tells a mount process that whoever unmounts it has seen a standstill already."""

STANDSTILL_S = 10.0
"""How long an unmounted project may go without progress towards the bucket. What is not committed
by then waits in the replica for the next mount."""

SECOND_STANDSTILL_S = 1.0
"""The same, after `WAITED`: enough for a daemon that is there to take what it can finish."""

Left = tuple[int, int]
"""What has still to get to the bucket: changes, and bytes of blocks."""


async def sent(
    flush: Callable[[], Awaitable[None]],
    left: Callable[[], Awaitable[Left]],
    standstill_s: float,
) -> bool:
    """Run *flush* for as long as less is *left* every *standstill_s* seconds; tell whether it ended.

    That something is another number is no progress: packing makes two changes of one.
    """
    before = await left()
    while True:
        try:
            async with asyncio.timeout(standstill_s):
                await flush()
        except TimeoutError:
            now = await left()
            if now[0] >= before[0] and now[1] >= before[1]:
                return False
            before = now
        else:
            return True
