"""Before TLS, a listener and a dialler tell a stranger nothing: not who they are, nor what."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from loop_time import lasted
from office_fixture import LAN_KEY, Bucket, Roll, identities, node, until

from lucidnode.discovery.candidate import Candidate
from lucidnode.node.identity import DeviceIdentity
from lucidnode.node.peers.listener import AUTHENTICATE_TIMEOUT_S
from lucidnode.node.peers.preamble import (
    MAC_BYTES,
    NONCE_BYTES,
    OPENING_BYTES,
    answer,
    answered,
    opening,
    vouched,
)

BUSY_S = 1.0
"""More than it takes to close a connection, in seconds of the loop (tests/loop_time.py)."""


def client_hello() -> bytes:
    """Return what a TLS client says first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()


async def heard(place: Candidate, *said: bytes, within: float) -> bytes:
    """Say *said* to a control port; return all that it answers before it hangs up, *within* seconds."""
    reader, writer = await asyncio.open_connection(place.hosts[0], place.port)
    try:
        writer.write(b"".join(said))
        answer, seconds = await lasted(_all_of(reader))
    finally:
        writer.transport.abort()
    assert seconds < within
    return answer


async def _all_of(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


@contextlib.asynccontextmanager
async def overheard(place: Candidate) -> AsyncIterator[tuple[Candidate, bytearray, bytearray]]:
    """Stand between: yield where to dial instead, and what each side said so far."""
    asked, replied = bytearray(), bytearray()
    passing: set[asyncio.Task[None]] = set()

    async def copy(
        source: asyncio.StreamReader, sink: asyncio.StreamWriter, seen: bytearray
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await source.read(65536):
                seen.extend(piece)
                sink.write(piece)
        sink.close()

    async def between(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection(place.hosts[0], place.port)
        for source, sink, seen in ((reader, forth, asked), (back, writer, replied)):
            passing.add(asyncio.ensure_future(copy(source, sink, seen)))

    server = await asyncio.start_server(between, "127.0.0.1", 0)
    try:
        yield Candidate(("127.0.0.1",), server.sockets[0].getsockname()[1]), asked, replied
    finally:
        server.close()
        for task in passing:
            task.cancel()
        await asyncio.wait(passing)


async def test_a_strangers_tls_gets_not_one_byte(tmp_path: Path) -> None:
    honest, _ = identities(tmp_path, 2)
    async with node(honest, Roll(honest), Bucket()) as a:
        stranger = opening(secrets.token_bytes(32), secrets.token_bytes(NONCE_BYTES))
        for said in (client_hello(), stranger + client_hello(), bytes(OPENING_BYTES)):
            assert await heard(a.place, said, within=BUSY_S) == b""


@pytest.mark.slow
async def test_silence_gets_not_one_byte_and_a_short_wait(tmp_path: Path) -> None:
    (honest,) = identities(tmp_path, 1)
    async with node(honest, Roll(honest), Bucket()) as a:
        began = time.monotonic()
        half = opening(LAN_KEY, secrets.token_bytes(NONCE_BYTES))[:-1]
        async with asyncio.TaskGroup() as callers:
            answers = [
                callers.create_task(heard(a.place, said, within=AUTHENTICATE_TIMEOUT_S + BUSY_S))
                for said in (b"", half)
            ]
        assert [answer.result() for answer in answers] == [b"", b""]
        assert time.monotonic() - began > AUTHENTICATE_TIMEOUT_S / 2


async def test_what_was_overheard_gets_nothing_out_of_a_listener(tmp_path: Path) -> None:
    honest, member = identities(tmp_path, 2)
    roll = Roll(honest, member)
    async with (
        node(honest, roll, Bucket()) as a,
        overheard(a.place) as (between, asked, replied),
        node(member, roll, Bucket(), between) as b,
    ):
        await until(lambda: b.usable() == {honest.id})
        assert honest.certificate not in replied  # encrypted, and the preamble says nothing
        again = await heard(a.place, bytes(asked), within=BUSY_S)
        assert len(again) in {0, OPENING_BYTES}
        assert again[:NONCE_BYTES] != bytes(replied[:NONCE_BYTES])


async def test_who_stands_between_two_members_cannot_begin_tls_in_their_place(
    tmp_path: Path,
) -> None:
    (honest,) = identities(tmp_path, 1)
    async with node(honest, Roll(honest), Bucket()) as a:
        reader, writer = await asyncio.open_connection(a.place.hosts[0], a.place.port)
        ours = secrets.token_bytes(NONCE_BYTES)
        writer.write(opening(LAN_KEY, ours))  # a member's, passed on
        theirs = answered(LAN_KEY, ours, await reader.readexactly(OPENING_BYTES))
        assert theirs is not None
        members = client_hello()
        # The member's MAC, also passed on, but before a ClientHello that is the stranger's own.
        writer.write(vouched(LAN_KEY, ours, theirs, members) + client_hello())
        answer, seconds = await lasted(_all_of(reader))
        assert (answer, seconds < BUSY_S) == (b"", True)
        writer.transport.abort()


async def said_to(
    answers: list[bytes], dialling: DeviceIdentity, roll: Roll
) -> list[tuple[int, bytes]]:
    """Listen as a stranger who says *answers*; return what the one that dialled said to each."""
    said: list[tuple[int, bytes]] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begun = await reader.readexactly(OPENING_BYTES)
        number = len(said)
        said.append((number, b""))
        writer.write(answers[number % len(answers)])
        with contextlib.suppress(ConnectionError):
            said[number] = number, begun + await reader.read()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    place = Candidate(("127.0.0.1",), server.sockets[0].getsockname()[1])
    async with node(dialling, roll, Bucket(), place):
        await until(lambda: sum(bool(what) for _, what in said) >= len(answers))
    server.close()
    return said


async def test_a_dialler_tells_a_stranger_nothing_but_what_looks_random(tmp_path: Path) -> None:
    honest, _ = identities(tmp_path, 2)
    forged = [
        answer(b"another" * 4 + b"key!", bytes(32), b"l" * 32),
        opening(LAN_KEY, b"l" * 32),  # what a member said to somebody else
        bytes(OPENING_BYTES),
    ]
    said = await said_to(forged, honest, Roll(honest))
    full = [what for _, what in said if what]
    assert all(len(what) == OPENING_BYTES for what in full)
    assert len({what[:NONCE_BYTES] for what in full}) == len(full)
    assert len(full[0]) - NONCE_BYTES == MAC_BYTES


async def test_idle_connections_of_a_stranger_keep_no_peers_apart(tmp_path: Path) -> None:
    honest, member = identities(tmp_path, 2)
    roll = Roll(honest, member)
    async with node(honest, roll, Bucket()) as a:
        idle = []
        for number in range(256):
            source = f"127.0.0.{2 + number % 8}", 0
            with contextlib.suppress(ConnectionError):
                _, writer = await asyncio.open_connection(
                    a.place.hosts[0], a.place.port, local_addr=source
                )
                idle.append(writer)
        assert len(idle) == 256
        async with node(member, roll, Bucket(), a.place) as b:
            # Before the idle ones are dropped: what they have is bounded for each address.
            _, seconds = await lasted(until(lambda: b.usable() == {honest.id}))
            assert seconds < AUTHENTICATE_TIMEOUT_S * 0.8
        for writer in idle:
            writer.transport.abort()
