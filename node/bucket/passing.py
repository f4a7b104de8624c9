"""A bucket that passes everything on to another one, for those that differ in one operation."""

from __future__ import annotations

from lucidnode.node.bucket.bucket import Bucket, Hashed, Listed


class PassingBucket:
    """Does what *inner* does."""

    def __init__(self, inner: Bucket) -> None:
        self._inner = inner

    async def get(self, key: str, span: tuple[int, int] | None = None) -> bytes:
        return await self._inner.get(key, span)

    async def block(self, key: str) -> Hashed:
        return await self._inner.block(key)

    async def put(self, key: str, body: bytes) -> None:
        await self._inner.put(key, body)

    async def create(self, key: str, body: bytes) -> None:
        await self._inner.create(key, body)

    async def size(self, key: str) -> int | None:
        return await self._inner.size(key)

    async def list(self, prefix: str, after: str | None = None, limit: int = 1000) -> list[Listed]:
        return await self._inner.list(prefix, after, limit)

    async def delete(self, key: str) -> None:
        await self._inner.delete(key)
