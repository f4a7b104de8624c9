"""What this node thinks of one peer: how fast it answers, and whether to ask it. Pure."""

from __future__ import annotations

from lucidnode.node.latency import Latency

QUICKEST = 0.1
LONGEST = 0.25
"""Bounds of the patience for a first sign of life, in seconds. Two owners that died at once cost a
read at most twice the longest, which is the half second we promise."""

SLOWER = 4.0
"""How many times its usual time a peer is given."""

FIRST_PAUSE = 1.0
LAST_PAUSE = 30.0
"""Seconds before a peer that failed is probed again: doubled with each failure in a row."""


class Standing:
    """The record of one peer. Times are seconds of the boot clock."""

    def __init__(self) -> None:
        self._latency = Latency()
        self._failures = 0
        self._probe_at: float | None = None
        self.banned = False
        self.overtaken = False
        """Whether it last failed by keeping a read waiting until another source was quicker."""

    @property
    def usable(self) -> bool:
        """Whether to ask it at all."""
        return not self.banned and self._probe_at is None

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

    def delivered(self) -> None:
        """Learn that a whole block came: whatever failed before is over."""
        self._failures = 0

    def failed(self, now: float, *, overtaken: bool = False) -> None:
        """Stop asking it until a probe succeeds.

        Requests that were under way together and fail together count as one failure.
        """
        if self._probe_at is None:
            self._failures += 1
            pause = min(LAST_PAUSE, FIRST_PAUSE * 2.0 ** (self._failures - 1))
            self._probe_at = now + pause
            self.overtaken = overtaken

    def probe_due(self, now: float) -> bool:
        """Return whether it is time to see if it has recovered."""
        return not self.banned and self._probe_at is not None and now >= self._probe_at

    def probed(self, now: float, *, alive: bool) -> None:
        """Learn how a probe ended."""
        self._probe_at = None
        self.overtaken = False
        if not alive:
            self.failed(now)

    def ban(self) -> None:
        """Never ask it again while this daemon runs."""
        self.banned = True
