"""Decrypted segments that were used lately."""

from __future__ import annotations

from collections import OrderedDict

from lucidnode.node.client.ids import BlockId

SEGMENTS_SHARE = 0.125
"""Of a mount's memory. The kernel keeps pages of its own; these serve small reads."""


class SegmentMemory:
    """The segments used last, up to *limit* bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: OrderedDict[tuple[BlockId, int], bytes] = OrderedDict()
        self.size = 0

    def get(self, block: BlockId, index: int) -> bytes | None:
        """Return a segment if it is held."""
        segment = self._held.get((block, index))
        if segment is not None:
            self._held.move_to_end((block, index))
        return segment

    def put(self, block: BlockId, index: int, segment: bytes) -> None:
        """Hold a segment, and let go of those used longest ago."""
        if self._held.setdefault((block, index), segment) is segment:
            self.size += len(segment)
        while self.size > self._limit:
            _, dropped = self._held.popitem(last=False)
            self.size -= len(dropped)
