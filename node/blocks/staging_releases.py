"""Uploaded blocks on their way out of staging: each once a committed journal entry names it."""

from __future__ import annotations

import asyncio
import math
from collections import deque

from cachetools import LRUCache

from lucidnode.node.blocks.upload_queue import QueuedUploads, UploadKey
from lucidnode.node.cache.staging import Staging
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Unavailable

COMMIT_GRACE_S = 10.0
"""Seconds that an uploaded block waits for its commit before it is released all the same.

The bucket has it, so nothing depends on this; a commit may never come when a mount died before
it had one to make. It is less than a writer waits who finds staging full."""

STUCK_S = 15.0
"""Seconds after which a disk that moves one block hangs: more than the cache waits (node/cache/attachment.py)."""

_EXPIRE_INTERVAL_S = 1.0
_REMEMBERED = 65536


class StagingReleases:
    """Takes blocks out of staging, and remembers the last ones: the bucket has them."""

    def __init__(self, queue: QueuedUploads, staging: Staging, clock: Clock) -> None:
        self._queue = queue
        self._staging = staging
        self._clock = clock
        self._uncommitted: deque[tuple[float, UploadKey]] = deque()  # by boot time of their upload
        self._released: LRUCache[UploadKey, None] = LRUCache(_REMEMBERED)
        self._due: asyncio.Queue[UploadKey | asyncio.Future[None]] = asyncio.Queue()
        self._settling: set[asyncio.Future[None]] = set()
        self._at_it_since = math.inf
        """When the block began to move that is on its way out now, by the boot clock."""

    def expect_commit(self, key: UploadKey) -> None:
        """Note that *key* was uploaded: it is released once committed, or after COMMIT_GRACE_S."""
        self._uncommitted.append((self._clock.boot(), key))

    def release_soon(self, key: UploadKey) -> None:
        """Have *key* taken out of staging, if it is uploaded."""
        upload = self._queue.get(key)
        if upload is not None and upload.is_uploaded and not upload.releasing:
            upload.releasing = True
            self._due.put_nowait(key)

    def released(self, key: UploadKey) -> None:
        """Drop the entry of *key*, which left staging, but remember that the bucket has it."""
        self._queue.drop(key)
        self.remember(key)

    def remember(self, key: UploadKey) -> None:
        """Remember that the bucket has *key*, which is not staged."""
        self._released[key] = None

    def remembers(self, key: UploadKey) -> bool:
        """Return whether *key* is known to be in the bucket, and no longer staged."""
        return key in self._released

    async def settle(self) -> None:
        """Return once all that is due by now has left staging, and lies in the cache.

        Raises Unavailable when the disk has been at one block for STUCK_S.
        """
        passed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._due.put_nowait(passed)
        self._settling.add(passed)
        try:
            await passed
        finally:
            self._settling.discard(passed)

    async def run(self) -> None:
        """Release what is due until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._release_due())
            tasks.create_task(self._expire())

    async def _release_due(self) -> None:
        while True:
            due = await self._due.get()
            if isinstance(due, asyncio.Future):
                if not due.done():  # who waits may have given up
                    due.set_result(None)
                continue
            self._at_it_since = self._clock.boot()
            try:
                await self._staging.release(*due)
            except BaseException:
                self._put_back(due)
                raise
            finally:
                self._at_it_since = math.inf
            self.released(due)

    def _put_back(self, key: UploadKey) -> None:
        """Have *key* taken out of staging when we begin again: nobody else would."""
        if (upload := self._queue.get(key)) is not None:
            upload.releasing = False
            self.release_soon(key)

    async def _expire(self) -> None:
        while True:
            await self._clock.sleep(_EXPIRE_INTERVAL_S)
            while (
                self._uncommitted and self._clock.boot() - self._uncommitted[0][0] >= COMMIT_GRACE_S
            ):
                self.release_soon(self._uncommitted.popleft()[1])
            if self._clock.boot() - self._at_it_since >= STUCK_S:
                self._give_up_settling()

    def _give_up_settling(self) -> None:
        for passed in self._settling:
            if not passed.done():
                passed.set_exception(
                    Unavailable(
                        "The disk of the cache does not answer",
                        "what was saved last is still on its way into it; look at that disk",
                    )
                )
