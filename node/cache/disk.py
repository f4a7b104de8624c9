"""The block cache of this node: ciphertext on local disk, up to a limit. A policy says what goes first.

A cache has misses, not errors. Whatever the disk does (full, read-only, hanging, damaged,
removed), a get is a block or nothing, a put is kept or not kept, and reads go on elsewhere.

The accounting is kept on the event loop. Disk work runs in threads of this cache's own, so that a
hanging disk holds up nobody else's: reads in a few, changes in a single one, in order. Callers
wait a bounded time for a thread and may be cancelled; the accounting follows the thread to its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from lucidnode.node.cache.accounting import Pinned
from lucidnode.node.cache.attachment import BATCH, AttachedDirectory
from lucidnode.node.cache.change import CacheChange, Insertion, Whose
from lucidnode.node.cache.directory import CacheDirectory
from lucidnode.node.cache.eviction import LeastRecentlyUsed, NewPolicy, disk_bytes
from lucidnode.node.cache.held_file import HeldFile
from lucidnode.node.cache.mark import CacheMark
from lucidnode.node.cache.verified import Ciphertext
from lucidnode.node.client.alerts import EVENT_S, Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.disk_words import said_by
from lucidnode.node.client.errors import Corrupt, Unavailable
from lucidnode.node.client.ids import BlockId
from lucidnode.node.client.staging import BLOCKS, cached_path

T = TypeVar("T")

MAINTENANCE_INTERVAL_S = 1.0
"""Seconds between rounds of maintenance, and so the most that the index is behind."""

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


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """What the cache can say about itself. Bytes are bytes of disk."""

    directory: str
    working: bool
    blocks: int
    """Of the bytes, also what is on its way out, until it is gone."""
    bytes: int
    limit: int
    min_free: int
    free: int
    evicted_blocks: int
    corrupt_blocks: int
    faults: int
    pinned_bytes: int
    """Of the bytes, those of blocks that never go."""


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
        pinned: Pinned,
    ) -> None:
        self._path = mark.directory
        self._limit = limit
        self._min_free = min_free
        self._clock = clock
        self._alerts = alerts
        self._disk = AttachedDirectory(mark, limit, min_free, clock, alerts, policy, pinned)
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
        pinned: Pinned = frozenset(),
    ) -> AsyncIterator[Self]:
        """Open the cache directory of *mark* for this process alone.

        It holds at most *limit* bytes, and evicts while less disk is free than *min_free*
        bytes and a quarter: what is between the two is for writers, who stage down to *min_free*.
        *policy* says which blocks go first (node/cache/eviction.py), *pinned* which never do, as far
        as they fill no more than their share.

        Raises Refused if another daemon has the directory or this user may not use it. A disk
        that is full or failing now, or is not mounted, does not stop a node: the cache starts empty
        and tries again.
        """
        cache = cls(mark, limit, min_free, clock, alerts, policy, pinned)
        try:
            await cache._disk.attach()
            yield cache
        finally:
            await cache._disk.close()

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
        return block in self._disk.accounting and not self._disk.reading.left_alone

    def touch(self, blocks: Iterable[BlockId]) -> None:
        """Note that *blocks* were just used by somebody who read their files; any not held pass."""
        for block in blocks:
            if block in self._disk.accounting:
                self._disk.accounting.use(block, "ours")

    async def get(self, block: BlockId) -> bytes | None:
        """Return the verified block, or None if it is not held.

        A block that fails its check is dropped, counted and reported as not held.
        """
        directory = self._disk.directory
        if directory is None or not self.holds(block):
            return None
        try:
            reading = self._begin_reading(block, partial(directory.read, block))
            return await self._disk.reading.answer(reading)
        except (OSError, Corrupt):
            return None

    async def open_held(self, block: BlockId) -> HeldFile | None:
        """Return the verified file of the block, for the caller to close, or None; as `get` does."""
        directory = self._disk.directory
        if directory is None or not self.holds(block):
            return None
        opening = self._begin_reading(
            block, partial(directory.open_held, block, self._disk.reading.begin)
        )
        try:
            return await self._disk.reading.answer(opening)
        except (OSError, Corrupt):
            opening.add_done_callback(_close_unwanted)  # it may have come too late
            return None
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unwanted)
            raise

    async def put(self, block: BlockId, ciphertext: Ciphertext, whose: Whose = "ours") -> bool:
        """Keep *ciphertext*, already verified to be *block*; return whether it is held now.

        What is not *ours* does not push out what is (node/cache/accounting.py).
        """
        return await self._admit(Insertion(block, len(ciphertext), ciphertext, whose))

    async def adopt(self, block: BlockId, staged: Path, size: int) -> None:
        """Move the file *staged* of *size* bytes into the cache if it can be kept.

        If it cannot, or the block is held already, the file stays where it is.
        """
        await self._admit(Insertion(block, size, staged))

    def repin(self, blocks: Iterable[BlockId]) -> None:
        """Ask anew whether each of *blocks* is pinned: that has changed."""
        self._disk.accounting.repin(blocks)

    @property
    def pin_room(self) -> int:
        """Return the bytes of disk that pinned blocks may take together."""
        return self._disk.accounting.kept_room

    def can_pin(self, size: int) -> bool:
        """Return whether a block of *size* bytes, not held yet, would be kept if it is pinned."""
        accounting = self._disk.accounting
        return accounting.kept_bytes + disk_bytes(size) <= accounting.kept_room

    async def clear(self) -> int:
        """Drop every block that is not pinned, and return the bytes of disk that were freed.

        Raises Unavailable when the disk fails or hangs: what is left stays.
        """
        # What another command has let go, and the disk has not yet, is for this one to wait for.
        if (fault := await self._disk.settle()) is not None:
            raise self._failing(fault)
        before = self._disk.accounting.bytes
        directory = self._disk.directory
        while directory is not None and directory is self._disk.directory:
            batch = self._disk.accounting.first_to_go(self._disk.accounting.bytes, BATCH)
            if not batch:
                break
            if (fault := (await self._removed(directory, batch)).fault) is not None:
                raise self._failing(fault)
        return max(0, before - self._disk.accounting.bytes)

    async def evict(self, blocks: Iterable[BlockId]) -> tuple[int, int]:
        """Drop those of *blocks* that are held, and not pinned; return how many went, and their bytes of disk.

        Raises as `clear`.
        """
        if (fault := await self._disk.settle()) is not None:  # as in `clear`
            raise self._failing(fault)
        count, freed, fault = await self._let_go(blocks)
        if fault is not None:
            raise self._failing(fault)
        return count, freed

    async def _let_go(self, blocks: Iterable[BlockId]) -> tuple[int, int, OSError | None]:
        """Do as `evict`, and return why not all went if the disk failed."""
        directory = self._disk.directory
        held = [block for block in dict.fromkeys(blocks) if self._may_go(block)]
        sizes = {block: disk_bytes(self._disk.accounting.size(block)) for block in held}
        gone: list[BlockId] = []
        fault: OSError | None = None
        while (
            held and fault is None and directory is not None and directory is self._disk.directory
        ):
            # Looked at again: others change the cache between two batches.
            batch = [block for block in held[:BATCH] if self._may_go(block)]
            change = await self._removed(directory, batch)
            gone += change.removed
            fault = change.fault
            del held[:BATCH]
        return len(gone), sum(sizes[block] for block in gone), fault

    def _may_go(self, block: BlockId) -> bool:
        accounting = self._disk.accounting
        return block in accounting and not accounting.is_kept(block)

    async def _removed(self, directory: CacheDirectory, blocks: list[BlockId]) -> CacheChange:
        """Delete *blocks*, which are held, and return what came of it."""
        if self._disk.writing.left_alone:
            return CacheChange(fault=OSError(errno.EIO, "its disk is left alone for now"))
        changing = self._disk.change(directory, blocks)
        fault = await self._disk.ended(changing)
        return changing.result() if fault is None else CacheChange(fault=fault)

    def _failing(self, fault: OSError) -> Unavailable:
        return Unavailable(
            f"The cache in {self._path} fails ({said_by(fault)})",
            "what it holds stays; look at its disk",
        )

    def resize(self, limit: int, min_free: int) -> None:
        """Go by other bounds, as of `open`, from now on; what is too much begins to go at once."""
        self._limit, self._min_free = limit, min_free
        self._disk.resize(limit, min_free)

    def facts(self) -> CacheStatus:
        """Return the figures of this moment; free space is that of the last look."""
        return CacheStatus(
            directory=str(self._path),
            working=not (self._disk.reading.left_alone or self._disk.writing.left_alone),
            blocks=len(self._disk.accounting) + self._disk.accounting.leaving_blocks,
            bytes=self._disk.accounting.occupied_bytes,
            limit=self._limit,
            min_free=self._min_free,
            free=self._disk.free,
            evicted_blocks=self._evicted_blocks,
            corrupt_blocks=self._corrupt_blocks,
            faults=self._disk.reading.faults + self._disk.writing.faults,
            pinned_bytes=self._disk.accounting.kept_bytes,
        )

    async def maintain(self) -> None:
        """Run until cancelled: record uses, evict on a filling disk, probe a failed one."""
        while True:
            await self._clock.sleep(MAINTENANCE_INTERVAL_S)
            await self.maintain_once()

    async def maintain_once(self) -> None:
        """Do one round of maintenance."""
        directory = self._disk.directory
        if directory is None:
            if self._disk.writing.due:
                await self._disk.reattach()
        elif self._disk.writing.due or self._disk.reading.due:
            await self._disk.probe(directory)
        elif not self._disk.writing.left_alone:
            await self._disk.record_uses(directory)
            await self._make_room()

    # -- reading -----------------------------------------------------------------------------------

    def _begin_reading(self, block: BlockId, read: Callable[[], T]) -> asyncio.Future[T]:
        reading = self._disk.reading.begin(read)
        reading.add_done_callback(partial(self._read_ended, block))
        return reading

    def _read_ended(self, block: BlockId, reading: asyncio.Future[T]) -> None:
        if reading.cancelled():
            return  # it had not begun when the cache was closed
        match reading.exception():
            case None:
                self._disk.reading.answered()
                # Who asked is not known here: mounts say themselves what they use.
                if block in self._disk.accounting:
                    self._disk.accounting.use(block, "read for a peer")
            case FileNotFoundError():
                self._disk.drop(block)
            case Corrupt():
                if block in self._disk.accounting:  # else another reading has said so
                    self._corrupt_blocks += 1
                    self._alerts.begin(
                        "cache-damaged",
                        f"A cached block was damaged on disk and dropped: {block.hex()}.",
                        f"If it goes on, the disk of {self._path} is failing: replace it.",
                        lasts_s=EVENT_S,
                    )
                self._disk.drop(block)
            case OSError() as fault:
                if fault.errno not in _NO_FAULT_OF_A_BLOCK:
                    self._disk.drop(block)  # a bad sector, for all we know: elsewhere it may last
                self._disk.reading.failed(fault)
            case _:
                pass  # a broken invariant; whoever awaits the reading raises it

    # -- changing ----------------------------------------------------------------------------------

    async def _admit(self, insertion: Insertion) -> bool:
        """Keep *insertion*, evicting for it; a second time if the disk turns out fuller than that."""
        reclaim_bytes = 0
        for _ in range(2):
            if insertion.block in self._disk.accounting:
                self._disk.accounting.use(insertion.block, insertion.whose)
                return True
            directory = self._disk.directory
            evictees = self._disk.accounting.evictees(insertion, reclaim_bytes)
            if directory is None or evictees is None or self._disk.writing.left_alone:
                return False
            changing = self._disk.change(directory, evictees, insertion)
            try:
                change = await self._disk.writing.answer(changing)
            except OSError:
                return False
            self._evicted_blocks += len(change.removed)
            reclaim_bytes = change.reclaim_bytes
            if not reclaim_bytes:
                return change.kept
        return False

    async def _make_room(self) -> None:
        """Evict what the rest of the disk needs, and what is beyond a limit that was lowered."""
        accounting = self._disk.accounting
        evictees = accounting.first_to_go(
            max(self._disk.floor - self._disk.free, accounting.excess)
        )
        if not self._disk.writing.left_alone:
            # In batches: what is to be kept meanwhile waits for one of them at most.
            gone, _, _ = await self._let_go(evictees)
            self._evicted_blocks += gone


def _close_unwanted(opening: asyncio.Future[HeldFile]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
