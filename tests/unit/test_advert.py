"""Announcements: what a member reads, a stranger learns nothing from and cannot alter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucidnode.discovery.advert import Advert, encode, parse
from lucidnode.discovery.ring import MAX_WEIGHT

KEY = b"k" * 32
INSTANCE = "0123456789abcdef"
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
    assert parse(on_the_wire(encode(advert, key, instance)), key, instance) == advert


@given(adverts)
def test_another_studio_reads_nothing(advert: Advert) -> None:
    assert parse(on_the_wire(encode(advert, KEY, INSTANCE)), b"x" * 32, INSTANCE) is None


@given(adverts)
def test_an_announcement_does_not_work_under_another_name(advert: Advert) -> None:
    assert parse(on_the_wire(encode(advert, KEY, INSTANCE)), KEY, "another") is None


@given(adverts)
def test_two_starts_of_one_device_have_nothing_telling_in_common(advert: Advert) -> None:
    first, second = encode(advert, KEY, "one"), encode(advert, KEY, "two")
    assert first["d"] != second["d"]
    assert first["tag"] != second["tag"]
    assert advert.device not in {first["d"], second["d"]}


@given(st.dictionaries(st.binary(max_size=8), st.none() | st.binary(max_size=64)))
def test_anything_at_all_is_ignored(txt: dict[bytes, bytes | None]) -> None:
    assert parse(txt, KEY, INSTANCE) is None


@given(st.sampled_from(["v", "d", "c", "w", "tag"]), st.none() | st.binary(max_size=40))
def test_a_field_changed_by_anyone_else_spoils_all(key: str, value: bytes | None) -> None:
    txt = on_the_wire(encode(ADVERT, KEY, INSTANCE))
    if txt[key.encode()] != value:
        txt[key.encode()] = value
        assert parse(txt, KEY, INSTANCE) is None


def test_a_missing_or_an_added_field_spoils_all() -> None:
    txt = on_the_wire(encode(ADVERT, KEY, INSTANCE))
    assert parse(txt | {b"x": b"1"}, KEY, INSTANCE) is None
    for key in txt:
        assert parse({k: v for k, v in txt.items() if k != key}, KEY, INSTANCE) is None


@pytest.mark.parametrize(
    "lie",
    [
        {"v": "2"},
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

    fields = {k: v for k, v in encode(ADVERT, KEY, INSTANCE).items() if k != "tag"} | lie
    signed = "\0".join(["advert", INSTANCE, *(fields[k] for k in ("v", "d", "c", "w"))])
    fields["tag"] = hmac.digest(KEY, signed.encode(), "sha256")[:16].hex()
    assert parse(on_the_wire(fields), KEY, INSTANCE) is None
