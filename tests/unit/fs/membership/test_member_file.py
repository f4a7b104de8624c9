"""member.json: opens with its passphrase, and tells a wrong one from damage."""

from __future__ import annotations

import base64

import msgspec
import pytest

from lucidnode.fs.errors import NewerFormat, SealDamaged, WrongPassphrase
from lucidnode.fs.format.sodium import PassphraseCost
from lucidnode.fs.membership import passphrase_seal
from lucidnode.fs.membership.member import Label, MemberKeys
from lucidnode.fs.membership.member_file import Membership, open_membership, seal_membership

CHEAP = PassphraseCost(passes=1, kibibytes=8)
MEMBERSHIP = Membership(
    b"S" * 16, b"g" * 32, b"n" * 32, MemberKeys(b"s" * 32, b"b" * 32), Label("Ada", "edit-1")
)


def resealed(raw: bytes, changed: bytes) -> bytes:
    return msgspec.json.encode({"format": 1, "sealed": base64.b64encode(changed).decode()})


def sealed_bytes(raw: bytes) -> bytes:
    return base64.b64decode(msgspec.json.decode(raw)["sealed"])


def checked(body: bytes) -> bytes:
    return body + passphrase_seal._check(body)


def test_a_member_file_opens_with_its_passphrase() -> None:
    raw = seal_membership(MEMBERSHIP, "correct horse", CHEAP)
    assert open_membership(raw, "correct horse") == MEMBERSHIP


def test_the_cost_for_people_is_the_default_and_works() -> None:
    raw = seal_membership(MEMBERSHIP, "correct horse")
    assert open_membership(raw, "correct horse") == MEMBERSHIP
    _, passes, kibibytes, *_ = passphrase_seal._FIELDS.unpack_from(sealed_bytes(raw))
    assert (passes, kibibytes) == (3, 262_144)


@pytest.mark.parametrize("wrong", ["", "correct horse ", "Correct horse", "correct  horse"])
def test_a_wrong_passphrase_is_told_as_such(wrong: str) -> None:
    with pytest.raises(WrongPassphrase):
        open_membership(seal_membership(MEMBERSHIP, "correct horse", CHEAP), wrong)


def test_a_passphrase_is_the_same_from_every_keyboard() -> None:
    raw = seal_membership(MEMBERSHIP, "Fête", CHEAP)
    assert open_membership(raw, "Fe\u0302te") == MEMBERSHIP


def test_nothing_of_a_membership_is_readable_in_the_file() -> None:
    sealed = sealed_bytes(seal_membership(MEMBERSHIP, "correct horse", CHEAP))
    for secret in (b"s" * 32, b"b" * 32, b"n" * 32, b"Ada", b"edit-1"):
        assert secret not in sealed


def test_two_seals_of_one_membership_have_nothing_in_common() -> None:
    one, two = (sealed_bytes(seal_membership(MEMBERSHIP, "p", CHEAP)) for _ in range(2))
    assert one[12:92] != two[12:92]
    assert one[92:124] != two[92:124]


def test_a_flipped_bit_anywhere_is_damage_not_a_wrong_passphrase() -> None:
    raw = seal_membership(MEMBERSHIP, "correct horse", CHEAP)
    sealed = bytearray(sealed_bytes(raw))
    for position in range(len(sealed)):
        sealed[position] ^= 1 << position % 8
        with pytest.raises(SealDamaged):
            open_membership(resealed(raw, bytes(sealed)), "correct horse")
        sealed[position] ^= 1 << position % 8


def test_a_flipped_bit_with_the_check_made_anew_never_opens() -> None:
    raw = seal_membership(MEMBERSHIP, "correct horse", CHEAP)
    body = bytearray(sealed_bytes(raw)[:-8])
    # 4 to 11 say the cost: another cost gives another key, up to the limit tested below.
    for position in (*range(4), 7, *range(12, len(body))):
        body[position] ^= 1
        with pytest.raises((SealDamaged, WrongPassphrase)):
            open_membership(resealed(raw, checked(bytes(body))), "correct horse")
        body[position] ^= 1
    assert open_membership(resealed(raw, checked(bytes(body))), "correct horse") == MEMBERSHIP


@pytest.mark.parametrize(
    ("offset", "number"),
    [(4, 0), (4, 65), (4, 2**32 - 1), (8, 0), (8, 7), (8, 2**20 + 1), (8, 2**32 - 1)],
)
def test_a_seal_that_asks_for_unreasonable_work_is_refused(offset: int, number: int) -> None:
    raw = seal_membership(MEMBERSHIP, "correct horse", CHEAP)
    body = bytearray(sealed_bytes(raw)[:-8])
    body[offset : offset + 4] = number.to_bytes(4, "big")
    with pytest.raises(SealDamaged):
        open_membership(resealed(raw, checked(bytes(body))), "correct horse")


def test_a_seal_cut_anywhere_is_damage() -> None:
    raw = seal_membership(MEMBERSHIP, "correct horse", CHEAP)
    sealed = sealed_bytes(raw)
    for length in range(len(sealed)):
        with pytest.raises(SealDamaged):
            open_membership(resealed(raw, sealed[:length]), "correct horse")


def test_a_file_cut_anywhere_is_damage() -> None:
    raw = seal_membership(MEMBERSHIP, "correct horse", CHEAP).rstrip()
    for length in range(len(raw)):
        with pytest.raises(SealDamaged):
            open_membership(raw[:length], "correct horse")


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"[]", b'{"format": 1}', b'{"format": 1, "sealed": "?"}', b"\xff"]
)
def test_what_is_no_member_file_is_damage(raw: bytes) -> None:
    with pytest.raises(SealDamaged):
        open_membership(raw, "correct horse")


def test_a_seal_made_for_something_else_is_refused() -> None:
    raw = seal_membership(MEMBERSHIP, "p", CHEAP)
    for contents in (b"\xc1", msgspec.msgpack.encode({"studio": b""})):
        sealed = passphrase_seal.seal(b"LNM1", "p", contents, CHEAP)
        with pytest.raises(SealDamaged):
            open_membership(resealed(raw, sealed), "p")
    ticket = passphrase_seal.seal(b"LNT1", "p", msgspec.msgpack.encode(MEMBERSHIP), CHEAP)
    with pytest.raises(SealDamaged):
        open_membership(resealed(raw, ticket), "p")
    short = msgspec.structs.replace(MEMBERSHIP, genesis=b"g" * 31)
    with pytest.raises(SealDamaged):
        open_membership(seal_membership(short, "p", CHEAP), "p")


def test_a_later_version_says_so() -> None:
    with pytest.raises(NewerFormat):
        open_membership(b'{"format": 2, "anything": []}', "correct horse")
