"""Which blocks a full cache gives up first, as a policy that is passed in. Pure: no disk, no clock."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Container, Iterable, Iterator
from typing import Protocol

from lucidnode.node.client.ids import BlockId

ALLOCATION = 4096
"""Bytes. What ext4, XFS and tmpfs hand out at once; a file occupies whole ones of these."""


def disk_bytes(size: int) -> int:
    """Return the disk space in bytes that a file of *size* bytes occupies."""
    return -(-size // ALLOCATION) * ALLOCATION


class EvictionPolicy(Protocol):
    """An order of the blocks that are held. It decides nothing but which of them goes first."""

    def add(self, block: BlockId) -> None:
        """Enter *block*, which is not held and was used just now."""

    def restore(self, block: BlockId) -> None:
        """Enter *block*, which is not held, as the first to go: it should have gone already."""

    def use(self, block: BlockId) -> None:
        """Note that *block*, which is held, was used just now."""

    def remove(self, block: BlockId) -> None:
        """Take out *block*, which is held."""

    def __iter__(self) -> Iterator[BlockId]:
        """Go through all that are held, the first to go first."""


NewPolicy = Callable[[], EvictionPolicy]
"""Returns one that holds nothing yet. The cache has one for all blocks and one for guests."""


class LeastRecentlyUsed:
    """The block goes first whose last use is longest ago."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[BlockId, None] = OrderedDict()

    def add(self, block: BlockId) -> None:
        self._blocks[block] = None

    def restore(self, block: BlockId) -> None:
        self._blocks[block] = None
        self._blocks.move_to_end(block, last=False)

    def use(self, block: BlockId) -> None:
        self._blocks.move_to_end(block)

    def remove(self, block: BlockId) -> None:
        del self._blocks[block]

    def __iter__(self) -> Iterator[BlockId]:
        return iter(self._blocks)


_MAX_SHARED_SIZES = 4096


class HeldBlocks:
    """Held blocks with their file sizes, in the order of a policy."""

    def __init__(self, policy: EvictionPolicy, blocks: Iterable[tuple[BlockId, int]] = ()) -> None:
        """Start from *blocks* as (id, file size), in the order of their last use."""
        self._policy = policy
        self._sizes: dict[BlockId, int] = {}
        self._shared: dict[int, int] = {}
        """Sizes by themselves: most blocks have the same one, and a number of its own takes 32 bytes."""
        self.bytes = 0
        """Disk space of all held blocks."""
        for block, size in blocks:
            self.add(block, size)

    def __len__(self) -> int:
        return len(self._sizes)

    def __contains__(self, block: BlockId) -> bool:
        return block in self._sizes

    def add(self, block: BlockId, size: int) -> None:
        """Enter *block*, which is not held and was used just now."""
        self._enter(block, size)
        self._policy.add(block)

    def restore(self, block: BlockId, size: int) -> None:
        """Enter *block*, which is not held, as the first to go: it should have gone already."""
        self._enter(block, size)
        self._policy.restore(block)

    def use(self, block: BlockId) -> None:
        """Note that *block*, which is held, was used just now."""
        self._policy.use(block)

    def remove(self, block: BlockId) -> int:
        """Take out *block*, which is held, and return its file size."""
        size = self._sizes.pop(block)
        self._policy.remove(block)
        self.bytes -= disk_bytes(size)
        return size

    def size(self, block: BlockId) -> int:
        """Return the file size of *block*, which is held."""
        return self._sizes[block]

    def first_to_go(self, wanted: int, without: Container[BlockId] = ()) -> list[BlockId]:
        """Return the shortest run, in the policy's order, that frees *wanted* bytes of disk.

        Those in *without* are passed over. All blocks if together they are not enough; none if
        *wanted* is zero or less.
        """
        run: list[BlockId] = []
        if wanted <= 0:
            return run
        for block in self._policy:
            if block in without:
                continue
            run.append(block)
            wanted -= disk_bytes(self._sizes[block])
            if wanted <= 0:
                break
        return run

    def _enter(self, block: BlockId, size: int) -> None:
        assert block not in self._sizes
        if len(self._shared) < _MAX_SHARED_SIZES:
            size = self._shared.setdefault(size, size)
        else:
            size = self._shared.get(size, size)
        self._sizes[block] = size
        self.bytes += disk_bytes(size)
