"""The bytes of files from whole blocks, each checked against its name and its seal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from cachetools import LRUCache

from lucidnode.fs.errors import FormatError
from lucidnode.fs.format.block import BlockName, open_block
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.replica.inode import Extent
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.ids import BlockId, ProjectId
from lucidnode.node.client.in_turn import in_turn
from lucidnode.node.client.wire import Source

_BLOCKS_AHEAD = 8
"""Blocks that are under way at once: up to 16 MiB each."""

_PATIENCE_S = 45.0
"""For one block, of which the daemon tries every source; it takes no more."""

_Failure = NodeError | FormatError


class BlockBodies(Protocol):
    """Where whole blocks come from (DaemonBlocks)."""

    async def obtain(
        self, project: ProjectId, block: BlockId, *, patience_s: float, as_bytes: bool = False
    ) -> tuple[Source, bytes | None]:
        """Return *block* as bytes. Raises a NodeError."""


class FileBytes:
    """Opens blocks of one project, some ahead."""

    def __init__(self, keys: ProjectKeys, blocks: BlockBodies) -> None:
        self._keys = keys
        self._blocks = blocks
        self._recent: LRUCache[BlockId, bytes] = LRUCache(_BLOCKS_AHEAD)
        """Small files lie together in one block."""

    async def each(
        self, extents: Sequence[Extent], take: Callable[[int, bytes], Awaitable[None]]
    ) -> None:
        """Have *take* given the bytes of *extents* with their offsets, in order; some are read ahead.

        Raises NodeError, FormatError, and OSError from *take*.
        """
        failure: Exception | None = None
        async with asyncio.TaskGroup() as tasks:
            ahead: dict[int, asyncio.Task[bytes | _Failure]] = {}
            for number, extent in enumerate(extents):
                for index in range(number, min(number + _BLOCKS_AHEAD, len(extents))):
                    if index not in ahead:
                        ahead[index] = tasks.create_task(self._plaintext(extents[index].block))
                plain = await ahead.pop(number)
                if not isinstance(plain, bytes):
                    failure = plain
                    break
                try:
                    end = extent.block_offset + extent.length
                    await take(extent.offset, plain[extent.block_offset : end])
                except OSError as error:
                    failure = error  # as itself, not as a group of one
                    break
            for task in ahead.values():
                task.cancel()
        if failure is not None:
            raise failure

    async def _plaintext(self, name: BlockName) -> bytes | _Failure:
        """Return the plaintext of a block, or what prevents it: others are under way."""
        if (held := self._recent.get(name.id)) is not None:
            return held
        try:
            _, sealed = await in_turn(
                self._blocks.obtain,
                self._keys.project,
                name.id,
                patience_s=_PATIENCE_S,
                as_bytes=True,
            )
            plain = await asyncio.to_thread(open_block, self._keys, name, sealed or b"")
        except (NodeError, FormatError) as error:
            return error
        self._recent[name.id] = plain
        return plain
