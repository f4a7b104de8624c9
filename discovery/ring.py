"""Who owns what: a weighted consistent-hash ring over peers. Pure.

A peer puts points on a circle of 2^64 positions, as many as its weight says, at places that follow
from its id alone; a key belongs to the peer of the first point at or after the key's own position,
and then to the next ones of other peers. A peer's points do not depend on who else is there, so
one that comes or goes moves only keys it gains or loses itself.
"""

from __future__ import annotations

import functools
import math
import struct
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

from blake3 import blake3

POINTS = 64
"""Points for each unit of weight. The spread of shares shrinks with its root: one in eight for a
single unit (measured: see the law in tests/unit/discovery/test_ring.py)."""

WEIGHT_UNIT_BYTES = 10 * 1024**3
"""Bytes of cache that make one unit of weight."""

MAX_WEIGHT = 64
"""A terabyte of cache counts like many: 50 such peers make 204,800 points."""

SLACK_FACTOR = 1.25
"""How far above its fair share of the work a peer may be loaded before others are preferred."""

_CIRCLE = 1 << 64
_CONTEXT = "lucidnode 2026 ring 1 points of a peer"


def weight_of(cache_bytes: int) -> int:
    """Return the weight of a peer that offers *cache_bytes* of cache, from 1 to MAX_WEIGHT."""
    return max(1, min(MAX_WEIGHT, cache_bytes // WEIGHT_UNIT_BYTES))


class Ring:
    """Peers by position. Immutable: a change of peers makes another ring."""

    def __init__(self, points: Sequence[int], peer_at: Mapping[int, str]) -> None:
        self._points = points
        self._peer_at = peer_at
        self._peers = frozenset(peer_at.values())

    @classmethod
    def of(cls, weights: Mapping[str, int]) -> Ring:
        """Build the ring of peers with their *weights*, each from 1 to MAX_WEIGHT."""
        # Two peers on one point of 2^64 would be one in a billion rings; the larger id gives way.
        peer_at: dict[int, str] = {}
        for peer in sorted(weights):
            for point in _points(peer, weights[peer]):
                peer_at.setdefault(point, peer)
        return cls(sorted(peer_at), peer_at)

    @property
    def peers(self) -> frozenset[str]:
        """The peers on the ring."""
        return self._peers

    def owners(self, key: bytes, count: int) -> list[str]:
        """Return the *count* peers that *key* belongs to, first owner first; fewer if fewer exist.

        *key* must be uniformly distributed already, as block ids are: its first 8 bytes are its
        position.
        """
        owners: list[str] = []
        wanted = min(count, len(self._peers))
        start = bisect_left(self._points, int.from_bytes(key[:8]))
        # Once around, from the first point at or after the key; negative indexes are the far side.
        for index in range(start - len(self._points), start):
            if len(owners) == wanted:
                break
            if (peer := self._peer_at[self._points[index]]) not in owners:
                owners.append(peer)
        return owners

    def shares(self) -> dict[str, float]:
        """Return the fraction of all keys that each peer owns first. They add up to 1."""
        arcs = dict.fromkeys(sorted(self._peers), 0)
        if not self._points:
            return {}
        before = self._points[-1] - _CIRCLE
        for point in self._points:
            arcs[self._peer_at[point]] += point - before
            before = point
        return {peer: arc / _CIRCLE for peer, arc in arcs.items()}


def relieved(owners: Sequence[str], loads: Mapping[str, int], peers: int) -> list[str]:
    """Return *owners* with those loaded beyond bounds moved behind the others, else in order.

    *loads* counts work under way by peer. The bound is that of consistent hashing with bounded
    loads (Mirrokni, Thorup, Zadimoghaddam 2016): SLACK_FACTOR times the mean over *peers*, rounded up,
    the piece of work to be placed included.
    """
    bound = math.ceil(SLACK_FACTOR * (sum(loads.values()) + 1) / max(1, peers))
    return sorted(owners, key=lambda peer: loads.get(peer, 0) >= bound)


@functools.lru_cache(maxsize=1024)
def _points(peer: str, weight: int) -> Iterable[int]:
    if not 1 <= weight <= MAX_WEIGHT:
        raise ValueError(f"the weight of a peer is 1 to {MAX_WEIGHT}, not {weight}")
    count = POINTS * weight
    stream = blake3(peer.encode(), derive_key_context=_CONTEXT).digest(length=8 * count)
    return struct.unpack(f">{count}Q", stream)
