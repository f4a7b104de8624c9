"""A member of the studio that misbehaves: a valid device key in front of any body server at all."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
from aiohttp import web
from office_fixture import LAN_KEY, Roll

from lucidnode.discovery.candidate import Candidate
from lucidnode.node.descriptors import MAX_CONNECTIONS
from lucidnode.node.identity import DeviceIdentity
from lucidnode.node.peers.entrance import admit
from lucidnode.node.peers.listener import LimitedListener, UnauthenticatedLimit, bind
from lucidnode.node.peers.memory_budget import MemoryBudget
from lucidnode.node.peers.messages import PROTOCOL, HandshakeResponse, encode

Behaviour = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Answers one connection; gets the head of the first request."""

OK = b"HTTP/1.1 200 OK\r\n"
PLAIN = OK + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """Return *data* as a piece of the body of an answer that begins with PLAIN."""
    return b"%x\r\n%b\r\n" % (len(data), data)


END = b"0\r\n\r\n"
"""After the last of them."""


class Impostor:
    """What the hostile peer saw: `requests` are the heads of the requests it got."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.place = Candidate((), 1)


@contextlib.asynccontextmanager
async def impostor(
    identity: DeviceIdentity, roll: Roll, behaviour: Behaviour
) -> AsyncIterator[Impostor]:
    """Run a peer that welcomes everybody to *behaviour*."""
    seen = Impostor()

    answers: set[asyncio.Task[None]] = set()

    async def body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = asyncio.current_task()
        assert answer is not None
        answers.add(answer)
        try:
            await misbehave(reader, writer)
        except asyncio.CancelledError:
            pass  # the test is over; asyncio's own callback on this task cannot bear a cancellation
        finally:
            writer.transport.abort()
            answers.discard(answer)

    async def misbehave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"GET /alive"):
                writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            else:
                seen.requests.append(head)
                await behaviour(head, reader, writer)
            writer.close()
            await writer.wait_closed()

    async def control(request: web.BaseRequest) -> web.StreamResponse:
        link = web.WebSocketResponse()
        await link.prepare(request)
        await link.receive_bytes()
        welcome = HandshakeResponse(PROTOCOL, b"i" * 16, 64, body_port, b"s" * 16, b"k" * 32)
        await link.send_bytes(encode(welcome))
        async for message in link:
            assert message.type is aiohttp.WSMsgType.BINARY
        return link

    bodies = await asyncio.start_server(body, "127.0.0.1", 0)
    body_port = bodies.sockets[0].getsockname()[1]
    answering = web.Server(control, access_log=None)
    context = identity.server_context(roll.devices().values())

    async def admitted(connection: socket.socket) -> ssl.SSLContext:
        return await admit(connection, LAN_KEY, context)

    with bind("127.0.0.1", 0) as controls:
        seen.place = Candidate(("127.0.0.1",), controls.getsockname()[1])
        async with asyncio.TaskGroup() as tasks:
            listener = LimitedListener(
                controls,
                answering,
                UnauthenticatedLimit(),
                tasks,
                memory=MemoryBudget(1 << 29),
                most=MAX_CONNECTIONS,
                secured=admitted,
            )
            listening = tasks.create_task(listener.run())
            try:
                yield seen
            finally:
                listening.cancel()
                bodies.close()
                for answer in list(answers):
                    answer.cancel()
                await answering.shutdown(0.1)


# -- behaviours ----------------------------------------------------------------------------------


async def hangs(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept the request and never answer."""
    await reader.read()


async def hangs_up(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close at once."""


async def stops_midway(
    head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Begin a block and fall silent, as a peer does whose cable is pulled."""
    writer.write(PLAIN + chunk(b"\x00\x01" + (200_000).to_bytes(4) + bytes(100_000)))
    await reader.read()


async def breaks_off(
    head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Begin a block and close, as a peer does that is killed."""
    writer.write(PLAIN + chunk(b"\x01" + (200_000).to_bytes(4) + bytes(100_000)))


async def dribbles(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send at 50 kB/s."""
    writer.write(PLAIN + chunk(b"\x01" + (200_000).to_bytes(4)))
    for _ in range(40):
        writer.write(chunk(bytes(5_000)))
        await writer.drain()
        await asyncio.sleep(0.1)


async def sends_another_block(
    head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Send a block that is not the one asked for."""
    writer.write(PLAIN + chunk(b"\x01" + (200_000).to_bytes(4) + bytes(200_000)) + END)


async def sends_without_end(
    head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Send more than was announced, for ever."""
    writer.write(PLAIN + chunk(b"\x01" + (200_000).to_bytes(4)))
    while True:
        writer.write(chunk(bytes(100_000)))
        await writer.drain()


async def announces_too_much(
    head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Announce four gigabytes."""
    writer.write(PLAIN + chunk(b"\x01" + b"\xff" * 4))
    await reader.read()


async def floods_signs_of_life(
    head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Send signs of life as fast as they go."""
    writer.write(PLAIN)
    while True:
        writer.write(chunk(bytes(1000)))
        await writer.drain()


async def stays_busy(
    head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Claim to be fetching, in perfect rhythm, for ever."""
    writer.write(PLAIN)
    while True:
        writer.write(chunk(b"\x00"))
        await writer.drain()
        await asyncio.sleep(0.1)


async def speaks_nonsense(
    head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer in no protocol at all."""
    writer.write(b"\x16\x03\x01 hello?\r\n\r\n")


async def sends_elsewhere(
    head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Redirect the reader into the world."""
    writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nConnection: close\r\n\r\n")


async def packs_a_bomb(
    head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Declare an encoding in the hope that it is unpacked."""
    writer.write(OK + b"Content-Encoding: gzip\r\nConnection: close\r\n\r\n" + b"\x1f\x8b" * 1000)


async def endless_head(
    head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Send a header line without end."""
    writer.write(OK + b"X-Long: ")
    while True:
        writer.write(b"x" * 10_000)
        await writer.drain()
