"""Editors who may invite: what the log takes of them, and what becomes of it when they may no more."""

from __future__ import annotations

import random  # noqa: TID251  # seeded
from collections import Counter
from typing import cast

import msgspec
import pytest
from studio_fixture import EXPIRES, NOW, Studio

from lucidnode.fs.errors import NotAllowed
from lucidnode.fs.membership.asking import answerers
from lucidnode.fs.membership.entries import (
    invite_entry,
    inviting_entry,
    leave_entry,
    revoke_entry,
    role_entry,
    shared_invites,
)
from lucidnode.fs.membership.member import MemberKeys
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.membership.roster_view import opened_eras, opened_secrets
from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.client.roster import Roster, is_at_most
from lucidnode.node.client.roster_entry import (
    INVITING_FORMAT,
    AllowInviting,
    Body,
    Invite,
    Role,
    RosterEntry,
    format_of,
    signing_message,
)
from lucidnode.node.client.roster_people import MAX_INVITES_OF_EDITOR
from lucidnode.node.client.roster_rules import RosterReader

ROLES: list[Role] = ["owner", "editor", "viewer"]


def signed(seq: Seq, previous: bytes, author: MemberKeys, body: Body) -> bytes:
    """Return *body* as *author* writes it, whatever the rules are."""
    raw, number = msgspec.msgpack.encode(body), format_of(body)
    signature = author.sign(signing_message(seq, previous, author.public, raw, number))
    return RosterEntry(number, seq, previous, author.public, raw, signature).encode()


class Company:
    """Ada owns it; Bo, an editor, may invite, opens `film`, and only reads `score`."""

    def __init__(self) -> None:
        self.studio = Studio()
        self.film, self.secret = self.studio.project("film"), self.studio.project("secret")
        self.score = self.studio.project("score")
        self.bo = self.studio.join("editor", "Bo", projects=[self.film, self.score])
        self.ada_does(role_entry, self.bo.keys.public, self.score, "viewer")
        self.studio.let_invite(self.bo)

    def ada_does(self, entry: object, *what: object) -> None:
        self.studio.entries.append(entry(self.studio.view(self.studio.ada), *what))  # type: ignore[operator]

    def roster(self) -> Roster:
        return self.studio.roster()

    def void(self, author: MemberKeys, body: Body) -> str:
        """Have *author* write *body*; return why it is void, empty if it is not."""
        before = self.roster()
        seq = Seq(before.head + 1)
        self.studio.entries.append(signed(seq, before.head_hash, author, body))
        return next((void.reason for void in self.roster().voids if void.seq == seq), "")

    def may_invite(self) -> bool:
        member = self.roster().members.get(self.bo.keys.public)
        return member is not None and member.can_invite

    def roles(self, who: Membership) -> dict[str, str | None]:
        roster = self.roster()
        device = roster.devices[roster.members[who.keys.public].device]
        return {
            "film": device.role_in(self.film),
            "score": device.role_in(self.score),
            "secret": device.role_in(self.secret),
        }


def invite_to(*projects: ProjectId, role: str = "editor") -> Invite:
    keys = MemberKeys.new()
    return Invite(
        keys.public,
        keys.box,
        role,  # type: ignore[arg-type]
        EXPIRES,
        b"",
        dict.fromkeys(projects, b"sealed"),
    )


def test_who_an_editor_lets_in_may_no_more_than_he_in_any_project() -> None:
    company = Company()
    cy = company.studio.join("editor", "Cy", by=company.bo)
    assert company.roles(cy) == {"film": "editor", "score": "viewer", "secret": "editor"}
    roster = company.roster()
    assert set(opened_secrets(roster, cy.keys)) == {company.film, company.score}
    assert roster.epoch in opened_eras(roster, cy.keys)
    di = company.studio.join("viewer", "Di", by=company.bo)
    assert set(company.roles(di).values()) == {"viewer"}
    # Who is let in by an owner is what the invite says, everywhere.
    eve = company.studio.join("editor", "Eve")
    assert set(company.roles(eve).values()) == {"editor"}


def test_he_lets_in_neither_an_owner_nor_anybody_into_what_he_cannot_open() -> None:
    company = Company()
    author = company.bo.keys
    assert "more than he is" in company.void(author, invite_to(role="owner"))
    assert "no key of" in company.void(author, invite_to(company.film, company.secret))
    assert "no key of" in company.void(author, invite_to(ProjectId("ab" * 16)))
    assert company.void(author, invite_to(company.film)) == ""
    view = company.studio.view(company.bo)
    with pytest.raises(NotAllowed, match="and no owner"):
        invite_entry(view, MemberKeys.new(), "owner", EXPIRES, "")


@pytest.mark.parametrize("how", ["forbidden", "viewer", "one project", "put out", "left"])
def test_with_the_right_end_all_invites_that_he_could_use_himself(how: str) -> None:
    company = Company()
    his = company.studio.invite("viewer", by=company.bo)
    others = company.studio.invite("editor")  # he may have its secrets, to answer
    owners = company.studio.invite("owner")
    bo = company.bo.keys.public
    match how:
        case "forbidden":
            company.studio.let_invite(company.bo, may=False)
        case "viewer":
            company.ada_does(role_entry, bo, None, "viewer")
        case "one project":
            company.ada_does(role_entry, bo, company.film, "viewer")
        case "put out":
            company.ada_does(revoke_entry, [bo])
        case _:
            company.studio.entries.append(leave_entry(company.studio.view(company.bo)))
            company.ada_does(role_entry, company.studio.join().keys.public, None, "viewer")
    roster = company.roster()
    assert not {his.public, others.public} & roster.invites.keys()
    assert owners.public in roster.invites
    assert not roster.voids
    if how != "forbidden":  # which begins no era
        assert not {his.box, others.box} & roster.eras[-1].seals.keys()
    assert bool(company.void(company.bo.keys, invite_to())) == (how != "one project")


def test_an_era_that_begins_as_he_goes_is_not_sealed_to_an_invite_that_he_could_use() -> None:
    for entry, what in ((revoke_entry, ()), (role_entry, (None, "viewer"))):
        company = Company()
        others = company.studio.invite("editor")
        bo = company.bo.keys.public
        company.ada_does(entry, *(([bo],) if entry is revoke_entry else (bo, *what)))
        body = RosterEntry.parse(company.studio.entries[-1]).content()
        assert others.box not in body.era.seals  # type: ignore[union-attr]


def test_an_owner_who_is_put_out_comes_back_by_no_invite_of_others() -> None:
    company = Company()
    cy = company.studio.join("owner", "Cy")
    company.studio.invite("owner", expires_ns=NOW + 30 * 86_400 * 10**9)
    recovery = company.studio.invite("owner")
    gone = shared_invites(company.roster(), NOW)
    company.ada_does(revoke_entry, [cy.keys.public, *gone])
    # A recovery code, which nobody but its holder has, counts as before.
    assert set(company.roster().invites) == {recovery.public}


def test_only_an_owner_gives_the_right_to_editors_alone_and_it_ends_with_the_role() -> None:
    company = Company()
    cy = company.studio.join("editor", "Cy")
    for author in (company.bo, cy):
        assert "only an owner" in company.void(author.keys, AllowInviting(cy.keys.public, may=True))
    ada = company.studio.ada
    di = company.studio.join("viewer", "Di")
    assert "editor's" in company.void(ada.keys, AllowInviting(di.keys.public, may=True))
    assert "editor's" in company.void(ada.keys, AllowInviting(ada.keys.public, may=True))
    assert "already" in company.void(ada.keys, AllowInviting(company.bo.keys.public, may=True))
    for role in ("viewer", "editor"):
        company.ada_does(role_entry, company.bo.keys.public, None, role)
        assert not company.roster().members[company.bo.keys.public].can_invite
    for who, why in ((di, "viewer cannot"), (ada, "anyway")):
        with pytest.raises(NotAllowed, match=why):
            inviting_entry(company.studio.view(ada), who.keys.public, may=True)


def test_the_right_is_of_a_format_that_older_releases_stop_at_and_none_of_the_old_log_changes() -> (
    None
):
    company = Company()
    entry = RosterEntry.parse(company.studio.entries[-1])
    assert (entry.format, company.roster().format) == (INVITING_FORMAT, INVITING_FORMAT)
    old = Studio()
    bo = old.join("editor", "Bo")
    with pytest.raises(NotAllowed, match="whom an owner lets"):
        old.invite(by=bo)
    assert old.roster().format == 1


def test_an_editor_uses_up_his_own_invites_and_not_those_of_others() -> None:
    company = Company()
    reader = RosterReader(company.studio.ada.genesis)
    for item in company.studio.entries:
        reader.read(item)

    def takes(author: MemberKeys, body: Body) -> bool:
        entry = signed(Seq(len(reader.log) + 1), reader.hashes[-1], author, body)
        return reader.read(entry) is None

    assert all(takes(company.bo.keys, invite_to()) for _ in range(MAX_INVITES_OF_EDITOR))
    assert not takes(company.bo.keys, invite_to())
    assert takes(company.studio.ada.keys, invite_to())


class Walk:
    """Ada changes what Bo may, and invites; Bo uses every secret that he can have had."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.company = Company()
        self.known: dict[bytes, MemberKeys] = {}
        """Invites of which Bo has the secrets: his own, and those he may answer."""
        self.happened: Counter[str] = Counter()

    @property
    def bo(self) -> bytes:
        return self.company.bo.keys.public

    def owner_invites(self) -> None:
        studio, role = self.company.studio, self.chance.choice(ROLES)
        projects = [self.chance.choices([self.company.film, self.company.secret], [3, 1])[0]]
        to = answerers(studio.view(studio.ada), role, projects, by_editors=True)
        invite = studio.invite(role, projects=projects)
        if self.bo in {one.public for one in to}:
            self.known[invite.public] = invite

    def owner_changes(self) -> None:
        member = self.company.roster().members.get(self.bo)
        if member is None:
            return
        match self.chance.choices(["here", "everywhere", "inviting", "out"], [20, 4, 20, 1])[0]:
            case "here":
                project = self.chance.choice([self.company.film, self.company.score])
                role = self.chance.choice(ROLES[1:])
                self.company.ada_does(role_entry, self.bo, project, role)
            case "everywhere":
                role = "editor" if member.role == "viewer" else "viewer"
                self.company.ada_does(role_entry, self.bo, None, role)
            case "inviting" if member.role == "editor":
                self.company.studio.let_invite(self.company.bo, may=not member.may_invite)
            case "out":
                self.company.ada_does(revoke_entry, [self.bo])
            case _:
                return
        if not self.company.may_invite():
            # Whatever he had: by none of it does anybody come in any more.
            assert not self.known.keys() & self.company.roster().invites.keys()
            self.happened["may not invite"] += 1

    def bo_invites(self) -> None:
        if self.company.may_invite():
            role = self.chance.choice(ROLES[1:])
            invite = self.company.studio.invite(role, by=self.company.bo)
            self.known[invite.public] = invite

    def bo_comes_again(self) -> None:
        open_ = self.company.roster().invites
        still = [invite for public, invite in self.known.items() if public in open_]
        if not still:
            return
        invite = self.chance.choice(still)
        before = self.company.roles(self.company.bo)
        friend = self.company.studio.newcomer("Friend")
        self.company.studio.entries.append(self.company.studio.joining(invite, friend))
        for project, role in self.company.roles(friend).items():
            his = before[project]
            assert is_at_most(cast(Role, role), cast(Role, his)), project
        opened = set(opened_secrets(self.company.roster(), friend.keys))
        assert opened <= set(opened_secrets(self.company.roster(), self.company.bo.keys))
        self.happened["came in by a secret of his"] += 1


def test_whatever_happens_nobody_comes_in_by_him_who_may_more_than_he_then() -> None:
    happened: Counter[str] = Counter()
    for seed in range(10):
        walk = Walk(random.Random(seed))
        steps = [walk.owner_invites, walk.owner_changes, walk.bo_invites, walk.bo_comes_again]
        for _ in range(30):
            walk.chance.choices(steps, [2, 2, 2, 3])[0]()
        assert not walk.company.roster().voids
        happened += walk.happened
    assert min(happened["came in by a secret of his"], happened["may not invite"]) > 5, happened
