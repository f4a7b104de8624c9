"""Counts of bytes handed to applications, by where their block came from (mount_messages.MountStats)."""

from __future__ import annotations

from collections.abc import Callable

from cachetools import LRUCache

from lucidnode.fs.format.block import BlockName
from lucidnode.fs.read.segments import ReadSource
from lucidnode.node.client.ids import BlockId
from lucidnode.node.client.wire import Source

_MAX_KNOWN_BLOCKS = 65536
"""Blocks remembered until they are read: 64 GiB at the default block size."""


class ReadCounts:
    """Totals in bytes since the mount started.

    A block that was fetched counts for its source once, up to its size; what is read of it later
    counts for this node's own cache.
    """

    def __init__(self, came: Callable[[BlockId], bool]) -> None:
        """*came* tells of a block that is read from disk whether it came over the network."""
        self._came = came
        self.memory = 0
        self.unsent = 0
        self.by_source: dict[Source, int] = {"cache": 0, "peer": 0, "bucket": 0}
        self.again = 0
        """Of the bytes from this node's own cache, those of blocks that came over the network."""
        self.ahead = 0
        """Fetched before anybody asked for it."""
        self.ahead_used = 0
        """Of that, what a read came for."""
        self._fetched: LRUCache[BlockId, tuple[Source, int]] = LRUCache(_MAX_KNOWN_BLOCKS)
        self._unused: LRUCache[BlockId, int] = LRUCache(_MAX_KNOWN_BLOCKS)

    def fetched(self, name: BlockName, source: Source) -> None:
        """Note that the daemon brought a block."""
        self._fetched[name.id] = (source, name.size)

    def brought_ahead(self, name: BlockName) -> None:
        """Note that nobody had asked for the block that the daemon brought."""
        self.ahead += name.size
        self._unused[name.id] = name.size

    def read(self, block: BlockId, place: ReadSource, length: int) -> None:
        """Count *length* bytes of *block* handed out."""
        self.ahead_used += self._unused.pop(block, 0)
        match place:
            case "memory":
                self.memory += length
            case "unsent":
                self.unsent += length
            case "disk":
                self._read_from_disk(block, length)

    def _read_from_disk(self, block: BlockId, length: int) -> None:
        source, left = self._fetched.pop(block, ("cache", 0))
        first = min(left, length)
        self.by_source[source] += first
        self.by_source["cache"] += length - first
        # What the daemon brought from its own disk, and we look at for the first time, as well.
        again = length if source == "cache" else length - first
        if again and self._came(block):
            self.again += again
        if left > first:
            self._fetched[block] = (source, left - first)
