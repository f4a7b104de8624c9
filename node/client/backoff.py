"""How long to wait before trying again."""

from __future__ import annotations

from collections.abc import Callable

Jitter = Callable[[], float]
"""Returns numbers spread evenly over [0, 1): `secrets.SystemRandom().random`, or a seeded one."""


class Backoff:
    """Growing pauses: each ceiling twice the last up to *most_s*.

    With *jitter* each pause lies in the upper half below its ceiling: what is random keeps callers
    who failed together from coming back together, the rest keeps every pause a real one. Without,
    for who waits for something of this machine alone, each pause is its ceiling.
    """

    def __init__(self, jitter: Jitter | None, first_s: float = 0.1, most_s: float = 5.0) -> None:
        """Pauses are in seconds; the first lies in [first_s / 2, first_s]."""
        self._jitter = jitter
        self._first_s = first_s
        self._ceiling_s = first_s
        self._most_s = most_s

    def pause(self) -> float:
        """Return the next pause in seconds."""
        part = 1.0 if self._jitter is None else (1 + self._jitter()) / 2
        pause = self._ceiling_s * part
        self._ceiling_s = min(self._most_s, 2 * self._ceiling_s)
        return pause

    def reset(self) -> None:
        """Begin anew: what was tried went well."""
        self._ceiling_s = self._first_s
