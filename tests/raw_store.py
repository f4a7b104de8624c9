"""A server on loopback that answers with whatever bytes it is told to, on connections it counts."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from lucidnode.node.bucket.address import S3Address
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.objects import ObjectBucket
from lucidnode.node.bucket.session import credential_source
from lucidnode.node.client.clock import Clock, SystemClock
from lucidnode.node.client.errors import NodeError

CLOSE = "close"
FOREVER = "forever"

Step = bytes | float | str
"""Bytes to send, seconds to wait, CLOSE the connection, or send what came before FOREVER."""

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


def answer(status: str, body: bytes = b"", headers: str = "") -> bytes:
    """Return an answer in good form; *status* is a number, perhaps with words, *headers* are lines."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers.splitlines()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def error(code: str, more: str = "") -> bytes:
    """Return the body of an S3 refusal."""
    return f"<Error><Code>{code}</Code><Message>AK secret</Message>{more}</Error>".encode()


@dataclass
class RawStore:
    """Plays *always* to every request, or one of *scripts* to one request each."""

    always: Sequence[Step] = ()
    scripts: deque[Sequence[Step]] = field(default_factory=deque)
    heads: list[bytes] = field(default_factory=list)
    """Of all requests, in the order in which they came."""
    came_on: list[int] = field(default_factory=list)
    """On which connection each of them came, from 1."""
    connections: int = 0
    open: int = 0
    answered: int = 0
    """How many requests nothing more is said to."""
    _talks: set[asyncio.Task[None]] = field(default_factory=set)

    @asynccontextmanager
    async def serving(
        self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
    ) -> AsyncIterator[str]:
        """Listen while the context lasts, within *tls*; give the endpoint."""
        server = await asyncio.start_server(self._connected, host, 0, ssl=tls)
        shown = f"[{host}]" if ":" in host else host
        try:
            yield f"{'https' if tls else 'http'}://{shown}:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            for talk in self._talks:
                talk.cancel()
            if self._talks:
                await asyncio.wait(self._talks)

    async def has_open(self, count: int) -> None:
        """Return once so many connections are open; fail if that is not soon."""
        async with asyncio.timeout(20):
            while self.open != count:
                await asyncio.sleep(0.005)

    async def has_answered(self, count: int) -> None:
        """Return once all has been said to so many requests, and those who hold connections read it."""
        async with asyncio.timeout(20):
            while self.answered < count:
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.005)  # what has come is read before a pause is over

    async def gives_up_midway(self, call: Awaitable[object]) -> None:
        """Give *call* up once its request is here, and half of the answer may be on its way."""
        asked, calling = len(self.heads), asyncio.ensure_future(call)
        async with asyncio.timeout(20):
            while len(self.heads) == asked and not calling.done():
                await asyncio.sleep(0.005)
        calling.cancel()
        with suppress(asyncio.CancelledError, NodeError):
            await calling

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        self.connections += 1
        self.open += 1
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._talk(reader, writer, self.connections)
        finally:
            self.open -= 1
            self._talks.discard(task)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int
    ) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            self.came_on.append(connection)
            if found := _LENGTH.search(head):
                await reader.readexactly(int(found[1]))
            last = b""
            for step in self.scripts.popleft() if self.scripts else self.always:
                match step:
                    case bytes():
                        writer.write(last := step)
                        await writer.drain()
                    case float():
                        await asyncio.sleep(step)
                    case "close":
                        return
                    case _:
                        while True:
                            writer.write(last)
                            await writer.drain()
            self.answered += 1


def bucket_at(
    endpoint: str,
    answer_s: float = 5.0,
    network: Network | None = None,
    clock: Clock | None = None,
) -> ObjectBucket:
    """Return a client of the store; its keys are `AK` and `secret`."""
    keys = credential_source(Credentials("AK", "secret"), Network())
    return ObjectBucket(
        S3Address("studio", "", endpoint, "us-east-1"),
        keys,
        network or Network(),
        clock or SystemClock(),
        answer_s=answer_s,
    )
