"""How fast a full cache takes blocks of 1 MiB, each of which pushes out another, while it is read."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from pathlib import Path

from lucidnode.node.cache.disk import DiskCache
from lucidnode.node.cache.mark import CacheMark
from lucidnode.node.cache.verified import block_id
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.ids import BlockId

EVICTED = 4_000
"""Blocks that come; as many have to go."""

_MIB = 1024 * 1024
_HELD = 512
_AT_ONCE = 8
"""Blocks on their way in at the same time, as uploads and fetches bring them."""

_READ_EVERY_S = 0.002


def evictions(folder: Path) -> dict[str, float]:
    """Measure it in *folder*, which is empty and on tmpfs."""
    return asyncio.run(_evictions(folder))


async def _evictions(folder: Path) -> dict[str, float]:
    clock = SystemClock()
    mark = CacheMark(folder / "cache", None)
    async with DiskCache.open(mark, _HELD * _MIB, 0, clock, Alerts(clock)) as cache:
        content = secrets.token_bytes(_MIB)
        for _ in range(_HELD):
            await cache.put(_new_id(), content)
        waits: list[float] = []
        before, cpu, began = cache.facts().evicted_blocks, _cpu(), time.monotonic()
        async with asyncio.TaskGroup() as beside:
            others = [beside.create_task(cache.maintain()), beside.create_task(_read(cache, waits))]
            async with asyncio.TaskGroup() as arriving:
                for _ in range(_AT_ONCE):
                    arriving.create_task(_come(cache, content, EVICTED // _AT_ONCE))
            taken, worked = time.monotonic() - began, _cpu() - cpu
            for task in others:
                task.cancel()
        gone = cache.facts().evicted_blocks - before
    waits.sort()
    return {
        "evicted": gone,
        "blocks_a_second": gone / taken,
        "cpu_us_a_block": worked / gone * 1e6,
        "reads_meanwhile": len(waits),
        "read_median_ms": waits[len(waits) // 2] * 1e3,
        "read_99th_ms": waits[len(waits) * 99 // 100] * 1e3,
    }


async def _come(cache: DiskCache, content: bytes, blocks: int) -> None:
    for _ in range(blocks):
        if not await cache.put(_new_id(), content):
            raise RuntimeError("a block was not kept")


async def _read(cache: DiskCache, waits: list[float]) -> None:
    """Read a small block again and again: it is always the one that was used last."""
    content = secrets.token_bytes(64 * 1024)
    block = block_id(content)
    while True:
        if not cache.holds(block):
            await cache.put(block, content)
        began = time.monotonic()
        if await cache.get(block) is None:
            raise RuntimeError("a block in use was evicted")
        waits.append(time.monotonic() - began)
        await asyncio.sleep(_READ_EVERY_S)


def _new_id() -> BlockId:
    """Return a name for any content: the cache takes blocks that were verified before."""
    return BlockId(secrets.token_bytes(32))


def _cpu() -> float:
    times = os.times()
    return times.user + times.system
