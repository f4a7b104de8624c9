"""Offer, request, answer: who can open what, and what becomes of bytes that somebody else made."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st
from studio_fixture import EXPIRES, Studio

from lucidnode.fs.errors import (
    FormatError,
    MembershipError,
    NotAllowed,
    SealDamaged,
    TicketSpent,
    WrongPassphrase,
)
from lucidnode.fs.format.sodium import KEY_SIZE, PassphraseCost, box_public, random_bytes
from lucidnode.fs.membership.asking import (
    Offer,
    Offered,
    answerers,
    confirmation_words,
    ident_of,
    is_withdrawal,
    new_ask_key,
    open_answer,
    open_offer,
    open_request,
    seal_answer,
    seal_offer,
    seal_request,
    seal_withdrawal,
)
from lucidnode.fs.membership.asking_ticket import (
    AskingTicket,
    check_asking,
    only_asks,
    open_asking,
    parsed_asking,
    seal_asking,
)
from lucidnode.fs.membership.entries import invite_entry, role_entry
from lucidnode.fs.membership.member import Label, MemberKeys
from lucidnode.fs.membership.roster_view import RosterView
from lucidnode.fs.membership.ticket import Ticket, seal_ticket
from lucidnode.node.client.ids import ProjectId
from lucidnode.node.client.roster_entry import Role

CHEAP = PassphraseCost(passes=1, kibibytes=8)
CODE = "7Q2K-M0XD-1FTA-R4WE"
STUDIO = Studio()
INVITE = MemberKeys.new()
IDENT = ident_of(INVITE.public)
SECRET = random_bytes(KEY_SIZE)
BOX = box_public(SECRET)


def full_ticket(invite: MemberKeys = INVITE) -> Ticket:
    return Ticket(
        bucket="s3://footage/studio",
        endpoint=None,
        region=None,
        credentials={"access_key": "AK", "secret_key": "the-secret-key-of-the-studio"},
        studio=STUDIO.studio,
        genesis=STUDIO.ada.genesis,
        lan_key=b"l" * 32,
        name_key=b"n" * 32,
        invite=invite,
        expires_ns=EXPIRES,
        suggested_name="Bo",
    )


ASKING = AskingTicket(
    bucket="s3://footage/studio",
    studio=STUDIO.studio,
    genesis=STUDIO.ada.genesis,
    invitation=IDENT,
    ask_key=b"k" * 32,
    request_url="https://s3.example/a?b",
    answer_url="https://s3.example/c?d",
    expires_ns=EXPIRES,
    host="Ada (edit-1)",
)
OFFERED = Offered(ASKING.ask_key, full_ticket())
REQUEST = seal_request(IDENT, ASKING.ask_key, BOX, Label("Bo", "edit-2"))


def sealed(view: RosterView, offered: Offered) -> bytes:
    """Return the offer as `invite` makes it, of an invite as editor to no project."""
    return seal_offer(view, offered, answerers(view, "editor", (), by_editors=True))


def answered(raw: bytes, request: bytes = REQUEST, secret: bytes = SECRET) -> Ticket:
    return open_answer(raw, IDENT, ASKING.ask_key, request, secret, STUDIO.ada.genesis)


def answer_to(request: bytes) -> bytes:
    return seal_answer(IDENT, OFFERED, open_request(request, IDENT, ASKING.ask_key))


# -- the ticket ----------------------------------------------------------------------------------


def test_a_ticket_that_asks_opens_with_its_code_and_is_told_from_the_other_kind() -> None:
    text = seal_asking(ASKING, CODE, CHEAP)
    check_asking(text)
    assert open_asking(text, CODE, EXPIRES) == ASKING
    assert only_asks(text)
    assert not only_asks(seal_ticket(full_ticket(), CODE, CHEAP))
    with pytest.raises(WrongPassphrase, match="code"):
        open_asking(text, "0" * 16, 0)
    with pytest.raises(TicketSpent):
        open_asking(text, CODE, EXPIRES + 1)
    with pytest.raises(SealDamaged):
        open_asking(seal_ticket(full_ticket(), CODE, CHEAP), CODE, 0)


@pytest.mark.parametrize(
    "around", ["{}", " «{}»\r\n", '"{}"', "„{}“", "'{}'", "<{}>", "`{}`", "\ufeff{}\u200b"]
)
def test_quotes_blanks_and_line_breaks_of_whatever_carried_it_mean_nothing(around: str) -> None:
    text = seal_asking(ASKING, CODE, CHEAP)
    wrapped = "\r\n> ".join(text[at : at + 70] for at in range(0, len(text), 70))
    assert open_asking(around.format(wrapped.upper()), CODE, 0) == ASKING


def test_no_text_is_read_without_end() -> None:
    with pytest.raises(SealDamaged, match="too long"):
        only_asks("lucid1" + "a" * 100_000)


@pytest.mark.parametrize(
    "part",
    [
        {"studio": b"short"},
        {"genesis": b"short"},
        {"invitation": b"short"},
        {"ask_key": b"short"},
        {"request_url": "x" * 10_000},
        {"request_url": ""},
        {"answer_url": ""},
    ],
)
def test_a_ticket_whose_parts_have_other_sizes_is_none(part: dict[str, object]) -> None:
    with pytest.raises(SealDamaged):
        parsed_asking(msgspec.msgpack.encode(msgspec.structs.replace(ASKING, **part)))


def test_a_ticket_that_asks_holds_no_key_of_the_studio_and_no_credential() -> None:
    held = msgspec.msgpack.encode(ASKING)
    full = OFFERED.ticket
    secrets = (
        full.name_key,
        full.lan_key,
        INVITE.sign_seed,
        INVITE.box_secret,
        b"the-secret-key-of-the-studio",
    )
    assert not any(secret in held for secret in secrets)


# -- the offer -----------------------------------------------------------------------------------


def test_every_owner_of_then_opens_an_offer_and_nobody_else() -> None:
    studio = Studio()
    owner, editor = studio.join("owner", "Cy"), studio.join("editor", "Di")
    ticket = msgspec.structs.replace(
        full_ticket(), studio=studio.studio, genesis=studio.ada.genesis
    )
    offered = Offered(new_ask_key(), ticket)
    raw = sealed(studio.view(studio.ada), offered)
    for one in (studio.ada, owner):
        assert open_offer(raw, IDENT, studio.view(one)) == offered
    late = studio.join("owner", "Eve")
    for other in (editor, late):
        with pytest.raises(FormatError):
            open_offer(raw, IDENT, studio.view(other))
    with pytest.raises(NotAllowed):
        sealed(studio.view(editor), offered)
    assert "the-secret-key-of-the-studio" not in repr(offered)
    assert b"the-secret-key-of-the-studio" not in raw


def test_an_offer_by_no_owner_altered_or_of_another_invitation_or_studio_counts_for_nothing() -> (
    None
):
    view = STUDIO.view(STUDIO.ada)
    raw = sealed(view, OFFERED)
    offer = msgspec.msgpack.decode(raw, type=Offer)
    stranger = MemberKeys.new()
    editor = STUDIO.join("editor", "Di")
    unsigned = msgspec.structs.replace(offer, author=editor.keys.public, signature=b"")
    digest = blake3(msgspec.msgpack.encode(unsigned)).digest()
    domain = b"lucidnode 2026 invitation offer signature\0"
    view = STUDIO.view(STUDIO.ada)
    forged = [
        msgspec.structs.replace(unsigned, signature=editor.keys.sign(domain + IDENT + digest)),
        msgspec.structs.replace(offer, author=stranger.public),
        msgspec.structs.replace(offer, format=2),
        msgspec.structs.replace(offer, signature=bytes(64)),
        msgspec.structs.replace(offer, sealed=offer.sealed[:-1] + b"x"),
        msgspec.structs.replace(offer, keys={}),
    ]
    for one, why in zip(forged, ["by nobody"] * 3 + [None] * 3, strict=True):
        with pytest.raises(FormatError, match=why):
            open_offer(msgspec.msgpack.encode(one), IDENT, view)
    with pytest.raises(FormatError):
        open_offer(raw, bytes(16), view)
    other = Offered(ASKING.ask_key, msgspec.structs.replace(full_ticket(), genesis=b"g" * 32))
    with pytest.raises(FormatError, match="another studio"):
        open_offer(sealed(view, other), IDENT, view)


def test_an_editor_who_may_invite_opens_what_he_could_have_offered_and_nothing_wider() -> None:
    studio = Studio()
    film, score = studio.project("film"), studio.project("score")
    bo = studio.join("editor", "Bo", projects=[film])
    studio.let_invite(bo)
    eve = studio.join("editor", "Eve")

    def may_answer(role: Role, *projects: ProjectId, by_editors: bool = True) -> list[str]:
        view = studio.view(studio.ada)
        found = answerers(view, role, projects, by_editors=by_editors)
        names = {one.public: one.label.member for one in view.people()}
        return [names[one.public] for one in found]

    assert may_answer("editor", film) == may_answer("viewer") == ["Ada", "Bo"]
    # What he would gain by using it himself: a role, a project's key, the credentials of owners.
    assert may_answer("owner") == may_answer("editor", film, score) == ["Ada"]
    assert may_answer("editor", film, by_editors=False) == ["Ada"]
    studio.entries.append(role_entry(studio.view(studio.ada), bo.keys.public, score, "viewer"))
    assert may_answer("editor") == ["Ada"]
    assert may_answer("viewer") == ["Ada", "Bo"]
    # His own he answers in any case: whom he lets in may no more than he.
    his = answerers(studio.view(bo), "editor", (film,), by_editors=True)
    assert [one.box for one in his] == [studio.ada.keys.box, bo.keys.box]
    with pytest.raises(NotAllowed, match="whom an owner lets"):
        seal_offer(studio.view(eve), OFFERED, his)


# -- the request and its words -------------------------------------------------------------------


def test_a_request_names_the_newcomer_to_who_has_the_ask_key() -> None:
    asked = open_request(REQUEST, IDENT, ASKING.ask_key)
    assert (asked.box, asked.label) == (BOX, Label("Bo", "edit-2"))
    assert b"edit-2" not in REQUEST
    for ident, key in ((bytes(16), ASKING.ask_key), (IDENT, b"x" * 32)):
        with pytest.raises(FormatError):
            open_request(REQUEST, ident, key)


def test_names_in_a_request_are_shown_as_one_line_of_visible_characters() -> None:
    raw = seal_request(IDENT, ASKING.ask_key, BOX, Label("Bo\x1b[2J\n", "x" * 5000))
    label = open_request(raw, IDENT, ASKING.ask_key).label
    assert label.member.isprintable()
    assert len(label.device) <= 255


@pytest.mark.parametrize("box", [bytes(32), b"short", b"\xff" * 32])
def test_a_request_with_a_key_that_nobody_can_be_answered_under_is_none(box: bytes) -> None:
    with pytest.raises(FormatError, match="usable key"):
        open_request(seal_request(IDENT, ASKING.ask_key, box, Label("B", "b")), IDENT, b"k" * 32)


def test_words_are_of_one_request_of_one_invitation() -> None:
    words = confirmation_words(IDENT, REQUEST)
    assert re.fullmatch("[a-z]{5}(-[a-z]{5}){3}", words)
    assert confirmation_words(IDENT, REQUEST) == words
    again = seal_request(IDENT, ASKING.ask_key, BOX, Label("Bo", "edit-2"))
    assert confirmation_words(IDENT, again) != words
    assert confirmation_words(bytes(16), REQUEST) != words


def test_words_come_out_as_published() -> None:
    assert confirmation_words(bytes(16), b"request") == "madov-nubot-loton-jajaf"


# -- the answer ----------------------------------------------------------------------------------


def test_who_asked_and_nobody_else_opens_the_answer() -> None:
    raw = answer_to(REQUEST)
    assert answered(raw) == OFFERED.ticket
    assert not is_withdrawal(raw)
    with pytest.raises(FormatError):
        answered(raw, secret=random_bytes(KEY_SIZE))


def test_who_was_not_answered_is_told_that_somebody_else_was() -> None:
    other = seal_request(IDENT, ASKING.ask_key, box_public(random_bytes(32)), Label("T", "t"))
    with pytest.raises(TicketSpent, match="somebody else"):
        answered(answer_to(other))


def test_a_withdrawn_invitation_says_so_and_only_an_owner_can_say_it() -> None:
    raw = seal_withdrawal(IDENT, ASKING.ask_key)
    assert is_withdrawal(raw)
    with pytest.raises(TicketSpent, match="withdrawn"):
        answered(raw)
    with pytest.raises(FormatError):
        answered(seal_withdrawal(IDENT, b"x" * 32))


def test_an_answer_of_another_studio_than_the_tickets_is_none() -> None:
    other = Offered(ASKING.ask_key, msgspec.structs.replace(full_ticket(), genesis=b"g" * 32))
    request = open_request(REQUEST, IDENT, ASKING.ask_key)
    with pytest.raises(FormatError, match="another studio"):
        answered(seal_answer(IDENT, other, request))


# -- anything else -------------------------------------------------------------------------------

OPENERS: dict[str, Callable[[bytes], object]] = {
    "offer": lambda raw: open_offer(raw, IDENT, STUDIO.view(STUDIO.ada)),
    "request": lambda raw: open_request(raw, IDENT, ASKING.ask_key),
    "answer": answered,
}
SOUND = {
    "offer": sealed(STUDIO.view(STUDIO.ada), OFFERED),
    "request": REQUEST,
    "answer": answer_to(REQUEST),
}


@pytest.mark.parametrize("part", OPENERS)
@given(data=st.data())
def test_no_bytes_of_a_stranger_open_or_do_more_than_be_refused(
    part: str, data: st.DataObject
) -> None:
    raw = bytearray(SOUND[part])
    kind = data.draw(st.sampled_from(["flip", "cut", "any"]))
    if kind == "flip":
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    elif kind == "cut":
        del raw[data.draw(st.integers(0, len(raw) - 1)) :]
    else:
        raw = bytearray(data.draw(st.binary(max_size=400)))
    with pytest.raises((FormatError, MembershipError)):
        OPENERS[part](bytes(raw))


@given(st.binary(max_size=400))
def test_what_a_seal_holds_may_be_anything(contents: bytes) -> None:
    with pytest.raises(SealDamaged):
        parsed_asking(contents)


def test_an_invite_to_some_projects_opens_those_alone() -> None:
    studio, invite = Studio(), MemberKeys.new()
    known, _secret = studio.project("demo"), studio.project("secret")
    view = studio.view(studio.ada)
    studio.entries.append(invite_entry(view, invite, "editor", EXPIRES, "Bo", {known}))
    who = studio.newcomer()
    studio.entries.append(studio.joining(invite, who))
    assert [one.name for one in studio.view(who).projects()] == ["demo"]
