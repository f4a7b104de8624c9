"""A bucket in memory: for tests and simulators, as strict as the real ones."""

from __future__ import annotations

from blake3 import blake3

from lucidnode.node.bucket.bucket import MAX_OBJECT_BYTES, Hashed, Listed
from lucidnode.node.bucket.errors import AlreadyThere, Oversize
from lucidnode.node.bucket.keys import is_key
from lucidnode.node.client.errors import Corrupt, NotThere


class MemoryBucket:
    """Objects in a dict, open to tests: read it, damage it, take things away."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    async def get(self, key: str, span: tuple[int, int] | None = None) -> bytes:
        assert is_key(key)
        assert span is None or 0 <= span[0] < span[1]
        if key not in self.objects:
            raise NotThere("no such object")
        body = self.objects[key]
        start, end = span or (0, len(body))
        if end - start > MAX_OBJECT_BYTES:
            raise Oversize(key, len(body))
        if end > len(body):
            raise Corrupt("the object ends before the bytes asked for")
        return body[start:end]

    async def block(self, key: str) -> Hashed:
        body = await self.get(key)
        return Hashed(body, blake3(body).digest())

    async def put(self, key: str, body: bytes) -> None:
        assert is_key(key)
        self.objects[key] = bytes(body)

    async def create(self, key: str, body: bytes) -> None:
        assert is_key(key)
        if key in self.objects:
            raise AlreadyThere(f"The name {key} is taken.")
        self.objects[key] = bytes(body)

    async def size(self, key: str) -> int | None:
        assert is_key(key)
        body = self.objects.get(key)
        return None if body is None else len(body)

    async def list(self, prefix: str, after: str | None = None, limit: int = 1000) -> list[Listed]:
        assert not prefix or is_key(prefix)
        folder = f"{prefix}/" if prefix else ""
        keys = sorted(k for k in self.objects if k.startswith(folder) and k > (after or ""))
        return [Listed(key, len(self.objects[key])) for key in keys[:limit]]

    async def delete(self, key: str) -> None:
        assert is_key(key)
        self.objects.pop(key, None)
