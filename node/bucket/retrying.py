"""A bucket that asks again when the store cannot be asked now."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from lucidnode.node.bucket.bucket import Bucket, Hashed, Listed
from lucidnode.node.client.backoff import Backoff, Jitter
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import AccessDenied, Unavailable

DENIALS = 3
"""Stores refuse good credentials now and then; more refusals than this in a row are meant."""

_Result = TypeVar("_Result")


class RetryingBucket:
    """Repeats what is Unavailable, with back-off, until *patience_s* seconds have passed.

    Never a create: a second one would meet what the first left behind. That is the register's.
    """

    def __init__(self, inner: Bucket, clock: Clock, jitter: Jitter, patience_s: float) -> None:
        """Start no try later than *patience_s* seconds after the call began."""
        self._inner = inner
        self._clock = clock
        self._jitter = jitter
        self._patience_s = patience_s

    async def get(self, key: str, span: tuple[int, int] | None = None) -> bytes:
        return await self._patiently(lambda: self._inner.get(key, span))

    async def block(self, key: str) -> Hashed:
        return await self._patiently(lambda: self._inner.block(key))

    async def put(self, key: str, body: bytes) -> None:
        await self._patiently(lambda: self._inner.put(key, body))

    async def create(self, key: str, body: bytes) -> None:
        await self._inner.create(key, body)

    async def size(self, key: str) -> int | None:
        return await self._patiently(lambda: self._inner.size(key))

    async def list(self, prefix: str, after: str | None = None, limit: int = 1000) -> list[Listed]:
        return await self._patiently(lambda: self._inner.list(prefix, after, limit))

    async def delete(self, key: str) -> None:
        await self._patiently(lambda: self._inner.delete(key))

    async def _patiently(self, call: Callable[[], Awaitable[_Result]]) -> _Result:
        end = self._clock.boot() + self._patience_s
        backoff = Backoff(self._jitter)
        denials = 0
        while True:
            try:
                return await call()
            except Unavailable as error:
                denials += isinstance(error, AccessDenied)
                pause = backoff.pause()
                if error.lasting or denials >= DENIALS or self._clock.boot() + pause >= end:
                    raise
            await self._clock.sleep(pause)
