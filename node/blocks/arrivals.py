"""How blocks came here the last time: remembered for people who ask, while the daemon runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from cachetools import LRUCache

from lucidnode.node.blocks.fetch import PassedOver
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.ids import BlockId

_MOST = 65_536
"""Blocks that are remembered: 64 GiB at the usual size, in 20 MB of memory."""


CameFrom = Literal["peer", "bucket"]


class Arrival(NamedTuple):
    """Where a block came from, how many seconds whoever asked had waited, when in ns since 1970.

    And when by the boot clock, and which owners were passed over.
    """

    came_from: CameFrom
    took_s: float
    came_ns: int
    came_boot_s: float
    past: Sequence[PassedOver]


class Arrivals:
    """The last arrival of each of the blocks that came last.

    *count* hears where each came from and of how many bytes, once, however many asked for it at the
    same time.
    """

    def __init__(self, clock: Clock, count: Callable[[CameFrom, int], None]) -> None:
        self._clock = clock
        self._count = count
        self._last: LRUCache[BlockId, Arrival] = LRUCache(_MOST)

    def begin(self) -> float:
        """Return what `note` wants to know of the moment at which a block is asked for."""
        return self._clock.boot()

    def note(
        self,
        block: BlockId,
        came_from: CameFrom,
        size: int,
        began: float,
        past: Sequence[PassedOver] = (),
    ) -> None:
        """Remember that *block*, *size* bytes, came now to somebody who asked for it at *began*, *past* owners."""
        now = self._clock.boot()
        last = self._last.get(block)
        if last is None or last.came_boot_s < began:
            self._count(came_from, size)
        self._last[block] = Arrival(came_from, now - began, self._clock.wall_ns(), now, past)

    def of(self, block: BlockId) -> Arrival | None:
        """Return how *block* came here the last time, None if it did not, or is forgotten."""
        return self._last.get(block)
