"""The cache of a home, opened, with what is pinned in it: what a daemon begins with."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from lucidnode.node.cache.disk import DiskCache
from lucidnode.node.cache.eviction import LeastRecentlyUsed
from lucidnode.node.cache.mark import CacheMark, take
from lucidnode.node.cache_moves import clear_up
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock, SystemClock
from lucidnode.node.client.errors import NodeError
from lucidnode.node.config import cache_directory, change_config, load_config
from lucidnode.node.current_settings import CurrentSettings
from lucidnode.node.pins.book import PINS_FILE, PinBook
from lucidnode.node.pins.pinned_blocks import PinnedBlocks

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OpenedCache:
    """Made by `opened_cache`."""

    clock: Clock
    alerts: Alerts
    """Of all that works over it."""
    mark: CacheMark
    cache: DiskCache
    book: PinBook
    pinned: PinnedBlocks


@contextlib.asynccontextmanager
async def opened_cache(home: Path, settings: CurrentSettings) -> AsyncIterator[OpenedCache]:
    """Open the cache of *home*, and the book of what is pinned. Raises Refused, DiskFull, OSError."""
    clock = SystemClock()
    alerts = Alerts(clock)
    mark = await asyncio.to_thread(_cache_mark, home)
    # Nobody waits for it, or for a disk that hangs.
    threading.Thread(target=_clear_up, args=(home,), name="cache-moves", daemon=True).start()
    with contextlib.closing(await asyncio.to_thread(PinBook, home / PINS_FILE)) as book:
        pinned = PinnedBlocks(await asyncio.to_thread(book.all))
        room = settings.room
        async with DiskCache.open(
            mark, room.limit, room.left_alone, clock, alerts, LeastRecentlyUsed, pinned
        ) as cache:
            yield OpenedCache(clock, alerts, mark, cache, book, pinned)


def _clear_up(home: Path) -> None:
    """Take away what moves of the cache have left."""
    try:
        clear_up(home)
    except (OSError, NodeError) as error:
        log.info("what a move of the cache has left stays for now: %s", error)


def _cache_mark(home: Path) -> CacheMark:
    """Return what the cache directory must carry; the first start makes it and remembers it."""
    config = load_config(home)  # as it is on disk, without what is for this run alone
    directory = cache_directory(home, config)
    if config.cache_id is not None:
        return CacheMark(directory, config.cache_id)
    try:
        taken = take(directory)
        change_config(home, partial(msgspec.structs.replace, cache_id=taken))
    except (OSError, NodeError) as error:
        log.warning("the cache directory %s is not marked yet: %s", directory, error)
        return CacheMark(directory, None)
    return CacheMark(directory, taken)
