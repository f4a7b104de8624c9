"""Holds what goes to and comes from the bucket to a rate, as people set it for the uplink's sake.

Blocks wait for their turn: the smallest first, which are saves of small files, then in the order in
which they came. What others wait for (entries of journals, lists, manifests) is counted, and passes
at once.
"""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import msgspec

from lucidnode.node.bucket.bucket import Bucket, Hashed, Listed
from lucidnode.node.bucket.keys import kind_of
from lucidnode.node.client.clock import Clock

DAY_MINUTES = 24 * 60

_BURST_S = 0.25
"""Seconds at the rate that may pass at once after a pause. A block passes whole, so it is the longer
until the next one does."""

_NEXT_S = 0.01
"""Seconds after which who is not the next looks whether he is."""

_FIRST_BYTES = 1024 * 1024
"""Bytes that the first block is taken for. Taken for nothing, all that are read ahead would pass at once,
and a program would wait for what that owes."""

_LOOK_S = 1.0
"""Seconds after which who waits looks again: the limit may have changed, or its hours be over."""


class RateLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """*rate* bytes a second, from minute *begins* of the day until *ends*, by the clock on the wall.

    If it ends before it begins, it is for the night; if both are the same, always.
    """

    rate: int
    begins: int = 0
    ends: int = 0

    def holds_at(self, wall_ns: int) -> bool:
        """Tell whether it is within its hours, in this machine's zone."""
        if self.begins == self.ends:
            return True
        local = datetime.fromtimestamp(wall_ns / 1e9, UTC).astimezone()
        minute = local.hour * 60 + local.minute
        if self.begins < self.ends:
            return self.begins <= minute < self.ends
        return minute >= self.begins or minute < self.ends


class Pace:
    """One direction. *limit* tells what holds now, None if nothing does."""

    def __init__(self, limit: Callable[[], RateLimit | None], clock: Clock) -> None:
        self._limit = limit
        self._clock = clock
        self._left = 0.0
        """Bytes that may pass now; below zero, as many have passed before their time."""
        self._at = clock.boot()
        self._waiting: list[tuple[int, int]] = []
        """Amounts and numbers of who waits, as a heap."""
        self._number = 0

    @property
    def is_holding(self) -> bool:
        """Whether anybody waits for a turn now."""
        return bool(self._waiting)

    async def wait(self, amount: int) -> None:
        """Return when *amount* bytes may pass: those of the smallest who wait, then of the first."""
        self._number += 1
        place = (amount, self._number)
        heapq.heappush(self._waiting, place)
        try:
            while (rate := self._rate()) is not None:
                self._refill(rate)
                if self._left > 0 and self._waiting[0] == place:
                    break
                pause_s = max(_NEXT_S, (1 - self._left) / rate)
                await self._clock.sleep(min(_LOOK_S, pause_s))
        finally:
            self._waiting.remove(place)
            heapq.heapify(self._waiting)
        self._left -= amount

    def count(self, amount: int) -> None:
        """Note that *amount* bytes have passed at once; or, below zero, that so many did not."""
        self._left -= amount

    def _rate(self) -> int | None:
        limit = self._limit()
        if limit is not None and limit.holds_at(self._clock.wall_ns()):
            return limit.rate
        self._left, self._at = 0.0, self._clock.boot()
        return None

    def _refill(self, rate: int) -> None:
        now = self._clock.boot()
        self._left = min(rate * _BURST_S, self._left + (now - self._at) * rate)
        self._at = now


class PacedBucket:
    """*inner*, with blocks held to the paces *up* and *down*. Waiting is outside of every deadline."""

    def __init__(self, inner: Bucket, up: Pace, down: Pace) -> None:
        self._inner = inner
        self._up = up
        self._down = down
        self._expected = _FIRST_BYTES
        """Bytes of the last block that came: what the next one is taken for until it is here."""

    async def get(self, key: str, span: tuple[int, int] | None = None) -> bytes:
        if kind_of(key) != "block":
            body = await self._inner.get(key, span)
            self._down.count(len(body))
            return body
        expected = self._expected if span is None else span[1] - span[0]
        async with self._turn(expected) as came:
            body = await self._inner.get(key, span)
            came.append(len(body))
        if span is None:
            self._expected = len(body)
        return body

    async def block(self, key: str) -> Hashed:
        async with self._turn(self._expected) as came:
            found = await self._inner.block(key)
            came.append(len(found.body))
        self._expected = len(found.body)
        return found

    @asynccontextmanager
    async def _turn(self, expected: int) -> AsyncIterator[list[int]]:
        """Wait until *expected* bytes may come; what the list holds at the end has come."""
        await self._down.wait(expected)
        came: list[int] = []
        try:
            yield came
        finally:
            self._down.count(sum(came) - expected)

    async def put(self, key: str, body: bytes) -> None:
        if kind_of(key) == "block":
            await self._up.wait(len(body))
        else:
            self._up.count(len(body))
        await self._inner.put(key, body)

    async def create(self, key: str, body: bytes) -> None:
        self._up.count(len(body))
        await self._inner.create(key, body)

    async def size(self, key: str) -> int | None:
        return await self._inner.size(key)

    async def list(self, prefix: str, after: str | None = None, limit: int = 1000) -> list[Listed]:
        return await self._inner.list(prefix, after, limit)

    async def delete(self, key: str) -> None:
        await self._inner.delete(key)
