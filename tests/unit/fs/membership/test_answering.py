"""Who is answered: within the time, once, and only who was invited."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from studio_fixture import EXPIRES, NOW, Studio

from lucidnode.fs.format.sodium import box_public
from lucidnode.fs.membership.answering import Answering, answer_always
from lucidnode.fs.membership.asking import (
    Offered,
    answerers,
    confirmation_words,
    ident_of,
    new_ask_key,
    open_answer,
    seal_offer,
    seal_request,
)
from lucidnode.fs.membership.entries import invite_entry, leave_entry
from lucidnode.fs.membership.member import Label, MemberKeys
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.membership.ticket import Ticket
from lucidnode.node.client import wire
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.roster_entry import Role

SECRET = b"b" * 32


class Clock:
    """Stands at *wall_ns*; each sleep gives others their turn."""

    def __init__(self, wall_ns: int = NOW) -> None:
        self.now_ns = wall_ns

    def boot(self) -> float:
        return 0.0

    def wall_ns(self) -> int:
        return self.now_ns

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


class Post:
    """A daemon that carries one invitation of a studio, its request made with *ask_key*."""

    def __init__(
        self,
        *,
        expires_ns: int = EXPIRES,
        ask_key: bytes | None = None,
        confirm: bool = False,
    ) -> None:
        self.studio, self.invite = Studio(), MemberKeys.new()
        self.owner = self.studio.join("owner", "Cy")
        self.editor = self.studio.join("editor", "Di")
        self.inviter = self.studio.join("editor", "Eve")
        self.studio.let_invite(self.inviter)
        self.ask_key = new_ask_key()
        ada = self.studio.ada
        self.ident = ident_of(self.invite.public)
        self.ticket = Ticket(
            *("file:///srv", None, None, {}, ada.studio, ada.genesis),
            *(b"l" * 32, ada.name_key, self.invite, expires_ns, ""),
        )
        view = self.studio.view(ada)
        self.studio.entries.append(invite_entry(view, self.invite, "viewer", expires_ns, ""))
        self.request = seal_request(
            self.ident, ask_key or self.ask_key, box_public(SECRET), Label("Bo", "edit-2")
        )
        to = answerers(view, "viewer", (), by_editors=True)
        self.offer = seal_offer(view, Offered(self.ask_key, self.ticket, confirm), to)
        self.answers: list[bytes] = []
        self.read = 0
        self.of_role = wire.WayIn({}, {})

    async def entries(self, look: wire.RosterLook = "try") -> list[bytes]:
        self.read += 1
        return self.studio.entries

    async def asked(self) -> list[wire.Invitation]:
        # It may be told of one that another owner has answered just now.
        return [wire.Invitation(self.ident.hex(), self.offer, self.request, b"")]

    async def way_in(self, role: Role) -> wire.WayIn:
        assert role == "viewer"
        return self.of_role

    async def create(self, ident: bytes, part: str, body: bytes) -> bool:
        assert (ident, part) == (self.ident, "answer")
        if self.answers:
            return False
        self.answers.append(body)
        return True

    def answering(
        self, who: Membership | None = None, wall_ns: int = NOW, words: str = ""
    ) -> Answering:
        return Answering(self, self, who or self.studio.ada, Clock(wall_ns), words)


@pytest.mark.parametrize("who", ["owner", "inviter"])
async def test_who_may_invite_answers_and_both_sides_have_the_same_words(who: str) -> None:
    post = Post()
    (let_in,) = await post.answering(getattr(post, who)).answer()
    assert (let_in.label, let_in.role) == (Label("Bo", "edit-2"), "viewer")
    assert let_in.words == confirmation_words(post.ident, post.request)
    genesis = post.studio.ada.genesis
    opened = open_answer(post.answers[0], post.ident, post.ask_key, post.request, SECRET, genesis)
    assert opened == post.ticket


async def test_a_newcomer_gets_the_credentials_that_the_role_has_as_he_is_let_in() -> None:
    post = Post()
    post.of_role = wire.WayIn({"access_key": "AK", "secret_key": "SK"}, {7: "https://s3/7"})
    assert len(await post.answering().answer()) == 1
    genesis = post.studio.ada.genesis
    opened = open_answer(post.answers[0], post.ident, post.ask_key, post.request, SECRET, genesis)
    assert (opened.credentials, opened.slots) == (
        {"access_key": "AK", "secret_key": "SK"},
        {7: "https://s3/7"},
    )


async def test_an_invitation_is_answered_once_whoever_comes_second() -> None:
    post = Post()
    assert len(await post.answering().answer()) == 1
    assert await post.answering(post.owner).answer() == []
    assert len(post.answers) == 1


async def test_nobody_is_answered_past_the_time_by_the_owners_clock() -> None:
    assert len(await Post().answering(wall_ns=EXPIRES).answer()) == 1
    post = Post()
    assert await post.answering(wall_ns=EXPIRES + 1).answer() == []
    assert post.answers == []


async def test_nobody_is_answered_by_who_may_not_invite_or_for_an_invite_that_is_used() -> None:
    post = Post()
    assert await post.answering(post.editor).answer() == []
    post.studio.let_invite(post.inviter, may=False)
    assert await post.answering(post.inviter).answer() == []
    # An owner who has left has the secrets of the offer still, and the invite is open.
    post = Post()
    post.studio.entries.append(leave_entry(post.studio.view(post.owner)))
    assert post.invite.public in post.studio.roster().invites
    assert await post.answering(post.owner).answer() == []
    assert post.answers == []
    post = Post()
    post.studio.entries.append(post.studio.joining(post.invite, post.studio.newcomer()))
    assert await post.answering().answer() == []
    assert post.answers == []


async def test_a_request_without_the_tickets_key_is_not_answered_and_looked_at_once() -> None:
    post = Post(ask_key=b"x" * 32)
    answering = post.answering()
    for _ in range(3):
        assert await answering.answer() == []
    assert (post.answers, post.read) == ([], 1)


async def test_an_offer_that_somebody_else_put_there_hands_nothing_on() -> None:
    post = Post()
    post.offer = msgspec.msgpack.encode({"format": 1})
    assert await post.answering().answer() == []
    assert post.answers == []


async def test_with_wrong_words_nobody_is_let_in() -> None:
    for confirm in (False, True):
        post = Post(confirm=confirm)
        (asked,) = await post.answering(words="madov-nubot-loton-jajaf").answer()
        assert (asked.let_in, post.answers) == (False, [])
        (asked,) = await post.answering(words=asked.words).answer()
        assert (asked.let_in, len(post.answers)) == (True, 1)


async def test_who_has_to_be_confirmed_waits_and_is_told_of_once(
    expected_warnings: list[str],
) -> None:
    expected_warnings.append("asks to join as viewer")
    post, clock = Post(confirm=True), Clock()
    alerts, answering = Alerts(clock), post.answering()
    task = asyncio.ensure_future(answer_always(answering, alerts, clock))
    while not alerts.current():
        await asyncio.sleep(0)
    task.cancel()
    (told,) = alerts.current()
    words = confirmation_words(post.ident, post.request)
    assert f"`lucidnode invite answer {words}`" in told.remedy
    assert await answering.answer() == []
    assert (post.answers, post.read) == ([], 1)


async def test_who_was_let_in_is_told_with_the_words_where_it_happened(
    expected_warnings: list[str],
) -> None:
    expected_warnings.append("asked to join with your invitation")
    post, clock = Post(), Clock()
    alerts = Alerts(clock)
    task = asyncio.ensure_future(answer_always(post.answering(), alerts, clock))
    while not alerts.current():
        await asyncio.sleep(0)
    task.cancel()
    told = alerts.current()[0].cause
    assert "Bo on edit-2" in told
    assert confirmation_words(post.ident, post.request) in told
