"""A connection for block bodies inside TLS, as a plain socket: whoever speaks on it knows nothing of TLS.

What sends and receives blocks works on descriptors, past the event loop's streams. So TLS is spoken
beside it: a pair of sockets, one end of which is handed out, and a pump between the other end and TLS.
It costs one more copy of each byte (docs/design/0024-lan-encryption.md has what that comes to).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

from lucidnode.node.client.supervision import outside
from lucidnode.node.peers.errors import PeerLost

_PIECE_BYTES = 256 * 1024

HANDSHAKE_TIMEOUT_S = 3.0

CLOSE_TIMEOUT_S = 2.0

Start = Callable[[Coroutine[Any, Any, None]], object]
"""Runs what goes on for as long as the connection does."""


async def accepted(
    connection: socket.socket, context: ssl.SSLContext, start: Start
) -> socket.socket:
    """Return the plain end of *connection*, on which the caller begins TLS. Raises OSError, ssl.SSLError."""
    reader, protocol = _reader()
    transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
        lambda: protocol, connection, ssl=context, ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S
    )
    return _piped(reader, transport, protocol, start)


async def dialled(
    connection: socket.socket, context: ssl.SSLContext, start: Start
) -> socket.socket:
    """Return the plain end of *connection*, on which we begin TLS. Raises OSError, ssl.SSLError."""
    reader, protocol = _reader()
    transport, _ = await asyncio.get_running_loop().create_connection(
        lambda: protocol,
        sock=connection,
        ssl=context,
        server_hostname="",
        ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
    )
    return _piped(reader, transport, protocol, start)


def _reader() -> tuple[asyncio.StreamReader, asyncio.StreamReaderProtocol]:
    reader = asyncio.StreamReader(limit=_PIECE_BYTES)
    return reader, asyncio.StreamReaderProtocol(reader)


def _piped(
    reader: asyncio.StreamReader,
    transport: asyncio.Transport,
    protocol: asyncio.StreamReaderProtocol,
    start: Start,
) -> socket.socket:
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)
    writer = asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())
    start(_pump(ours, reader, writer))
    return theirs


async def _pump(
    ours: socket.socket, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Carry bytes both ways until one side ends; then both end."""
    loop = asyncio.get_running_loop()

    async def inward() -> None:
        while data := await reader.read(_PIECE_BYTES):
            await loop.sock_sendall(ours, data)

    async def outward() -> None:
        while data := await loop.sock_recv(ours, _PIECE_BYTES):
            writer.write(data)
            await writer.drain()

    ways = [loop.create_task(way) for way in (inward(), outward())]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        # What was said last goes out before TLS ends.
        with contextlib.suppress(TimeoutError, PeerLost), outside(PeerLost, TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                writer.close()
                await writer.wait_closed()
    finally:
        for way in ways:
            way.cancel()
        await asyncio.wait(ways)
        for way in ways:
            _ = way.cancelled() or way.exception()  # however they ended, the connection is over
        ours.close()
        with contextlib.suppress(AttributeError):  # asyncio's, once it is closed (CPython 3.11)
            writer.transport.abort()
