"""The objects of blocks, as a collection sees them: all there are, and those to be deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from lucidnode.node.bucket.bucket import Listed
from lucidnode.node.bucket.keys import block_key, block_prefix
from lucidnode.node.cache.staging import Staged
from lucidnode.node.client.errors import AccessDenied, NodeError, Refused
from lucidnode.node.client.ids import BlockId, ProjectId
from lucidnode.node.client.wire import BlockPage, BlocksDeleted

_PAGE = 1000

_AT_ONCE = 8
"""Requests that are under way together."""


class BlockObjects(Protocol):
    """What this needs of the bucket."""

    async def list(self, prefix: str, after: str | None = None, limit: int = 1000) -> list[Listed]:
        """Return the next objects."""

    async def delete(self, key: str) -> None:
        """Remove the object."""


class StagedBlocks(Protocol):
    """What this node has yet to upload (Staging)."""

    def held(self, project: ProjectId) -> Mapping[BlockId, Staged]:
        """Return the staged blocks of *project*."""


class CollectedObjects:
    """Lists and deletes the blocks of projects. What is to go is for who asks to know."""

    def __init__(
        self, bucket: BlockObjects, staging: StagedBlocks, skew: Callable[[], float | None]
    ) -> None:
        """*skew* returns by how many seconds the store's clock is ahead, if it is known."""
        self._bucket = bucket
        self._staging = staging
        self._skew = skew

    async def page(self, project: ProjectId, after: BlockId | None) -> BlockPage:
        """Return blocks that lie in the bucket behind *after*, in order. Raises a NodeError."""
        start = None if after is None else block_key(project, after)
        found = await self._bucket.list(block_prefix(project), start, _PAGE)
        ids: list[bytes] = []
        sizes: list[int] = []
        for each in found:
            block = _block_of(each.key)
            if block is not None and block_key(project, block) == each.key:
                ids.append(bytes(block))
                sizes.append(each.size)
        # Keys of another form are nobody's; a page of nothing else still has a last one.
        is_last = len(found) < _PAGE or not ids
        return BlockPage(ids, sizes, is_last, self._skew())

    async def delete(self, project: ProjectId, blocks: Sequence[BlockId]) -> BlocksDeleted:
        """Delete *blocks*; tell which the store refused to, and which are about to be uploaded here.

        Raises Unavailable, or what else the store raises: some are deleted then, and to do it again
        is harmless.
        """
        staged = self._staging.held(project)
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(block: BlockId) -> NodeError | None:
            async with turns:
                try:
                    await self._bucket.delete(block_key(project, block))
                except NodeError as error:
                    return error  # raised below as itself, not as a group of one
            return None

        going = [block for block in blocks if block not in staged]
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(one(block)) for block in going]
        deleted: list[bytes] = []
        refused: list[bytes] = []
        why = ""
        for block, task in zip(going, asking, strict=True):
            match task.result():
                case None:
                    deleted.append(bytes(block))
                case AccessDenied() | Refused() as error:
                    refused.append(bytes(block))
                    why = str(error)
                case error:
                    raise error
        return BlocksDeleted(deleted, refused, why)


def _block_of(key: str) -> BlockId | None:
    name = key.rpartition("/")[2]
    try:
        block = bytes.fromhex(name)
    except ValueError:
        return None
    return BlockId(block) if len(block) == 32 else None
