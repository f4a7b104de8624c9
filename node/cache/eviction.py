"""Which blocks a full cache gives up first, as a policy that is passed in. Pure: no disk, no clock."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Container, Iterator
from typing import Protocol

from lucidnode.node.client.ids import BlockId

ALLOCATION = 4096
"""Bytes. What ext4, XFS and tmpfs hand out at once; a file occupies whole ones of these."""


def disk_bytes(size: int) -> int:
    """Return the disk space in bytes that a file of *size* bytes occupies."""
    return -(-size // ALLOCATION) * ALLOCATION


Held = OrderedDict[BlockId, int]
"""File sizes by block, in the order of their last use."""


class EvictionPolicy(Protocol):
    """The blocks that are held with their file sizes, in an order. It decides nothing but which of them goes first.

    One table for both: beside the ids, tables are what takes memory.
    """

    def add(self, block: BlockId, size: int) -> None:
        """Enter *block*, which is not held and was used just now."""

    def restore(self, block: BlockId, size: int) -> None:
        """Enter *block*, which is not held, as the first to go: it should have gone already."""

    def use(self, block: BlockId) -> None:
        """Note that *block*, which is held, was used just now."""

    def remove(self, block: BlockId) -> int:
        """Take out *block*, which is held, and return its file size."""

    def size(self, block: BlockId) -> int:
        """Return the file size of *block*, which is held."""

    def __contains__(self, block: BlockId) -> bool:
        """Return whether *block* is held."""

    def __len__(self) -> int:
        """Return how many are held."""

    def __iter__(self) -> Iterator[BlockId]:
        """Go through all that are held, the first to go first."""


NewPolicy = Callable[[Held], EvictionPolicy]
"""Returns one that holds these, which are its own from now on. The cache has one each for what may
go, for what is pinned, and for guests."""


class LeastRecentlyUsed:
    """The block goes first whose last use is longest ago."""

    def __init__(self, held: Held) -> None:
        self._held = held

    def add(self, block: BlockId, size: int) -> None:
        self._held[block] = size

    def restore(self, block: BlockId, size: int) -> None:
        self._held[block] = size
        self._held.move_to_end(block, last=False)

    def use(self, block: BlockId) -> None:
        self._held.move_to_end(block)

    def remove(self, block: BlockId) -> int:
        return self._held.pop(block)

    def size(self, block: BlockId) -> int:
        return self._held[block]

    def __contains__(self, block: BlockId) -> bool:
        return block in self._held

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[BlockId]:
        return iter(self._held)


_MAX_SHARED_SIZES = 4096


class HeldBlocks:
    """Held blocks in the order of a policy, and their disk space together."""

    def __init__(self, policy: NewPolicy, found: Held | None = None) -> None:
        """Start from what was *found*, where equal sizes are one number."""
        found = found if found is not None else OrderedDict()
        # As they lie in memory: in the order of use, a million take 0.2 s longer.
        sizes = Counter(dict.values(found))
        self.bytes = sum(disk_bytes(size) * of for size, of in sizes.items())
        """Disk space of all held blocks."""
        self._blocks = policy(found)
        self._sizes: dict[int, int] = {}
        """Sizes by themselves: most blocks have the same one, and a number of its own takes 32 bytes."""

    def __len__(self) -> int:
        return len(self._blocks)

    def __contains__(self, block: BlockId) -> bool:
        return block in self._blocks

    def __iter__(self) -> Iterator[BlockId]:
        """Go through them, the first to go first."""
        return iter(self._blocks)

    def add(self, block: BlockId, size: int) -> None:
        """Enter *block*, which is not held and was used just now."""
        self._blocks.add(block, self._entering(block, size))

    def restore(self, block: BlockId, size: int) -> None:
        """Enter *block*, which is not held, as the first to go: it should have gone already."""
        self._blocks.restore(block, self._entering(block, size))

    def use(self, block: BlockId) -> None:
        """Note that *block*, which is held, was used just now."""
        self._blocks.use(block)

    def remove(self, block: BlockId) -> int:
        """Take out *block*, which is held, and return its file size."""
        size = self._blocks.remove(block)
        self.bytes -= disk_bytes(size)
        return size

    def size(self, block: BlockId) -> int:
        """Return the file size of *block*, which is held."""
        return self._blocks.size(block)

    def first_to_go(
        self, wanted: int, without: Container[BlockId] = (), at_most: int | None = None
    ) -> list[BlockId]:
        """Return the shortest run, in the policy's order, that frees *wanted* bytes of disk.

        Those in *without* are passed over. All blocks if together they are not enough; none if
        *wanted* is zero or less; *at_most* so many in any case.
        """
        run: list[BlockId] = []
        if wanted <= 0:
            return run
        for block in self._blocks:
            if block in without:
                continue
            run.append(block)
            wanted -= disk_bytes(self._blocks.size(block))
            if wanted <= 0 or len(run) == at_most:
                break
        return run

    def _entering(self, block: BlockId, size: int) -> int:
        assert block not in self._blocks
        self.bytes += disk_bytes(size)
        if len(self._sizes) < _MAX_SHARED_SIZES:
            return self._sizes.setdefault(size, size)
        return self._sizes.get(size, size)
