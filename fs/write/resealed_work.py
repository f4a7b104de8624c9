"""Seals anew what waits here in blocks that no entry may name again.

It was sealed before the entry came that says so: by a workstation that was away for longer than
the past is kept, or by one that saved the same content in the same moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Protocol

from lucidnode.fs.errors import FormatError
from lucidnode.fs.format.block import BlockName, open_block
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.write.stager import Stager
from lucidnode.fs.write.staging_notifier import StagingNotifier
from lucidnode.fs.write.tail_packer import TailPacker
from lucidnode.node.client.errors import NodeError, Unavailable
from lucidnode.node.client.ids import BlockId, ProjectId
from lucidnode.node.client.in_turn import in_turn
from lucidnode.node.client.wire import Source

_PATIENCE_S = 40.0
"""Seconds that one block may take to come; most lie in staging or in the cache."""


class SealedBlocks(Protocol):
    """Where whole blocks come from (DaemonBlocks)."""

    async def obtain(
        self, project: ProjectId, block: BlockId, *, patience_s: float, as_bytes: bool = False
    ) -> tuple[Source, bytes | None]:
        """Return *block* as bytes. Raises a NodeError."""


class ResealedWork:
    """Sees to the pending work of one mount. Lives in its event loop."""

    def __init__(
        self,
        replica: Replica,
        keys: ProjectKeys,
        daemon: SealedBlocks,
        stager: Stager,
        packer: TailPacker,
        notifier: StagingNotifier,
    ) -> None:
        self._replica = replica
        self._keys = keys
        self._daemon = daemon
        self._stager = stager
        self._packer = packer
        self._notifier = notifier

    async def reseal(self, blocks: Collection[BlockId]) -> None:
        """Have what waits in *blocks* lie in others, durably staged. Nothing is in flight.

        Raises a NodeError or a FormatError where a block is not to be had, once it is done for the
        others; or NoSpace, and all is as it was.
        """
        await self._packer.staged(list(blocks))
        others: dict[BlockId, BlockName] = {}
        failure: NodeError | FormatError | None = None
        for block in blocks:
            try:
                others[block] = await self._other(block)
            except (NodeError, FormatError) as error:
                failure = error
        await self._stager.make_durable([name.id for name in others.values()])
        # No await from here on: what waits lies in the new blocks, and the daemon hears of them.
        self._replica.substitute(others)
        for name in others.values():
            self._notifier.notify(name.id)
        if failure is not None:
            raise failure

    async def _other(self, block: BlockId) -> BlockName:
        name = self._replica.tree.block(block)
        assert name is not None, "work that waits names its blocks"
        _, sealed = await in_turn(
            self._daemon.obtain, self._keys.project, block, patience_s=_PATIENCE_S, as_bytes=True
        )
        if sealed is None:
            raise Unavailable("the daemon sent no bytes")
        plaintext = await asyncio.to_thread(open_block, self._keys, name, sealed)
        other = await self._stager.stage(plaintext)
        if self._replica.collected.is_final(other.id):
            raise Unavailable(f"there is no other block for the content of {block.hex()}")
        return other
