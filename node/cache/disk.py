"""The block cache of this node: ciphertext on local disk, up to a limit, least recently used out.

A cache has misses, not errors. Whatever the disk does (full, read-only, hanging, damaged,
removed), a get is a block or nothing, a put is kept or not kept, and reads go on elsewhere.

All state is changed on the event loop. Disk work runs in threads of this cache's own, so that a
hanging disk holds up nobody else's: reads in a few, changes in a single one, in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

from lucidnode.node.cache.breaker import Breaker
from lucidnode.node.cache.directory import Arrival, CacheDirectory, Change
from lucidnode.node.cache.eviction import LruOrder, disk_bytes
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Corrupt, Refused
from lucidnode.node.client.ids import BlockId
from lucidnode.node.client.staging import BLOCKS, cached_path

READERS = 4
DEADLINE = 5.0
"""Seconds after which a disk that has not answered counts as hanging."""

UPKEEP = 1.0
"""Seconds between rounds of upkeep, and so the most that an index can be behind."""

_CLEAR_BATCH = 256
_CONFIGURATION = {errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class CacheFacts:
    """What the cache can say about itself. Bytes are bytes of disk."""

    directory: str
    working: bool
    blocks: int
    bytes: int
    limit: int
    min_free: int
    free: int
    evicted_blocks: int
    corrupt_blocks: int
    faults: int


class DiskCache:
    """Blocks on disk. Opened with `async with DiskCache.open(...)`; somebody runs `upkeep`."""

    def __init__(
        self,
        path: Path,
        limit: int,
        min_free: int,
        clock: Clock,
        trouble: Callable[[str], None],
    ) -> None:
        self._path = path
        self._limit = limit
        self._min_free = min_free
        self._clock = clock
        self._trouble = trouble
        self._directory: CacheDirectory | None = None
        self._order = LruOrder()
        self._used: dict[BlockId, None] = {}  # since the index was last told, in order of use
        self._moving: set[BlockId] = set()  # arriving or leaving; never in the order
        self._arriving_bytes = 0
        self._work: set[asyncio.Future[Change] | asyncio.Future[CacheDirectory]] = set()
        self._read_breaker = Breaker(clock)
        self._write_breaker = Breaker(clock)
        self._free = 0
        self._evicted_blocks = 0
        self._corrupt_blocks = 0
        self._faults = 0
        self._readers = ThreadPoolExecutor(READERS, "cache-read")
        self._changer = ThreadPoolExecutor(1, "cache-change")

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        path: Path,
        limit: int,
        min_free: int,
        clock: Clock,
        trouble: Callable[[str], None],
    ) -> AsyncIterator[Self]:
        """Open the cache directory *path* for this process alone.

        It holds at most *limit* bytes, and gives way while less than *min_free* bytes of disk are
        free. Give it a greater *min_free* than staging has, so that it gives way to writers.
        *trouble* is told, in a sentence, what a person should hear of.

        Raises Refused if another daemon has the directory or this user may not use it. A disk
        that is full or failing now does not stop a node: the cache starts empty and tries again.
        """
        cache = cls(path, limit, min_free, clock, trouble)
        try:
            await cache._attach()
            yield cache
        finally:
            await cache._close()

    # -- what callers ask --------------------------------------------------------------------------

    @property
    def blocks_dir(self) -> Path:
        """Return the directory below which the block files are (node/client/staging.py)."""
        return self._path / BLOCKS

    def path(self, block: BlockId) -> Path:
        """Return where the file of *block* is if it is held. It may go at any time."""
        return cached_path(self.blocks_dir, block)

    def holds(self, block: BlockId) -> bool:
        """Return whether a get of *block* would most likely succeed."""
        return block in self._order and not self._read_breaker.open

    def touch(self, blocks: Iterable[BlockId]) -> None:
        """Note that *blocks* were just used by somebody who read their files; any not held pass."""
        for block in blocks:
            if block in self._order:
                self._use(block)

    async def get(self, block: BlockId) -> bytes | None:
        """Return the verified block, or None if it is not held.

        A block that fails its check is dropped, counted and reported as not held.
        """
        directory = self._directory
        if directory is None or not self.holds(block):
            return None
        loop = asyncio.get_running_loop()
        reading = loop.run_in_executor(self._readers, directory.read, block)
        reading.add_done_callback(partial(self._read_ended, block))
        # wait() leaves the thread alone on timeout and cancellation: its end is accounted for
        # by the callback, which also runs before we are woken.
        await asyncio.wait({reading}, timeout=DEADLINE)
        if not reading.done():
            self._failed(self._read_breaker, "does not answer", grave=True)
            return None
        if isinstance(reading.exception(), OSError | Corrupt):
            return None
        return reading.result()

    async def put(self, block: BlockId, ciphertext: bytes) -> bool:
        """Keep *ciphertext*, already verified to be *block*; return whether it is held now."""
        return await self._admit(Arrival(block, len(ciphertext), ciphertext))

    async def adopt(self, block: BlockId, staged: Path, size: int) -> None:
        """Move the file *staged* of *size* bytes into the cache if it can be kept.

        If it cannot, or the block is held already, the file stays where it is.
        """
        await self._admit(Arrival(block, size, staged))

    async def clear(self) -> int:
        """Drop every block, and return the bytes of disk that were freed."""
        freed = 0
        directory = self._directory
        while directory is not None and directory is self._directory and len(self._order):
            batch = self._order.oldest(self._order.bytes)[:_CLEAR_BATCH]
            before = self._order.bytes
            change = await self._remove(directory, batch)
            freed += ...
            if change.fault:
                break
        return freed

    def facts(self) -> CacheFacts:
        """Return the figures of this moment; free space is that of the last look."""
        return CacheFacts(
            directory=str(self._path),
            working=not (self._read_breaker.open or self._write_breaker.open),
            blocks=len(self._order),
            bytes=self._order.bytes + self._arriving_bytes,
            limit=self._limit,
            min_free=self._min_free,
            free=self._free,
            evicted_blocks=self._evicted_blocks,
            corrupt_blocks=self._corrupt_blocks,
            faults=self._faults,
        )

    async def upkeep(self) -> None:
        """Run until cancelled: record uses, give way on a filling disk, probe a failed one."""
        while True:
            await self._clock.sleep(UPKEEP)
            await self.tend()

    async def tend(self) -> None:
        """Do one round of upkeep."""
        directory = self._directory
        if directory is None:
            if self._write_breaker.due:
                await self._attach()
        elif self._write_breaker.due or self._read_breaker.due:
            await self._probe(directory)
        elif not self._write_breaker.open:
            await self._flush(directory)
            excess = self._order.oldest(self._min_free - self._free)
            if excess and not self._write_breaker.open:
                await self._settled(self._start(directory, excess, None))

    # -- reading -----------------------------------------------------------------------------------

    def _read_ended(self, block: BlockId, reading: asyncio.Future[bytes]) -> None:
        match reading.exception():
            case None:
                self._read_breaker.succeeded()
                self.touch([block])
            case FileNotFoundError():
                self._drop(block)
            case Corrupt():
                self._corrupt_blocks += 1
                self._trouble(f"a cached block was damaged on disk and dropped: {block.hex()}")
                self._drop(block)
            case OSError() as error:
                self._drop(block)
                self._failed(self._read_breaker, _reason(error))
            case _:
                pass  # a broken invariant; the awaiting caller raises it

    def _use(self, block: BlockId) -> None:
        self._order.touch(block)
        self._used.pop(block, None)
        self._used[block] = None

    # -- changing ----------------------------------------------------------------------------------

    async def _admit(self, arrival: Arrival) -> bool:
        """Keep *arrival*, evicting for it; a second time if the disk turns out fuller than that."""
        shortfall = 0
        for _ in range(2):
            if arrival.block in self._order:
                self._use(arrival.block)
                return True
            directory = self._directory
            if directory is None or self._write_breaker.open or arrival.block in self._moving:
                return False
            charge = disk_bytes(arrival.size)
            excess = self._order.bytes + self._arriving_bytes + charge - self._limit
            if excess > self._order.bytes:
                return False
            victims = self._order.oldest(max(excess, shortfall))
            changing = self._start(directory, victims, arrival)
            await asyncio.wait({changing}, timeout=DEADLINE)
            if not changing.done():
                self._failed(self._write_breaker, "does not answer", grave=True)
                return False
            change = changing.result()
            shortfall = change.shortfall
            if not shortfall:
                return change.kept
        return False

    def _drop(self, block: BlockId) -> None:
        """Begin to delete a block that turned out missing or bad."""
        if block in self._order and self._directory is not None:
            self._start(self._directory, [block], None)

    def _start(
        self, directory: CacheDirectory, victims: list[BlockId], arrival: Arrival | None
    ) -> asyncio.Future[Change]:
        """Begin a change; the books are right before and after it, whoever waits or does not."""
        leaving = {block: self._order.remove(block) for block in victims}
        for block in victims:
            self._used.pop(block, None)
        self._moving.update(victims)
        if arrival is not None:
            self._moving.add(arrival.block)
            self._arriving_bytes += disk_bytes(arrival.size)
        changing = asyncio.get_running_loop().run_in_executor(
            self._changer, directory.change, leaving, arrival, self._min_free
        )
        self._changes.add(changing)
        changing.add_done_callback(partial(self._changed, directory, leaving, arrival))
        return changing

    def _changed(
        self,
        directory: CacheDirectory,
        leaving: dict[BlockId, int],
        arrival: Arrival | None,
        changing: asyncio.Future[Change],
    ) -> None:
        self._changes.discard(changing)
        self._moving.difference_update(leaving)
        if arrival is not None:
            self._moving.discard(arrival.block)
            self._arriving_bytes -= disk_bytes(arrival.size)
        change = changing.result()
        if directory is not self._directory:
            return  # it was replaced meanwhile, and its books with it
        for block in change.removed:
            self._evicted_blocks += 1
            self._evicted_bytes += disk_bytes(leaving[block])
        for block in leaving.keys() - set(change.removed):
            self._order.restore(block, leaving[block])
        if arrival is not None and change.kept:
            self._order.add(arrival.block, arrival.size)
            self._use(arrival.block)
        if change.fault is not None:
            self._changing_failed(change.fault)
        else:
            self._write_breaker.succeeded()

    async def _settled(self, changing: asyncio.Future[Change]) -> Change:
        """Wait for a change without a deadline and without letting our cancellation into it."""
        await asyncio.wait({changing})
        return changing.result()

    # -- faults and recovery -----------------------------------------------------------------------

    def _failed(self, breaker: Breaker, reason: str, *, grave: bool = False) -> None:
        self._faults += 1
        if breaker.failed(grave=grave):
            self._trouble(f"the cache is off for now, its disk {reason}: {self._path}")

    def _changing_failed(self, fault: OSError) -> None:
        self._failed(self._write_breaker, _reason(fault), grave=fault.errno == errno.ESTALE)

    async def _flush(self, directory: CacheDirectory) -> None:
        """Tell the index what was used, and look how much disk is free."""
        used = [(block, self._order.size(block)) for block in self._used]
        self._used.clear()
        try:
            self._free = await self._in_changer(_settle_and_look, directory, used)
        except OSError as fault:
            self._changing_failed(fault)

    async def _probe(self, directory: CacheDirectory) -> None:
        """Try a disk that was left alone; open the directory anew if it was replaced."""
        try:
            await self._in_changer(directory.probe)
        except OSError as fault:
            if fault.errno == errno.ESTALE:
                self._directory = None
                self._order = LruOrder()
                self._used.clear()
                with contextlib.suppress(OSError):
                    await self._in_changer(partial(directory.close, clean=False))
                await self._attach()
                return
            self._changing_failed(fault)
            # A disk that turned read-only is still good to read.
            with contextlib.suppress(OSError):
                await self._in_changer(_look, directory)
                self._read_breaker.succeeded()
        else:
            self._write_breaker.succeeded()
            self._read_breaker.succeeded()

    async def _attach(self) -> None:
        """Open the directory and enter what it holds, or leave the cache off until the next try."""
        boot = await self._in_changer(_boot_id)
        ...
