"""Which blocks a full cache gives up first. Pure: no disk, no clock."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container, Iterable

from lucidnode.node.client.ids import BlockId

ALLOCATION = 4096
"""Bytes. What ext4, XFS and tmpfs hand out at once; a file occupies whole ones of these."""


def disk_bytes(size: int) -> int:
    """Return the disk space in bytes that a file of *size* bytes occupies."""
    return -(-size // ALLOCATION) * ALLOCATION


class LruOrder:
    """Held blocks with their file sizes, the least recently used first."""

    def __init__(self, blocks: Iterable[tuple[BlockId, int]] = ()) -> None:
        """Start from *blocks* as (id, file size), the least recently used first."""
        self._sizes: OrderedDict[BlockId, int] = OrderedDict(blocks)
        self.bytes = sum(map(disk_bytes, self._sizes.values()))
        """Disk space of all held blocks."""

    def __len__(self) -> int:
        return len(self._sizes)

    def __contains__(self, block: BlockId) -> bool:
        return block in self._sizes

    def add(self, block: BlockId, size: int) -> None:
        """Enter *block*, which is not held, as the most recently used."""
        assert block not in self._sizes
        self._sizes[block] = size
        self.bytes += disk_bytes(size)

    def restore(self, block: BlockId, size: int) -> None:
        """Enter *block*, which is not held, as the least recently used: it should have gone."""
        self.add(block, size)
        self._sizes.move_to_end(block, last=False)

    def touch(self, block: BlockId) -> None:
        """Make *block*, which is held, the most recently used."""
        self._sizes.move_to_end(block)

    def remove(self, block: BlockId) -> int:
        """Take out *block*, which is held, and return its file size."""
        size = self._sizes.pop(block)
        self.bytes -= disk_bytes(size)
        return size

    def size(self, block: BlockId) -> int:
        """Return the file size of *block*, which is held."""
        return self._sizes[block]

    def oldest(self, wanted: int, without: Container[BlockId] = ()) -> list[BlockId]:
        """Return the shortest run of least recently used blocks that frees *wanted* bytes of disk.

        Those in *without* are passed over. All blocks if together they are not enough; none if
        *wanted* is zero or less.
        """
        run: list[BlockId] = []
        for block, size in self._sizes.items():
            if wanted <= 0:
                break
            if block in without:
                continue
            run.append(block)
            wanted -= disk_bytes(size)
        return run
