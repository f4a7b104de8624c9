"""Blocks that every source gives wrong, so that not each read of them fetches them again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from lucidnode.node.client.clock import Clock
from lucidnode.node.client.ids import BlockId

FIRST_PAUSE_S, LAST_PAUSE_S = 30.0, 3600.0
"""Seconds until a bad block is asked for again, doubling from the first to the last."""

_KNOWN = 4096
"""Blocks remembered; the one noted longest ago is forgotten first, and would be fetched once more."""


class BadBlocks:
    """What was bad, and when it may be asked for again. Nothing awaits."""

    def __init__(self, clock: Clock, well: Callable[[BlockId], None]) -> None:
        """*well* hears of a bad block of which a good copy was found."""
        self._clock = clock
        self._well = well
        self._until: OrderedDict[BlockId, tuple[float, float]] = OrderedDict()

    def note(self, block: BlockId) -> None:
        """Note that no source has *block* right."""
        now = self._clock.boot()
        until, pause = self._until.get(block, (now, FIRST_PAUSE_S / 2))
        if until > now:
            return  # somebody asked at the same time
        pause = min(pause * 2, LAST_PAUSE_S)
        self._until[block] = (now + pause, pause)
        self._until.move_to_end(block)
        if len(self._until) > _KNOWN:
            self._until.popitem(last=False)

    def good(self, block: BlockId) -> None:
        """Note that a right copy of *block* was read."""
        if self._until.pop(block, None) is not None:
            self._well(block)

    def remembers(self, block: BlockId) -> bool:
        """Return whether *block* was bad so lately that it is not asked for again now."""
        known = self._until.get(block)
        return known is not None and self._clock.boot() < known[0]


def topic(block: BlockId) -> str:
    """Return the topic of alerts about *block*."""
    return f"block:{block.hex()[:16]}"
