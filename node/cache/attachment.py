"""The cache directory that is open now, and the accounting of what is in it.

They go together: when the directory was removed, or its disk comes back, both are replaced. The
accounting is kept on the event loop and follows each change to its end, whoever still waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lucidnode.node.cache.accounting import CacheAccounting, Pinned
from lucidnode.node.cache.change import CacheChange, Insertion
from lucidnode.node.cache.directory import CacheDirectory
from lucidnode.node.cache.eviction import NewPolicy
from lucidnode.node.cache.mark import CacheMark, CacheMissing
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.disk_words import said_by
from lucidnode.node.client.errors import Refused
from lucidnode.node.client.guarded_disk import DiskAlert, GuardedDisk
from lucidnode.node.client.ids import BlockId

log = logging.getLogger(__name__)

READER_THREADS = 4
TIMEOUT_S = 5.0
"""Seconds after which a disk that has not answered counts as hanging: longer than for a mount, which
has somebody else to ask."""

BATCH = 256
"""Blocks that one change takes away at most, of many that have to go: what is to be kept waits for it."""

_BATCH_S = 30.0
"""Seconds after which a disk that deletes a batch counts as hanging: a loaded one may seek for each file.
What waits behind one waits as long."""

_OPENING_S = 60.0

_CONFIGURATION = {errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class AttachedDirectory:
    """`directory` is None, and `accounting` empty, while its disk lets nobody open it."""

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
        """As `DiskCache.open`."""
        self._mark = mark
        self._path = mark.directory
        self._limit = limit
        self._policy = policy
        self._pinned = pinned
        self.floor = _floor(min_free)
        """The bytes of disk that are free after an eviction for others."""
        self.directory: CacheDirectory | None = None
        self.accounting = CacheAccounting(OrderedDict(), limit, policy, pinned)
        self.free = 0
        """The bytes of disk that were free at the last look."""
        self._work: set[asyncio.Future[CacheChange] | asyncio.Future[CacheDirectory]] = set()
        self._opening: asyncio.Future[CacheDirectory] | None = None
        # A disk that turned read-only is still good to read.
        what = f"the cache in {self._path}"
        alert = DiskAlert(what, alerts)
        self.reading, self.writing = (
            GuardedDisk(what, threads=threads, clock=clock, alert=alert, deadline_s=TIMEOUT_S)
            for threads in (READER_THREADS, 1)
        )

    def change(
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
        leaving = self.accounting.begin(evictees, insertion, bad=bad)
        if evictees:
            log.debug(
                "%s: %d blocks, first %s",
                "drop" if bad else "evict for an arrival" if insertion else "evict for the disk",
                len(evictees),
                evictees[0].hex()[:8],
            )
        changing = self.writing.begin(partial(directory.change, leaving, insertion, self.floor))
        self._work.add(changing)
        accounting = self.accounting

        def changed(ended: asyncio.Future[CacheChange]) -> None:
            self._work.discard(ended)
            if ended.cancelled():
                return  # it had not begun when the cache was closed, on a disk that hangs
            change = ended.result()
            accounting.end(leaving, insertion, change, bad=bad)
            if accounting is not self.accounting:
                return  # the directory was replaced meanwhile, and says nothing about the new one
            if change.fault is None:
                self.writing.answered()
            else:
                self.writing.failed(change.fault)

        changing.add_done_callback(changed)
        return changing

    def resize(self, limit: int, min_free: int) -> None:
        """Go by other bounds from now on, in bytes; what is too much begins to go."""
        self._limit, self.floor = limit, _floor(min_free)
        self.accounting.resize(limit)
        if self.directory is not None and not self.writing.left_alone:
            self._drop_excess(self.directory)

    def _drop_excess(self, directory: CacheDirectory) -> None:
        """Begin to drop what is too much. The rest goes with the next rounds of maintenance."""
        excess = self.accounting.first_to_go(self.accounting.excess, BATCH)
        if excess:
            self._work.add(self.change(directory, excess))

    def drop(self, block: BlockId) -> None:
        """Begin to delete a block that turned out missing or bad. It is not held from now on."""
        if block in self.accounting and self.directory is not None:
            self._work.add(self.change(self.directory, [block], bad=True))

    async def record_uses(self, directory: CacheDirectory) -> None:
        """Tell the index what was used, and look how much disk is free."""
        recording = self.writing.begin(partial(directory.record_uses, self.accounting.drain_used()))
        recording.add_done_callback(self._recorded)
        await self.ended(recording)

    async def ended(self, *works: asyncio.Future[Any]) -> OSError | None:
        """Wait for *works* on the writing side, which may take long; return the fault of a disk that hangs in them."""
        if not works:
            return None
        if self.writing.left_alone:
            return OSError(errno.EIO, "its disk is left alone for now")
        _, hanging = await asyncio.wait(works, timeout=_BATCH_S)
        if not hanging:
            return None
        fault = OSError(errno.ETIMEDOUT, f"no answer for {_BATCH_S:g} s")
        self.writing.failed(fault)
        return fault

    async def settle(self) -> OSError | None:
        """Wait for the changes that are under way; return why that was given up, as `ended`."""
        return await self.ended(*self._work)

    def _recorded(self, recording: asyncio.Future[int]) -> None:
        if recording.cancelled():
            return  # it had not begun when the cache was closed, on a disk that hangs
        match recording.exception():
            case None:
                self.free = recording.result()
            case OSError() as fault:
                self.writing.failed(fault)
            case _:
                pass

    async def probe(self, directory: CacheDirectory) -> None:
        """Try a disk that was left alone."""
        for disk, attempt in (
            (self.reading, directory.probe_reading),
            (self.writing, directory.probe_writing),
        ):
            try:
                await self.writing.begin(attempt)
            except OSError as fault:
                disk.failed(fault)
                if fault.errno == errno.ESTALE:
                    await self._replace(directory)
                    return
            else:
                disk.answered()

    async def _replace(self, directory: CacheDirectory) -> None:
        """Let go of a directory that was removed, and begin again where it was."""
        self.directory = None
        self.accounting = CacheAccounting(OrderedDict(), self._limit, self._policy, self._pinned)
        with contextlib.suppress(OSError):  # its index went with it
            await self.writing.begin(partial(directory.close, clean=False))
        await self.reattach()

    async def reattach(self) -> None:
        """Try again to open the directory, unless that is still under way."""
        if self._opening is not None and not self._opening.done():
            return
        with contextlib.suppress(Refused):  # another daemon was quicker; `_opened` said so
            await self.attach()

    async def attach(self) -> None:
        """Open the directory, or leave the cache off until the next try if its disk fails now.

        Raises Refused if another daemon has it, or this user may not use it.
        """
        opening = self._opening = self.writing.begin(partial(_open, self._mark))
        self._work.add(opening)
        opening.add_done_callback(self._opened)
        # An index of millions takes its time on a slow disk; after that it comes when it comes.
        await asyncio.wait({opening}, timeout=_OPENING_S)
        if not opening.done():
            self.writing.failed(OSError(errno.ETIMEDOUT, f"no answer for {_OPENING_S:g} s"))
            return
        fault = opening.exception()
        if isinstance(fault, OSError):
            if fault.errno in _CONFIGURATION:
                reason = f"the cache directory {self._path} cannot be used: {said_by(fault)}"
                raise Refused(reason) from fault
            return
        await self.record_uses(opening.result())

    def _opened(self, opening: asyncio.Future[CacheDirectory]) -> None:
        self._work.discard(opening)
        if opening.cancelled():
            return
        match opening.exception():
            case None:
                directory = self.directory = opening.result()
                self.accounting = CacheAccounting(
                    directory.take_found(), self._limit, self._policy, self._pinned
                )
                self.reading.answered()
                self.writing.answered()
                self._drop_excess(directory)
            case Refused() as refused:
                self.writing.failed(OSError(errno.ESTALE, str(refused)))
            case CacheMissing() as missing:
                self.writing.failed(missing)
            case OSError() as fault:
                self.writing.failed(OSError(errno.ESTALE, said_by(fault)))
            case _:
                pass  # a broken invariant; whoever awaits the opening raises it

    async def close(self) -> None:
        """Finish what was begun, as far as the disk answers."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TIMEOUT_S):
                while self._work:
                    await asyncio.wait(self._work)
                if self.directory is not None:
                    await self.record_uses(self.directory)
                    with contextlib.suppress(OSError):
                        clean = not self.writing.left_alone
                        await self.writing.begin(partial(self.directory.close, clean=clean))
        self.reading.close()
        self.writing.close()


def _floor(min_free: int) -> int:
    return min_free + min_free // 4


def _open(mark: CacheMark) -> CacheDirectory:
    return CacheDirectory.open(mark, _BOOT_ID.read_text().strip())
