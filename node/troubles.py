"""What a person should hear of: in the log, on the dashboard, and in the mounts."""

from __future__ import annotations

import logging
from collections import deque

from lucidnode.node.client import wire
from lucidnode.node.mounts import Mounts

log = logging.getLogger(__name__)

_KEPT = 5


class Troubles:
    """The last things that a person should hear of, for the dashboard and the mounts."""

    def __init__(self, mounts: Mounts) -> None:
        self._mounts = mounts
        self._last: deque[str] = deque(maxlen=_KEPT)

    def tell(self, message: str) -> None:
        """Note *message*; the same thing again changes nothing."""
        if message not in self._last:
            log.warning("%s", message)
            self._last.append(message)
            self._mounts.tell_all(wire.Trouble(message))

    def last(self) -> list[str]:
        """Return them, oldest first."""
        return list(self._last)
