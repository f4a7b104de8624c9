"""An answer to a peer that goes past aiohttp: frames as chunks, and a block without a copy of it.

aiohttp has read the request; what is answered is written to the same connection by its descriptor.
So a file goes by `sendfile`, and its bytes never come into this process.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from lucidnode.node.peers import frames
from lucidnode.node.peers.hosts import fact

MIN_BYTES_PER_S = 1024 * 1024
"""Bytes a second below which a reader keeps a block for too long, after STUCK_TIMEOUT_S seconds."""

STUCK_TIMEOUT_S = 5.0
"""Seconds in which a reader must take something."""

_HEAD = (
    b"HTTP/1.1 200 OK\r\nServer: lucidnode\r\nConnection: keep-alive\r\n"
    b"Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)
_LAST_CHUNK = b"0\r\n\r\n"

SendPiece = Callable[[int, int], Awaitable[int]]
"""Sends to the descriptor given, which does not block, from the offset given on, for as long as it
takes something; returns how many bytes went."""


class RawAnswer:
    """One answer with status 200, for the connection of *request*, which nobody else writes to.

    Whatever waits raises OSError once the caller has gone, and TimeoutError for one that takes
    nothing. Raises ConnectionError if he has gone already.
    """

    def __init__(self, request: web.BaseRequest) -> None:
        connection = fact(request.transport, "socket")
        if connection is None:
            raise ConnectionResetError
        # Of its own: the loop lets nobody wait for the descriptor of a transport.
        self._socket = socket.socket(fileno=os.dup(connection.fileno()))
        self._socket.setblocking(False)
        self._unsent = bytearray(_HEAD)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    async def beat(self) -> None:
        """Send a sign of life. One that was cut short is sent to its end by what comes next."""
        self._unsent += _chunk(frames.PROGRESS)
        await self._flush()

    async def finish(self, frame: bytes) -> None:
        """Send the last frame, which is no block."""
        self._unsent += _chunk(frame) + _LAST_CHUNK
        async with asyncio.timeout(STUCK_TIMEOUT_S):
            await self._flush()

    async def block(self, size: int, send: SendPiece, sent: Callable[[int], None]) -> None:
        """Send a block of *size* bytes as the last frame; *sent* is told of each piece."""
        self._unsent += _chunk(frames.held(size)) + b"%x\r\n" % size
        async with asyncio.timeout(STUCK_TIMEOUT_S + size / MIN_BYTES_PER_S):
            await self._flush(socket.MSG_MORE)
            offset = 0
            while offset < size:
                went = await send(self._socket.fileno(), offset)
                sent(went)
                offset += went
                if offset < size:
                    async with asyncio.timeout(STUCK_TIMEOUT_S):
                        await self._writable()
            self._unsent += b"\r\n" + _LAST_CHUNK
            await self._flush()

    async def _flush(self, flags: int = 0) -> None:
        while self._unsent:
            try:
                del self._unsent[: self._socket.send(self._unsent, flags)]
            except BlockingIOError:
                await self._writable()

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        writable: asyncio.Future[None] = loop.create_future()
        descriptor = self._socket.fileno()
        loop.add_writer(descriptor, _wake, writable)
        try:
            await writable
        finally:
            loop.remove_writer(descriptor)


class Sent(web.StreamResponse):
    """What aiohttp is told of an answer that went past it: there is nothing left to write."""

    def __init__(self, *, whole: bool) -> None:
        """After one that is not *whole* the connection ends."""
        super().__init__()
        self._whole = whole

    @property
    def keep_alive(self) -> bool:
        """Return whether another request may follow."""
        return self._whole

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write nothing."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Write nothing."""


def from_memory(ciphertext: bytes | bytearray) -> SendPiece:
    """Return what sends *ciphertext*."""
    view = memoryview(ciphertext)

    async def send(descriptor: int, offset: int) -> int:
        try:
            return os.write(descriptor, view[offset:])
        except BlockingIOError:
            return 0

    return send


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
