"""A peer in plain figures, for people and for scripts."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from lucidnode.node.peers.messages import PeerSummary
from lucidnode.node.peers.peer_table import Peer


class PeerStatus(msgspec.Struct, frozen=True):
    """One peer. `state` is linked, resting (it failed and is being probed), banned or away."""

    device: str
    address: str
    state: str
    weight: int
    share: float
    """The part of all blocks it owns, 0 to 1."""
    p95_ms: float | None
    """What 95 of 100 first answers stayed within, once known."""
    under_way: int
    totals: Mapping[str, int]
    received: int = 0
    """Bytes of blocks that it gave us since our daemon started."""
    summary: PeerSummary | None = None
    """How it says that it is; None before it said so."""


def status_of(peer: Peer, share: float) -> PeerStatus:
    """Return what there is to say of *peer*."""
    p95 = peer.health.p95()
    return PeerStatus(
        device=peer.device,
        address="" if peer.link is None else peer.link.host,
        state=_state(peer),
        weight=peer.weight,
        share=share,
        p95_ms=None if p95 is None else p95 * 1000,
        under_way=peer.under_way,
        totals=peer.totals,
        received=peer.received,
        summary=peer.summary,
    )


def _state(peer: Peer) -> str:
    if peer.health.banned:
        return "banned"
    if peer.access is None:
        return "away"
    return "linked" if peer.health.usable else "resting"
