"""Waiting for as long as there are signs of life, and no longer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from lucidnode.node.client.errors import NodeError

T = TypeVar("T")


class KeepAlive:
    """When the next sign of life of a piece of work is due."""

    def __init__(self, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self.beat(seconds)

    def beat(self, seconds: float) -> None:
        """Note a sign of life; the next is due in *seconds*.

        A wait that is under way is not shortened by it.
        """
        self._last = self._loop.time()
        self._due = self._last + seconds

    @property
    def due(self) -> float:
        """Seconds until the next sign of life is due; negative when it is late."""
        return self._due - self._loop.time()

    @property
    def silence(self) -> float:
        """Seconds since the last sign of life."""
        return self._loop.time() - self._last

    def wait(self, seconds: float) -> None:
        """Give it *seconds* more, though there was no sign."""
        self._due = self._loop.time() + seconds


async def watch(
    work: Coroutine[Any, Any, T],
    keep_alive: KeepAlive,
    timeout_s: float,
    alive: Callable[[], Awaitable[bool]],
) -> T:
    """Return what *work* returns, or raise the NodeError it raises.

    Raises TimeoutError once a sign of life is overdue and *alive* says no; each time it says yes,
    *timeout_s* seconds are given more. What arrives while *alive* makes up its mind counts: when
    this process itself stood still, its timers run out before its sockets are read.
    """
    async with asyncio.TaskGroup() as tasks:
        working = tasks.create_task(_outcome(work))
        while not working.done():
            await asyncio.wait({working}, timeout=max(0.0, keep_alive.due))
            if not working.done() and keep_alive.due <= 0:
                there = await alive()
                if not working.done() and keep_alive.due <= 0:
                    if not there:
                        working.cancel()
                        break
                    keep_alive.wait(timeout_s)
    # Out here, for a group would wrap what is raised inside it.
    if working.cancelled():
        raise TimeoutError
    outcome = working.result()
    if isinstance(outcome, NodeError):
        raise outcome
    return outcome


async def _outcome(work: Coroutine[Any, Any, T]) -> T | NodeError:
    try:
        return await work
    except NodeError as error:
        return error
