"""When to leave a failing disk alone, and when to try it again."""

from __future__ import annotations

import logging

from lucidnode.node.client.backoff import Backoff
from lucidnode.node.client.clock import Clock

log = logging.getLogger(__name__)

FAULTS_IN_A_ROW = 3
"""One bad sector must not switch a whole cache off; a dead disk fails every time."""

FIRST_PAUSE_S = 1.0
MAX_PAUSE_S = 60.0
"""Seconds between probes of a disk that is left alone, doubling from the first to the longest."""


class Breaker:
    """Closed: the disk is used. Open: it is only probed now and then, off everyone's path."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._faults = 0
        self._backoff = Backoff(None, FIRST_PAUSE_S, MAX_PAUSE_S)
        self._probe_at: float | None = None

    @property
    def open(self) -> bool:
        """Return whether the disk is to be left alone."""
        return self._probe_at is not None

    @property
    def due(self) -> bool:
        """Return whether it is open and time for a probe."""
        return self._probe_at is not None and self._clock.boot() >= self._probe_at

    def succeeded(self) -> None:
        """Note that the disk did what it was asked: close."""
        if self.open:
            log.debug("breaker: closed, the disk answers")
        self._faults = 0
        self._backoff.reset()
        self._probe_at = None

    def failed(self, *, grave: bool = False) -> bool:
        """Note a fault, and return whether it opened the breaker.

        A *grave* one opens it at once: a disk that hangs, a directory that is gone. A fault while
        it is open lengthens the pause if it was a probe's; late ends of older work do not count.
        """
        if self.open and not self.due:
            return False
        opens = not self.open
        if opens:
            self._faults += 1
            if not grave and self._faults < FAULTS_IN_A_ROW:
                return False
        pause = self._backoff.pause()
        self._probe_at = self._clock.boot() + pause
        log.debug("breaker: open after %d faults, probed in %.0f s", self._faults, pause)
        return opens
