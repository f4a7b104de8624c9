"""The peers this node knows, and which of them to ask for a block. No I/O; times are arguments."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lucidnode.discovery.ring import Ring, relieved
from lucidnode.node.client.ids import BlockId, DeviceId
from lucidnode.node.fetch import Ask
from lucidnode.node.peers.claims import ClaimedTotals
from lucidnode.node.peers.grants import Access
from lucidnode.node.peers.link import Link
from lucidnode.node.peers.standing import Standing

REPLICAS = 2
"""Owners of a block: the one that reads it through, and the one asked when that one fails."""

GRACE = 60.0
"""Seconds for which a peer that went away keeps its place on the ring. It is not asked meanwhile,
but a closed lid or a reboot does not move its blocks."""

AT_ONCE = 32
"""Requests under way to one peer; more wait here, so that their patience does not run meanwhile."""

RELIEF = 8
"""Requests under way from which an owner counts as busy enough to look for relief."""


@dataclass(slots=True, eq=False)
class Neighbour:
    """One peer: how it can be reached, and how it has done."""

    device: DeviceId
    weight: int = 1
    outgoing: Link | None = None
    """The link we dialled. Only over this one were we given *access* to its blocks."""
    access: Access | None = None
    incoming: list[Link] = field(default_factory=list)
    left_at: float | None = None
    standing: Standing = field(default_factory=Standing)
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    under_way: int = 0
    totals: Mapping[str, int] = field(default_factory=dict)
    claims: ClaimedTotals = field(default_factory=ClaimedTotals)

    @property
    def usable(self) -> bool:
        """Whether to ask it for blocks now."""
        return self.access is not None and self.standing.usable

    @property
    def link(self) -> Link | None:
        """The link over which to talk to it."""
        return self.outgoing or (self.incoming[-1] if self.incoming else None)


class Neighbours:
    """This node and its peers on the ring.

    Invariant: the ring holds this node and every peer that was reached, less those banned, those
    no longer members, and those away for longer than GRACE.
    """

    def __init__(self, me: DeviceId, weight: int) -> None:
        self._me = me
        self._weight = weight
        self._all: dict[DeviceId, Neighbour] = {}
        self._present: set[DeviceId] = set()
        self._ring = Ring.of({me: weight})

    def __iter__(self) -> Iterator[Neighbour]:
        return iter(list(self._all.values()))

    def get(self, device: DeviceId) -> Neighbour | None:
        """Return the neighbour that *device* is, if it has been met."""
        return self._all.get(device)

    def met(self, device: DeviceId) -> Neighbour:
        """Return the neighbour that *device* is, from now on known."""
        return self._all.setdefault(device, Neighbour(device))

    # -- coming and going --------------------------------------------------------------------

    def reached(self, link: Link, access: Access, weight: int) -> Neighbour:
        """Note that *link* leads to a peer now. It starts afresh, unless it is banned."""
        neighbour = self.met(link.device)
        if not neighbour.standing.banned:
            neighbour.standing = Standing()
        neighbour.outgoing = link
        neighbour.access = access
        neighbour.weight = weight
        neighbour.left_at = None
        if not neighbour.standing.banned:
            self._present.add(link.device)
            self._rebuild()
        return neighbour

    def lost(self, link: Link, now: float) -> None:
        """Note that a link we dialled has ended."""
        neighbour = self._all.get(link.device)
        if neighbour is not None and neighbour.outgoing is link:
            neighbour.outgoing = neighbour.access = None
            neighbour.left_at = now

    def forget(self, device: DeviceId) -> None:
        """Drop a peer that is no member any more."""
        self._all.pop(device, None)
        self._remove({device})

    def ban(self, neighbour: Neighbour) -> None:
        """Never ask *neighbour* again, and let others own its blocks."""
        neighbour.standing.ban()
        self._remove({neighbour.device})

    def tidy(self, now: float) -> None:
        """Take those off the ring that have been away too long."""
        self._remove({n.device for n in self if n.left_at is not None and now - n.left_at > GRACE})

    def _remove(self, devices: set[DeviceId]) -> None:
        if devices & self._present:
            self._present -= devices
            self._rebuild()

    def _rebuild(self) -> None:
        weights: dict[str, int] = {d: self._all[d].weight for d in self._present}
        self._ring = Ring.of({**weights, self._me: self._weight})

    # -- whom to ask -------------------------------------------------------------------------

    def shares(self) -> dict[str, float]:
        """Return which fraction of all blocks each device owns first."""
        return self._ring.shares()

    def owners(self, block: BlockId) -> list[DeviceId]:
        """Return the owners of *block*, best first, this node included."""
        return [DeviceId(peer) for peer in self._ring.owners(block, REPLICAS)]

    def owns(self, block: BlockId) -> bool:
        """Return whether this node is the first owner of *block*."""
        return self.owners(block)[0] == self._me

    def route(self, block: BlockId) -> list[Ask]:
        """Return whom to ask for *block* and how; see `fetch.Office.route`."""
        owners = self.owners(block)
        others = [device for device in owners if device != self._me and self._usable(device)]
        through = owners[0] != self._me
        route = [Ask(device, through) for device in others]
        if through and len(others) == REPLICAS and self._load(others[0]) >= RELIEF:
            loads: dict[str, int] = {n.device: n.under_way for n in self._all.values()}
            first = DeviceId(relieved(others, loads, len(self._ring.peers) - 1)[0])
            if first != others[0]:
                # Only what it holds: to read through stays the busy owner's, or the office would
                # fetch the block twice.
                route.insert(0, Ask(first, through=False))
        return route

    def holders(self) -> list[DeviceId]:
        """Return every peer that can be asked."""
        return [device for device in self._all if self._usable(device)]

    def _usable(self, device: DeviceId) -> bool:
        neighbour = self._all.get(device)
        return neighbour is not None and neighbour.usable

    def _load(self, device: DeviceId) -> int:
        return self._all[device].under_way
