"""What this node thinks of one peer: how fast it answers, and whether to ask it. Pure."""

from __future__ import annotations

from lucidnode.node.blocks.latency import Latency

MIN_TIMEOUT_S = 0.1
MAX_TIMEOUT_S = 0.3
"""Bounds of the patience for a first sign of life, in seconds. After it the peer is doubted, and
its host asked whether it is there at all (node/peers/reachability.py)."""

TIMEOUT_FACTOR = 4.0
"""How many times its usual time a peer is given."""

FIRST_OPEN_S = 0.25
MAX_OPEN_S = 30.0
"""Seconds before a peer that failed is probed: doubled with each failure in a row. The first is
short, as most failures are a moment's; each costs the office blocks fetched twice."""

DELIVERING_S = 1.0
"""Seconds after a whole block in which its sender is not blamed for being slow with another: it
reads many through at once, over one uplink, and a single GET passes all of them."""


class PeerHealth:
    """The record of one peer since it was reached."""

    def __init__(self) -> None:
        self._latency = Latency()
        self._failures = 0
        self._delivered_at = float("-inf")
        self.circuit_open = False
        self.banned = False
        self.lost_hedge = False
        """Whether it rests for having kept a read waiting until another source was quicker."""

    @property
    def usable(self) -> bool:
        """Whether to ask it at all."""
        return not self.banned and not self.circuit_open

    @property
    def rest(self) -> float:
        """Seconds to leave it alone before the next probe."""
        return min(MAX_OPEN_S, FIRST_OPEN_S * 2.0 ** min(self._failures - 1, 10))

    def timeout_s(self) -> float:
        """Return how many seconds to wait for its first sign of life."""
        usual = self._latency.p95()
        return (
            MAX_TIMEOUT_S
            if usual is None
            else min(MAX_TIMEOUT_S, max(MIN_TIMEOUT_S, TIMEOUT_FACTOR * usual))
        )

    def p95(self) -> float | None:
        """Return its usual time to a first sign of life, once known."""
        return self._latency.p95()

    def answered(self, seconds: float) -> None:
        """Learn that a first sign of life took *seconds*."""
        self._latency.add(seconds)

    def delivered(self, now: float) -> None:
        """Learn that a whole block came *now* (boot clock): whatever failed before is over."""
        self._failures = 0
        self._delivered_at = now

    def delivering(self, now: float) -> bool:
        """Return whether blocks came from it a moment ago: then it is busy, and not at fault."""
        return now - self._delivered_at < DELIVERING_S

    def failed(self, *, lost_hedge: bool = False) -> bool:
        """Stop asking it until a probe succeeds. Return whether this is news.

        Requests that were under way together and fail together count as one failure.
        """
        if self.circuit_open:
            return False
        self._failures += 1
        self.circuit_open = True
        self.lost_hedge = lost_hedge
        return True

    def probed(self, *, alive: bool) -> None:
        """Learn how a probe ended."""
        if alive:
            self.circuit_open = self.lost_hedge = False
        else:
            self._failures += 1

    def ban(self) -> None:
        """Never ask it again while this daemon runs."""
        self.banned = True
