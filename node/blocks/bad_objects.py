"""Blocks read from the bucket and checked: what is damaged or missing there is known until it is not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from lucidnode.node.bucket.keys import block_key
from lucidnode.node.cache.verified import Ciphertext
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.bad_blocks import Amiss, BadBlocks, topic
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Archived, Corrupt, NodeError, NotThere
from lucidnode.node.client.ids import BlockId, ProjectId

ReadBucket = Callable[[ProjectId, BlockId], Awaitable[Ciphertext]]
"""Returns the verified block from the bucket; raises Corrupt for any other bytes that it stores under the
block's name, and NodeError within its deadline."""

Key = tuple[ProjectId, BlockId]


class BadObjects:
    """Wraps *read*. What every mount and every peer asks of this node's bucket comes through here.

    Keep `run` running: it looks again at what is known to be bad, one in turn.
    """

    def __init__(self, read: ReadBucket, alerts: Alerts, clock: Clock) -> None:
        self._read = read
        self._alerts = alerts
        self._bad: BadBlocks[Key] = BadBlocks(clock, lambda key: alerts.end(topic(key[1])))

    async def read(self, project: ProjectId, block: BlockId) -> Ciphertext:
        """Return the verified block. Raises Corrupt, NotThere, and whatever *read* raises.

        An object counts as bad once two readings are: one may have been spoilt on its way. Then
        it is not read by each who asks; copies in the office are asked for as ever.
        """
        key = project, block
        if (amiss := self._bad.lately(key)) is not None:
            raise _error(amiss)(f"the object of block {block.hex()} was {amiss} lately")
        seen = await self._seen(project, block)
        if isinstance(seen, NodeError) and not self._bad.knows(key):
            seen = await self._seen(project, block)
        if not isinstance(seen, NodeError):
            self._bad.good(key)
            return seen
        self._bad.note(key, _amiss(seen))
        self._tell(key, _amiss(seen))
        raise seen

    async def run(self) -> None:
        """Look again at what is known to be bad, until cancelled."""
        await self._bad.look_in_turn(self._is_well)

    async def look(self) -> None:
        """Look at the one whose turn it is, and at the next at once while that is well."""
        await self._bad.look(self._is_well)

    def knows(self, project: ProjectId, block: BlockId) -> bool:
        """Return whether the object of *block* is known to be damaged or missing."""
        return self._bad.knows((project, block))

    async def is_well(self, project: ProjectId, block: BlockId) -> bool:
        """Tell whether the object of *block* is right by now. Raises nothing of NodeError."""
        if not await self._is_well((project, block)):
            return False
        self._bad.good((project, block))
        return True

    def of(self, project: ProjectId) -> list[BlockId]:
        """Return the blocks of *project* whose objects are known to be damaged or missing."""
        return [block for other, block in self._bad.all() if other == project]

    def forget(self, project: ProjectId, blocks: Iterable[BlockId]) -> None:
        """Note that nobody needs *blocks* any more."""
        for block in blocks:
            self._bad.forget((project, block))

    async def _is_well(self, key: Key) -> bool:
        try:
            seen = await self._seen(*key)
        except NodeError:
            return False
        if not isinstance(seen, NodeError):
            return True
        if not self._bad.knows(key):
            self._bad.note(key, _amiss(seen))  # what is told of it ends once it is well
        self._tell(key, _amiss(seen))
        return False

    async def _seen(self, project: ProjectId, block: BlockId) -> Ciphertext | Corrupt | NotThere:
        """Return what one reading shows."""
        try:
            return await self._read(project, block)
        except Archived:
            raise
        except (Corrupt, NotThere) as error:
            return error

    def _tell(self, key: Key, amiss: Amiss) -> None:
        about = topic(key[1])
        if amiss == "missing":
            # Perhaps it never was there: whether a file lies in it, its mount knows, and tells.
            self._alerts.end(about)
        elif not self._alerts.is_on(about):
            self._alerts.begin(
                about,
                f"The object {block_key(*key)} in the bucket is damaged.",
                "Put back an earlier version of it, or put a good copy of the file that it belongs "
                "to in its place: the mount that read it names that.",
            )


def _amiss(seen: Corrupt | NotThere) -> Amiss:
    return "missing" if isinstance(seen, NotThere) else "damaged"


def _error(amiss: Amiss) -> type[Corrupt | NotThere]:
    return Corrupt if amiss == "damaged" else NotThere
