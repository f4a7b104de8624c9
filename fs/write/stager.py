"""Puts blocks into staging: sealed in a thread, within the budget, durable when it is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Executor
from pathlib import Path

from lucidnode.fs.errors import NoSpace
from lucidnode.fs.format.block import BlockName, seal
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.write.other_block import other_plaintext
from lucidnode.fs.write.staging_budget import StagingBudget
from lucidnode.node.client.errors import DiskFull
from lucidnode.node.client.ids import BlockId, ProjectId
from lucidnode.node.client.staging import make_durable, make_room_for, stage, stage_soon, unstage

MAX_BLOCKS_AT_ONCE = 16
"""Blocks that are sealed and on their way to the disk at once, so that it never waits for a cipher.
Until their turn comes others are held as plaintext alone, which the writer counts; a disk that
hangs would have all of them twice in memory."""


class Stager:
    """The staging directory of one project, as its mount writes to it. Lives in one event loop."""

    def __init__(
        self,
        keys: ProjectKeys,
        staging_dir: Path,
        room: StagingBudget,
        disk: Executor,
        is_listed: Callable[[BlockId], bool],
    ) -> None:
        """*is_listed* tells of the blocks that are condemned: none is made here."""
        self._is_listed = is_listed
        self._keys = keys
        self._dir = staging_dir
        self._room = room
        self._disk = disk
        self._under_way: dict[BlockId, asyncio.Event] = {}
        self._turns = asyncio.Semaphore(MAX_BLOCKS_AT_ONCE)
        self._making_room = asyncio.Lock()
        self._has_room = False
        """Whether the directory was made durable. It is asked once: each time would be a sync for
        each block, where uploads keep pace and leave it empty."""

    async def stage(self, plaintext: bytes | memoryview) -> BlockName:
        """Stage *plaintext* as a block, or what begins with it where that may not be named again.

        `make_durable` has it survive a power cut. Raises NoSpace.
        """
        async with self._turns:
            name, ciphertext = await self._sealed(plaintext)
            while (
                self._is_listed(name.id)
                and (other := other_plaintext(bytes(plaintext))) is not None
            ):
                plaintext = other
                name, ciphertext = await self._sealed(plaintext)
            async with self._making_room:
                if not self._has_room:
                    await self._run(make_room_for, self._dir, self._keys.project)
                    self._has_room = True
            await self._put(stage_soon, name.id, ciphertext)
        return name

    async def stage_durably(
        self, name: BlockName, plaintext: bytes, ciphertext: bytes | None
    ) -> None:
        """Stage block *name*; it survives a power cut on return. Raises NoSpace, OSError.

        *ciphertext* is what *plaintext* was sealed to; None has it sealed again, in the epoch of then.
        """
        async with self._turns:
            if ciphertext is None:
                again, ciphertext = await self._sealed(plaintext, name.epoch)
                assert again == name
            await self._put(stage, name.id, ciphertext)

    async def make_durable(self, blocks: Iterable[BlockId]) -> None:
        """Return once *blocks*, staged before, survive a power cut. Raises NoSpace, OSError."""
        await self._run(make_durable, self._dir, self._keys.project, list(blocks))

    async def delete(
        self,
        blocks: Sequence[BlockId],
        needed: Callable[[Collection[BlockId]], Collection[BlockId]],
    ) -> list[BlockId]:
        """Delete the staged files of *blocks* but for those *needed*; return the blocks deleted.

        What is needed is asked when none of them is on its way into staging, and until all are
        deleted none is. Raises OSError; files may be deleted then or not.
        """
        while under_way := [self._under_way[each] for each in blocks if each in self._under_way]:
            await under_way[0].wait()
        # No await from here on: who stages one of them has named it, or comes after us.
        wanted = needed(blocks)
        unneeded = [block for block in blocks if block not in wanted]
        ended = asyncio.Event()
        self._under_way.update(dict.fromkeys(unneeded, ended))
        try:
            await self._run(unstage, self._dir, self._keys.project, unneeded)
        finally:
            for block in unneeded:
                del self._under_way[block]
            ended.set()
        return unneeded

    async def _sealed(
        self, plaintext: bytes | memoryview, epoch: int | None = None
    ) -> tuple[BlockName, bytes]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._disk, seal, self._keys, plaintext, epoch)

    async def _put(
        self,
        write: Callable[[Path, ProjectId, BlockId, bytes], None],
        block: BlockId,
        ciphertext: bytes,
    ) -> None:
        # Two files with equal content seal the same block: one must not replace what the other
        # has made durable meanwhile.
        while (earlier := self._under_way.get(block)) is not None:
            await earlier.wait()
        ended = self._under_way[block] = asyncio.Event()
        try:
            await self._room.admit(len(ciphertext))
            await self._run(write, self._dir, self._keys.project, block, ciphertext)
        finally:
            del self._under_way[block]
            ended.set()

    async def _run(self, work: Callable[..., None], *args: object) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._disk, work, *args)
        except DiskFull as error:
            raise NoSpace("the disk of the cache directory is full") from error
