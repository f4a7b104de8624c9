"""The accounting of the cache: what is held, on its way in, on its way out. Pure: no disk, no clock.

A change is entered twice: when it begins and when it ended. Between the two its blocks are
*moving*: neither held nor to be chosen by another change. So whoever looks meanwhile sees figures
that are right, and the sum of held and arriving never passes the limit.

Blocks that came for other workstations are *guests*. What members make this one read or offer to it
they choose, so guests never cost what mounts here read: one that was offered takes free room or
another guest's, and while guests hold more than their share they are the first to go.

Blocks that are *pinned* here (node/pins) stay, whatever comes, as far as they fill no more than their
share: what is above it is held like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from lucidnode.node.cache.change import CacheChange, Insertion, Whose
from lucidnode.node.cache.eviction import ALLOCATION, Held, HeldBlocks, NewPolicy, disk_bytes
from lucidnode.node.client.ids import BlockId
from lucidnode.node.client.pins import PINNED_SHARE

GUESTS_SHARE = 0.5
"""The part of the limit above which guests go before older blocks of our own."""

AHEAD_BYTES = 32 * 1024 * 1024
AHEAD_SHARE = 1 / 64
"""What goes beyond the need of an arrival that finds the cache full, so many bytes and at most this part
of the limit, in whole blocks like it: those that come next find room, and the index hears of a batch instead of each block."""


class Pinned(Protocol):
    """The blocks that are pinned, by whomever."""

    def __contains__(self, block: object) -> bool:
        """Return whether *block* is one."""

    def __len__(self) -> int:
        """Return how many there are; with none, a million that are held need not be asked for."""


class CacheAccounting:
    """The blocks of one opened cache directory."""

    def __init__(
        self,
        found: Held,
        limit: int,
        policy: NewPolicy,
        pinned: Pinned = frozenset(),
    ) -> None:
        """Start from what was *found*, which is the accounting's own from now on.

        *limit* is the disk space in bytes that held and arriving blocks may take together. If it is
        lowered, what is too much stays until somebody lets it go (`resize`). *pinned* tells whether
        a block is; where its answer changes, `repin` follows.
        """
        self._pinned = pinned
        self._held = HeldBlocks(policy, found)
        self._kept = HeldBlocks(policy)
        """Held as well, and never to go: those of *pinned*, up to their share."""
        self._guests = HeldBlocks(policy)
        self.limit = limit
        self._used: dict[BlockId, None] = {}  # since the last drain, in order of use
        self._moving: set[BlockId] = set()
        self._arriving = 0
        self.leaving_blocks = 0
        """Blocks on their way out, whose files the disk has until they are gone."""
        self._leaving = 0
        if len(pinned):
            self.repin([block for block in self._held if block in pinned])

    def __contains__(self, block: BlockId) -> bool:
        return block in self._held or block in self._kept

    def __len__(self) -> int:
        return len(self._held) + len(self._kept)

    @property
    def bytes(self) -> int:
        """Return the disk space of what is held or arriving."""
        return self._held.bytes + self._kept.bytes + self._arriving

    @property
    def occupied_bytes(self) -> int:
        """Return the disk space of what is held, and of what has its room still, or already."""
        return self._held.bytes + self._kept.bytes + max(self._arriving, self._leaving)

    @property
    def excess(self) -> int:
        """Return the disk space by which that is beyond the limit, zero or less if it is not."""
        return self.bytes - self.limit

    @property
    def kept_bytes(self) -> int:
        """Return the disk space of what is held and pinned."""
        return self._kept.bytes

    @property
    def kept_room(self) -> int:
        """Return the disk space that pinned blocks may take together."""
        return int(self.limit * PINNED_SHARE)

    def size(self, block: BlockId) -> int:
        """Return the file size of *block*, which is held."""
        return self._home(block).size(block)

    def is_kept(self, block: BlockId) -> bool:
        """Return whether *block* is held and never to go."""
        return block in self._kept

    def repin(self, blocks: Iterable[BlockId]) -> None:
        """Keep those of *blocks* that are held and pinned, as far as there is room; no longer the others."""
        for block in blocks:
            if block not in self or (block in self._pinned) == (block in self._kept):
                continue
            home = self._home(block)
            size = home.size(block)
            room = self._held if home is self._kept else self._room_of(block, size)
            if room is home:
                continue  # there is no room for it
            home.remove(block)
            room.add(block, size)
            if room is self._kept and block in self._guests:
                self._guests.remove(block)

    def resize(self, limit: int) -> None:
        """Go by *limit* from now on; what is pinned above its share is held like any other then."""
        self.limit = limit
        for block in self._kept.first_to_go(self._kept.bytes - self.kept_room):
            self._held.restore(block, self._kept.remove(block))

    @property
    def guest_bytes(self) -> int:
        """Return the disk space of guests that are held."""
        return self._guests.bytes

    def use(self, block: BlockId, whose: Whose) -> None:
        """Note that *block*, which is held, was used just now; by a mount here if it is *ours*."""
        self._home(block).use(block)
        if block in self._guests:
            if whose == "ours":
                self._guests.remove(block)
            else:
                self._guests.use(block)
        self._used.pop(block, None)
        self._used[block] = None

    def drain_used(self) -> list[tuple[BlockId, int]]:
        """Return what was used since the last call, id and file size, in order of use."""
        used = [(block, self.size(block)) for block in self._used]
        self._used.clear()
        return used

    def first_to_go(self, wanted: int, at_most: int | None = None) -> list[BlockId]:
        """Return the blocks that go first to free *wanted* bytes, or all that may go; *at_most* so many."""
        return self._held.first_to_go(wanted, at_most=at_most)

    def evictees(self, insertion: Insertion, reclaim_bytes: int) -> list[BlockId] | None:
        """Return what must go for *insertion* to come, or None if it cannot come now.

        That is what the limit demands and some more ahead, and no less than *reclaim_bytes* bytes.
        Nothing is evicted if it cannot come.
        """
        excess = self.bytes + disk_bytes(insertion.size) - self.limit
        wanted = max(excess, reclaim_bytes)
        offered = insertion.whose == "offered by a peer"
        if insertion.block in self._moving:
            return None
        if self.excess > max(AHEAD_BYTES, disk_bytes(insertion.size)):
            return None  # the limit was lowered; what is too much goes in batches, and this is for later
        if wanted > (self._guests.bytes if offered else self._held.bytes):
            return None
        if offered:
            return self._guests.first_to_go(wanted)
        if excess > 0:
            room = max(disk_bytes(insertion.size), ALLOCATION)
            wanted += int(min(AHEAD_BYTES, self.limit * AHEAD_SHARE)) // room * room
        surplus = self._guests.bytes - int(self.limit * GUESTS_SHARE)
        first = self._guests.first_to_go(min(wanted, surplus))
        freed = sum(disk_bytes(self.size(block)) for block in first)
        return first + self._held.first_to_go(wanted - freed, without=set(first))

    def begin(
        self,
        evictees: Sequence[BlockId],
        insertion: Insertion | None,
        *,
        bad: bool = False,
    ) -> dict[BlockId, int]:
        """Enter that *evictees* leave, as *bad* or missing, and *insertion* comes; return the victims' file sizes."""
        leaving = {block: self._home(block).remove(block) for block in evictees}
        for block in evictees:
            self._used.pop(block, None)
            if block in self._guests:
                self._guests.remove(block)
        self._moving.update(evictees)
        if not bad:
            self._entered_leaving(leaving, 1)
        if insertion is not None:
            self._moving.add(insertion.block)
            self._arriving += disk_bytes(insertion.size)
        return leaving

    def end(
        self,
        leaving: dict[BlockId, int],
        insertion: Insertion | None,
        change: CacheChange,
        *,
        bad: bool,
    ) -> None:
        """Enter how a change ended. Victims that would not go are held again, unless *bad*."""
        self._moving.difference_update(leaving)
        if not bad:
            self._entered_leaving(leaving, -1)
            for block in leaving.keys() - set(change.removed):
                self._held.restore(block, leaving[block])
        if insertion is not None:
            self._moving.discard(insertion.block)
            self._arriving -= disk_bytes(insertion.size)
            if change.kept:
                room = self._room_of(insertion.block, insertion.size)
                room.add(insertion.block, insertion.size)
                if insertion.whose != "ours" and room is self._held:
                    self._guests.add(insertion.block, insertion.size)
                self.use(insertion.block, insertion.whose)

    def _entered_leaving(self, leaving: dict[BlockId, int], sign: int) -> None:
        self.leaving_blocks += sign * len(leaving)
        self._leaving += sign * sum(map(disk_bytes, leaving.values()))

    def _home(self, block: BlockId) -> HeldBlocks:
        """Return where *block*, which is held, is."""
        return self._kept if block in self._kept else self._held

    def _room_of(self, block: BlockId, size: int) -> HeldBlocks:
        """Return where *block* of *size* bytes belongs, which is held from now on."""
        is_kept = block in self._pinned and self._kept.bytes + disk_bytes(size) <= self.kept_room
        return self._kept if is_kept else self._held
