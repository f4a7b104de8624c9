"""Half-sent messages of many links and half-sent blocks, all at once, cost what the budget allows."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
from office_fixture import LAN_KEY, PROJECT, Bucket, Roll, identities, node, until

from lucidnode.node.client.ids import BlockId
from lucidnode.node.identity import DeviceIdentity
from lucidnode.node.peers.errors import PeerFailed
from lucidnode.node.peers.hosts import url_host
from lucidnode.node.peers.link import LINK_BYTES
from lucidnode.node.peers.member_connector import MemberConnector
from lucidnode.node.peers.memory_budget import MemoryBudget
from lucidnode.node.peers.messages import (
    MAX_MESSAGE_BYTES,
    PROTOCOL,
    HandshakeRequest,
    HandshakeResponse,
    decode,
    encode,
)
from lucidnode.node.peers.sessions import ClientSession

MIB = 1024 * 1024
BLOCK = MIB
NEARLY = bytes(BLOCK - 1)


async def half_a_message(control: aiohttp.ClientWebSocketResponse) -> None:
    """Send all but the end of a message nearly as large as messages may be."""
    writer = control._writer
    assert writer is not None
    size = MAX_MESSAGE_BYTES - 1024
    writer.transport.write(b"\x82\xff" + size.to_bytes(8) + bytes(4) + bytes(size - 1))
    await asyncio.sleep(0)


@contextlib.contextmanager
def traced() -> Iterator[Callable[[], int]]:
    """Yield what says how many bytes of Python's are held that were not before."""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    yield lambda: tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()


async def test_half_sent_messages_of_many_links_stay_within_one_budget(tmp_path: Path) -> None:
    honest, *members = identities(tmp_path, 7)
    memory = MemoryBudget(6 * MIB)
    async with (
        node(honest, Roll(honest, *members), Bucket(), memory=memory) as at,
        aiohttp.ClientSession(connector=MemberConnector(LAN_KEY)) as dialling,
    ):
        links = []
        with traced() as held:
            for member in members * 2:
                link = await half_linked(dialling, member, at.office.control_port, honest)
                if link is None:
                    break
                links.append(link)
            assert 4 < len(links) < 2 * len(members), "all of them would not fit"
            await asyncio.sleep(0.5)
            assert len(links) * LINK_BYTES <= memory.used <= 6 * MIB
            # Both ends are in this process, and what waits to go out is held as well.
            assert held() < 2 * 6 * MIB
    assert memory.used == 0


async def test_half_sent_blocks_of_many_stay_within_the_same_budget(tmp_path: Path) -> None:
    honest, *members = identities(tmp_path, 4)
    memory = MemoryBudget(12 * MIB)
    async with (
        node(honest, Roll(honest, *members), Bucket(), memory=memory) as at,
        aiohttp.ClientSession(connector=MemberConnector(LAN_KEY)) as dialling,
    ):
        links = [
            await half_linked(dialling, member, at.office.control_port, honest)
            for member in members
        ]
        with traced() as held:
            offers = [asyncio.ensure_future(half_offer(link[1])) for link in links * 4 if link]
            await until(lambda: memory.used > 10 * MIB)
            await asyncio.sleep(0.5)
            assert memory.used <= 12 * MIB
            assert held() < 12 * MIB
        for offer in offers:
            offer.cancel()
        await asyncio.wait(offers)
        await until(lambda: memory.used < 5 * MIB)


async def half_linked(
    dialling: aiohttp.ClientSession, member: DeviceIdentity, port: int, honest: DeviceIdentity
) -> tuple[aiohttp.ClientWebSocketResponse, ClientSession] | None:
    """Link as a member does, and say half a message; None if turned away."""
    try:
        control = await dialling.ws_connect(
            f"https://{url_host('127.0.0.1')}:{port}/control",
            ssl=member.client_context([honest.certificate]),
        )
    except (aiohttp.ClientError, OSError, PeerFailed):
        return None
    await control.send_bytes(encode(HandshakeRequest(PROTOCOL, b"i" * 16, 1, 1)))
    welcome = decode(await control.receive_bytes())
    assert isinstance(welcome, HandshakeResponse)
    await half_a_message(control)
    return control, ClientSession("127.0.0.1", welcome)


async def half_offer(access: ClientSession) -> None:
    """Offer a block, and send all but its end. What waits to go out is held once for all offers."""
    path = f"/b/{access.session_pseudonym(PROJECT)}/{BlockId(bytes(32)).hex()}"
    code = access.authorisation("PUT", path)
    head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {code}\r\nContent-Length: {BLOCK}\r\n\r\n"
    loop = asyncio.get_running_loop()
    with socket.socket() as connection, contextlib.suppress(OSError):
        connection.setblocking(False)
        await loop.sock_connect(connection, ("127.0.0.1", access.port))
        await loop.sock_sendall(connection, head.encode())
        await loop.sock_sendall(connection, NEARLY)
        await asyncio.sleep(60)
