"""How far a mount that is starting has loaded the project, and read the journal, in words for a terminal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lucidnode.cli.background import facts_if_running
from lucidnode.cli.output import duration, size


class MountProgress:
    """One mount at *mountpoint*, looked at again and again by `words`."""

    def __init__(
        self, home: Path, mountpoint: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._home = home
        self._mountpoint = mountpoint
        self._clock = clock
        self._first: tuple[int, float] | None = None
        """Where it stood when it was first seen to read, and when."""
        self._loaded: tuple[int, int] | None = None
        """Bytes of the project's state, and of how many."""
        self._began_loading = 0.0

    def loaded(self, done: int, total: int) -> None:
        """Hear that *done* of *total* bytes of the project's state are loaded."""
        if self._loaded is None or done == 0:
            self._began_loading = self._clock()
        self._loaded = done, total

    def words(self) -> str:
        """Ask the daemon, and say where the mount is; nothing while it is not there."""
        return self.said(asyncio.run(facts_if_running(self._home, "status")))

    def said(self, status: dict[str, Any] | None) -> str:
        """Say where the mount is by the daemon's *status*."""
        for mount in status["mounts"] if status else ():
            if mount["mountpoint"] == str(self._mountpoint):
                return self._reading(mount["head"], mount.get("reading_to"))
        return "" if self._loaded is None else self._loading(*self._loaded)

    def _loading(self, done: int, total: int) -> str:
        if done >= total:
            return f"loading the project, {size(total)}: checking it"
        said = f"loading the project, {size(done)} of {size(total)}"
        seconds = self._clock() - self._began_loading
        if not done or seconds <= 0:
            return said
        rate = done / seconds
        return f"{said}, {size(rate)}/s, {duration((total - done) / rate)} left"

    def _reading(self, head: int, upto: int | None) -> str:
        now = self._clock()
        if self._first is None:
            self._first = head, now
        began, began_at = self._first
        said = f"reading its journal, entry {head:,}"
        if upto is None:
            return said
        said += f" of {upto:,}"
        if head <= began or now <= began_at:
            return said
        rate = (head - began) / (now - began_at)
        return f"{said}, {rate:,.0f}/s, {duration(max(0, upto - head) / rate)} left"
