"""A bucket that keeps the number of requests under way within what the store bears."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lucidnode.node.bucket.bucket import Bucket, Hashed, Listed
from lucidnode.node.client.errors import AccessDenied, Unavailable

_QUEUE_S = 20.0
"""Seconds a call may wait for its place, so that a read stays within its minute."""


class Slots:
    """Places for calls, first come first served; their number follows how the store does.

    A call that ended Unavailable halves it, a full round of good ones adds one: the additive
    increase and multiplicative decrease of TCP, which also divides a store fairly among nodes.
    """

    def __init__(self, most: int, queue_s: float = _QUEUE_S) -> None:
        """*queue_s* bounds in seconds what a call waits; then it is Unavailable."""
        self._most = most
        self._queue_s = queue_s
        self._limit = float(most)
        self._under_way = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._cut = 0  # how often the limit was halved

    @property
    def limit(self) -> int:
        """How many calls may be under way now."""
        return int(self._limit)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Hold one place; what the block raises tells how the store does."""
        await self._enter()
        cut = self._cut
        try:
            yield
            self._limit = min(self._most, self._limit + 1 / self._limit)
        except AccessDenied:
            raise  # says nothing about load
        except Unavailable:
            if cut == self._cut:  # of calls that failed together only the first cuts
                self._cut += 1
                self._limit = max(1.0, self._limit / 2)
            raise
        finally:
            self._leave()

    async def _enter(self) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self._admit()
        try:
            async with asyncio.timeout(self._queue_s):
                await place
        except (asyncio.CancelledError, TimeoutError) as error:
            if not place.cancelled():  # admitted in the same turn
                self._leave()
            if isinstance(error, TimeoutError):
                raise Unavailable("Too many requests wait for the bucket.") from error
            raise

    def _leave(self) -> None:
        self._under_way -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._under_way < self.limit:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                self._under_way += 1


class LimitedBucket:
    """Bounds reads, listings and writes apart, so that no upload ever keeps a reader waiting.

    Nor do listings, which a store may refuse or leave without an answer while it hands out objects.
    Creates pass freely: there is at most one for each project, and someone waits for it.
    """

    def __init__(self, inner: Bucket, reads: int, lists: int, writes: int) -> None:
        self._inner = inner
        self._reads = Slots(reads)
        self._lists = Slots(lists)
        self._writes = Slots(writes)

    async def get(self, key: str, span: tuple[int, int] | None = None) -> bytes:
        async with self._reads.one():
            return await self._inner.get(key, span)

    async def block(self, key: str) -> Hashed:
        async with self._reads.one():
            return await self._inner.block(key)

    async def put(self, key: str, body: bytes) -> None:
        async with self._writes.one():
            await self._inner.put(key, body)

    async def create(self, key: str, body: bytes) -> None:
        await self._inner.create(key, body)

    async def size(self, key: str) -> int | None:
        async with self._reads.one():
            return await self._inner.size(key)

    async def list(self, prefix: str, after: str | None = None, limit: int = 1000) -> list[Listed]:
        async with self._lists.one():
            return await self._inner.list(prefix, after, limit)

    async def delete(self, key: str) -> None:
        async with self._writes.one():
            await self._inner.delete(key)
