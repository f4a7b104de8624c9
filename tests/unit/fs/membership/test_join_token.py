"""Join tokens: files with which a number of machines join, and what does not pass for one."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from studio_fixture import EXPIRES, NOW, Studio

from lucidnode.fs.errors import SealDamaged, TicketSpent
from lucidnode.fs.membership.join_token import MAX_MACHINES, JoinToken, read, shuffled, written
from lucidnode.fs.membership.member import MemberKeys
from lucidnode.fs.membership.ticket import Ticket


def token(machines: int) -> JoinToken:
    ada = Studio().ada
    invites = [MemberKeys.new() for _ in range(machines)]
    ticket = Ticket(
        bucket="s3://footage/studio",
        endpoint=None,
        region=None,
        credentials={"access_key": "AK", "secret_key": "SK"},
        studio=ada.studio,
        genesis=ada.genesis,
        lan_key=b"l" * 32,
        name_key=ada.name_key,
        invite=invites[0],
        expires_ns=EXPIRES,
        suggested_name="render",
    )
    return JoinToken(ticket, invites)


@pytest.mark.parametrize("machines", [1, 3, MAX_MACHINES])
def test_a_token_reads_as_it_was_written_and_says_what_it_is(machines: int) -> None:
    made = token(machines)
    raw = written(made, "editor")
    found = read(raw, NOW)
    assert (found.ticket, list(found.invites)) == (made.ticket, list(made.invites))
    said = msgspec.json.decode(raw)
    assert (said["role"], said["machines"], said["expires_ns"]) == ("editor", machines, EXPIRES)
    assert {one.sign_seed for one in shuffled(found.invites)} == {
        one.sign_seed for one in made.invites
    }


def test_a_token_past_its_time_is_refused() -> None:
    with pytest.raises(TicketSpent):
        read(written(token(1), "editor"), EXPIRES + 1)


@pytest.mark.parametrize("machines", [0, MAX_MACHINES + 1])
def test_a_token_for_none_or_too_many_is_none(machines: int) -> None:
    made = token(1)
    with pytest.raises(SealDamaged):
        read(written(JoinToken(made.ticket, list(made.invites) * machines), "editor"), NOW)


_RAW = written(token(2), "viewer")


@given(st.data())
def test_any_bytes_are_a_token_or_damaged(data: st.DataObject) -> None:
    raw = bytearray(_RAW)
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    for one in (bytes(raw), data.draw(st.binary(max_size=100))):
        with contextlib.suppress(SealDamaged, TicketSpent):
            assert len(read(one, NOW).invites) in range(1, MAX_MACHINES + 1)
