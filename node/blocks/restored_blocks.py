"""Blocks that the bucket has lost or spoilt, put back from what this node and its office still hold.

Which blocks are worth it is for who asks to say: a daemon does not know what they are for. What is
put there was verified against its name, so whoever else writes the same name writes the same bytes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from lucidnode.node.blocks.fetch import Fetched
from lucidnode.node.bucket.keys import block_key
from lucidnode.node.cache.verified import Ciphertext
from lucidnode.node.client.alerts import EVENT_S, Alerts
from lucidnode.node.client.errors import Corrupt, NodeError, NotThere
from lucidnode.node.client.ids import BlockId, ProjectId
from lucidnode.node.client.wire import BlocksPutBack

log = logging.getLogger(__name__)

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

    async def copy(self, project: ProjectId, block: BlockId) -> Ciphertext | None:
        """Return the verified block from this node or a peer, without asking the bucket."""


class KnownObjects(Protocol):
    """What is known to be damaged or missing (BadObjects)."""

    def knows(self, project: ProjectId, block: BlockId) -> bool:
        """Return whether the object of *block* is."""

    async def is_well(self, project: ProjectId, block: BlockId) -> bool:
        """Tell, by a look, whether it is right by now."""


class RestoredBlocks:
    """Sees to it that blocks are in the bucket."""

    def __init__(
        self, source: Source, bucket: BlockSizes, objects: KnownObjects, alerts: Alerts
    ) -> None:
        self._source = source
        self._bucket = bucket
        self._objects = objects
        self._alerts = alerts

    async def put_back(
        self, project: ProjectId, blocks: Sequence[BlockId], *, look: bool = False
    ) -> BlocksPutBack:
        """Have each of *blocks* in the bucket; those already there cost one question each.

        With *look* they are read, and those with other bytes than their name says are replaced. Tells which were put there, and of which nobody who answers has a copy. Raises Unavailable,
        and what the bucket raises; to do it again is harmless.
        """
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(block: BlockId) -> bool | NodeError | None:
            async with turns:
                try:
                    if look:
                        if await self._objects.is_well(project, block):
                            return None
                        return await self._replaced(project, block)
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
        if self._objects.knows(project, block):
            return await self._replaced(project, block)
        key = block_key(project, block)
        if await self._bucket.size(key) is not None:
            return None
        try:
            copy = await self._source.fetch(project, block)
        except (NotThere, Corrupt):
            return False
        await self._bucket.put(key, bytes(copy.ciphertext))
        if self._objects.knows(project, block):  # as it was looked for, it was found missing
            await self._objects.is_well(project, block)
        return True

    async def _replaced(self, project: ProjectId, block: BlockId) -> bool | None:
        """Do so for a block of which the bucket is known to have nothing, or damaged bytes."""
        copy = await self._source.copy(project, block)
        if copy is None:
            return False
        if await self._objects.is_well(project, block):
            return None  # somebody else was quicker
        key = block_key(project, block)
        await self._bucket.put(key, bytes(copy))
        if not await self._objects.is_well(project, block):
            return False  # it shows something else than was put there
        log.info("put back: %s", key)
        self._alerts.begin(
            "blocks-put-back",
            "The bucket had lost or damaged blocks of files, and this workstation has put back what "
            "the office still has of them; its log names them.",
            "Find out who or what deletes or damages objects in the bucket.",
            lasts_s=EVENT_S,
        )
        return True
