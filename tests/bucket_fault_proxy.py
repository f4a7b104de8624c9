"""The hostile proxy before an S3 store on loopback, for tests that line up one fault after another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import urlsplit

from lab.hostile import PAGE, Answer, Fault, Request, refusal
from lab.hostile_proxy import HostileProxy

from lucidnode.node.bucket.address import S3Address


def refuse(status: int, code: str = "") -> Answer:
    """Return an answer in the store's place; an empty *code* is a web page of some other server."""
    return refusal(status, code) if code else Answer(status, PAGE)


class FaultProxy:
    """Give it faults with `next`; they befall the next requests of that method, one each."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        assert parts.hostname
        assert parts.port
        self._proxy = HostileProxy((parts.hostname, parts.port), self._decided)
        self._faults: list[tuple[str, Fault]] = []
        self.requests: list[str] = []
        """The HTTP methods of all requests so far."""

    def next(self, method: str, *faults: Fault) -> None:
        self._faults += [(method, fault) for fault in faults]

    async def land(self) -> None:
        """Have the store get a late request now, and return once it has answered."""
        self._proxy.hurry.set()
        await self._proxy.landed.wait()

    @property
    def pending(self) -> int:
        """How many faults have not been hit yet."""
        return len(self._faults)

    @asynccontextmanager
    async def running(self, address: S3Address) -> AsyncIterator[S3Address]:
        """Run on loopback; give *address* as it is through the proxy. All faults must be hit."""
        async with self._proxy.serving() as endpoint:
            yield replace(address, endpoint=endpoint)
            assert not self._faults, f"never hit: {self._faults}"

    def _decided(self, request: Request) -> Fault | None:
        method = {"put": "PUT", "create": "PUT", "delete": "DELETE"}.get(request.method, "GET")
        self.requests.append(method)
        for index, (wanted, fault) in enumerate(self._faults):
            if wanted == method:
                del self._faults[index]
                return fault
        return None
