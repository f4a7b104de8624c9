"""Authorisations: each is good for one request, of one session, once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lucidnode.node.client.ids import DeviceId, ProjectId
from lucidnode.node.peers.messages import PROTOCOL, HandshakeResponse
from lucidnode.node.peers.sessions import (
    REPLAY_WINDOW,
    ClientSession,
    ServerSession,
    SessionTable,
    session_pseudonym,
)

DEVICE = DeviceId("d" * 32)
paths = st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=80)


def pair() -> tuple[SessionTable, ServerSession, ClientSession]:
    grants = SessionTable()
    grant = grants.give(DEVICE)
    welcome = HandshakeResponse(PROTOCOL, b"i" * 16, 1, 9, grant.session, grant.secret)
    return grants, grant, ClientSession("host", welcome)


@given(st.sampled_from(["GET", "PUT"]), paths)
def test_what_was_authorised_is_admitted_once(method: str, path: str) -> None:
    grants, grant, access = pair()
    header = access.authorisation(method, path)
    assert grants.admit(method, path, header) is grant
    assert grants.admit(method, path, header) is None


@given(paths, paths)
def test_an_authorisation_is_for_its_own_request(path: str, other: str) -> None:
    grants, grant, access = pair()
    header = access.authorisation("GET", path)
    assert grants.admit("PUT", path, header) is None
    if other != path:
        assert grants.admit("GET", other, header) is None
    # A wrong attempt uses nothing up: the right one is still good.
    assert grants.admit("GET", path, header) is grant


@given(st.integers(0, 128), st.sampled_from("0123456789abcdefg "))
def test_no_character_of_an_authorisation_may_change(place: int, character: str) -> None:
    grants, _, access = pair()
    header = access.authorisation("GET", "/alive")
    place %= len(header)
    forged = header[:place] + character + header[place + 1 :]
    if forged != header:
        assert grants.admit("GET", "/alive", forged) is None


@given(st.text())
def test_anything_else_is_admitted_nowhere(header: str) -> None:
    grants, _, _ = pair()
    assert grants.admit("GET", "/alive", header) is None


def test_another_session_and_an_ended_one_admit_nothing() -> None:
    grants, grant, access = pair()
    others, _, _ = pair()
    assert others.admit("GET", "/alive", access.authorisation("GET", "/alive")) is None
    grants.revoke(grant)
    assert grants.admit("GET", "/alive", access.authorisation("GET", "/alive")) is None


@given(st.permutations(range(1, 200)))
def test_requests_may_overtake_each_other_and_none_counts_twice(order: list[int]) -> None:
    grant = ServerSession(DEVICE)
    assert all(grant.take(number) for number in order)
    assert not any(grant.take(number) for number in order)


@given(st.lists(st.integers(1, 4 * REPLAY_WINDOW), max_size=300))
def test_a_number_too_old_to_remember_is_refused(numbers: list[int]) -> None:
    grant, taken, highest = ServerSession(DEVICE), set[int](), 0
    for number in numbers:
        fresh = number not in taken and number > highest - REPLAY_WINDOW
        assert grant.take(number) == fresh
        if fresh:
            taken.add(number)
            highest = max(highest, number)


def test_memory_for_numbers_is_bounded() -> None:
    grant = ServerSession(DEVICE)
    assert all(grant.take(number) for number in range(1, 10 * REPLAY_WINDOW))
    assert len(grant._taken) <= 2 * REPLAY_WINDOW


def test_a_project_has_another_name_in_each_session() -> None:
    _, grant, access = pair()
    project, other = ProjectId("0a" * 16), ProjectId("0b" * 16)
    name = access.session_pseudonym(project)
    assert name == session_pseudonym(grant.secret, project) != session_pseudonym(b"x" * 32, project)
    assert project not in name
    assert grant.project(name, []) is None
    assert grant.project(access.session_pseudonym(other), [project]) is None
    assert grant.project(name, [other, project]) == project
