"""Workstations find each other through the bucket, and nobody else makes them dial anything."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

import pytest
from committer_fixture import VirtualClock
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from lucidnode.discovery.candidate import Candidate
from lucidnode.node.bucket.keys import rendezvous_key
from lucidnode.node.bucket.memory import MemoryBucket
from lucidnode.node.client.errors import AccessDenied, Unavailable
from lucidnode.node.client.ids import DeviceId
from lucidnode.node.client.roster_entry import device_id
from lucidnode.node.peers.rendezvous import (
    LOOK_S,
    SAID_AGAIN_S,
    STALE_S,
    TICK_S,
    Rendezvous,
    connect_time,
)
from lucidnode.node.peers.rendezvous_record import (
    RECORD_BYTES,
    ReachableAt,
    is_private,
    opened,
    sealed,
)

LAN_KEY = bytes(range(32))
HERE = ReachableAt(["10.1.2.3", "fd00::1"], 7450)


class Bucket(MemoryBucket):
    """Counts what is asked, and is away, or closed to a viewer, as a test says."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.asked: list[str] = []

    def _check(self, verb: str) -> None:
        self.asked.append(verb)
        if self.away:
            raise Unavailable("the bucket does not answer")

    async def get(self, key: str, span: tuple[int, int] | None = None) -> bytes:
        self._check("get")
        return await super().get(key, span)

    async def create(self, key: str, body: bytes) -> None:
        self._check("create")
        await super().create(key, body)

    async def list(self, prefix: str, after: str | None = None, limit: int = 1000):  # type: ignore[no-untyped-def]
        self._check("list")
        return await super().list(prefix, after, min(limit, 1000))


class ClosedBucket(Bucket):
    """Lets nobody write."""

    async def create(self, key: str, body: bytes) -> None:
        self._check("create")
        raise AccessDenied("viewers do not write")


class Office:
    """A studio's devices, and how far they are from each other."""

    def __init__(self) -> None:
        self.bucket = Bucket()
        self.clock = VirtualClock()
        self.members: dict[DeviceId, bytes] = {}
        self.far: set[str] = set()
        self.measured: list[str] = []

    async def pass_by(self, seconds: float) -> None:
        """Let *seconds* go by in which nobody looks until the end, as in a machine that sleeps."""
        self.clock.now += seconds
        await self.clock.pass_by(TICK_S)

    async def distance(self, host: str, port: int) -> float | None:
        assert port > 0
        self.measured.append(host)
        return 0.02 if host in self.far else 0.0004


class Seat:
    """One workstation."""

    def __init__(self, office: Office, *hosts: str, bucket: Bucket | None = None) -> None:
        key = Ed25519PrivateKey.generate()
        self.office = office
        self.hosts = list(hosts)
        self.port = 7450
        self.sign = key.sign
        public = key.public_key().public_bytes_raw()
        self.me = device_id(public)
        office.members[self.me] = public
        self.dialled: dict[str, Candidate] = {}
        self.rendezvous = Rendezvous(
            bucket=bucket or office.bucket,
            lan_key=LAN_KEY,
            me=self.me,
            sign=key.sign,
            random_bytes=os.urandom,
            addresses=lambda: self.hosts,
            port=lambda: self.port,
            device_key=office.members.get,
            peers=self,
            distance=office.distance,
            clock=office.clock,
        )

    def found(self, instance: str, candidate: Candidate) -> None:
        self.dialled[instance] = candidate

    def gone(self, instance: str) -> None:
        del self.dialled[instance]

    def leave(self, hosts: list[str], *, key: str | None = None) -> str:
        """Put a record of *hosts* into the bucket, as this device would."""
        key = key or rendezvous_key(self.me, self.office.clock.wall_ns() // 10**9)
        said = ReachableAt(hosts, self.port)
        self.office.bucket.objects[key] = sealed(said, key, LAN_KEY, self.sign, os.urandom)
        return key

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.ensure_future(self.rendezvous.run())
        try:
            await self.office.clock.pass_by(0)
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    @property
    def dials(self) -> list[tuple[tuple[str, ...], int, str | None]]:
        return [(each.hosts, each.port, each.device) for each in self.dialled.values()]


async def test_a_newcomer_finds_who_is_there_and_nobody_else() -> None:
    office = Office()
    ada, ben = Seat(office, "10.1.0.5", "8.8.4.4"), Seat(office, "10.2.0.6")
    async with ada.running():
        assert ada.dials == []
        async with ben.running():
            assert ben.dials == [(("10.1.0.5",), 7450, ada.me)]
            stranger = Seat(office, "10.3.0.1")
            del office.members[stranger.me]
            stranger.leave(["10.3.0.1"])
            await office.clock.pass_by(LOOK_S + TICK_S)
            assert ben.dials == [(("10.1.0.5",), 7450, ada.me)]
            assert ada.dials == [(("10.2.0.6",), 7450, ben.me)]


async def test_another_site_behind_a_vpn_is_no_office() -> None:
    office = Office()
    office.far = {"10.1.0.5"}
    ada, ben = Seat(office, "10.1.0.5", "10.9.0.5"), Seat(office, "10.2.0.6")
    async with ada.running(), ben.running():
        assert ben.dials == [(("10.9.0.5",), 7450, ada.me)]
        assert set(office.measured) >= {"10.1.0.5", "10.9.0.5"}


async def test_who_was_out_of_reach_is_tried_again_and_his_record_read_once() -> None:
    office = Office()
    office.far = {"10.1.0.5"}  # or a firewall that drops what goes there
    ada, ben = Seat(office, "10.1.0.5"), Seat(office, "10.2.0.6")
    async with ada.running(), ben.running():
        assert ben.dials == []
        gets = office.bucket.asked.count("get")
        await office.clock.pass_by(LOOK_S + TICK_S)
        assert ben.dials == []
        office.far = set()
        await office.clock.pass_by(LOOK_S + TICK_S)
        assert ben.dials == [(("10.1.0.5",), 7450, ada.me)]
        assert office.bucket.asked.count("get") == gets + 1  # of ada's reading of ben's
        measured = len(office.measured)
        await office.clock.pass_by(2 * LOOK_S)
        assert len(office.measured) == measured


async def test_two_daemons_of_one_machine_and_ones_own_address_are_left_alone() -> None:
    office = Office()
    one, other = Seat(office, "10.1.0.5"), Seat(office, "10.1.0.5")
    async with one.running(), other.running():
        await office.clock.pass_by(LOOK_S + TICK_S)
        assert (one.dials, other.dials) == ([], [])
    assert office.measured == []


async def test_a_new_address_is_said_and_the_old_record_goes() -> None:
    office = Office()
    ada, ben = Seat(office, "10.1.0.5"), Seat(office, "10.2.0.6")
    async with ada.running(), ben.running():
        [before] = [key for key in office.bucket.objects if ada.me in key]
        ada.hosts = ["10.1.0.99"]
        await office.clock.pass_by(TICK_S)
        [after] = [key for key in office.bucket.objects if ada.me in key]
        assert after != before
        await office.clock.pass_by(LOOK_S + TICK_S)
        assert ben.dials == [(("10.1.0.99",), 7450, ada.me)]


async def test_a_record_is_made_anew_while_it_is_true_and_believed_no_longer_than_that() -> None:
    office = Office()
    ada, ben = Seat(office, "10.1.0.5"), Seat(office, "10.2.0.6")
    async with ben.running():
        async with ada.running():
            for _ in range(10):  # five days
                await office.pass_by(SAID_AGAIN_S)
            await office.pass_by(LOOK_S)
            assert ben.dials == [(("10.1.0.5",), 7450, ada.me)]
        await office.pass_by(STALE_S + LOOK_S)
        await office.pass_by(LOOK_S)
        assert ben.dials == []


async def test_a_quiet_time_costs_few_requests_and_an_outage_is_made_up_for() -> None:
    office = Office()
    ada = Seat(office, "10.1.0.5")
    async with ada.running():
        office.bucket.asked.clear()
        for _ in range(48):  # a day
            await office.pass_by(LOOK_S)
        assert office.bucket.asked.count("create") <= 2
        assert office.bucket.asked.count("list") <= 52
        assert "get" not in office.bucket.asked
        office.bucket.away = True
        ada.hosts = ["10.1.0.6"]
        await office.pass_by(LOOK_S)
        office.bucket.away = False
        await office.pass_by(LOOK_S)
        [key] = office.bucket.objects
        said = opened(office.bucket.objects[key], key, LAN_KEY, office.members[ada.me])
        assert said == ReachableAt(["10.1.0.6"], 7450)


async def test_who_may_not_write_finds_others_all_the_same() -> None:
    office = Office()
    ada = Seat(office, "10.1.0.5")
    closed = ClosedBucket()
    closed.objects = office.bucket.objects
    viewer = Seat(office, "10.2.0.6", bucket=closed)
    async with ada.running(), viewer.running():
        await office.clock.pass_by(10 * TICK_S)
        assert viewer.dials == [(("10.1.0.5",), 7450, ada.me)]
        assert closed.asked.count("create") == 1


async def test_records_that_somebody_moved_damaged_or_made_say_nothing() -> None:
    office = Office()
    ada, ben = Seat(office, "10.1.0.5"), Seat(office, "10.2.0.6")
    key = ada.leave(["10.1.0.5"])
    good = office.bucket.objects[key]
    now = office.clock.wall_ns() // 10**9
    bad = {
        rendezvous_key(ada.me, now + 1): good,  # of another time
        rendezvous_key(ada.me, now + 2): good[:-1],
        rendezvous_key(ada.me, now + 3): good[:20] + bytes([good[20] ^ 1]) + good[21:],
        rendezvous_key(ada.me, now + STALE_S + 100): good,  # by a clock that is ahead
        f"rendezvous/{ada.me}/x": good,
        "rendezvous/x": b"",
    }
    # One that another member made in its name.
    forged = rendezvous_key(ada.me, now + 4)
    bad[forged] = sealed(HERE, forged, LAN_KEY, ben.sign, os.urandom)
    for name, body in bad.items():
        office.bucket.objects = {key: good, name: body}
        seat = Seat(office, "10.4.0.1")
        async with seat.running():
            assert set(seat.dials) <= {(("10.1.0.5",), 7450, ada.me)}, name


@given(
    st.binary(max_size=RECORD_BYTES + 1) | st.binary(min_size=RECORD_BYTES, max_size=RECORD_BYTES)
)
def test_whatever_lies_there_is_read_or_refused(body: bytes) -> None:
    public = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()
    assert opened(body, "rendezvous/x/1", LAN_KEY, public) is None
    assert opened(b"\x01" + body[1:], "rendezvous/x/1", LAN_KEY, public) is None


def test_a_record_opens_for_the_studio_alone_and_has_one_size() -> None:
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    many = ReachableAt([f"fd00:1111:2222:3333:4444:5555:6666:{n:04x}" for n in range(14)], 65535)
    for said in (HERE, many, ReachableAt([], 1)):
        body = sealed(said, "name", LAN_KEY, key.sign, os.urandom)
        assert len(body) == RECORD_BYTES
        assert opened(body, "name", LAN_KEY, public) == said
        assert opened(body, "name", bytes(32), public) is None
        assert opened(body, "other", LAN_KEY, public) is None
    public_host = ReachableAt(["8.8.8.8", "10.0.0.1", "no address", "::1", "fe80::1"], 9)
    body = sealed(public_host, "name", LAN_KEY, key.sign, os.urandom)
    assert opened(body, "name", LAN_KEY, public) == ReachableAt(["10.0.0.1"], 9)


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("10.0.0.1", True), ("172.16.5.4", True), ("192.168.7.20", True), ("100.64.0.9", True),
        ("fd12::5", True), ("8.8.8.8", False), ("127.0.0.1", False), ("169.254.1.1", False),
        ("fe80::1", False), ("0.0.0.0", False), ("255.255.255.255", False), ("224.0.0.1", False),
        ("::", False), ("2001:4860:4860::8888", False), ("office.example", False),
    ],
)  # fmt: skip
def test_only_addresses_of_private_networks_are_dialled(host: str, private: bool) -> None:
    assert is_private(host) == private


async def test_the_way_to_a_host_is_measured_by_connecting() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        took_s = await connect_time("127.0.0.1", port)
        assert took_s is not None
        assert took_s > 0
    assert await connect_time("127.0.0.1", port) is None
