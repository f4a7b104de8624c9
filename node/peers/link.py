"""One control channel to a peer: a WebSocket inside mutual TLS, from either end."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable

import aiohttp
from aiohttp import web

from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import DeviceId
from lucidnode.node.client.supervision import outside
from lucidnode.node.peers.errors import PeerFailed, PeerLied, PeerLost
from lucidnode.node.peers.members import Members
from lucidnode.node.peers.messages import MAX_MESSAGE_BYTES, Message, decode, encode

HEARTBEAT_INTERVAL_S = 5.0
"""Seconds between pings; a link whose other end is silent for half as long after one is closed."""

HANDSHAKE_TIMEOUT_S = 3.0
"""Seconds for Hello and Welcome."""

BACKLOG_BYTES = 4 * MAX_MESSAGE_BYTES
"""What may wait for a slow peer. Beyond it messages are dropped: peers poll as well."""

LINK_BYTES = 3 * MAX_MESSAGE_BYTES
"""What a link can make us hold besides: half a message, and what TLS and streams buffer of more."""

Socket = aiohttp.ClientWebSocketResponse | web.WebSocketResponse


class PeerLink:
    """A channel whose far end has proven to be *device*, dialled from or by *host*."""

    def __init__(self, socket: Socket, device: DeviceId, instance: bytes, host: str) -> None:
        self.device = device
        self.instance = instance
        self.host = host
        self._socket = socket
        self._outbox: asyncio.Queue[bytes] = asyncio.Queue()
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """Return how many bytes wait to be sent."""
        return self._waiting

    def send(self, message: Message) -> None:
        """Queue *message*; it is dropped when too much waits already."""
        data = encode(message)
        if self._waiting + len(data) <= BACKLOG_BYTES:
            self._waiting += len(data)
            self._outbox.put_nowait(data)

    async def run(self, heard: Callable[[Message], None]) -> None:
        """Exchange messages until the link ends, for whatever reason. *heard* gets each one."""
        try:
            async with asyncio.TaskGroup() as tasks:
                writing = tasks.create_task(self._write())
                try:
                    while True:
                        message = await receive(self._socket)
                        with outside(PeerLied, Malformed):
                            heard(message)
                finally:
                    writing.cancel()
        except* (PeerFailed, Malformed, ConnectionError):
            pass
        finally:
            await self.close()

    async def close(self) -> None:
        """End the link; `run` returns."""
        with contextlib.suppress(PeerLost), outside(PeerLost):
            await self._socket.close()

    async def _write(self) -> None:
        while True:
            data = await self._outbox.get()
            self._waiting -= len(data)
            with outside(PeerLost):
                await self._socket.send_bytes(data)


async def receive(socket: Socket) -> Message:
    """Return the next message.

    Raises Malformed for what is none, ConnectionError at the end, PeerLied for what is no WebSocket.
    """
    with outside(PeerLied):
        message = await socket.receive()
    match message.type:
        case aiohttp.WSMsgType.BINARY:
            return decode(message.data)
        case aiohttp.WSMsgType.TEXT:
            raise Malformed("a text message on the control channel")
        case _:
            raise ConnectionResetError("the control channel ended")


def proven_device(connection: object, members: Members) -> DeviceId | None:
    """Return the device of the roster whose certificate the far end of TLS has shown, if any."""
    if not isinstance(connection, ssl.SSLObject):
        return None
    shown = connection.getpeercert(binary_form=True)
    for device, certificate in members.devices().items():
        if certificate == shown:
            return device
    return None
