"""Tickets: one line of text, damaged ones seen at once, opened by a code told apart."""

from __future__ import annotations

import base64
import re
import struct

import msgspec
import pytest
from blake3 import blake3

from lucidnode.fs.errors import SealDamaged, TicketSpent, WrongPassphrase
from lucidnode.fs.format.sodium import PassphraseCost
from lucidnode.fs.membership import passphrase_seal, ticket
from lucidnode.fs.membership.member import MemberKeys
from lucidnode.fs.membership.ticket import (
    Ticket,
    check_ticket,
    new_code,
    open_ticket,
    seal_ticket,
)

CHEAP = PassphraseCost(passes=1, kibibytes=8)
CODE = "7Q2K-M0XD-1FTA-R4WE"
EXPIRES = 2_000
TICKET = Ticket(
    bucket="s3://footage/studio",
    endpoint="http://127.0.0.1:8333",
    region=None,
    credentials={"access_key_id": "AK", "secret_access_key": "the-secret-key-of-the-studio"},
    studio=b"S" * 16,
    genesis=b"g" * 32,
    lan_key=b"l" * 32,
    name_key=b"n" * 32,
    invite=MemberKeys(b"s" * 32, b"b" * 32),
    expires_ns=EXPIRES,
    suggested_name="Bo",
)


@pytest.fixture(scope="module")
def text() -> str:
    """Return a ticket."""
    return seal_ticket(TICKET, CODE, CHEAP)


def test_a_ticket_opens_with_its_code(text: str) -> None:
    assert open_ticket(text, CODE, EXPIRES) == TICKET


def test_the_default_cost_works() -> None:
    assert open_ticket(seal_ticket(TICKET, CODE), CODE, 0) == TICKET


def test_a_ticket_is_one_plain_word(text: str) -> None:
    assert re.fullmatch(r"lucid1[a-z2-7]+", text)
    assert len(text) < 2000


@pytest.mark.parametrize(
    "typed",
    [
        "7q2k-m0xd-1fta-r4we",
        "7Q2KM0XD1FTAR4WE",
        " 7Q2K M0XD 1FTA R4WE\n",
        "7Q2K-MOXD-IFTA-R4WE",
        "7q2k-moxd-lfta-r4we",
    ],
)
def test_a_code_may_be_typed_the_way_people_do(text: str, typed: str) -> None:
    assert open_ticket(text, typed, 0) == TICKET


@pytest.mark.parametrize("typed", ["", "7Q2K-M0XD-1FTA-R4W", "7Q2K-M0XD-1FTA-R4WF", "0" * 16])
def test_a_wrong_code_is_told_as_such(text: str, typed: str) -> None:
    check_ticket(text)
    with pytest.raises(WrongPassphrase, match="code"):
        open_ticket(text, typed, 0)


def test_a_ticket_may_be_wrapped_and_capitalised_on_its_way(text: str) -> None:
    wrapped = "\r\n  ".join(text.upper()[at : at + 60] for at in range(0, len(text), 60)) + "\n"
    assert open_ticket(wrapped, CODE, 0) == TICKET


def test_a_changed_character_anywhere_is_damage_before_any_code(text: str) -> None:
    for position, letter in enumerate(text):
        changed = text[:position] + ("a" if letter != "a" else "b") + text[position + 1 :]
        with pytest.raises(SealDamaged):
            check_ticket(changed)


def test_a_ticket_cut_anywhere_is_damage(text: str) -> None:
    for length in range(len(text)):
        with pytest.raises(SealDamaged):
            check_ticket(text[:length])


def test_characters_swapped_missing_doubled_or_added_are_damage(text: str) -> None:
    for at in range(len("lucid1"), len(text) - 1, 7):
        wrong = [text[:at] + text[at + 1 :], text[:at] + text[at] + text[at:]]
        if text[at] != text[at + 1]:
            wrong.append(text[:at] + text[at + 1] + text[at] + text[at + 2 :])
        for one in wrong:
            with pytest.raises(SealDamaged):
                check_ticket(one)
    for tail in ("a", "aaaaaaaa", "=", "!", "é"):
        with pytest.raises(SealDamaged):
            check_ticket(text + tail)


@pytest.mark.parametrize(
    "wrong", ["", "hello", "lucid1", "lucid2abcdefgh", "https://lucid1", "lucid1????"]
)
def test_what_is_no_ticket_is_damage(wrong: str) -> None:
    with pytest.raises(SealDamaged):
        check_ticket(wrong)
    with pytest.raises(SealDamaged):
        open_ticket(wrong, CODE, 0)


def test_a_ticket_past_its_time_is_spent(text: str) -> None:
    with pytest.raises(TicketSpent):
        open_ticket(text, CODE, EXPIRES + 1)


def test_a_seal_that_holds_no_ticket_is_damage() -> None:
    for contents in (b"\xc1", msgspec.msgpack.encode({"bucket": "s3://x"})):
        sealed = passphrase_seal.seal(b"LNT1", ticket.plain_code(CODE), contents, CHEAP)
        text = "lucid1" + base64.b32encode(sealed).decode().rstrip("=").lower()
        check_ticket(text)
        with pytest.raises(SealDamaged):
            open_ticket(text, CODE, 0)


def test_codes_are_80_random_bits_in_four_groups() -> None:
    codes = {new_code() for _ in range(500)}
    assert len(codes) == 500
    assert all(re.fullmatch(r"([0-9A-HJKMNP-TV-Z]{4}-){3}[0-9A-HJKMNP-TV-Z]{4}", c) for c in codes)
    for position in set(range(19)) - {4, 9, 14}:
        assert len({code[position] for code in codes}) == 32


def test_a_ticket_shows_no_secret(text: str) -> None:
    shown = repr(TICKET)
    assert "the-secret-key-of-the-studio" not in shown
    assert repr(TICKET.lan_key)[2:-1] not in shown


@pytest.mark.parametrize("part", ["studio", "genesis", "lan_key", "name_key"])
def test_a_ticket_whose_parts_have_other_sizes_is_none(part: str) -> None:
    odd = msgspec.structs.replace(TICKET, **{part: b"short"})
    with pytest.raises(SealDamaged):
        open_ticket(seal_ticket(odd, CODE, CHEAP), CODE, 0)


def test_a_ticket_that_asks_for_too_much_work_is_refused_before_it_is_done() -> None:
    sealed = bytearray(passphrase_seal.seal(b"LNT1", CODE.replace("-", ""), b"contents", CHEAP))
    for asked in ((5, 8), (1, 256 * 1024 + 1)):
        sealed[4:12] = struct.pack(">II", *asked)
        sealed[-8:] = blake3(bytes(sealed[:-8])).digest(length=8)
        text = "lucid1" + base64.b32encode(bytes(sealed)).decode().rstrip("=").lower()
        with pytest.raises(SealDamaged, match="unreasonable"):
            check_ticket(text)
        with pytest.raises(SealDamaged, match="unreasonable"):
            open_ticket(text, CODE, 0)
