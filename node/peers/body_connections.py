"""The connections to peers' body servers, kept open between requests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from lucidnode.node.peers.body_connection import BodyConnection, Inside

IDLE_S = 15.0
"""Seconds for which a connection that nobody uses stays open: less than the other end keeps it."""

_Place = tuple[str, int, bool]


class BodyConnections:
    """Those that are idle, by host, port, and whether they are within TLS. Each is used by one request at a time."""

    def __init__(self) -> None:
        self._idle: dict[_Place, list[tuple[BodyConnection, asyncio.TimerHandle]]] = {}
        self._is_closed = False

    def close(self) -> None:
        """Close all that are idle; those in use close when they are given back."""
        self._is_closed = True
        for waiting in self._idle.values():
            for connection, timer in waiting:
                timer.cancel()
                connection.close()
        self._idle.clear()

    @contextlib.asynccontextmanager
    async def use(
        self, host: str, port: int, inside: Inside | None = None
    ) -> AsyncIterator[BodyConnection]:
        """Give one for a request; it goes on to the next if the answer was read to its end.

        Raises OSError if there is no connection.
        """
        place = host, port, inside is not None
        connection = self._taken(place) or await BodyConnection.open(host, port, inside)
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        if connection.reusable and not self._is_closed:
            timer = asyncio.get_running_loop().call_later(IDLE_S, self._expire, place, connection)
            self._idle.setdefault(place, []).append((connection, timer))
        else:
            connection.close()

    def _taken(self, place: _Place) -> BodyConnection | None:
        """Take the one used last, which has the best windows, of those that are still good."""
        while waiting := self._idle.get(place):
            connection, timer = waiting.pop()
            timer.cancel()
            if not waiting:
                del self._idle[place]
            if connection.silent:
                return connection
            connection.close()  # it was closed, or something came that nobody had asked for
        return None

    def _expire(self, place: _Place, connection: BodyConnection) -> None:
        kept = [each for each in self._idle[place] if each[0] is not connection]
        if kept:
            self._idle[place] = kept
        else:
            del self._idle[place]
        connection.close()
