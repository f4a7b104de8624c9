"""Waiting for a sign of life, and no longer."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

STALL = 0.05
"""Seconds by which a timer may be late before the lateness is taken as our own standstill."""


class Patience:
    """A time-out that each sign of life renews; leaving it too late raises TimeoutError.

    When the timer itself comes late, this process stood still (a busy machine, a suspend), and
    what the peer sent meanwhile may lie unread in a buffer: the peer gets the same time once more.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timeout = asyncio.timeout(None)
        self._loop = asyncio.get_running_loop()
        self._due = 0.0
        self._forgiven = False
        self._timer: asyncio.TimerHandle | None = None

    def renew(self, seconds: float) -> None:
        """Wait *seconds* more, from now."""
        self._seconds = seconds
        self._forgiven = False
        self._due = self._loop.time() + seconds
        # A timer that fires earlier than due looks again; only a shorter wait needs another.
        if self._timer is None or self._timer.when() > self._due:
            self._arm()

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        self.renew(self._seconds)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._timeout.__aexit__(kind, error, trace)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._due, self._look, self._due)

    def _look(self, meant: float) -> None:
        now = self._loop.time()
        late = now - meant > STALL
        if now < self._due:
            self._arm()
        elif late and not self._forgiven:
            self._forgiven = True
            self._due = now + self._seconds
            self._arm()
        else:
            self._timeout.reschedule(now)
