"""A hostile member on the LAN: everything that a peer can say, in both directions, on real links.

Whatever it says, nothing but the typed errors comes of it, no thought about it takes long, and the
node links and serves as before.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import hashlib
import ipaddress
import logging
import random  # noqa: TID251  # seeded
import socket
import ssl
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from office_fixture import LAN_KEY, PROJECT, Bucket, Count, Node, Roll, identities, node, until

from lab.hostile_messages import HostileSpeech, frame
from lucidnode.discovery.candidate import Candidate
from lucidnode.discovery.interfaces import Interface
from lucidnode.discovery.mdns import announced
from lucidnode.node.callers import CALLERS_LOG
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.errors import Corrupt, Malformed
from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.identity import DeviceIdentity
from lucidnode.node.mounts import MountTable
from lucidnode.node.peer_events import PeerEventHandlers
from lucidnode.node.peers import preamble
from lucidnode.node.peers.body_client import BodyClient
from lucidnode.node.peers.entrance import admit, enter
from lucidnode.node.peers.errors import PeerFailed
from lucidnode.node.peers.hosts import url_host
from lucidnode.node.peers.link import PeerLink
from lucidnode.node.peers.link_dialer import LinkDialer
from lucidnode.node.peers.listener import bind
from lucidnode.node.peers.member_connector import MemberConnector
from lucidnode.node.peers.messages import HandshakeResponse, Heads, Message, Push, decode, encode
from lucidnode.node.peers.sessions import ClientSession
from lucidnode.node.peers.tls import Tls

MESSAGES, ANNOUNCEMENTS, PREAMBLES = 1000, 100, 50
LINKS, FRAMES = 6, 20
REQUESTS, ANSWERS = 30, 30
"""What one seed tries."""

STALL_CPU_S = 1.0
PATIENCE_S = 10.0
HALF_SAID_S = 0.5
"""A request that is not whole gets no answer, and is not waited for."""


@functools.cache
def keys() -> list[DeviceIdentity]:
    """Return the device keys of an honest node and of a hostile one: of this process."""
    with tempfile.TemporaryDirectory(prefix="lucidnode-soak-") as directory:
        return identities(Path(directory), 2)


class Faults(logging.Handler):
    """Gathers what a library or the loop reports that is not about a caller's own nonsense."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, HttpProcessingError):
            self.found.append(f"{record.getMessage()}: {error!r}")

    def from_loop(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Take what nobody retrieved."""
        self.found.append(f"{context['message']}: {context.get('exception')!r}")


class _Journal:
    """A journal of which entry 1 was read, of every project. Stands in for a JournalService."""

    def recent(self, project: ProjectId) -> dict[Seq, bytes]:
        return {Seq(1): bytes(32)}


class _Errands:
    """Begins nothing. Implements Tasks."""

    def create_task(self, coro: Any, *, name: str | None = None) -> Any:
        coro.close()


def _say(speech: HostileSpeech, here: Node, happened: Counter[str]) -> None:
    """Have what is decoded heard by the office and by who compares journals."""
    news = PeerEventHandlers(
        MountTable(),
        cast("Any", _Journal()),
        _Errands(),
        lambda: [PROJECT],
        lambda *_: None,
        lambda *_: None,
        Alerts(SystemClock()),
        SystemClock(),
    )
    link = PeerLink(cast("Any", None), keys()[1].id, b"i" * 16, "127.0.0.1")
    for _ in range(MESSAGES):
        raw = speech.message()
        began = time.thread_time()
        try:
            message = decode(raw)
            here.office.heard(link, message)
            _heard(news, message)
            happened[f"heard {type(message).__name__}"] += 1
        except Malformed:
            happened["message malformed"] += 1
        spent = time.thread_time() - began
        assert spent < STALL_CPU_S, f"{spent:.3f} s for a message of {len(raw)} bytes"


def _heard(news: PeerEventHandlers, message: Message) -> None:
    device = keys()[1].id
    match message:
        case Push():
            news.pushed(device, ProjectId(message.project), Seq(message.seq))
        case Heads():
            heads = {
                ProjectId(project): sorted((Seq(seq), hash_) for seq, hash_ in claimed)
                for project, claimed in message.heads.items()
            }
            news.heads(device, heads)
        case _:
            pass


def _announce(speech: HostileSpeech, happened: Counter[str]) -> None:
    here = (Interface(2, (ipaddress.ip_interface("192.0.2.9/24"),)),)
    hosts = ["192.0.2.7", "fe80::1%2", "::1", "192.0.2.9", "224.0.0.1", "x", ""]
    for _ in range(ANNOUNCEMENTS):
        txt = speech.announcement(LAN_KEY, "instance")
        found = announced(txt, hosts, lan_key=LAN_KEY, instance="instance", here=here)
        happened["announcement ignored" if found is None else "announcement taken"] += 1


# -- links that it dialled -----------------------------------------------------------------------


async def _reached(place: Candidate) -> socket.socket:
    connection = socket.socket()
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, (place.hosts[0], place.port))
    return connection


async def _knock(speech: HostileSpeech, here: Node, happened: Counter[str]) -> None:
    """Say something like a preamble; nothing may come back but the second message."""
    chance = speech.chance
    opening = preamble.opening(LAN_KEY, chance.randbytes(preamble.NONCE_BYTES))
    said = chance.choice([opening, opening[:40], chance.randbytes(64), b"\x16\x03\x01\x02\x00"])
    said += chance.randbytes(chance.choice([0, 32, 37, 5000]))
    reader, writer = await asyncio.open_connection(here.place.hosts[0], here.place.port)
    writer.write(said)
    writer.write_eof()
    heard = b""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(PATIENCE_S):
            heard = await reader.read()
    writer.transport.abort()
    assert len(heard) in {0, preamble.OPENING_BYTES}, f"a stranger got {len(heard)} bytes"
    happened["preamble refused"] += 1


async def _dial(speech: HostileSpeech, here: Node, happened: Counter[str]) -> None:
    """Make a link as a member does, and say what no member says."""
    chance = speech.chance
    context = keys()[1].client_context([keys()[0].certificate])
    connection = await _reached(here.place)
    reader, writer = await asyncio.open_connection(
        sock=connection, ssl=await enter(connection, LAN_KEY, context), server_hostname=""
    )
    with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
        writer.write(
            b"GET /control HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head
        hello = encode(speech.hello()) if chance.random() < 0.8 else speech.message()
        writer.write(frame(2, hello, masked=True))
        for _ in range(FRAMES):
            writer.write(speech.frames(speech.message(), masked=True))
            await writer.drain()
        writer.write(frame(8, b"\x03\xe8", masked=True))
        async with asyncio.timeout(PATIENCE_S):
            while await reader.read(65536):
                pass
    writer.transport.abort()
    happened["link dialled by it"] += 1


# -- links that it answered ----------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _answering(speech: HostileSpeech) -> AsyncIterator[Candidate]:
    """Listen as a member does, and answer what no member answers."""
    loop = asyncio.get_running_loop()
    context = keys()[1].server_context([keys()[0].certificate])

    async def answer(connection: socket.socket) -> None:
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            spliced = await admit(connection, LAN_KEY, context)
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol, connection, ssl=spliced
            )
        except (PeerFailed, OSError):
            connection.close()
            return
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(_upgraded(head) if speech.chance.random() < 0.9 else speech.answer(b"x"))
            welcome = speech.welcome() if speech.chance.random() < 0.8 else speech.sound()
            writer.write(frame(2, encode(welcome), masked=False))
            for _ in range(FRAMES):
                writer.write(speech.frames(speech.message(), masked=False))
                await writer.drain()
            writer.write(frame(8, b"\x03\xe8", masked=False))
            async with asyncio.timeout(PATIENCE_S):
                while await reader.read(65536):
                    pass
        writer.transport.abort()

    async with _taking_turns(answer) as place:
        yield place


def _upgraded(head: bytes) -> bytes:
    [key] = [
        line.partition(b":")[2].strip()
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"sec-websocket-key:")
    ]
    accepted = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(accepted) + b"\r\n\r\n"
    )


@contextlib.asynccontextmanager
async def _taking_turns(
    answer: Callable[[socket.socket], Awaitable[None]],
) -> AsyncIterator[Candidate]:
    loop = asyncio.get_running_loop()
    with bind("127.0.0.1", 0) as listening:

        async def take() -> None:
            while True:
                connection, _ = await loop.sock_accept(listening)
                await answer(connection)

        async with asyncio.TaskGroup() as tasks:
            taking = tasks.create_task(take())
            yield Candidate(("127.0.0.1",), listening.getsockname()[1])
            taking.cancel()


async def _be_dialled(speech: HostileSpeech, here: Node, happened: Counter[str]) -> None:
    roll = Roll(*keys())
    async with (
        _answering(speech) as place,
        LinkDialer(
            lan_key=LAN_KEY,
            tls=Tls(keys()[0], roll),
            members=roll,
            outgoing=here.office,
            hello=speech.hello,
        ) as dialler,
    ):
        for _ in range(LINKS):
            async with asyncio.timeout(3 * PATIENCE_S):
                await dialler.dial(place)
            happened["link answered by it"] += 1


# -- bodies --------------------------------------------------------------------------------------


async def _request(speech: HostileSpeech, here: Node, happened: Counter[str]) -> None:
    """Ask the body port for things, with a session's code and without."""
    chance = speech.chance
    async with _session(speech, here) as theirs:
        for _ in range(REQUESTS):
            forged = ClientSession("127.0.0.1", speech.welcome(here.office.body_port))
            access = chance.choice([theirs, theirs, forged])
            path = (
                f"/b/{access.session_pseudonym(PROJECT)}/{'0' * 64}?fetch={chance.choice([0, 1])}"
            )
            reader, writer = await asyncio.open_connection("127.0.0.1", here.office.body_port)
            head = b""
            with contextlib.suppress(ConnectionError, TimeoutError):
                writer.write(speech.request(access.authorisation("GET", path), path))
                async with asyncio.timeout(HALF_SAID_S):
                    head = await reader.read(65536)
            writer.transport.abort()
            status = head[9:12].decode("latin-1")
            assert status in {"", "200", "204", "400", "401", "404", "405", "507"}, head[:100]
            assert access is theirs or status in {"", "400", "401"}, head[:100]
            happened[f"request: {status or 'none'}"] += 1


@contextlib.asynccontextmanager
async def _session(speech: HostileSpeech, here: Node) -> AsyncIterator[ClientSession]:
    """Make a link as a member does; yield the access to bodies that it is given."""
    place = f"https://{url_host('127.0.0.1')}:{here.office.control_port}/control"
    context = keys()[1].client_context([keys()[0].certificate])
    async with (
        aiohttp.ClientSession(connector=MemberConnector(LAN_KEY)) as http,
        http.ws_connect(place, ssl=context) as control,
    ):
        await control.send_bytes(encode(speech.hello()))
        welcome = decode(await control.receive_bytes())
        assert isinstance(welcome, HandshakeResponse)
        yield ClientSession("127.0.0.1", welcome)


async def _answer(speech: HostileSpeech, happened: Counter[str]) -> None:
    """Give answers to requests for blocks; nothing is taken for the block that is not it."""
    bucket = Bucket()
    [block] = bucket.fill(1, 5000)
    ciphertext = bucket.blocks[block]

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(speech.answer(ciphertext))
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    access = ClientSession("127.0.0.1", speech.welcome(server.sockets[0].getsockname()[1]))
    with BodyClient(Count()) as client:
        for _ in range(ANSWERS):
            try:
                async with asyncio.timeout(PATIENCE_S):
                    found = await client.get(
                        access,
                        PROJECT,
                        block,
                        through=True,
                        timeout_s=1.0,
                        answered=lambda: None,
                        wanted=lambda: True,
                    )
                assert found is None or found == ciphertext
                happened["answer: nothing" if found is None else "answer: the block"] += 1
            except (PeerFailed, Corrupt) as error:
                happened[f"answer: {type(error).__name__}"] += 1
    server.close()


# -- all of it -----------------------------------------------------------------------------------


async def _run(chance: random.Random, faults: Faults) -> Counter[str]:
    happened: Counter[str] = Counter()
    honest, hostile = keys()
    roll = Roll(honest, hostile)
    speech = HostileSpeech(chance, [PROJECT])
    asyncio.get_running_loop().set_exception_handler(faults.from_loop)
    async with node(honest, roll, Bucket()) as here:
        _say(speech, here, happened)
        _announce(speech, happened)
        for _ in range(PREAMBLES):
            await _knock(speech, here, happened)
        for _ in range(LINKS):
            await _dial(speech, here, happened)
        await _be_dialled(speech, here, happened)
        await _request(speech, here, happened)
        await _answer(speech, happened)
        failed = [words for words in here.told if "has failed" in words]
        assert not failed, failed
        await _still_works(here)
    assert not faults.found, faults.found[:3]
    return happened


async def _still_works(here: Node) -> None:
    """See that a member links and is heard."""
    honest, hostile = keys()
    async with node(hostile, Roll(honest, hostile), Bucket(), here.place) as peer:
        await until(lambda: bool(peer.usable() and here.usable()), 3 * PATIENCE_S)


def run_seed(seed: int) -> Counter[str]:
    """Let a hostile member say its things to a node once; return what became of them."""
    faults = Faults()
    CALLERS_LOG.addHandler(faults)
    try:
        return asyncio.run(_run(random.Random(seed), faults))
    finally:
        CALLERS_LOG.removeHandler(faults)
