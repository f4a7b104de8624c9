"""One control channel to a peer: a WebSocket inside mutual TLS, from either end."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

import aiohttp
from aiohttp import web

from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import DeviceId
from lucidnode.node.peers.members import Members
from lucidnode.node.peers.messages import Message, decode, encode

HEARTBEAT = 5.0
"""Seconds between pings; a link whose other end is silent for half as long after one is closed."""

INTRODUCTION = 3.0
"""Seconds for Hello and Welcome."""

BACKLOG = 32 * 1024 * 1024
"""Bytes that may wait for a slow peer. Beyond it messages are dropped: peers poll as well."""

Socket = aiohttp.ClientWebSocketResponse | web.WebSocketResponse


class Link:
    """A channel whose far end has proven to be *device*, dialled from or by *host*."""

    def __init__(self, socket: Socket, device: DeviceId, instance: bytes, host: str) -> None:
        self.device = device
        self.instance = instance
        self.host = host
        self._socket = socket
        self._outbox: asyncio.Queue[bytes] = asyncio.Queue()
        self._waiting = 0

    def send(self, message: Message) -> None:
        """Queue *message*; it is dropped when too much waits already."""
        data = encode(message)
        if self._waiting + len(data) <= BACKLOG:
            self._waiting += len(data)
            self._outbox.put_nowait(data)

    async def run(self, heard: Callable[[Message], None]) -> None:
        """Exchange messages until the link ends, for whatever reason. *heard* gets each one."""
        try:
            async with asyncio.TaskGroup() as tasks:
                writing = tasks.create_task(self._write())
                try:
                    while True:
                        heard(await receive(self._socket))
                finally:
                    writing.cancel()
        except* (Malformed, ConnectionError, aiohttp.ClientError):
            pass
        finally:
            await self._socket.close()

    async def close(self) -> None:
        """End the link; `run` returns."""
        await self._socket.close()

    async def _write(self) -> None:
        while True:
            data = await self._outbox.get()
            self._waiting -= len(data)
            await self._socket.send_bytes(data)


async def receive(socket: Socket) -> Message:
    """Return the next message. Raises Malformed for what is none, ConnectionError at the end."""
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
