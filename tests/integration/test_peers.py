"""Daemons of one office over real TLS and HTTP on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random  # noqa: TID251 - seeded
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from disk_fixture import Told, make_block
from loop_time import lasted
from office_fixture import (
    LAN_KEY,
    PROJECT,
    Bucket,
    Node,
    Roll,
    identities,
    node,
    office_of,
    until,
)

from lucidnode.discovery.candidate import Candidate
from lucidnode.node.cache.disk import DiskCache
from lucidnode.node.cache.mark import CacheMark
from lucidnode.node.cache.verified import block_id
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.ids import BlockId, DeviceId, Seq
from lucidnode.node.identity import DeviceIdentity
from lucidnode.node.peers.body_connection import BodyConnection
from lucidnode.node.peers.body_connections import BodyConnections
from lucidnode.node.peers.body_server import MISS_BURST
from lucidnode.node.peers.entrance import enter
from lucidnode.node.peers.errors import PeerFailed, PeerLied, PeerLost, PortTaken
from lucidnode.node.peers.frames import FAILED, FOUND, NOT_FOUND, PROGRESS
from lucidnode.node.peers.hosts import url_host
from lucidnode.node.peers.listener import AUTHENTICATE_TIMEOUT_S
from lucidnode.node.peers.member_connector import MemberConnector
from lucidnode.node.peers.memory_budget import MemoryBudget
from lucidnode.node.peers.messages import (
    PROTOCOL,
    HandshakeRequest,
    HandshakeResponse,
    decode,
    encode,
)
from lucidnode.node.peers.sessions import ClientSession

MIB = 1024 * 1024


async def read_all(nodes: list[Node], blocks: list[BlockId], bucket: Bucket) -> None:
    """Have every node read every block at once, and check what it got."""

    async def read(reader: Node, block: BlockId) -> None:
        fetched = await reader.source.fetch(PROJECT, block)
        assert fetched.ciphertext == bucket.blocks[block]

    async with asyncio.TaskGroup() as tasks:
        for reader in nodes:
            for block in blocks:
                tasks.create_task(read(reader, block))


# -- reading -------------------------------------------------------------------------------------


async def test_a_block_crosses_the_uplink_once_for_three_cold_nodes(tmp_path: Path) -> None:
    """Signs of life keep the readers; a machine that is too busy to give them proves nothing."""
    for tries_left in (3, 2, 1, 0):
        bucket = Bucket(seconds=0.5)  # longer than the patience: signs of life keep the readers
        blocks = bucket.fill(24, 100_000)
        home = tmp_path / str(tries_left)
        home.mkdir()
        async with office_of(3, home, bucket) as nodes:
            await read_all(nodes, blocks, bucket)
            assert all(len(n.cache.blocks) == len(blocks) for n in nodes)
            if bucket.gets.total() != len(blocks) and tries_left:
                continue
            assert bucket.gets.total() == len(blocks)
            received = sum(n.traffic.bytes["received"] for n in nodes)
            assert received == sum(n.traffic.bytes["served"] for n in nodes)
            assert received == 2 * len(blocks) * 100_000
            assert not any(n.traffic.failures for n in nodes)
            return


async def test_a_large_block_arrives_whole(tmp_path: Path) -> None:
    bucket = Bucket()
    block = bucket.store(random.Random(2).randbytes(16 * 1024 * 1024 + 9000))
    async with office_of(3, tmp_path, bucket) as nodes:
        await read_all(nodes, [block], bucket)
        assert bucket.gets.total() == 1


async def test_blocks_go_within_tls_where_that_is_wanted_and_to_nobody_otherwise(
    tmp_path: Path,
) -> None:
    bucket = Bucket()
    blocks = [bucket.store(random.Random(n).randbytes(3 * MIB + n)) for n in range(4)]
    keys = identities(tmp_path, 3)
    roll = Roll(*keys)
    async with (
        node(keys[0], roll, bucket, encrypt=True) as a,
        node(keys[1], roll, bucket, a.place, encrypt=True) as b,
    ):
        await until(lambda: bool(a.usable() and b.usable()))
        await read_all([a, b], blocks, bucket)
        assert bucket.gets.total() == len(blocks)
        assert a.traffic.bytes["served"] + b.traffic.bytes["served"] == sum(
            len(bucket.blocks[block]) for block in blocks
        )
        # Whoever asks in the clear gets nothing, not even that he may not.
        plain = await BodyConnection.open("127.0.0.1", a.office.body_port)
        with contextlib.closing(plain), pytest.raises((PeerLost, PeerLied, OSError)):
            await plain.ask("GET", "/alive", "Lucid")
        # One who has it otherwise asks them within TLS, and is asked by neither.
        async with node(keys[2], roll, bucket, a.place, b.place) as c:
            await until(lambda: len(c.usable()) == 2)
            await until(lambda: len(a.office.facts()) == 2)
            assert keys[2].id not in a.usable() and keys[2].id not in b.usable()  # noqa: PT018
            await read_all([c], blocks, bucket)
            assert bucket.gets.total() == len(blocks)
            assert c.traffic.bytes["served"] == 0


async def test_a_block_goes_from_its_file_to_a_peer_and_takes_no_memory_meanwhile(
    tmp_path: Path,
) -> None:
    honest, member = identities(tmp_path, 2)
    block, ciphertext = make_block(16 * MIB)
    memory = MemoryBudget(1 << 29)
    async with (
        DiskCache.open(
            CacheMark(tmp_path / "cache", None), 64 * MIB, 0, SystemClock(), Told([])
        ) as cache,
        node(honest, Roll(honest, member), Bucket(), memory=memory, disk=cache) as at,
        session(member, at) as (_, access, _),
    ):
        assert await cache.put(block, ciphertext)
        path = f"/b/{access.session_pseudonym(PROJECT)}/{block.hex()}?fetch=1"
        connection = await BodyConnection.open("127.0.0.1", at.office.body_port)
        with contextlib.closing(connection):
            assert await connection.ask("GET", path, access.authorisation("GET", path)) == 200
            while (frame := await connection.exactly(1)) == PROGRESS:
                pass
            assert frame == FOUND
            assert int.from_bytes(await connection.exactly(4)) == len(ciphertext)
            await until(lambda: at.traffic.bytes["served"] > 0)
            assert memory.used < len(ciphertext) // 2
            os.unlink(cache.path(block))  # evicted meanwhile
            assert await connection.rest(len(ciphertext), lambda _: None) == ciphertext
            await until(lambda: at.traffic.bytes["served"] == len(ciphertext))
            assert connection.reusable


async def test_a_file_that_is_damaged_is_not_served(tmp_path: Path) -> None:
    honest, member = identities(tmp_path, 2)
    block, ciphertext = make_block()
    told: list[str] = []
    async with (
        DiskCache.open(
            CacheMark(tmp_path / "cache", None), 64 * MIB, 0, SystemClock(), Told(told)
        ) as cache,
        node(honest, Roll(honest, member), Bucket(), disk=cache) as at,
        session(member, at) as (_, access, _),
    ):
        assert await cache.put(block, ciphertext)
        cache.path(block).write_bytes(ciphertext[:-1] + bytes([ciphertext[-1] ^ 1]))
        path = f"/b/{access.session_pseudonym(PROJECT)}/{block.hex()}?fetch=0"
        async with BodyConnections().use("127.0.0.1", at.office.body_port) as connection:
            assert await connection.ask("GET", path, access.authorisation("GET", path)) == 200
            while (frame := await connection.exactly(1)) == PROGRESS:
                pass
            assert frame == NOT_FOUND
        assert not cache.holds(block)
        assert len(told) == 1


async def test_a_new_owner_asks_the_former_one_before_the_bucket(tmp_path: Path) -> None:
    bucket = Bucket()
    blocks = bucket.fill(40, 10_000)
    keys = identities(tmp_path, 2)
    roll = Roll(*keys)
    async with node(keys[0], roll, bucket) as old:
        await read_all([old], blocks, bucket)
        async with node(keys[1], roll, bucket, old.place) as new:
            await until(lambda: new.usable() == {old.identity.id})
            assert any(new.office.owns(b) for b in blocks)
            await read_all([new], blocks, bucket)
    assert bucket.gets.total() == len(blocks)


async def test_an_owner_killed_during_a_read_delays_no_block_by_half_a_second(
    tmp_path: Path,
) -> None:
    bucket = Bucket(seconds=0.1)
    blocks = bucket.fill(200, 50_000)
    keys = identities(tmp_path, 3)
    roll = Roll(*keys)
    waits: list[float] = []
    async with contextlib.AsyncExitStack() as stack:
        a = await stack.enter_async_context(node(keys[0], roll, bucket))
        b = await stack.enter_async_context(node(keys[1], roll, bucket, a.place))
        doomed = contextlib.AsyncExitStack()
        c = await doomed.enter_async_context(node(keys[2], roll, bucket, a.place, b.place))
        await until(lambda: all(len(n.usable()) == 2 for n in (a, b, c)))
        slots = asyncio.Semaphore(8)

        async def read(reader: Node, block: BlockId) -> None:
            async with slots:
                fetched, seconds = await lasted(reader.source.fetch(PROJECT, block))
                assert fetched.ciphertext == bucket.blocks[block]
                waits.append(seconds)

        async with asyncio.TaskGroup() as tasks:
            for block in blocks:
                tasks.create_task(read(a, block))
            await asyncio.sleep(0.5)
            for opened in c.office.facts():
                assert opened.state == "linked"
            await doomed.aclose()
        lost = a.traffic.failures
    assert sum(lost.values()) >= 1
    assert max(waits) < 0.1 + 0.5 + 0.2  # the bucket's own time, the promise, a busy machine
    assert bucket.gets.total() <= len(blocks) + sum(lost.values())


async def test_two_nodes_that_each_think_the_other_owns_a_block_do_not_wait_in_a_circle(
    tmp_path: Path,
) -> None:
    """Each sees a third node on the ring that the other does not: their rings differ."""
    bucket = Bucket(seconds=0.2)
    blocks = bucket.fill(300, 1000)
    keys = identities(tmp_path, 4)
    roll = Roll(*keys)
    async with contextlib.AsyncExitStack() as stack:
        a = await stack.enter_async_context(node(keys[0], roll, bucket, weight=1))
        b = await stack.enter_async_context(node(keys[1], roll, bucket, a.place, weight=64))
        await until(lambda: len(a.usable()) == len(b.usable()) == 1)
        # The same peers with other weights make another ring: a thinks b owns nearly all.
        a.office._peers._weight, b.office._peers._weight = 1, 1
        for n, heavy in ((a, b), (b, a)):
            known = n.office._peers.met(heavy.identity.id)
            known.weight = 64
            n.office._peers._rebuild()
        circular = [x for x in blocks if not a.office.owns(x) and not b.office.owns(x)]
        assert len(circular) > 100
        _, seconds = await lasted(read_all([a, b], circular[:32], bucket))
        assert seconds < 5
        assert bucket.gets.total() <= 64


async def test_a_block_lost_by_the_bucket_is_found_at_any_peer(tmp_path: Path) -> None:
    bucket = Bucket()
    async with office_of(4, tmp_path, bucket) as nodes:
        [block] = bucket.fill(1, 5000)
        ciphertext = bucket.blocks.pop(block)
        owners = nodes[0].office._peers.owners(block)
        holder, *_ = [n for n in nodes if n.identity.id not in owners]
        holder.cache.blocks[block] = ciphertext
        for reader in nodes:
            assert (await reader.source.fetch(PROJECT, block)).ciphertext == ciphertext


async def test_offered_blocks_reach_their_owners_and_nobody_else(tmp_path: Path) -> None:
    bucket = Bucket()
    async with office_of(4, tmp_path, bucket) as nodes:
        writer = nodes[0]
        for block in bucket.fill(20, 5000):
            await writer.office.offer(PROJECT, block, bucket.blocks[block])
            owners = set(writer.office._peers.owners(block)) - {writer.identity.id}
            assert {n.identity.id for n in nodes if block in n.cache.blocks} == owners
        assert not any(n.traffic.failures for n in nodes)


# -- talking -------------------------------------------------------------------------------------


async def test_entries_heads_and_totals_reach_everyone(tmp_path: Path) -> None:
    async with office_of(3, tmp_path, Bucket()) as (a, b, c):
        a.office.talk.push(PROJECT, Seq(7))
        a.own_heads[PROJECT] = [(Seq(6), b"g" * 32), (Seq(7), b"h" * 32)]
        a.own_totals["served"] = 12
        a.own_days |= {"2026-11-25": [1, 2], "2026-11-26": [3]}
        expected = (a.identity.id, PROJECT, 7)
        await until(lambda: all(n.heard.pushes == [expected] for n in (b, c)))
        await until(
            lambda: all(
                n.heard.heads_of.get(a.identity.id) == {PROJECT: a.own_heads[PROJECT]}
                for n in (b, c)
            )
        )
        await until(
            lambda: all(n.heard.rosters.get(a.identity.id) == (1, b"r" * 32) for n in (b, c))
        )
        await until(
            lambda: all(
                {"served": 12} in [facts.totals for facts in n.office.facts()] for n in (b, c)
            )
        )
        told = {"2026-11-25": [1, 2], "2026-11-26": [3]}
        await until(lambda: all(n.heard.days_of.get(a.identity.id) == told for n in (b, c)))
        assert a.office.talk.relay(b.identity.id, PROJECT, b"sealed")
        assert not a.office.talk.relay(DeviceId("0" * 32), PROJECT, b"sealed")
        await until(lambda: b.heard.words == [(a.identity.id, PROJECT, b"sealed")])
        assert not c.heard.words
        b.heard.days_of.clear()
        a.own_days["2026-11-26"] = [4]  # a day that has not changed is not told again
        await until(lambda: b.heard.days_of.get(a.identity.id) == {"2026-11-26": [4]})


async def test_a_node_that_only_one_side_knows_is_dialled_back(tmp_path: Path) -> None:
    async with office_of(2, tmp_path, Bucket()) as (a, b):
        assert a.usable() == {b.identity.id}
        assert b.usable() == {a.identity.id}


async def test_a_peer_that_restarts_on_other_ports_is_found_again(tmp_path: Path) -> None:
    bucket = Bucket()
    keys = identities(tmp_path, 2)
    roll = Roll(*keys)
    async with node(keys[0], roll, bucket) as a:
        for _ in range(2):
            async with node(keys[1], roll, bucket, a.place) as b:
                await until(lambda: a.usable() == {keys[1].id})
                await until(lambda: b.usable() == {keys[0].id})
            await until(lambda: not a.usable())
            [facts] = a.office.facts()
            assert facts.state == "away"
            assert facts.share > 0  # it keeps its place on the ring for a while


async def test_a_place_that_is_named_no_more_is_dialled_no_more(tmp_path: Path) -> None:
    [key] = identities(tmp_path, 1)
    dialled = [0, 0]
    async with node(key, Roll(key), Bucket()) as a, contextlib.AsyncExitStack() as doors:
        places = []
        for number in range(2):

            def answer(
                _: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int = number
            ) -> None:
                dialled[number] += 1
                writer.close()

            door = await doors.enter_async_context(
                await asyncio.start_server(answer, "127.0.0.1", 0)
            )
            places.append(Candidate(("127.0.0.1",), door.sockets[0].getsockname()[1]))
        a.office.name_peers(places)
        await until(lambda: min(dialled) >= 1)
        a.office.name_peers(places[1:])
        at_most = dialled[0] + 1  # one may be on its way
        before = dialled[1]
        await until(lambda: dialled[1] > before + 1)
        assert dialled[0] <= at_most


async def test_a_node_given_its_own_address_ignores_it(tmp_path: Path) -> None:
    [key] = identities(tmp_path, 1)
    async with node(key, Roll(key), Bucket()) as a:
        a.office.name_peers([a.place])
        await asyncio.sleep(0.3)
        assert not a.office.facts()
        assert not a.told


async def test_a_copied_device_key_is_reported_by_both(tmp_path: Path) -> None:
    [key] = identities(tmp_path, 1)
    roll = Roll(key)
    async with contextlib.AsyncExitStack() as stack:
        a = await stack.enter_async_context(node(key, roll, Bucket()))
        began = SystemClock().wall_ns()
        await until(lambda: SystemClock().wall_ns() > began)  # in ticks of up to 10 ms
        b = await stack.enter_async_context(node(key, roll, Bucket(), a.place))
        # Each time that they meet, and they go on meeting: the alert lasts a minute after that.
        await until(lambda: len(a.told) > 2 and len(b.told) > 2)
        assert "device key" in a.told[0]
        assert not a.office.facts()
        # The later of the two writes nothing more, and both know which it is.
        assert "after this one: projects are read-only there" in a.told[0]
        assert "before this one: projects are read-only here" in b.told[0]
        assert (set(a.heard.copies), set(b.heard.copies)) == (set(), {"127.0.0.1"})


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    [key] = identities(tmp_path, 1)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.RaisesGroup(pytest.RaisesExc(PortTaken, match=str(port))):
            async with node(key, Roll(key), Bucket(), control_port=port):
                raise AssertionError("it listens")


# -- strangers -----------------------------------------------------------------------------------


async def reached(place: Candidate) -> socket.socket:
    """Connect to the control port of a node on loopback."""
    connection = socket.socket()
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, (place.hosts[0], place.port))
    return connection


async def handshake(place: Candidate, context: ssl.SSLContext, lan_key: bytes = LAN_KEY) -> str:
    """Try `GET /control`; return the status line, or "" if TLS or the connection fails."""
    try:
        connection = await reached(place)
        reader, writer = await asyncio.open_connection(
            sock=connection, ssl=await enter(connection, lan_key, context), server_hostname=""
        )
        try:
            writer.write(b"GET /elsewhere HTTP/1.1\r\nHost: x\r\n\r\n")
            return (await reader.readline()).decode()
        finally:
            writer.transport.abort()
    except (ssl.SSLError, ConnectionError, PeerFailed):
        return ""


async def test_without_a_certificate_of_the_roster_nothing_is_said(tmp_path: Path) -> None:
    member, honest, stranger = identities(tmp_path, 3)
    async with node(honest, Roll(honest, member), Bucket()) as a:
        trusting = [honest.certificate]
        assert "401" in await handshake(a.place, member.client_context(trusting))
        assert await handshake(a.place, stranger.client_context(trusting)) == ""
        anonymous = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        anonymous.check_hostname = False
        anonymous.verify_mode = ssl.CERT_NONE
        assert await handshake(a.place, anonymous) == ""


async def test_a_node_does_not_talk_to_a_stranger_that_poses_as_a_peer(tmp_path: Path) -> None:
    honest, stranger = identities(tmp_path, 2)
    async with (
        node(stranger, Roll(honest, stranger), Bucket()) as posing,
        node(honest, Roll(honest), Bucket(), posing.place) as a,
    ):
        await asyncio.sleep(0.5)
        assert not a.office.facts()
        assert not posing.office.facts()


async def ended(control: aiohttp.ClientWebSocketResponse) -> None:
    """Wait until the other end has closed the link, soon, whatever it still says before."""

    async def heard_to_its_end() -> None:
        while (await control.receive()).type is aiohttp.WSMsgType.BINARY:
            pass

    _, seconds = await lasted(heard_to_its_end())
    assert seconds < 3


@contextlib.asynccontextmanager
async def session(
    key: DeviceIdentity, at: Node
) -> AsyncIterator[tuple[aiohttp.ClientSession, ClientSession, aiohttp.ClientWebSocketResponse]]:
    """Introduce *key* to a node as a peer would; yield what it was given."""
    async with (
        aiohttp.ClientSession() as http,
        aiohttp.ClientSession(connector=MemberConnector(LAN_KEY)) as dialling,
        dialling.ws_connect(
            f"https://{url_host('127.0.0.1')}:{at.office.control_port}/control",
            ssl=key.client_context([at.identity.certificate]),
        ) as control,
    ):
        await control.send_bytes(encode(HandshakeRequest(PROTOCOL, b"i" * 16, 1, 1)))
        welcome = decode(await control.receive_bytes())
        assert isinstance(welcome, HandshakeResponse)
        yield http, ClientSession("127.0.0.1", welcome), control


async def test_answers_to_strangers_do_not_tell_the_versions_of_our_libraries(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (honest,) = identities(tmp_path, 1)
    async with node(honest, Roll(honest), Bucket()) as a:
        for request in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", *[b"\x00nonsense\r\n\r\n"] * 5):
            stream, writer = await asyncio.open_connection("127.0.0.1", a.office.body_port)
            writer.write(request)
            head = await stream.readuntil(b"\r\n\r\n")
            writer.close()
            assert b"\r\nServer: lucidnode\r\n" in head
            assert b"aiohttp" not in head
            assert b"Python" not in head
    assert len([r for r in caplog.records if r.name.startswith("aiohttp.server")]) <= 1


async def test_what_is_malformed_is_not_repeated_to_who_sent_it(tmp_path: Path) -> None:
    (honest,) = identities(tmp_path, 1)
    sizes = set()
    async with node(honest, Roll(honest), Bucket()) as a:
        for length in (10, 900):
            stream, writer = await asyncio.open_connection("127.0.0.1", a.office.body_port)
            writer.write(b"\x00" * length + b"\r\n\r\n")
            answer = await stream.read(65536)
            writer.close()
            assert answer.endswith(b"\r\n\r\n"), "there is no body"
            sizes.add(len(answer))
    assert len(sizes) == 1, "it is as long whatever was sent"


async def test_bodies_are_for_those_with_a_grant_and_each_authorisation_counts_once(
    tmp_path: Path,
) -> None:
    bucket = Bucket()
    honest, member = identities(tmp_path, 2)
    async with (
        node(honest, Roll(honest, member), bucket) as a,
        session(member, a) as (http, access, _),
    ):
        held, absent = bucket.fill(1, 5000)[0], BlockId(b"x" * 32)
        await a.source.fetch(PROJECT, held)
        base = f"http://127.0.0.1:{a.office.body_port}"
        path = f"/b/{access.session_pseudonym(PROJECT)}/{held.hex()}?fetch=0"

        async def get(path: str, authorisation: str | None, method: str = "GET") -> int:
            headers = {} if authorisation is None else {"Authorization": authorisation}
            async with http.request(method, base + path, headers=headers) as answer:
                return answer.status

        right = access.authorisation("GET", path)
        assert await get(path, right) == 200
        assert await get(path, right) == 401  # overheard and sent again
        other = access.authorisation("GET", path.replace(held.hex(), absent.hex()))
        through = access.authorisation("GET", path.replace("fetch=0", "fetch=1"))
        put = access.authorisation("PUT", path)
        forged = access.authorisation("GET", path)[:-1] + "-"
        for refused in (None, "", "Lucid", "Basic eDp5", other, through, put, forged, right * 9):
            assert await get(path, refused) == 401
        for nowhere in ("/", "/alive", "/b/", f"/b/{PROJECT}/{absent.hex()}?fetch=1"):
            assert await get(nowhere, None) == 401
        unknown = f"/b/{'0' * 32}/{held.hex()}?fetch=1"
        assert await get(unknown, access.authorisation("GET", unknown)) == 404
        assert bucket.gets.total() == 1


async def test_what_one_device_may_offer_and_have_looked_for_in_vain_is_bounded(
    tmp_path: Path,
) -> None:
    bucket = Bucket()
    honest, member = identities(tmp_path, 2)
    async with (
        node(honest, Roll(honest, member), bucket, offers_bytes=10_000) as a,
        session(member, a) as (http, access, _),
    ):
        base = f"http://127.0.0.1:{a.office.body_port}"

        async def ask(method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
            headers = {"Authorization": access.authorisation(method, path)}
            async with http.request(method, base + path, headers=headers, data=body) as answer:
                return answer.status, await answer.read()

        offered = [random.Random(n).randbytes(3000) for n in range(5)]
        where = f"/b/{access.session_pseudonym(PROJECT)}/"
        kept = [(await ask("PUT", where + block_id(each).hex(), each))[0] for each in offered]
        assert kept == [204, 204, 204, 507, 507]

        for n in range(3 * MISS_BURST):
            _, answer = await ask("GET", f"{where}{n:064x}?fetch=1")
            assert answer[-1:] in {FAILED, NOT_FOUND}
        assert MISS_BURST <= bucket.gets.total() < MISS_BURST + 20
        [there] = bucket.fill(1, 1000)
        await a.source.fetch(PROJECT, there)
        _, answer = await ask("GET", f"{where}{there.hex()}?fetch=1")
        assert answer[-1000:] == bucket.blocks[there]  # what is held it still gets


async def test_a_revoked_device_loses_its_links_and_its_grant_at_once(tmp_path: Path) -> None:
    bucket = Bucket()
    honest, member, third = identities(tmp_path, 3)
    roll = Roll(honest, member, third)
    async with (
        node(honest, roll, bucket) as a,
        node(third, roll, bucket, a.place) as b,
        session(member, a) as (http, access, control),
    ):
        await until(lambda: a.usable() == {third.id})
        url = f"http://127.0.0.1:{a.office.body_port}/alive"
        headers = {"Authorization": access.authorisation("GET", "/alive")}
        assert (await http.get(url, headers=headers)).status == 204
        del roll.certificates[member.id]
        a.office.roster_changed()
        await ended(control)
        headers = {"Authorization": access.authorisation("GET", "/alive")}
        await asyncio.sleep(0.1)
        assert (await http.get(url, headers=headers)).status == 401
        assert await handshake(a.place, member.client_context([honest.certificate])) == ""
        assert a.usable() == {third.id}
        assert b.usable() == {honest.id}


async def test_a_device_that_joins_is_let_in_without_a_restart(tmp_path: Path) -> None:
    honest, member = identities(tmp_path, 2)
    roll = Roll(honest)
    async with node(honest, roll, Bucket()) as a:
        context = member.client_context([honest.certificate])
        assert await handshake(a.place, context) == ""
        roll.certificates[member.id] = member.certificate
        a.office.roster_changed()
        assert "401" in await handshake(a.place, context)


async def test_control_messages_out_of_form_end_the_link(tmp_path: Path) -> None:
    honest, member = identities(tmp_path, 2)
    async with node(honest, Roll(honest, member), Bucket()) as a:
        for nonsense in (
            b"",
            b"\xc1",
            b"\x81" * 5000,
            encode(HandshakeRequest(PROTOCOL, b"i" * 16, 1, 1)),
        ):
            async with session(member, a) as (_, _access, control):
                await control.send_bytes(nonsense)
                await ended(control)
        assert not a.heard.pushes


@pytest.mark.slow
async def test_connections_that_prove_nothing_are_dropped_and_disturb_nobody(
    tmp_path: Path,
) -> None:
    bucket = Bucket()
    async with office_of(2, tmp_path, bucket) as nodes:
        ports = [nodes[0].office.body_port, nodes[0].office.control_port]
        flood = [await asyncio.open_connection("127.0.0.1", ports[n % 2]) for n in range(200)]
        for _, writer in flood:
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-")
        await read_all(nodes, bucket.fill(40, 50_000), bucket)
        async with asyncio.timeout(AUTHENTICATE_TIMEOUT_S + 2):
            for reader, writer in flood:
                with contextlib.suppress(ConnectionError):
                    await reader.read()
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()
        assert bucket.gets.total() == 40
