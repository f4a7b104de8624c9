"""A clock that is fast or slow against the others of a soak."""

from __future__ import annotations

from lab.soak_files import VirtualClock


class DriftingClock(VirtualClock):
    """Goes *rate* times as fast as the loop's time."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self._rate = rate

    def boot(self) -> float:
        """Return its own seconds."""
        return super().boot() * self._rate

    async def sleep(self, seconds: float) -> None:
        """Return after *seconds* of its own."""
        await super().sleep(seconds / self._rate)
