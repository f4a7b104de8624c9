"""How blocks came here the last time: remembered for people who ask, while the daemon runs."""

from __future__ import annotations

from typing import Literal, NamedTuple

from cachetools import LRUCache

from lucidnode.node.client.clock import Clock
from lucidnode.node.client.ids import BlockId

_MOST = 65_536
"""Blocks that are remembered: 64 GiB at the usual size, in 20 MB of memory."""


class Arrival(NamedTuple):
    """Where a block came from, how many seconds whoever asked had waited, when in ns since 1970."""

    came_from: Literal["peer", "bucket"]
    took_s: float
    came_ns: int


class Arrivals:
    """The last arrival of each of the blocks that came last."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: LRUCache[BlockId, Arrival] = LRUCache(_MOST)

    def begin(self) -> float:
        """Return what `note` wants to know of the moment at which a block is asked for."""
        return self._clock.boot()

    def note(self, block: BlockId, came_from: Literal["peer", "bucket"], began: float) -> None:
        """Remember that *block* came now to somebody who asked for it at *began*."""
        took_s = self._clock.boot() - began
        self._last[block] = Arrival(came_from, took_s, self._clock.wall_ns())

    def of(self, block: BlockId) -> Arrival | None:
        """Return how *block* came here the last time, None if it did not, or is forgotten."""
        return self._last.get(block)
