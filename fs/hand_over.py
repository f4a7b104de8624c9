"""How long an unmounted project waits for what is on its way to the bucket."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from lucidnode.node.client.alerts import BUCKET, Alert
from lucidnode.node.client.guarded_disk import TOPIC as CACHE_DISK

WAITED = signal.SIGUSR1
"""Tells a mount process that whoever unmounts it has seen a standstill already."""

AT_ONCE = signal.SIGRTMIN
"""Tells a mount process that nobody may wait for the bucket: the machine may be shutting down."""

STANDSTILL_S = 10.0
"""How long an unmounted project may go without progress towards the bucket. What is not committed
by then waits in the replica for the next mount."""

SECOND_STANDSTILL_S = 1.0
"""The same, after `WAITED`: enough for a daemon that is there to take what it can finish."""

_DAEMONS = (CACHE_DISK, BUCKET, "bucket-unfit", "staging", "uploads")
_OWN = ("replica-gone", "journal:record", "packs", "journal:send", "journal:read")
"""Topics of alerts that say why nothing gets to the bucket: who is nearer to the cause comes first."""

Left = tuple[int, int]
"""What has still to get to the bucket: changes, and bytes of blocks."""


async def sent(
    drain: Callable[[], Awaitable[None]],
    left: Callable[[], Awaitable[Left]],
    standstill_s: float,
) -> bool:
    """Run *drain* for as long as less is *left* every *standstill_s* seconds; tell whether it ended.

    That something is another number is no progress: packing makes two changes of one.
    """
    before = await left()
    while True:
        try:
            async with asyncio.timeout(standstill_s):
                await drain()
        except TimeoutError:
            now = await left()
            if now[0] >= before[0] and now[1] >= before[1]:
                return False
            before = now
        else:
            return True


def why_left(own: Sequence[Alert], daemons: Sequence[Mapping[str, Any]]) -> str:
    """Return in sentences why changes have not got to the bucket: what is amiss, and what helps.

    *own* is amiss with the mount, *daemons* with its daemon, as `status` shows it.
    """
    known = {alert["topic"]: (alert["cause"], alert["remedy"]) for alert in daemons}
    known |= {alert.topic: (alert.cause, alert.remedy) for alert in own}
    for topic in (*_DAEMONS, *_OWN):
        if topic in known:
            return " ".join(known[topic]).rstrip()
    return "nothing has moved for a while, and nothing is known to be amiss: the bucket may be slow"
