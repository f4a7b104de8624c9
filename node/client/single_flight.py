"""One piece of work at a time for each key, however many ask for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.supervision import Tasks

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """Runs the work of a key once for all who ask while it runs, in *tasks*.

    A flight that has begun is flown to its end even if nobody waits any more: what it has moved so
    far is paid for, and the next one to ask would start from nothing.
    """

    def __init__(self, tasks: Tasks, expected: tuple[type[Exception], ...] = (NodeError,)) -> None:
        """Take as *expected* the errors that are answers; any other is the task's fault, too."""
        self._tasks = tasks
        self._expected = expected
        self._flights: dict[K, asyncio.Future[V]] = {}

    async def join(self, key: K, work: Callable[[], Awaitable[V]]) -> V:
        """Return what *work* returns, or raise what it raises, as all who joined do.

        *work* must not join a flight of its own key: it would wait for itself.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = asyncio.get_running_loop().create_future()
            _ = self._tasks.create_task(self._fly(key, flight, work), name="a fetch")
        # Shielded: one who stops waiting must not cancel the others' flight.
        return await asyncio.shield(flight)

    def __len__(self) -> int:
        """Return how many flights are in the air."""
        return len(self._flights)

    def __contains__(self, key: object) -> bool:
        """Return whether a flight of *key* is in the air."""
        return key in self._flights

    async def _fly(
        self, key: K, flight: asyncio.Future[V], work: Callable[[], Awaitable[V]]
    ) -> None:
        try:
            flight.set_result(await work())
        except BaseException as error:
            if isinstance(error, Exception):
                # Whoever waits must hear of any fault: a reader whose wait is merely cancelled
                # would take that for his own end.
                flight.set_exception(error)
                flight.exception()  # retrieved: with no waiter left it is nobody's to hear of
            if not isinstance(error, self._expected):
                raise
        finally:
            del self._flights[key]
            # Only still pending when the tasks are ending: its waiters end with them.
            flight.cancel()
