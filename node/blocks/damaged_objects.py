"""Blocks read from the bucket and checked: a damaged object is told, and not downloaded by each read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from lucidnode.node.bucket.keys import block_key
from lucidnode.node.cache.verified import verified
from lucidnode.node.client.alerts import EVENT_S, Alerts
from lucidnode.node.client.bad_blocks import BadBlocks, topic
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Corrupt
from lucidnode.node.client.ids import BlockId, ProjectId

ReadBucket = Callable[[ProjectId, BlockId], Awaitable[bytes]]
"""Returns what the bucket stores under the block's name; raises NodeError within its deadline."""


class DamagedObjects:
    """Wraps *read*. What every mount and every peer asks of this node's bucket comes through here."""

    def __init__(self, read: ReadBucket, alerts: Alerts, clock: Clock) -> None:
        self._read = read
        self._alerts = alerts
        self._bad = BadBlocks(clock, lambda block: alerts.end(topic(block)))

    async def read(self, project: ProjectId, block: BlockId) -> bytes:
        """Return the verified block. Raises Corrupt, and whatever *read* raises.

        An object counts as damaged once two readings are: one may have been spoilt on its way.
        Then it is not read for a while; copies in the office are asked for as ever.
        """
        if self._bad.remembers(block):
            raise Corrupt(f"the object of block {block.hex()} was damaged lately")
        ciphertext = await self._read(project, block)
        try:
            verified(block, ciphertext)
        except Corrupt:
            ciphertext = await self._read(project, block)
            try:
                verified(block, ciphertext)
            except Corrupt:
                self._note(project, block)
                raise
        self._bad.good(block)
        return ciphertext

    def _note(self, project: ProjectId, block: BlockId) -> None:
        self._bad.note(block)
        self._alerts.begin(
            topic(block),
            f"The object {block_key(project, block)} in the bucket is damaged.",
            "Put back an earlier version of it, or put a good copy of the file that it belongs to "
            "in its place: the mount that read it names that.",
            lasts_s=EVENT_S,
        )
