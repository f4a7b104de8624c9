"""Announcements: what a member reads, a stranger learns nothing from and cannot alter."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucidnode.discovery.advert import (
    MAX_HOSTS,
    Advert,
    encode,
    is_of_another_release,
    names,
    parse,
)
from lucidnode.discovery.candidate import Candidate
from lucidnode.discovery.interfaces import Interface
from lucidnode.discovery.mdns import announced
from lucidnode.discovery.ring import MAX_WEIGHT

KEY = b"k" * 32
INSTANCE = "0123456789abcdef"
HOSTS = ("10.0.0.5", "fe80::1")
ADVERT = Advert("ab" * 16, 4433, 16)

adverts = st.builds(
    Advert,
    st.text("0123456789abcdef", min_size=32, max_size=32),
    st.integers(1, 65535),
    st.integers(1, MAX_WEIGHT),
)


def on_the_wire(txt: dict[str, str]) -> dict[bytes, bytes | None]:
    return {key.encode(): value.encode() for key, value in txt.items()}


@given(adverts, st.binary(min_size=32, max_size=32), st.text("0123456789abcdef", min_size=1))
def test_what_is_announced_is_what_a_member_reads(
    advert: Advert, key: bytes, instance: str
) -> None:
    assert parse(on_the_wire(encode(advert, key, instance, HOSTS)), key, instance) == advert


@given(adverts)
def test_another_studio_reads_nothing(advert: Advert) -> None:
    assert parse(on_the_wire(encode(advert, KEY, INSTANCE, HOSTS)), b"x" * 32, INSTANCE) is None


@pytest.mark.parametrize(
    ("version", "is_another"),
    [(b"1", True), (b"3", True), (b"2", False), (b"0", False), (b"\xff", False), (None, False)],
)
def test_another_release_is_told_by_its_version_alone(
    version: bytes | None, is_another: bool
) -> None:
    assert is_of_another_release({b"v": version, b"more": b"of it"}) is is_another
    assert not is_of_another_release({})


@given(adverts)
def test_an_announcement_does_not_work_under_another_name(advert: Advert) -> None:
    assert parse(on_the_wire(encode(advert, KEY, INSTANCE, HOSTS)), KEY, "another") is None


@given(adverts)
def test_two_starts_of_one_device_have_nothing_telling_in_common(advert: Advert) -> None:
    first, second = encode(advert, KEY, "one", HOSTS), encode(advert, KEY, "two", HOSTS)
    assert first["d"] != second["d"]
    assert first["tag"] != second["tag"]
    assert advert.device not in {first["d"], second["d"]}


@given(st.dictionaries(st.binary(max_size=8), st.none() | st.binary(max_size=64)))
def test_anything_at_all_is_ignored(txt: dict[bytes, bytes | None]) -> None:
    is_of_another_release(txt)
    assert parse(txt, KEY, INSTANCE) is None


@given(st.sampled_from(["v", "d", "c", "w", "a", "tag"]), st.none() | st.binary(max_size=40))
def test_a_field_changed_by_anyone_else_spoils_all(key: str, value: bytes | None) -> None:
    txt = on_the_wire(encode(ADVERT, KEY, INSTANCE, HOSTS))
    if txt[key.encode()] != value:
        txt[key.encode()] = value
        assert parse(txt, KEY, INSTANCE) is None


def test_a_missing_or_an_added_field_spoils_all() -> None:
    txt = on_the_wire(encode(ADVERT, KEY, INSTANCE, HOSTS))
    assert parse(txt | {b"x": b"1"}, KEY, INSTANCE) is None
    for key in txt:
        assert parse({k: v for k, v in txt.items() if k != key}, KEY, INSTANCE) is None


@pytest.mark.parametrize(
    "lie",
    [
        {"v": "1"},
        {"a": ""},
        {"a": "ab" * 7},
        {"a": "AB" * 8},
        {"c": "0"},
        {"c": "65536"},
        {"c": "04433"},
        {"c": "-1"},
        {"w": "0"},
        {"w": "65"},
        {"w": "1.5"},
        {"d": "AB" * 16},
        {"d": "ab" * 15},
    ],
)
def test_a_member_cannot_announce_nonsense(lie: dict[str, str]) -> None:
    import hmac

    fields = {k: v for k, v in encode(ADVERT, KEY, INSTANCE, HOSTS).items() if k != "tag"} | lie
    signed = "\0".join(["advert", INSTANCE, *(fields[k] for k in ("v", "d", "c", "w", "a"))])
    fields["tag"] = hmac.digest(KEY, signed.encode(), "sha256")[:16].hex()
    assert parse(on_the_wire(fields), KEY, INSTANCE) is None


def test_an_announcement_names_its_own_addresses_and_no_other() -> None:
    txt = on_the_wire(encode(ADVERT, KEY, INSTANCE, HOSTS))
    assert all(names(txt, host, KEY, INSTANCE) for host in (*HOSTS, "fe80::1%7"))
    assert not any(names(txt, host, KEY, INSTANCE) for host in ("10.0.0.50", "10.0.0.6", "fe80::2"))
    assert not any(names(txt, host, KEY, "another") for host in HOSTS)


def test_a_record_with_all_the_addresses_it_can_have_fits() -> None:
    hosts = [f"10.0.0.{n}" for n in range(MAX_HOSTS + 5)]
    txt = on_the_wire(encode(ADVERT, KEY, INSTANCE, hosts))
    assert parse(txt, KEY, INSTANCE) == ADVERT
    assert len(b"a=" + (txt[b"a"] or b"")) <= 255
    assert [names(txt, host, KEY, INSTANCE) for host in hosts].count(True) == MAX_HOSTS


def test_only_addresses_that_the_node_announced_on_our_link_are_dialled() -> None:
    here = (Interface(2, (ipaddress.ip_interface("10.0.0.9/24"),)),)
    txt = on_the_wire(encode(ADVERT, KEY, INSTANCE, ("10.0.0.5", "192.168.7.7")))

    def heard(*hosts: str) -> Candidate | None:
        return announced(txt, hosts, lan_key=KEY, instance=INSTANCE, here=here)

    assert heard("10.0.0.66", "10.0.0.5", "192.168.7.7") == Candidate(
        ("10.0.0.5",), ADVERT.control_port, ADVERT.device
    )
    assert heard("10.0.0.66") is None  # a stranger's record under a name he overheard
    assert heard("192.168.7.7") is None
