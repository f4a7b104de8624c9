"""How long to wait before trying again."""

from __future__ import annotations

from collections.abc import Callable

Jitter = Callable[[], float]
"""Returns numbers spread evenly over [0, 1): `secrets.SystemRandom().random`, or a seeded one."""


class Backoff:
    """Growing pauses: each ceiling twice the last up to *most*, each pause in its upper half.

    The half that is random keeps callers who failed together from coming back together; the
    other half keeps every pause a real one.
    """

    def __init__(self, jitter: Jitter, first: float = 0.1, most: float = 5.0) -> None:
        """Pauses are in seconds; the first lies in [first / 2, first)."""
        self._jitter = jitter
        self._ceiling = first
        self._most = most

    def pause(self) -> float:
        """Return the next pause in seconds."""
        pause = self._ceiling * (1 + self._jitter()) / 2
        self._ceiling = min(self._most, 2 * self._ceiling)
        return pause
