"""A real HTTP proxy before an S3 store that does to chosen requests what networks and stores do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from lucidnode.node.bucket.address import S3Address


@dataclass(frozen=True)
class Refuse:
    """Answer without asking the store; an empty *code* is a web page of some other server."""

    status: int
    code: str = ""


@dataclass(frozen=True)
class LoseAnswer:
    """Let the store do it, then cut the connection before the first byte of its answer."""


@dataclass(frozen=True)
class CutAnswer:
    """Cut the connection when *keep* bytes of the store's body have passed."""

    keep: int


@dataclass(frozen=True)
class Hang:
    """Accept, and never answer."""


@dataclass(frozen=True)
class Postpone:
    """Cut the connection at once; the store gets the request when `late` is set."""

    late: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True)
class Damage:
    """Flip one bit of the body on its way to the store."""


@dataclass(frozen=True)
class ForgetRange:
    """Ask the store for all of the object, whatever part was asked for."""


@dataclass(frozen=True)
class ClaimMore:
    """Answer a part in good form, with fewer bytes than its Content-Range claims."""


Fault = Refuse | LoseAnswer | CutAnswer | Hang | Postpone | Damage | ForgetRange | ClaimMore


class FaultProxy:
    """Give it faults with `next`; they befall the next requests of that method, one each."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        assert parts.hostname
        assert parts.port
        self._upstream = parts.hostname, parts.port
        self._faults: list[tuple[str, Fault]] = []
        self._connections: set[asyncio.Task[None]] = set()
        self.requests: list[str] = []
        """The methods of all requests so far."""
        self.landed = asyncio.Event()
        """Set once a postponed request has been answered by the store."""

    def next(self, method: str, *faults: Fault) -> None:
        self._faults += [(method, fault) for fault in faults]

    @property
    def pending(self) -> int:
        """How many faults have not been hit yet."""
        return len(self._faults)

    @asynccontextmanager
    async def running(self, address: S3Address) -> AsyncIterator[S3Address]:
        """Run on loopback; give *address* as it is through the proxy. All faults must be hit."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        try:
            host, port = server.sockets[0].getsockname()[:2]
            yield replace(address, endpoint=f"http://{host}:{port}")
            assert not self._faults, f"never hit: {self._faults}"
        finally:
            server.close()
            for connection in self._connections:
                connection.cancel()
            if self._connections:
                await asyncio.wait(self._connections)
            await server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._one_request(reader, writer)
        finally:
            self._connections.discard(task)
            writer.close()

    async def _one_request(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(_length(head))
        method = head.split(b" ", 1)[0].decode()
        self.requests.append(method)
        match self._fault_for(method):
            case Refuse(status, code):
                writer.write(_answer(status, code))
            case LoseAnswer():
                await self._store(head, body)
            case CutAnswer(keep):
                answer = await self._store(head, body)
                writer.write(answer[: answer.index(b"\r\n\r\n") + 4 + keep])
            case Hang():
                await reader.read()  # until the client goes away
            case Postpone(late):
                writer.close()
                await late.wait()
                await self._store(head, body)
                self.landed.set()
                return
            case Damage():
                writer.write(await self._store(head, bytes([body[0] ^ 1]) + body[1:]))
            case ForgetRange():
                lines = [x for x in head.split(b"\r\n") if not x.lower().startswith(b"range:")]
                writer.write(await self._store(b"\r\n".join(lines), body))
            case ClaimMore():
                answer = await self._store(head, body)
                start, text = answer.split(b"\r\n\r\n", 1)
                length = b"Content-Length: %d"
                start = start.replace(length % len(text), length % (len(text) - 1))
                writer.write(start + b"\r\n\r\n" + text[:-1])
            case None:
                writer.write(await self._store(head, body))
        await writer.drain()

    def _fault_for(self, method: str) -> Fault | None:
        for index, (wanted, fault) in enumerate(self._faults):
            if wanted == method:
                del self._faults[index]
                return fault
        return None

    async def _store(self, head: bytes, body: bytes) -> bytes:
        """Return the store's whole answer. The signature covers Host, so that stays as it was."""
        reader, writer = await asyncio.open_connection(*self._upstream)
        try:
            writer.write(head[:-2] + b"Connection: close\r\n\r\n" + body)
            return await reader.read()
        finally:
            writer.close()


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.split(b":")[1])
    return 0


def _answer(status: int, code: str) -> bytes:
    text = f"<Error><Code>{code}</Code></Error>" if code else "<html>no such page</html>"
    return (
        f"HTTP/1.1 {status} Whatever\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
        f"{text}"
    ).encode()
