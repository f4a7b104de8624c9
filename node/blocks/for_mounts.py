"""What mounts want of blocks: have one brought here, say what they wrote, say what they used."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from lucidnode.node.blocks.arrivals import Arrivals
from lucidnode.node.blocks.bad_objects import BadObjects
from lucidnode.node.blocks.fetch import BlockSource, Fetched
from lucidnode.node.blocks.indexers import Indexers
from lucidnode.node.blocks.restored_blocks import RestoredBlocks
from lucidnode.node.blocks.uploads import Uploads
from lucidnode.node.cache.disk import DiskCache
from lucidnode.node.cache.staging import Staging
from lucidnode.node.client import wire
from lucidnode.node.client.errors import Held, NotThere, Refused, Unavailable
from lucidnode.node.client.ids import BlockId, ProjectId

HELD_S = 15.0
"""Seconds after which who asks hears that his block waits for its turn: before he gives up."""


class BlocksForMounts:
    """The block side of the daemon's socket."""

    def __init__(
        self,
        source: BlockSource,
        cache: DiskCache,
        staging: Staging,
        uploads: Uploads,
        restored: RestoredBlocks,
        objects: BadObjects,
        arrivals: Arrivals,
        is_held: Callable[[], bool],
        indexers: Indexers,
    ) -> None:
        """Take the parts it works with; *is_held* tells whether reads of the bucket wait for a turn."""
        self._source = source
        self._cache = cache
        self._staging = staging
        self._uploads = uploads
        self._restored = restored
        self._objects = objects
        self._arrivals = arrivals
        self._is_held = is_held
        self._indexers = indexers

    async def obtain(
        self,
        project: ProjectId,
        block: BlockId,
        *,
        patience_s: float,
        as_bytes: bool,
        reading: wire.Reading | None = None,
    ) -> tuple[wire.Source, bytes | None]:
        """Bring *block* here; see DaemonBlocks.obtain for what is returned and raised.

        Refused instead of NotThere while the disk is missing on which it may be staged.
        """
        began = self._arrivals.begin()
        try:
            if reading is not None and self._indexers.holds(reading.program):
                fetched = await self._for_indexer(project, block, reading, patience_s)
            else:
                fetched = await self._fetched(project, block, patience_s)
        except NotThere as error:
            # It was written here and is not uploaded, most likely: no fault of the bucket.
            if self._staging.missing:
                raise Refused(self._staging.missing) from error
            raise
        if fetched.source != "cache":
            past = self._source.passed_over(block)
            self._arrivals.note(block, fetched.source, len(fetched.ciphertext), began, past)
        as_file = fetched.kept and not as_bytes
        return fetched.source, None if as_file else bytes(fetched.ciphertext)

    async def _for_indexer(
        self, project: ProjectId, block: BlockId, reading: wire.Reading, patience_s: float
    ) -> Fetched:
        """Return *block* if it is near or *reading* may have it fetched. Raises Withheld, too."""
        found = None if reading.ahead else await self._source.near(project, block)
        if found is None:
            await self._indexers.admit(reading, block)
            found = await self._fetched(project, block, patience_s)
            if found.source != "cache":
                self._indexers.fetched(reading.program, len(found.ciphertext))
        return found

    async def _fetched(self, project: ProjectId, block: BlockId, patience_s: float) -> Fetched:
        # Only the question ends: the flight goes on, for others and for the cache.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(patience_s, HELD_S)):
                return await self._source.fetch(project, block)
        if self._is_held():
            raise Held("the line to the bucket is held to a rate, and the block waits for its turn")
        try:
            async with asyncio.timeout(max(0.0, patience_s - HELD_S)):
                return await self._source.fetch(project, block)
        except TimeoutError as error:
            raise Unavailable("the block has not come in time") from error

    async def staged(self, project: ProjectId, blocks: list[BlockId], ranks: list[int]) -> None:
        """Take over *blocks* that a mount wrote into staging; the lower *ranks* are sent first."""
        await self._uploads.add(project, blocks, ranks)

    async def uploaded(self, project: ProjectId, blocks: list[BlockId]) -> list[BlockId]:
        """Return those of *blocks* that are in the bucket. Raises Unavailable."""
        return await self._uploads.uploaded(project, blocks)

    async def gone(self, project: ProjectId, blocks: list[BlockId]) -> list[BlockId]:
        """Return those of *blocks*, staged here once, that nobody has. Raises a NodeError."""
        if self._staging.missing:
            raise Unavailable(self._staging.missing)  # with its disk, all of it may come back
        return await self._uploads.gone(project, blocks)

    def withdraw(self, project: ProjectId, blocks: list[BlockId]) -> None:
        """Upload none of *blocks*, which nothing needs: their staged files are about to go."""
        self._uploads.withdraw(project, blocks)

    async def given_up(self, project: ProjectId, blocks: list[BlockId]) -> None:
        """Note that nothing needs *blocks* any more, which are gone. Raises Unavailable."""
        await self._uploads.given_up(project, blocks)
        self._objects.forget(project, blocks)

    def bad(self, project: ProjectId) -> list[BlockId]:
        """Return blocks whose objects were damaged or missing when they were looked at last."""
        return self._objects.of(project)

    async def put_back(
        self, project: ProjectId, blocks: list[BlockId], *, look: bool
    ) -> wire.BlocksPutBack:
        """Have *blocks* in the bucket again, as far as the office has them: see RestoredBlocks.

        Raises a NodeError.
        """
        return await self._restored.put_back(project, blocks, look=look)

    def touched(self, blocks: list[BlockId]) -> None:
        """Note that mounts read the files of *blocks*."""
        self._cache.touch(blocks)
