"""Recovery codes: typed from paper years later, and of no use without the object they name."""

from __future__ import annotations

import re

import pytest

from lucidnode.fs.errors import SealDamaged
from lucidnode.fs.format.sodium import PassphraseCost
from lucidnode.fs.membership.member import MemberKeys
from lucidnode.fs.membership.recovery_code import (
    MAX_RECOVERY_BYTES,
    is_whole,
    new_recovery_code,
    object_name,
    open_recovery,
    seal_recovery,
)
from lucidnode.fs.membership.ticket import Ticket

CHEAP = PassphraseCost(passes=1, kibibytes=8)
CODE = "7Q2K-M0XD-1FTA-R4WE-0000-ABCD-EFGH-JKMN"
TICKET = Ticket(
    bucket="s3://footage/studio",
    endpoint=None,
    region=None,
    credentials={},
    studio=b"S" * 16,
    genesis=b"g" * 32,
    lan_key=b"l" * 32,
    name_key=b"n" * 32,
    invite=MemberKeys(b"s" * 32, b"b" * 32),
    expires_ns=2**62,
    suggested_name="Ada",
)


@pytest.mark.parametrize(
    "typed",
    [
        CODE,
        CODE.lower(),
        CODE.replace("-", " "),
        CODE.replace("-", ""),
        CODE.replace("0", "O"),
        CODE.replace("1", "l"),
        f" {CODE}\n",
    ],
)
def test_a_code_is_understood_however_it_is_typed(typed: str) -> None:
    assert is_whole(typed)
    assert object_name(typed) == object_name(CODE)
    assert open_recovery(seal_recovery(TICKET, CODE, CHEAP), typed) == TICKET


def test_codes_differ_and_name_different_objects() -> None:
    codes = {new_recovery_code() for _ in range(50)}
    assert all(re.fullmatch(r"([0-9A-HJKMNP-TV-Z]{4}-){7}[0-9A-HJKMNP-TV-Z]{4}", c) for c in codes)
    assert len({object_name(code) for code in codes}) == 50


def test_the_name_of_an_object_is_fixed_by_the_format() -> None:
    assert object_name(CODE) == "4d538985bdf9bcb793ba18ee65c15d22"


def test_what_another_code_opens_or_nothing_made_is_damaged() -> None:
    sealed = seal_recovery(TICKET, new_recovery_code(), CHEAP)
    assert len(sealed) < MAX_RECOVERY_BYTES
    for raw in (sealed, sealed[:-1], b"", b"LNK1" + bytes(200)):
        with pytest.raises(SealDamaged):
            open_recovery(raw, CODE)


@pytest.mark.parametrize("typed", ["", CODE[:-1], CODE + "0", "secret"])
def test_a_code_that_was_not_typed_whole_is_told(typed: str) -> None:
    assert not is_whole(typed)
