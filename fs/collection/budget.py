"""How much of the store one round of a collection may use: what stores bill is requests."""

from __future__ import annotations

READS_FOR_ONE = 10
"""Reads of an entry that count as one request: stores take a tenth or less for them of what they take
for a list or a write (docs/bench.md)."""

_WRITE = 2
"""Requests for an entry: to create it, and to see what lies before it."""


class Budget:
    """What is left of *most* requests; None is without an end."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._spent = 0.0

    def spend(self, requests: float = 1.0) -> None:
        """Count requests that are made."""
        self._spent += requests

    def spend_entry(self) -> None:
        """Count an entry that is made."""
        self.spend(_WRITE)

    def left(self, most: int) -> int:
        """Return how many more requests may be made, *most* at most."""
        if self._most is None:
            return most
        return max(0, min(most, int(self._most - self._spent)))

    def is_half_spent(self) -> bool:
        """Whether no more is to go into looking: what is found has to be worked on as well."""
        return self._most is not None and self._spent >= self._most / 2

    def has_entry(self) -> bool:
        """Whether one more entry can be made."""
        return self.left(_WRITE) == _WRITE
