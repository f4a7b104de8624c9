"""The office and its line to the cloud, without any Lucidnode in it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest
from lab.namespaces import WAN, Namespaces
from lab.network import CLOUD, SWITCH
from lab.places import SCRIPTS
from lab.process import Process

pytestmark = pytest.mark.lan

MBIT = 40.0
ROUND_TRIP = 0.040


def host_network() -> str:
    """Return all that the host's own network consists of."""
    asked = (["ip", "-o", "link"], ["ip", "-o", "addr"], ["ip", "route", "show", "table", "all"])
    return "".join(
        subprocess.run(words, check=True, capture_output=True, text=True).stdout for words in asked
    )


@pytest.fixture(scope="module")
def untouched() -> str:
    """Return the host's network as it was before this module made anything."""
    return host_network()


@pytest.fixture(scope="module")
def office(untouched: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespaces]:
    network = Namespaces("testnet", wan_mbit=MBIT)
    relay = None
    try:
        network.build(["a", "b"])
        relay = Process.start(
            ["python", "-P", "-m", "lab.wan_relay", network.namespace(SWITCH),
             network.namespace(CLOUD), WAN, str(ROUND_TRIP / 2 * 1000)],
            log=tmp_path_factory.mktemp("relay") / "log",
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SCRIPTS)},
        )  # fmt: skip
        yield network
    finally:
        if relay is not None:
            relay.kill()
        network.destroy()


@contextlib.contextmanager
def server(network: Namespaces, place: str, content: bytes = b"") -> Iterator[tuple[str, int]]:
    """Answer every connection in *place* with *content*; yields the address."""
    address = network.address(place)
    listening = network.within(place, lambda: socket.create_server((address, 0)))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with connection:
                    connection.sendall(content)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listening.getsockname()
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def connect(network: Namespaces, place: str, address: tuple[str, int]) -> float:
    """Return the seconds it takes to connect from *place*. Raises OSError."""

    def knock() -> float:
        began = time.monotonic()
        socket.create_connection(address, timeout=5).close()
        return time.monotonic() - began

    return network.within(place, knock)


def fetch(network: Namespaces, place: str, address: tuple[str, int]) -> bytes:
    def read() -> bytes:
        with socket.create_connection(address, timeout=30) as connection:
            return b"".join(iter(lambda: connection.recv(65536), b""))

    return network.within(place, read)


def reachable(network: Namespaces, address: tuple[str, int]) -> bool:
    """Return whether a answers b within half a second."""

    def knock() -> bool:
        try:
            socket.create_connection(address, timeout=0.5).close()
        except TimeoutError:
            return False
        return True

    return network.within("b", knock)


def test_line_to_the_cloud_adds_its_latency(office: Namespaces) -> None:
    with server(office, CLOUD) as address:
        connect(office, "a", address)
        assert min(connect(office, "a", address) for _ in range(5)) >= ROUND_TRIP


def test_line_to_the_cloud_keeps_its_rate(office: Namespaces) -> None:
    content = os.urandom(4_000_000)
    with server(office, CLOUD, content) as address:
        began = time.monotonic()
        assert fetch(office, "a", address) == content
        # The shaper lets one bucket of 10 ms pass at once.
        assert time.monotonic() - began >= len(content) * 8 / (MBIT * 1e6) - 0.010


def test_the_lan_is_not_slowed_by_the_line(office: Namespaces) -> None:
    with server(office, "a") as address:
        assert min(connect(office, "b", address) for _ in range(5)) < ROUND_TRIP


def test_large_bodies_cross_the_line_unharmed_in_both_directions(office: Namespaces) -> None:
    content = os.urandom(1_000_000)
    for place, asking in ((CLOUD, "b"), ("b", CLOUD)):
        with server(office, place, content) as address:
            assert fetch(office, asking, address) == content


def test_a_cut_cable_is_silent_until_it_is_healed(office: Namespaces) -> None:
    with server(office, "a") as address:
        assert reachable(office, address)
        office.cut("a")
        # A reset would raise ConnectionResetError or ConnectionRefusedError here.
        assert not reachable(office, address)
        office.heal("a")
        deadline = time.monotonic() + 10
        while not reachable(office, address):
            assert time.monotonic() < deadline


def test_multicast_reaches_the_others(office: Namespaces) -> None:
    group = "224.0.0.251"

    def listen() -> socket.socket:
        ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ear.bind((group, 15353))
        member = socket.inet_aton(group) + socket.inet_aton(office.address("b"))
        ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        ear.settimeout(5)
        return ear

    def speak() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
            own = socket.inet_aton(office.address("a"))
            mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own)
            mouth.sendto(b"who is there?", (group, 15353))

    with office.within("b", listen) as ear:
        office.within("a", speak)
        assert ear.recv(100) == b"who is there?"


def test_nothing_of_it_is_on_the_host(untouched: str, office: Namespaces) -> None:
    assert office.exists()
    assert host_network() == untouched


@pytest.mark.parametrize("place", [SWITCH, CLOUD])
def test_there_is_no_way_out_of_the_lab(office: Namespaces, place: str) -> None:
    asked = ["ip", "-n", office.namespace(place), "route", "get", "198.51.100.1"]
    answer = subprocess.run(asked, check=False, capture_output=True, text=True)
    assert "unreachable" in answer.stderr
