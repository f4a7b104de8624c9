"""How many bytes of plaintext a mount holds in memory, and whether there is room for more."""

from __future__ import annotations

import asyncio

UNSAVED_SHARE = 0.375
"""Of a mount's memory, for plaintext in all layers above the extents; more than that, and writers wait."""


class WriteBuffer:
    """The count of one mount, up to *limit* bytes. Lives in one event loop."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.size = 0
        """Bytes held for all files, and in packs on their way into staging."""
        self._released = asyncio.Event()

    def has_room_for(self, size: int) -> bool:
        """Return whether *size* bytes more may be held."""
        return self.size + size <= self._limit

    @property
    def released(self) -> asyncio.Event:
        """Set when bytes are released next, or could not be."""
        return self._released

    def take(self, size: int) -> None:
        """Count *size* bytes more."""
        self.size += size

    def release(self, size: int) -> None:
        """Count *size* bytes less, and wake who waits for room; 0 if a layer failed to come down."""
        self.size -= size
        self._released.set()
        self._released = asyncio.Event()
