"""Waiting for something to become true, with a bound."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from lab.errors import CommandFailed

_STEP = 0.02
"""Seconds between looks: short against the starts it waits for, long against the look itself."""


def until(ready: Callable[[], bool], *, within: float, what: str) -> None:
    """Return when *ready()* is true. Raises CommandFailed after *within* seconds."""
    deadline = time.monotonic() + within
    pause = threading.Event()
    while not ready():
        if time.monotonic() > deadline:
            raise CommandFailed(f"{what} within {within:.0f} s")
        pause.wait(_STEP)
