"""Requests that whoever asked has given up, by a signal: the kernel's `INTERRUPT`."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Iterator

MAX_REMEMBERED = 4096
"""Interrupts of requests that nobody has heard of yet, or that end by none."""


class Interrupts:
    """Lives in one event loop. Numbers of requests are never used twice."""

    def __init__(self) -> None:
        self._given_up: dict[int, asyncio.Future[None]] = {}
        # The threads of the channel keep no order: it may come before the request that it is about.
        self._early: OrderedDict[int, None] = OrderedDict()

    def came(self, unique: int) -> None:
        """Note that whoever asked *unique* waits no longer."""
        waiting = self._given_up.get(unique)
        if waiting is None:
            self._early[unique] = None
            if len(self._early) > MAX_REMEMBERED:
                self._early.popitem(last=False)
        elif not waiting.done():
            waiting.set_result(None)

    @contextlib.contextmanager
    def of(self, unique: int) -> Iterator[asyncio.Future[None]]:
        """Yield what is done once *unique* is given up."""
        given_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if unique in self._early:
            del self._early[unique]
            given_up.set_result(None)
        self._given_up[unique] = given_up
        try:
            yield given_up
        finally:
            del self._given_up[unique]
