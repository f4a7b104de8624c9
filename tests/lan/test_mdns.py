"""Discovery over real multicast, between network namespaces on one bridge."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from office_fixture import identities
from switch_fixture import Program, Station, Switch, switch

from lucidnode.node.identity import DeviceIdentity

pytestmark = pytest.mark.lan

STUDIO = "5a" * 32


@pytest.fixture
def lan() -> Iterator[Switch]:
    with switch() as made:
        yield made


class Office:
    """Starts daemons that share a roster."""

    def __init__(self, directory: Path, count: int) -> None:
        self.directory = directory
        self.devices: list[DeviceIdentity] = identities(directory, count)
        self.files = [directory / f"device{n}.pem" for n in range(count)]

    @contextlib.asynccontextmanager
    async def at(
        self, station: Station, *options: str, studio: str = STUDIO
    ) -> AsyncIterator[Program]:
        own = self.files[station.number - 1]
        async with station.daemon(studio, "64", own, *self.files, *options) as program:
            yield program


DOCTOR = """
import asyncio, pathlib, sys, tempfile, msgspec
from lucidnode.doctor import office
from lucidnode.node.config import NodeConfig
config = NodeConfig(studio="", genesis="", lan_key=sys.argv[1], bucket_url="file:///none")
status = {"device": sys.argv[2]} if len(sys.argv) > 2 else None
with tempfile.TemporaryDirectory() as home:
    found = asyncio.run(office(pathlib.Path(home), config, status, None))
print(msgspec.json.encode(found).decode())
"""


async def told_by_the_doctor(station: Station, *device: str) -> str:
    """Return what `doctor` finds about the office on *station*, whose daemon is *device*."""
    said = await asyncio.to_thread(
        station.output, sys.executable, "-P", "-c", DOCTOR, STUDIO, *device
    )
    [finding] = json.loads(said)
    return f"{finding['verdict']}: {finding['found']}"


async def test_nodes_of_a_studio_find_each_other_and_no_one_else(
    lan: Switch, tmp_path: Path
) -> None:
    office = Office(tmp_path, 3)
    async with (
        office.at(lan.plug()) as a,
        office.at(lan.plug()) as b,
        office.at(lan.plug(), studio="77" * 32) as foreign,
    ):
        await b.linked(1)
        await a.linked(1)
        state = await a.found(1)
        assert state["usable"] == [office.devices[1].id]
        hosts, device = state["found"][0]
        assert device == office.devices[1].id
        assert hosts[0] == "10.77.0.2"
        assert any(host.startswith("fe80::") and "%" in host for host in hosts)
        answer = await a.ask(do="read", count=10)
        assert set(answer["sources"]) == {"peer"}
        await foreign.announced()
        # From there others of the first studio are heard and answer, and are linked with nobody.
        told = await told_by_the_doctor(lan.stations[2])
        assert told.startswith("amiss: 10.77.0."), told
        assert "answers, and is not connected" in told
        assert (await foreign.ask(do="state"))["found"] == []
        assert len((await a.ask(do="state"))["found"]) == 1


async def test_with_ipv6_link_local_addresses_alone_peers_are_found_and_used(
    lan: Switch, tmp_path: Path
) -> None:
    office = Office(tmp_path, 2)
    async with office.at(lan.plug(ipv4=False)) as a, office.at(lan.plug(ipv4=False)) as b:
        state = await a.linked(1)
        await b.linked(1)
        assert state["addresses"][0].startswith("fe80::")
        answer = await a.ask(do="read", count=10)
        assert set(answer["sources"]) == {"peer"}


async def test_where_multicast_is_blocked_a_named_peer_works(lan: Switch, tmp_path: Path) -> None:
    office = Office(tmp_path, 2)
    first, second = lan.plug(), lan.plug()
    for station in (first, second):
        station.block_mdns()
    async with office.at(first) as a:
        port = (await a.ask(do="state"))["port"]
        async with office.at(second, "--peer", f"10.77.0.1:{port}") as b:
            await b.linked(1)
            state = await a.linked(1)
            assert state["found"] == []
        told = await told_by_the_doctor(first, office.devices[0].id)
        assert told == (
            "amiss: not even our own announcement is heard: multicast is blocked on this machine"
        )


async def test_a_changed_address_and_a_pulled_cable_end_in_a_link_again(
    lan: Switch, tmp_path: Path
) -> None:
    office = Office(tmp_path, 2)
    async with office.at(lan.plug(ipv6=False)) as a, office.at(lan.plug(ipv6=False)) as b:
        await a.linked(1)
        await b.linked(1)
        lan.stations[1].address("10.77.0.99/24")
        lan.stations[1].cut()
        await a.linked(0)
        lan.stations[1].connect()
        assert (await a.linked(1))["addresses"] == ["10.77.0.99"]
        await b.linked(1)
        answer = await a.ask(do="read", count=10)
        assert set(answer["sources"]) == {"peer"}


async def test_an_owner_cut_off_without_a_word_delays_one_read_by_half_a_second_at_most(
    lan: Switch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A busy machine makes a read longer, never shorter: it is the best of a few tries that counts."""
    waits: list[tuple[float, float]] = []
    for _ in range(5):
        waits.append(await waits_for_one_cut_off(lan, tmp_path_factory.mktemp("office")))
        first, later = waits[-1]
        assert first > 0.09, "nobody was asked who could not answer"
        if first < 0.6 and later < 0.09:  # who is silent is asked once
            return
    pytest.fail(f"in no try was it so, first and later: {waits}")


async def waits_for_one_cut_off(lan: Switch, directory: Path) -> tuple[float, float]:
    """Return what the slowest read took after the owner had been cut off, and of those afterwards."""
    office = Office(directory, 2)
    own, other = lan.plug(), lan.plug()
    async with office.at(own) as a, office.at(other) as b:
        await a.linked(1)
        await b.linked(1)
        before = await a.ask(do="read", count=5)
        assert set(before["sources"]) == {"peer"}
        other.cut()
        after = await a.ask(do="read", count=20)
        assert set(after["sources"]) == {"bucket"}
        again = await a.ask(do="read", count=5)
        return after["longest"], again["longest"]


async def test_a_daemon_that_ends_says_goodbye(lan: Switch, tmp_path: Path) -> None:
    office = Office(tmp_path, 2)
    first, second = lan.plug(), lan.plug()
    async with office.at(first) as a:
        await a.announced()
        async with office.at(second) as b:
            await a.linked(1)
            await b.linked(1)
            assert b.process.stdin is not None
            b.process.stdin.close()
            assert await b.process.wait() == 0
        await a.found(0)
        await a.linked(0)


STRANGER = r"""
import socket, struct
service = b"\x0a_lucidnode\x04_tcp\x05local\x00"
for label in (b"a\x01b", b"a\x00b", b"\xff\xfe", b"x" * 63, b".", b" "):
    instance = bytes([len(label)]) + label + b"\xc0\x0c"
    answer = service + struct.pack("!HHIH", 12, 1, 120, len(instance)) + instance
    packet = struct.pack("!6H", 0, 0x8400, 0, 1, 0, 0) + answer
    own = socket.if_nametoindex("eth0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind(("", 5353))
        membership = struct.pack("4s4si", bytes(4), bytes(4), own)
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, membership)
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
        sender.sendto(packet, ("224.0.0.251", 5353))
"""


async def test_a_name_that_no_name_is_concerns_that_name_only(lan: Switch, tmp_path: Path) -> None:
    office = Office(tmp_path, 2)
    a_station, b_station, stranger = lan.plug(), lan.plug(), lan.plug()
    async with office.at(a_station) as a:
        await a.announced()
        await asyncio.to_thread(stranger.run, sys.executable, "-c", STRANGER)
        await asyncio.sleep(1)
        async with office.at(b_station):
            state = await a.linked(1)
            assert state["mdns"].startswith("announced"), "discovery began anew"
