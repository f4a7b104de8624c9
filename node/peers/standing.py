"""What this node thinks of one peer: how fast it answers, and whether to ask it. Pure."""

from __future__ import annotations

from lucidnode.node.latency import Latency

QUICKEST = 0.1
LONGEST = 0.3
"""Bounds of the patience for a first sign of life, in seconds. After it the peer is doubted, and
its host asked whether it is there at all (node/peers/knock.py)."""

SLOWER = 4.0
"""How many times its usual time a peer is given."""

FIRST_REST = 0.25
LAST_REST = 30.0
"""Seconds before a peer that failed is probed: doubled with each failure in a row. The first is
short, as most failures are a moment's; each costs the office blocks fetched twice."""

DELIVERING = 1.0
"""Seconds after a whole block in which its sender is not blamed for being slow with another: it
reads many through at once, over one uplink, and a single GET passes all of them."""


class Standing:
    """The record of one peer since it was reached."""

    def __init__(self) -> None:
        self._latency = Latency()
        self._failures = 0
        self._delivered_at = float("-inf")
        self.resting = False
        self.banned = False
        self.overtaken = False
        """Whether it rests for having kept a read waiting until another source was quicker."""

    @property
    def usable(self) -> bool:
        """Whether to ask it at all."""
        return not self.banned and not self.resting

    @property
    def rest(self) -> float:
        """Seconds to leave it alone before the next probe."""
        return min(LAST_REST, FIRST_REST * 2.0 ** min(self._failures - 1, 10))

    def patience(self) -> float:
        """Return how many seconds to wait for its first sign of life."""
        usual = self._latency.p95()
        return LONGEST if usual is None else min(LONGEST, max(QUICKEST, SLOWER * usual))

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
        return now - self._delivered_at < DELIVERING

    def failed(self, *, overtaken: bool = False) -> bool:
        """Stop asking it until a probe succeeds. Return whether this is news.

        Requests that were under way together and fail together count as one failure.
        """
        if self.resting:
            return False
        self._failures += 1
        self.resting = True
        self.overtaken = overtaken
        return True

    def probed(self, *, alive: bool) -> None:
        """Learn how a probe ended."""
        if alive:
            self.resting = self.overtaken = False
        else:
            self._failures += 1

    def ban(self) -> None:
        """Never ask it again while this daemon runs."""
        self.banned = True
