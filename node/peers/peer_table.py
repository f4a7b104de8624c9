"""The peers this node knows, and which of them to ask for a block. No I/O; times are arguments."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lucidnode.discovery.ring import Ring, relieved
from lucidnode.node.blocks.fetch import FetchAttempt, PassedOver
from lucidnode.node.client.file_blocks import WhyPassedOver
from lucidnode.node.client.ids import BlockId, DeviceId
from lucidnode.node.peers.claimed_totals import ClaimedTotals
from lucidnode.node.peers.link import PeerLink
from lucidnode.node.peers.messages import PeerSummary
from lucidnode.node.peers.peer_health import PeerHealth
from lucidnode.node.peers.sessions import ClientSession

OWNERS_PER_BLOCK = 2
"""Owners of a block: the one that reads it through, and the one asked when that one fails."""

ABSENCE_GRACE_S = 60.0
"""Seconds for which a peer that went away keeps its place on the ring. It is not asked meanwhile,
but a closed lid or a reboot does not move its blocks."""

MAX_CONCURRENT_REQUESTS = 32
"""Requests under way to one peer; more wait here, so that their patience does not run meanwhile."""

RELIEF_REQUESTS = 8
"""Requests under way from which an owner counts as busy enough to look for relief."""


@dataclass(slots=True, eq=False)
class Peer:
    """One peer: how it can be reached, and how it has done."""

    device: DeviceId
    weight: int = 1
    outgoing: PeerLink | None = None
    """The link we dialled. Only over this one were we given *access* to its blocks."""
    access: ClientSession | None = None
    incoming: list[PeerLink] = field(default_factory=list)
    left_at: float | None = None
    health: PeerHealth = field(default_factory=PeerHealth)
    turns: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(MAX_CONCURRENT_REQUESTS)
    )
    under_way: int = 0
    totals: Mapping[str, int] = field(default_factory=dict)
    received: int = 0
    """Bytes of blocks that it gave us."""
    summary: PeerSummary | None = None
    """How it said last that it is."""
    claimed: ClaimedTotals = field(default_factory=ClaimedTotals)

    @property
    def usable(self) -> bool:
        """Whether to ask it for blocks now."""
        return self.access is not None and self.health.usable

    @property
    def link(self) -> PeerLink | None:
        """The link over which to talk to it."""
        return self.outgoing or (self.incoming[-1] if self.incoming else None)


class PeerTable:
    """This node and its peers on the ring.

    Invariant: the ring holds this node and every peer that was reached, less those banned, those
    no longer members, and those away for longer than ABSENCE_GRACE_S.
    """

    def __init__(self, me: DeviceId, weight: int, *, owns: bool = True) -> None:
        """Without *owns* this node is on no ring but while it is alone."""
        self._me = me
        self._weight = weight
        self._owns = owns
        self._all: dict[DeviceId, Peer] = {}
        self._present: set[DeviceId] = set()
        self._ring = Ring.of({me: weight})

    def __iter__(self) -> Iterator[Peer]:
        return iter(list(self._all.values()))

    def get(self, device: DeviceId) -> Peer | None:
        """Return the peer that *device* is, if it has been met."""
        return self._all.get(device)

    def met(self, device: DeviceId) -> Peer:
        """Return the peer that *device* is, from now on known."""
        return self._all.setdefault(device, Peer(device))

    # -- coming and going --------------------------------------------------------------------

    def reached(self, link: PeerLink, access: ClientSession | None, weight: int) -> Peer:
        """Note that *link* leads to a peer now. It starts afresh, unless it is banned.

        Without *access* it is heard and told, and never asked for blocks.
        """
        peer = self.met(link.device)
        if not peer.health.banned:
            peer.health = PeerHealth()
        peer.outgoing = link
        peer.access = access
        peer.weight = weight
        peer.left_at = None
        if not peer.health.banned and access is not None:
            self._present.add(link.device)
            self._rebuild()
        return peer

    def lost(self, link: PeerLink, now: float) -> None:
        """Note that a link we dialled has ended."""
        peer = self._all.get(link.device)
        if peer is not None and peer.outgoing is link:
            peer.outgoing = peer.access = None
            peer.left_at = now

    def forget(self, device: DeviceId) -> None:
        """Drop a peer that is no member any more."""
        self._all.pop(device, None)
        self._remove({device})

    def ban(self, peer: Peer) -> None:
        """Never ask *peer* again, and let others own its blocks."""
        peer.health.ban()
        self._remove({peer.device})

    def tidy(self, now: float) -> None:
        """Take those off the ring that have been away too long."""
        self._remove(
            {n.device for n in self if n.left_at is not None and now - n.left_at > ABSENCE_GRACE_S}
        )

    def _remove(self, devices: set[DeviceId]) -> None:
        if devices & self._present:
            self._present -= devices
            self._rebuild()

    def _rebuild(self) -> None:
        weights: dict[str, int] = {d: self._all[d].weight for d in self._present}
        if self._owns or not weights:
            weights[self._me] = self._weight
        self._ring = Ring.of(weights)

    # -- whom to ask -------------------------------------------------------------------------

    def shares(self) -> dict[str, float]:
        """Return which fraction of all blocks each device owns first."""
        return self._ring.shares()

    def owners(self, block: BlockId) -> list[DeviceId]:
        """Return the owners of *block*, best first, this node included."""
        return [DeviceId(peer) for peer in self._ring.owners(block, OWNERS_PER_BLOCK)]

    def owns(self, block: BlockId) -> bool:
        """Return whether this node is the first owner of *block*."""
        return self.owners(block)[0] == self._me

    def route(self, block: BlockId) -> list[FetchAttempt]:
        """Return whom to ask for *block* and how; see `PeerBlockSource.route`."""
        owners = self.owners(block)
        others = [device for device in owners if device != self._me and self._usable(device)]
        through = owners[0] != self._me
        route = [FetchAttempt(device, through) for device in others]
        if through and len(others) == OWNERS_PER_BLOCK and self._load(others[0]) >= RELIEF_REQUESTS:
            loads: dict[str, int] = {n.device: n.under_way for n in self._all.values()}
            first = DeviceId(relieved(others, loads, len(self._ring.peers - {self._me}))[0])
            if first != others[0]:
                # Only what it holds: to read through stays the busy owner's, or the office would
                # fetch the block twice.
                route.insert(0, FetchAttempt(first, through=False))
        return route

    def passed_over(self, block: BlockId) -> list[PassedOver]:
        """Return the owners of *block* that are not asked now, and why."""
        return [
            PassedOver(device, _why(self._all[device]))
            for device in self.owners(block)
            if device != self._me and not self._usable(device)
        ]

    def holders(self) -> list[DeviceId]:
        """Return every peer that can be asked."""
        return [device for device in self._all if self._usable(device)]

    def _usable(self, device: DeviceId) -> bool:
        peer = self._all.get(device)
        return peer is not None and peer.usable

    def _load(self, device: DeviceId) -> int:
        return self._all[device].under_way


def _why(peer: Peer) -> WhyPassedOver:
    if peer.access is None:
        return "away"
    return "slow" if peer.health.lost_hedge else "resting"
