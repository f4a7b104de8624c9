"""Addresses: what people may write, and what announcements may make us dial."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucidnode.discovery.candidate import Candidate, parse_peer
from lucidnode.discovery.errors import BadAddress
from lucidnode.discovery.interfaces import Interface, dialable, interfaces

HERE = (
    Interface(
        2,
        tuple(map(ipaddress.ip_interface, ("203.0.113.7/24", "10.9.8.7/24", "fd09::7/64"))),
    ),
)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("10.0.0.5:4433", "10.0.0.5", 4433),
        ("edit-3.studio.lan:1", "edit-3.studio.lan", 1),
        ("[fd00::5]:65535", "fd00::5", 65535),
        ("[FE80::1%eth0]:4433", "fe80::1%eth0", 4433),
    ],
)
def test_host_and_port_are_read_as_people_write_them(text: str, host: str, port: int) -> None:
    assert parse_peer(text) == Candidate((host,), port)


@pytest.mark.parametrize(
    "text",
    [
        "", ":", "host", "host:", ":80", "host:0", "host:65536", "host:8a", "host:-1", "host: 80",
        "fd00::5:80", "[fd00::5]", "[fd00::5:80", "[10.0.0.1]:80", "a b:80", "http://x:80",
        "host:80:90", "host:٣", "-x:80",
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(BadAddress):
        parse_peer(text)


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        candidate = parse_peer(text)
    except BadAddress:
        return
    assert 1 <= candidate.port <= 65535


@pytest.mark.parametrize(
    "host",
    ["169.254.3.4", "fe80::1%2", "203.0.113.9", "10.9.8.1", "fd09::1"],
)
def test_addresses_on_our_links_are_dialled(host: str) -> None:
    assert dialable(host, HERE)


@pytest.mark.parametrize(
    "host",
    [
        "8.8.8.8", "172.32.0.1", "203.0.114.1", "2001:db8::1", "127.0.0.1", "::1", "0.0.0.0", "::",
        "224.0.0.251", "ff02::fb", "255.255.255.255", "fe80::1", "host.example", "",
        "::ffff:8.8.8.8", "203.0.113.7", "10.1.2.3", "172.16.0.1", "192.168.1.1", "fd12::1",
    ],
)  # fmt: skip
def test_an_announcement_makes_us_call_neither_other_networks_nor_ourselves(host: str) -> None:
    assert not dialable(host, HERE)


def test_loopback_is_no_interface() -> None:
    assert all(not on.ip.is_loopback for here in interfaces() for on in here.addresses)
