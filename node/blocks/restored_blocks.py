"""Blocks that the bucket has lost, put back from what this node and its office still hold."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from lucidnode.node.blocks.fetch import Fetched
from lucidnode.node.bucket.keys import block_key
from lucidnode.node.client.errors import Corrupt, NodeError, NotThere
from lucidnode.node.client.ids import BlockId, ProjectId
from lucidnode.node.client.wire import BlocksPutBack

_AT_ONCE = 4
"""Blocks that are in memory and under way together."""


class BlockSizes(Protocol):
    """What this needs of the bucket."""

    async def put(self, key: str, body: bytes) -> None:
        """Store *body* under a name that fixes its content."""

    async def size(self, key: str) -> int | None:
        """Return the size of the object, or None if there is none."""


class Source(Protocol):
    """Where copies come from (BlockSource)."""

    async def fetch(self, project: ProjectId, block: BlockId) -> Fetched:
        """Return the verified block from the nearest place that has it."""


class RestoredBlocks:
    """Sees to it that blocks are in the bucket."""

    def __init__(self, source: Source, bucket: BlockSizes) -> None:
        self._source = source
        self._bucket = bucket

    async def put_back(self, project: ProjectId, blocks: Sequence[BlockId]) -> BlocksPutBack:
        """Have each of *blocks* in the bucket; those already there cost one question each.

        Tells which were put there, and of which nobody who answers has a copy. Raises Unavailable,
        and what the bucket raises; to do it again is harmless.
        """
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(block: BlockId) -> bool | NodeError | None:
            async with turns:
                try:
                    return await self._put_back(project, block)
                except NodeError as error:
                    return error  # raised below as itself, not as a group of one

        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(one(block)) for block in blocks]
        put: list[bytes] = []
        missing: list[bytes] = []
        for block, task in zip(blocks, asking, strict=True):
            answer = task.result()
            if isinstance(answer, NodeError):
                raise answer
            if answer is not None:
                (put if answer else missing).append(bytes(block))
        return BlocksPutBack(put, missing)

    async def _put_back(self, project: ProjectId, block: BlockId) -> bool | None:
        """Return None if the block was there, else whether it is now."""
        key = block_key(project, block)
        if await self._bucket.size(key) is not None:
            return None
        try:
            copy = await self._source.fetch(project, block)
        except (NotThere, Corrupt):
            return False
        await self._bucket.put(key, copy.ciphertext)
        return True
