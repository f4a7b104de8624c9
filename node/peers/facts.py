"""A peer in plain figures, for people and for scripts."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from lucidnode.node.peers.neighbours import Neighbour


class PeerFacts(msgspec.Struct, frozen=True):
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


def facts_of(neighbour: Neighbour, share: float) -> PeerFacts:
    """Return what there is to say of *neighbour*."""
    p95 = neighbour.standing.p95()
    return PeerFacts(
        device=neighbour.device,
        address="" if neighbour.link is None else neighbour.link.host,
        state=_state(neighbour),
        weight=neighbour.weight,
        share=share,
        p95_ms=None if p95 is None else p95 * 1000,
        under_way=neighbour.under_way,
        totals=neighbour.totals,
    )


def _state(neighbour: Neighbour) -> str:
    if neighbour.standing.banned:
        return "banned"
    if neighbour.access is None:
        return "away"
    return "linked" if neighbour.standing.usable else "resting"
