"""Decrypted segments that were used lately."""

from __future__ import annotations

from collections import OrderedDict

from lucidnode.node.client.ids import BlockId

MAX_MEMORY_BYTES = 64 * 1024 * 1024
"""The kernel keeps pages of its own; these serve small reads."""


class SegmentMemory:
    """The segments used last, up to MAX_MEMORY_BYTES."""

    def __init__(self) -> None:
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
        while self.size > MAX_MEMORY_BYTES:
            _, dropped = self._held.popitem(last=False)
            self.size -= len(dropped)
