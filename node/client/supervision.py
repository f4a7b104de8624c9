"""The one shape of all work that goes on by itself in a daemon or a mount.

What comes of somebody else's bytes, or of a disk, ends the errand or the round in which it came,
whatever type of exception it is: it is reported, counted, and endless work begins again after a
pause. Only a broken invariant of our own (an `assert`, or memory that ran out) ends the process,
loudly; whoever needs the process starts it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any, Protocol, TypeVar

from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.backoff import Backoff
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.disk_words import said_by

log = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_PAUSE_S, MAX_PAUSE_S = 0.1, 30.0
"""Pauses before work begins again, doubling from the first to the last."""

HEALTHY_S = 60.0
"""Seconds after which work that was begun again counts as well: alert and pause end."""

_ERRAND_ALERT_S = 600.0

_BROKEN = (AssertionError, MemoryError)
"""What a fault of our own raises. Nothing that is read from outside is checked by `assert`."""


class Tasks(Protocol):
    """Where errands run: a `Supervisor`, or in a test a plain `asyncio.TaskGroup`."""

    def create_task(
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None
    ) -> asyncio.Task[T]:
        """Run *coro* to its end without anybody waiting for it."""


class Supervisor:
    """Runs endless work and errands. Made by `supervised`, which also ends them."""

    def __init__(self, alerts: Alerts, clock: Clock) -> None:
        self._alerts = alerts
        self._clock = clock
        self._running: set[asyncio.Task[Any]] = set()
        self._broken: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self.faults: Counter[str] = Counter()
        """How often each work failed, by its name."""

    def create_task(
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None
    ) -> asyncio.Task[T]:
        """Run an errand. If it fails that is reported; who awaits the task hears of it as well."""
        # Not in a group: a member's failure would end the others.
        task = asyncio.get_running_loop().create_task(
            coro, name=name or getattr(coro, "__name__", "an errand")
        )
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def keep(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do *work*, called *name* for people, again whenever it fails, until it returns."""
        _ = self.keeping(name, work)

    def keeping(self, name: str, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """Do as `keep` does; return the task, for who ends it before everything else ends."""
        return self.create_task(self._kept(name, work), name=name)

    async def _kept(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        backoff = Backoff(None, FIRST_PAUSE_S, MAX_PAUSE_S)
        topic = f"work:{name}"
        while True:
            begun_at = self._clock.boot()
            well = self.create_task(self._ends_alert(topic))
            try:
                await work()
            except Exception as error:  # the one place that outlives any fault
                if _is_broken(error):
                    raise
                if self._clock.boot() - begun_at >= HEALTHY_S:
                    backoff.reset()
                self._report(name, error)
                self._alerts.begin(
                    topic,
                    f"{name} has failed and is tried again: {_words(error)}",
                    "If it goes on, the log has details.",
                )
            else:
                self._alerts.end(topic)
                return
            finally:
                well.cancel()
            await self._clock.sleep(backoff.pause())

    async def _ends_alert(self, topic: str) -> None:
        await self._clock.sleep(HEALTHY_S)
        self._alerts.end(topic)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            return
        if _is_broken(error):
            if not self._broken.done():
                self._broken.set_result(error)
            return
        name = task.get_name()
        self._report(name, error)
        self._alerts.begin(
            f"work:{name}", f"{name} has failed: {_words(error)}", lasts_s=_ERRAND_ALERT_S
        )

    def _report(self, name: str, error: BaseException) -> None:
        self.faults[name] += 1
        log.warning("%s failed (%d times so far)", name, self.faults[name], exc_info=error)

    async def watch(self) -> None:
        """Return never; raise the broken invariant that some work met."""
        raise await self._broken

    async def end(self) -> None:
        """Cancel everything and see it end."""
        while self._running:
            for task in self._running:
                task.cancel()
            await asyncio.wait(self._running)


@contextlib.contextmanager
def outside(error: Callable[[str], Exception], *passing: type[Exception]) -> Iterator[None]:
    """Turn whatever somebody else's bytes raise in a library into *error* of what it said.

    No list of types is complete: libraries that parse raise what their own helpers raise. Those of
    *passing* pass as they are, and so does a broken invariant of ours.
    """
    try:
        yield
    except passing:
        raise
    except Exception as raised:
        if _is_broken(raised):
            raise
        raise error(f"{type(raised).__name__}: {_words(raised)}") from raised


@contextlib.asynccontextmanager
async def supervised(alerts: Alerts, clock: Clock) -> AsyncIterator[Supervisor]:
    """Supervise work for the time of the context. A broken invariant cancels its body and is raised."""
    supervisor = Supervisor(alerts, clock)
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(supervisor.watch())
        try:
            yield supervisor
        finally:
            watching.cancel()
            await supervisor.end()


def _is_broken(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return any(_is_broken(each) for each in error.exceptions)
    return isinstance(error, _BROKEN) or not isinstance(error, Exception)


def _words(error: BaseException) -> str:
    """Return what *error* says, a group as its first cause."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return said_by(error) or type(error).__name__
