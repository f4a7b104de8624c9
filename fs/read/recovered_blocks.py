"""Blocks that could not be had right: looked at until they can be, and put back where they are lost.

The daemon knows which objects in the bucket are bad, and not what they are for; a mount knows which
blocks its files lie in, and not what is in the bucket. So the mount asks, and decides.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Protocol

from lucidnode.fs.errors import FsError
from lucidnode.fs.read.segments import Segments
from lucidnode.fs.read.unreadable_files import UnreadableFiles
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.tree.queries import START, Place
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.node.client.bad_blocks import LOOK_EVERY_S, BadBlocks
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.ids import BlockId, ProjectId
from lucidnode.node.client.wire import BlocksPutBack


class BadObjectService(Protocol):
    """The part of the daemon that knows what is bad in the bucket (DaemonBlocks)."""

    async def bad(self, project: ProjectId) -> list[BlockId]:
        """Return blocks whose objects were damaged or missing when they were looked at last."""

    async def put_back(self, project: ProjectId, blocks: Sequence[BlockId]) -> BlocksPutBack:
        """Have *blocks* in the bucket, from wherever the office has them. Raises a NodeError."""

    async def given_up(self, project: ProjectId, blocks: Sequence[BlockId]) -> None:
        """Hear that nothing needs *blocks* any more."""


class RecoveredBlocks:
    """The look-out of one mount. *bad* are the blocks that it could not read."""

    def __init__(
        self,
        project: ProjectId,
        tree: TreeReader,
        segments: Segments,
        bad: BadBlocks[BlockId],
        unreadable: UnreadableFiles,
        daemon: BadObjectService,
        clock: Clock,
    ) -> None:
        self._project = project
        self._tree = tree
        self._segments = segments
        self._bad = bad
        self._unreadable = unreadable
        self._daemon = daemon
        self._clock = clock

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Look at one block in turn, and at the next at once while that is over.

        First what the daemon knows to be bad, also what no program has met here.
        """
        try:
            bad = await self._daemon.bad(self._project)
            known = set(bad) - await self._put_back(bad)
        except NodeError:
            return
        await self._bad.look(lambda block: self._is_over(block, known))

    async def _put_back(self, bad: Sequence[BlockId]) -> set[BlockId]:
        """Have the first of the blocks *bad* that files lie in put back, and the next if that was done.

        Returns those that are well or that nobody needs. Raises a NodeError.
        """
        done: set[BlockId] = set()
        for block in bad:
            if await self._is_needed(block):
                answer = await self._daemon.put_back(self._project, [block])
                if answer.missing:
                    break
            done.add(block)
        return done

    async def _is_over(self, block: BlockId, known: set[BlockId]) -> bool:
        if not await self._is_needed(block):
            return True
        # What the daemon knows to be bad it looks at by itself: no need to have it asked for.
        name = None if block in known else self._tree.block(block)
        if name is not None and await self._segments.can_open(name):
            return True
        if not self._unreadable.is_complete(block):
            await self._complete(block)
        self._unreadable.tell_again(block)
        return False

    async def _complete(self, block: BlockId) -> None:
        """Have all files told of that lie in *block*, not only those that a program has read."""
        files: set[InodeNo] = set()
        place: Place | None = START
        with contextlib.suppress(FsError):  # the replica cannot tell now: in its next turn
            while place is not None:
                found, place = self._tree.users(block, place)
                files.update(found)
                await asyncio.sleep(0)  # others shall have their turn
            self._unreadable.complete(block, sorted(files))

    async def _is_needed(self, block: BlockId) -> bool:
        """Tell whether a file with a name lies in *block*; if not, the daemon hears of it."""
        place: Place | None = START
        try:
            while place is not None:
                named, place = self._tree.is_named(block, place)
                if named:
                    return True
                await asyncio.sleep(0)  # others shall have their turn
        except FsError:
            return True  # the replica cannot tell now
        with contextlib.suppress(NodeError):  # else it asks again
            await self._daemon.given_up(self._project, [block])
        return False
