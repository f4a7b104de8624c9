"""How fast uploads have gone of late."""

from __future__ import annotations

from collections import deque

from lucidnode.node.client.clock import Clock

RATE_OVER_S = 10.0
"""Seconds over which the rate is taken."""

_MAX_COUNTED = 4096
"""Uploads that it is taken from, at most."""


class UploadRate:
    """Counts the bytes of finished uploads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sent: deque[tuple[float, int]] = deque(maxlen=_MAX_COUNTED)  # boot time and bytes

    def count(self, size: int) -> None:
        """Count *size* bytes that got there just now."""
        self._sent.append((self._clock.boot(), size))

    def bytes_per_second(self) -> float:
        """Return what got there in a second, over the last RATE_OVER_S."""
        now = self._clock.boot()
        while self._sent and now - self._sent[0][0] > RATE_OVER_S:
            self._sent.popleft()
        if not self._sent:
            return 0.0
        return sum(size for _, size in self._sent) / max(now - self._sent[0][0], 1.0)
