"""The block cache of this node: ciphertext on local disk, up to a limit. A policy says what goes first.

A cache has misses, not errors. Whatever the disk does (full, read-only, hanging, damaged,
removed), a get is a block or nothing, a put is kept or not kept, and reads go on elsewhere.

The books are kept on the event loop. Disk work runs in threads of this cache's own, so that a
hanging disk holds up nobody else's: reads in a few, changes in a single one, in order. Callers
wait a bounded time for a thread and may be cancelled; the books follow the thread to its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

from lucidnode.node.cache.accounting import CacheAccounting
from lucidnode.node.cache.change import CacheChange, Insertion, Whose
from lucidnode.node.cache.directory import CacheDirectory
from lucidnode.node.cache.eviction import LeastRecentlyUsed, NewPolicy
from lucidnode.node.cache.mark import CacheMark, CacheMissing
from lucidnode.node.client.alerts import EVENT_S, Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.disk_words import said_by
from lucidnode.node.client.errors import Corrupt, Refused
from lucidnode.node.client.guarded_disk import DiskAlert, GuardedDisk
from lucidnode.node.client.ids import BlockId
from lucidnode.node.client.staging import BLOCKS, cached_path

log = logging.getLogger(__name__)

READER_THREADS = 4
TIMEOUT_S = 5.0
"""Seconds after which a disk that has not answered counts as hanging: longer than for a mount, which
has somebody else to ask."""

MAINTENANCE_INTERVAL_S = 1.0
"""Seconds between rounds of upkeep, and so the most that the index is behind."""

_CLEAR_BATCH = 256
_CONFIGURATION = {errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}
_NO_FAULT_OF_A_BLOCK = {
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.EACCES,
    errno.EPERM,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
}
"""Faults under which every block would be dropped, and each of them is as good as it was."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class CacheStatus:
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
    """Blocks on disk. Opened with `async with DiskCache.open(...)`; somebody runs `maintain`."""

    def __init__(
        self,
        mark: CacheMark,
        limit: int,
        min_free: int,
        clock: Clock,
        alerts: Alerts,
        policy: NewPolicy,
    ) -> None:
        self._mark = mark
        self._path = mark.directory
        self._limit = limit
        self._min_free = min_free
        self._floor = min_free + min_free // 4
        self._clock = clock
        self._alerts = alerts
        self._directory: CacheDirectory | None = None
        self._policy = policy
        self._accounting = CacheAccounting([], limit, policy)
        self._work: set[asyncio.Future[CacheChange] | asyncio.Future[CacheDirectory]] = set()
        # A disk that turned read-only is still good to read.
        what = f"the cache in {self._path}"
        alert = DiskAlert(what, alerts)
        self._reading, self._writing = (
            GuardedDisk(what, threads=threads, clock=clock, alert=alert, deadline_s=TIMEOUT_S)
            for threads in (READER_THREADS, 1)
        )
        self._free = 0
        self._evicted_blocks = 0
        self._corrupt_blocks = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        mark: CacheMark,
        limit: int,
        min_free: int,
        clock: Clock,
        alerts: Alerts,
        policy: NewPolicy = LeastRecentlyUsed,
    ) -> AsyncIterator[Self]:
        """Open the cache directory of *mark* for this process alone.

        It holds at most *limit* bytes, and gives way while less disk is free than *min_free*
        bytes and a quarter: what is between the two is for writers, who stage down to *min_free*.
        *policy* says which blocks go first (node/cache/eviction.py).

        Raises Refused if another daemon has the directory or this user may not use it. A disk
        that is full or failing now, or is not mounted, does not stop a node: the cache starts empty
        and tries again.
        """
        cache = cls(mark, limit, min_free, clock, alerts, policy)
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
        return block in self._accounting and not self._reading.left_alone

    def touch(self, blocks: Iterable[BlockId]) -> None:
        """Note that *blocks* were just used by somebody who read their files; any not held pass."""
        for block in blocks:
            if block in self._accounting:
                self._accounting.use(block, "ours")

    async def get(self, block: BlockId) -> bytes | None:
        """Return the verified block, or None if it is not held.

        A block that fails its check is dropped, counted and reported as not held.
        """
        directory = self._directory
        if directory is None or not self.holds(block):
            return None
        reading = self._reading.begin(partial(directory.read, block))
        reading.add_done_callback(partial(self._read_ended, block))
        try:
            return await self._reading.answer(reading)
        except (OSError, Corrupt):
            return None

    async def put(self, block: BlockId, ciphertext: bytes, whose: Whose = "ours") -> bool:
        """Keep *ciphertext*, already verified to be *block*; return whether it is held now.

        What is not *ours* does not push out what is (node/cache/accounting.py).
        """
        return await self._admit(Insertion(block, len(ciphertext), ciphertext, whose))

    async def adopt(self, block: BlockId, staged: Path, size: int) -> None:
        """Move the file *staged* of *size* bytes into the cache if it can be kept.

        If it cannot, or the block is held already, the file stays where it is.
        """
        await self._admit(Insertion(block, size, staged))

    async def clear(self) -> int:
        """Drop every block, and return the bytes of disk that were freed."""
        before = self._accounting.bytes
        directory = self._directory
        while directory is not None and directory is self._directory and len(self._accounting):
            batch = self._accounting.first_to_go(self._accounting.bytes)[:_CLEAR_BATCH]
            changing = self._start(directory, batch)
            await asyncio.wait({changing})
            if changing.result().fault is not None:
                break
        return max(0, before - self._accounting.bytes)

    def facts(self) -> CacheStatus:
        """Return the figures of this moment; free space is that of the last look."""
        return CacheStatus(
            directory=str(self._path),
            working=not (self._reading.left_alone or self._writing.left_alone),
            blocks=len(self._accounting),
            bytes=self._accounting.bytes,
            limit=self._limit,
            min_free=self._min_free,
            free=self._free,
            evicted_blocks=self._evicted_blocks,
            corrupt_blocks=self._corrupt_blocks,
            faults=self._reading.faults + self._writing.faults,
        )

    async def maintain(self) -> None:
        """Run until cancelled: record uses, give way on a filling disk, probe a failed one."""
        while True:
            await self._clock.sleep(MAINTENANCE_INTERVAL_S)
            await self.maintain_once()

    async def maintain_once(self) -> None:
        """Do one round of upkeep."""
        directory = self._directory
        if directory is None:
            if self._writing.due:
                await self._reattach()
        elif self._writing.due or self._reading.due:
            await self._probe(directory)
        elif not self._writing.left_alone:
            await self._record_uses(directory)
            await self._evict_to_min_free(directory)

    # -- reading -----------------------------------------------------------------------------------

    def _read_ended(self, block: BlockId, reading: asyncio.Future[bytes]) -> None:
        match reading.exception():
            case None:
                self._reading.answered()
                # Who asked is not known here: mounts say themselves what they use.
                if block in self._accounting:
                    self._accounting.use(block, "read for a peer")
            case FileNotFoundError():
                self._drop(block)
            case Corrupt():
                if block in self._accounting:  # else another reading has said so
                    self._corrupt_blocks += 1
                    self._alerts.begin(
                        "cache-damaged",
                        f"A cached block was damaged on disk and dropped: {block.hex()}.",
                        f"If it goes on, the disk of {self._path} is failing: replace it.",
                        lasts_s=EVENT_S,
                    )
                self._drop(block)
            case OSError() as fault:
                if fault.errno not in _NO_FAULT_OF_A_BLOCK:
                    self._drop(block)  # a bad sector, for all we know: elsewhere it may last
                self._reading.failed(fault)
            case _:
                pass  # a broken invariant; whoever awaits the reading raises it

    # -- changing ----------------------------------------------------------------------------------

    async def _admit(self, insertion: Insertion) -> bool:
        """Keep *insertion*, evicting for it; a second time if the disk turns out fuller than that."""
        reclaim_bytes = 0
        for _ in range(2):
            if insertion.block in self._accounting:
                self._accounting.use(insertion.block, insertion.whose)
                return True
            directory = self._directory
            evictees = self._accounting.evictees(insertion, reclaim_bytes)
            if directory is None or evictees is None or self._writing.left_alone:
                return False
            changing = self._start(directory, evictees, insertion)
            try:
                change = await self._writing.answer(changing)
            except OSError:
                return False
            self._evicted_blocks += len(change.removed)
            reclaim_bytes = change.reclaim_bytes
            if not reclaim_bytes:
                return change.kept
        return False

    async def _evict_to_min_free(self, directory: CacheDirectory) -> None:
        """Evict what the rest of the disk needs."""
        evictees = self._accounting.first_to_go(self._floor - self._free)
        if evictees and not self._writing.left_alone:
            changing = self._start(directory, evictees)
            await asyncio.wait({changing})
            self._evicted_blocks += len(changing.result().removed)

    def _drop(self, block: BlockId) -> None:
        """Begin to delete a block that turned out missing or bad. It is not held from now on."""
        if block in self._accounting and self._directory is not None:
            self._work.add(self._start(self._directory, [block], bad=True))

    def _start(
        self,
        directory: CacheDirectory,
        evictees: Sequence[BlockId],
        insertion: Insertion | None = None,
        *,
        bad: bool = False,
    ) -> asyncio.Future[CacheChange]:
        """Begin a change and enter it; its end is entered whoever still waits for it or does not.

        That end is entered before anyone who waits is woken.
        """
        leaving = self._accounting.begin(evictees, insertion)
        if evictees:
            log.debug(
                "%s: %d blocks, first %s",
                "drop" if bad else "evict for an arrival" if insertion else "evict for the disk",
                len(evictees),
                evictees[0].hex()[:8],
            )
        changing = self._writing.begin(partial(directory.change, leaving, insertion, self._floor))
        self._work.add(changing)
        accounting = self._accounting

        def changed(ended: asyncio.Future[CacheChange]) -> None:
            self._work.discard(ended)
            change = ended.result()
            accounting.end(leaving, insertion, change, bad=bad)
            if accounting is not self._accounting:
                return  # the directory was replaced meanwhile, and says nothing about the new one
            if change.fault is None:
                self._writing.answered()
            else:
                self._writing.failed(change.fault)

        changing.add_done_callback(changed)
        return changing

    # -- faults and recovery -----------------------------------------------------------------------

    async def _record_uses(self, directory: CacheDirectory) -> None:
        """Tell the index what was used, and look how much disk is free."""
        used = self._accounting.drain_used()
        try:
            self._free = await self._writing.begin(partial(directory.record_uses, used))
        except OSError as fault:
            self._writing.failed(fault)

    async def _probe(self, directory: CacheDirectory) -> None:
        """Try a disk that was left alone."""
        for disk, attempt in (
            (self._reading, directory.probe_reading),
            (self._writing, directory.probe_writing),
        ):
            try:
                await self._writing.begin(attempt)
            except OSError as fault:
                disk.failed(fault)
                if fault.errno == errno.ESTALE:
                    await self._replace(directory)
                    return
            else:
                disk.answered()

    async def _replace(self, directory: CacheDirectory) -> None:
        """Let go of a directory that was removed, and begin again where it was."""
        self._directory = None
        self._accounting = CacheAccounting([], self._limit, self._policy)
        with contextlib.suppress(OSError):  # its index went with it
            await self._writing.begin(partial(directory.close, clean=False))
        await self._reattach()

    async def _reattach(self) -> None:
        with contextlib.suppress(Refused):  # another daemon was quicker; `_opened` said so
            await self._attach()

    async def _attach(self) -> None:
        """Open the directory, or leave the cache off until the next try if its disk fails now."""
        opening = self._writing.begin(partial(_open, self._mark))
        self._work.add(opening)
        opening.add_done_callback(self._opened)
        await asyncio.wait({opening})
        fault = opening.exception()
        if isinstance(fault, OSError):
            if fault.errno in _CONFIGURATION:
                reason = f"the cache directory {self._path} cannot be used: {said_by(fault)}"
                raise Refused(reason) from fault
            return
        await self._record_uses(opening.result())

    def _opened(self, opening: asyncio.Future[CacheDirectory]) -> None:
        self._work.discard(opening)
        match opening.exception():
            case None:
                directory = self._directory = opening.result()
                self._accounting = CacheAccounting(directory.found, self._limit, self._policy)
                self._reading.answered()
                self._writing.answered()
                excess = self._accounting.first_to_go(self._accounting.bytes - self._limit)
                if excess:
                    self._work.add(self._start(directory, excess))
            case Refused() as refused:
                self._writing.failed(OSError(errno.ESTALE, str(refused)))
            case CacheMissing() as missing:
                self._writing.failed(missing)
            case OSError() as fault:
                self._writing.failed(OSError(errno.ESTALE, said_by(fault)))
            case _:
                pass  # a broken invariant; whoever awaits the opening raises it

    async def _close(self) -> None:
        """Finish what was begun, as far as the disk answers."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TIMEOUT_S):
                while self._work:
                    await asyncio.wait(self._work)
                if self._directory is not None:
                    await self._record_uses(self._directory)
                    with contextlib.suppress(OSError):
                        clean = not self._writing.left_alone
                        await self._writing.begin(partial(self._directory.close, clean=clean))
        self._reading.close()
        self._writing.close()


def _open(mark: CacheMark) -> CacheDirectory:
    return CacheDirectory.open(mark, _BOOT_ID.read_text().strip())
