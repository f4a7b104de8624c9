"""A bucket that reports every request: counted where the bytes move, once for each try."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from lucidnode.node.bucket.bucket import Bucket, Hashed, Listed
from lucidnode.node.bucket.errors import AlreadyThere
from lucidnode.node.bucket.keys import Kind, kind_of
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NodeError, NotThere

Verb = Literal["get", "put", "create", "size", "list", "delete"]
RequestOutcome = Literal["done", "absent", "taken", "failed"]


@dataclass(slots=True)
class Request:
    """One request to the store, reported when it ends.

    *sent* and *received* are body bytes. A body counts as sent even if the request failed, since
    it may have crossed the uplink; of an answer that was cut nothing is counted as received.
    `absent` is NotThere, `taken` a lost create, `failed` everything else, a cancelled wait too.
    """

    verb: Verb
    kind: Kind
    sent: int = 0
    received: int = 0
    seconds: float = 0.0
    outcome: RequestOutcome = "failed"
    error: NodeError | None = None
    """What it raised; None with `failed` if nobody waited for its end."""


Observer = Callable[[Request], None]
"""Called in the loop, must not block or raise."""


class CountedBucket:
    """Tells the observer of each request. Wrap it closest to the store, inside the retries."""

    def __init__(self, inner: Bucket, clock: Clock, observe: Observer) -> None:
        self._inner = inner
        self._clock = clock
        self._observe = observe

    async def get(self, key: str, span: tuple[int, int] | None = None) -> bytes:
        with self._counting("get", key) as request:
            body = await self._inner.get(key, span)
            request.received = len(body)
            return body

    async def block(self, key: str) -> Hashed:
        with self._counting("get", key) as request:
            found = await self._inner.block(key)
            request.received = len(found.body)
            return found

    async def put(self, key: str, body: bytes) -> None:
        with self._counting("put", key, len(body)):
            await self._inner.put(key, body)

    async def create(self, key: str, body: bytes) -> None:
        with self._counting("create", key, len(body)):
            await self._inner.create(key, body)

    async def size(self, key: str) -> int | None:
        with self._counting("size", key):
            return await self._inner.size(key)

    async def list(self, prefix: str, after: str | None = None, limit: int = 1000) -> list[Listed]:
        with self._counting("list", prefix):
            return await self._inner.list(prefix, after, limit)

    async def delete(self, key: str) -> None:
        with self._counting("delete", key):
            await self._inner.delete(key)

    @contextmanager
    def _counting(self, verb: Verb, key: str, sent: int = 0) -> Iterator[Request]:
        request = Request(verb, kind_of(key), sent)
        start = self._clock.boot()
        try:
            yield request
            request.outcome = "done"
        except NotThere:
            request.outcome = "absent"
            raise
        except AlreadyThere:
            request.outcome = "taken"
            raise
        except NodeError as error:
            request.error = error
            raise
        finally:
            request.seconds = self._clock.boot() - start
            self._observe(request)
