"""What a source usually takes. Pure: durations come in as numbers."""

from __future__ import annotations

from collections import deque

_REMEMBERED = 64
"""Samples kept: enough for a 95th percentile, few enough to follow a network that changed."""

_ENOUGH = 8
"""Samples below which a percentile says nothing."""


class Latency:
    """The recent durations of one kind of request, in seconds."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=_REMEMBERED)

    def add(self, seconds: float) -> None:
        """Remember one more duration, forgetting the oldest."""
        self._recent.append(seconds)

    def p95(self) -> float | None:
        """Return what 95 of 100 recent requests stayed within, or None while too few are known."""
        if len(self._recent) < _ENOUGH:
            return None
        ordered = sorted(self._recent)
        return ordered[len(ordered) * 95 // 100]
