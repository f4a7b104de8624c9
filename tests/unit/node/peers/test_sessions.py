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
    sessions = SessionTable()
    session = sessions.give(DEVICE)
    welcome = HandshakeResponse(PROTOCOL, b"i" * 16, 1, 9, session.id, session.secret)
    return sessions, session, ClientSession("host", welcome)


@given(st.sampled_from(["GET", "PUT"]), paths)
def test_what_was_authorised_is_admitted_once(method: str, path: str) -> None:
    sessions, session, access = pair()
    header = access.authorisation(method, path)
    assert sessions.admit(method, path, header) is session
    assert sessions.admit(method, path, header) is None


@given(paths, paths)
def test_an_authorisation_is_for_its_own_request(path: str, other: str) -> None:
    sessions, session, access = pair()
    header = access.authorisation("GET", path)
    assert sessions.admit("PUT", path, header) is None
    if other != path:
        assert sessions.admit("GET", other, header) is None
    # A wrong attempt uses nothing up: the right one is still good.
    assert sessions.admit("GET", path, header) is session


@given(st.integers(0, 128), st.sampled_from("0123456789abcdefg "))
def test_no_character_of_an_authorisation_may_change(place: int, character: str) -> None:
    sessions, _, access = pair()
    header = access.authorisation("GET", "/alive")
    place %= len(header)
    forged = header[:place] + character + header[place + 1 :]
    if forged != header:
        assert sessions.admit("GET", "/alive", forged) is None


@given(st.text())
def test_anything_else_is_admitted_nowhere(header: str) -> None:
    sessions, _, _ = pair()
    assert sessions.admit("GET", "/alive", header) is None


def test_another_session_and_an_ended_one_admit_nothing() -> None:
    sessions, session, access = pair()
    others, _, _ = pair()
    assert others.admit("GET", "/alive", access.authorisation("GET", "/alive")) is None
    sessions.revoke(session)
    assert sessions.admit("GET", "/alive", access.authorisation("GET", "/alive")) is None


@given(st.permutations(range(1, 200)))
def test_requests_may_overtake_each_other_and_none_counts_twice(order: list[int]) -> None:
    session = ServerSession(DEVICE)
    assert all(session.take(number) for number in order)
    assert not any(session.take(number) for number in order)


@given(st.lists(st.integers(1, 4 * REPLAY_WINDOW), max_size=300))
def test_a_number_too_old_to_remember_is_refused(numbers: list[int]) -> None:
    session, taken, highest = ServerSession(DEVICE), set[int](), 0
    for number in numbers:
        fresh = number not in taken and number > highest - REPLAY_WINDOW
        assert session.take(number) == fresh
        if fresh:
            taken.add(number)
            highest = max(highest, number)


def test_memory_for_numbers_is_bounded() -> None:
    session = ServerSession(DEVICE)
    assert all(session.take(number) for number in range(1, 10 * REPLAY_WINDOW))
    assert len(session._taken) <= 2 * REPLAY_WINDOW


def test_a_project_has_another_name_in_each_session() -> None:
    _, session, access = pair()
    project, other = ProjectId("0a" * 16), ProjectId("0b" * 16)
    name = access.session_pseudonym(project)
    assert (
        name == session_pseudonym(session.secret, project) != session_pseudonym(b"x" * 32, project)
    )
    assert project not in name
    assert session.project(name, []) is None
    assert session.project(access.session_pseudonym(other), [project]) is None
    assert session.project(name, [other, project]) == project
