"""Exported keys: what was put in comes out, with its passphrase, and nothing else opens."""

from __future__ import annotations

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucidnode.fs.errors import NewerFormat, SealDamaged, WrongPassphrase
from lucidnode.fs.format.sodium import PassphraseCost
from lucidnode.fs.membership import passphrase_seal
from lucidnode.fs.membership.key_copy import (
    MAX_COPY_BYTES,
    KeyCopy,
    check_copy,
    open_copy,
    seal_copy,
)
from lucidnode.fs.membership.member import Label, MemberKeys
from lucidnode.fs.membership.member_file import Membership

CHEAP = PassphraseCost(passes=1, kibibytes=8)
MINE = Membership(b"S" * 16, b"g" * 32, b"n" * 32, MemberKeys.new(), Label("Ada", "edit-1"))
COPY = KeyCopy(
    membership=MINE,
    device=b"-----BEGIN",
    bucket="s3://studio",
    endpoint=None,
    region="eu-central-1",
    authorities=None,
    credentials={"access_key": "AK", "secret_key": "the-secret-key-of-the-studio"},
    lan_key=b"l" * 32,
)
RAW = seal_copy(COPY, "some words", CHEAP)


def test_keys_come_back_with_their_passphrase_alone() -> None:
    check_copy(RAW)
    assert open_copy(RAW, "some words") == COPY
    with pytest.raises(WrongPassphrase):
        open_copy(RAW, "other words")
    assert "the-secret-key-of-the-studio" not in repr(COPY)


def test_a_changed_or_cut_file_is_damage_before_any_passphrase() -> None:
    for at in range(0, len(RAW) - 2, 11):
        for damaged in (RAW[:at], RAW[:at] + bytes([RAW[at] ^ 1]) + RAW[at + 1 :]):
            if damaged.strip() != RAW.strip():
                with pytest.raises((SealDamaged, NewerFormat)):
                    check_copy(damaged)
    with pytest.raises(SealDamaged, match="too large"):
        check_copy(bytes(MAX_COPY_BYTES + 1))


@given(st.binary(max_size=300))
def test_no_other_file_is_one(raw: bytes) -> None:
    with pytest.raises((SealDamaged, NewerFormat)):
        open_copy(raw, "some words")


def test_a_file_of_a_later_version_or_of_another_kind_says_so() -> None:
    with pytest.raises(NewerFormat, match="later version"):
        check_copy(b'{"format": 2}')
    for magic, contents in (
        (b"LNM1", msgspec.msgpack.encode(MINE)),
        (b"LNX1", msgspec.msgpack.encode(MINE)),
        (b"LNX1", msgspec.msgpack.encode(msgspec.structs.replace(COPY, lan_key=b"short"))),
    ):
        sealed = passphrase_seal.seal(magic, "some words", contents, CHEAP)
        file = {"format": 1, "keys": base64.b64encode(sealed).decode()}
        with pytest.raises(SealDamaged):
            open_copy(msgspec.json.encode(file), "some words")
