"""How much of something one member may make this node do: a bucket of tokens. Pure; times come in."""

from __future__ import annotations


class TokenBucket:
    """Lets *burst* pass at once, and *rate* a second in the long run."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._at = now

    def take(self, amount: float, now: float) -> bool:
        """Use up *amount* at the time *now* (seconds). False, and nothing used, if less is left."""
        self._left = min(self._burst, self._left + max(0.0, now - self._at) * self._rate)
        self._at = max(self._at, now)
        if amount > self._left:
            return False
        self._left -= amount
        return True

    def give_back(self, amount: float) -> None:
        """Return what was taken and turned out not to be used."""
        self._left = min(self._burst, self._left + amount)
