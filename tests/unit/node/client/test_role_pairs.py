"""docs/security.md, "Who may do what": for every two roles and every operation exactly what it says succeeds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import msgspec
import pytest
from lab.places import REPOSITORY
from studio_fixture import EXPIRES, NOW, Studio

from lucidnode.fs.membership.entries import leave_entry, revoke_entry, role_entry, state_entry
from lucidnode.fs.membership.member import MemberKeys
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.membership.roster_view import opened_eras
from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.client.roster import Roster
from lucidnode.node.client.roster_entry import (
    AllowInviting,
    Body,
    ChangeRole,
    ChangeState,
    Genesis,
    Invite,
    Join,
    Leave,
    NewEra,
    Project,
    RenameDevice,
    RenameProject,
    Revoke,
    RosterEntry,
    Settings,
    format_of,
    signing_message,
)
from lucidnode.node.client.roster_rules import verified

STANDINGS = ("owner", "editor", "inviter", "viewer", "left", "put out")
ERA = NewEra(bytes(64), {})
NEW = MemberKeys.new()


def documented() -> dict[str, dict[str, str]]:
    """Return what each may do, by operation and standing, as the page has it."""
    page = (REPOSITORY / "docs" / "security.md").read_text()
    table = page.partition("## Who may do what\n")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
        if line.startswith("|") and not line.startswith("|--")
    ]
    return {row[0]: dict(zip(STANDINGS, row[1:], strict=True)) for row in rows[1:]}


TABLE = documented()


class Company:
    """Ada owns it; Bo acts, on Cy, in an era that is not the first. All are there before."""

    def __init__(self, actor: str, subject: str) -> None:
        self.studio = Studio()
        self.film, self.old = self.studio.project("film"), self.studio.project("old")
        view = self.studio.view(self.studio.ada)
        self.studio.entries.append(state_entry(view, view.project("old"), "archived", NOW))
        self.bo, self.cy = self._came(actor, "Bo"), self._came(subject, "Cy")
        self._go(self.studio.join(name="Di"), "put out")
        # Who leaves comes last: with the next era he is put out.
        for who, standing in sorted(
            [(self.bo, actor), (self.cy, subject)], key=lambda one: one[1] == "left"
        ):
            self._go(who, standing)
        self.before = self.studio.roster()
        self.kinds: set[type[Body]] = set()

    def _came(self, standing: str, name: str) -> Membership:
        role = standing if standing in {"owner", "editor", "viewer"} else "editor"
        return self.studio.join(role, name)  # type: ignore[arg-type]

    def _go(self, who: Membership, standing: str) -> None:
        if standing == "inviter":
            self.studio.let_invite(who)
        if standing == "put out":
            view = self.studio.view(self.studio.ada)
            self.studio.entries.append(revoke_entry(view, [who.keys.public]))
        if standing == "left":
            self.studio.entries.append(leave_entry(self.studio.view(who)))

    def takes(self, author: MemberKeys, body: Body) -> bool:
        """Tell whether the log takes *body* of *author*, well signed and looked at by no rule before."""
        self.kinds.add(type(body))
        before, raw = self.before, msgspec.msgpack.encode(body)
        seq, number = Seq(before.head + 1), format_of(body)
        message = signing_message(seq, before.head_hash, author.public, raw, number)
        signed = author.sign(message)
        entry = RosterEntry(number, seq, before.head_hash, author.public, raw, signed)
        after = verified([*self.studio.entries, entry.encode()], before.genesis)
        taken = seq not in {void.seq for void in after.voids}
        assert taken == (_state(before) != _state(after))
        return taken

    def operations(self, subject: Membership) -> Iterator[tuple[str, bool]]:
        """Yield each operation by Bo, on *subject* where it has one, and whether it succeeds."""
        roster, bo = self.before, self.bo.keys
        device = roster.members[bo.public].device if bo.public in roster.members else None
        for role in ("owner", "editor", "viewer"):
            invite = Invite(NEW.public, NEW.box, role, EXPIRES, b"", {})
            yield f"invite as {role}", self.takes(bo, invite)
            everywhere = ChangeRole(subject.keys.public, "", role, ERA)
            yield f"make somebody {role} of the studio", self.takes(bo, everywhere)
            here = ChangeRole(subject.keys.public, self.film, role, ERA)
            yield f"make somebody {role} of one project", self.takes(bo, here)
        inviting = AllowInviting(
            subject.keys.public,
            may=not (known := roster.members.get(subject.keys.public)) or not known.may_invite,
        )
        yield "let somebody invite, or no more", self.takes(bo, inviting)
        yield "put somebody out", self.takes(bo, Revoke([subject.keys.public], ERA))
        yield "rename a workstation", self.takes(bo, RenameDevice(subject.keys.public, b"new"))
        yield "leave", self.takes(bo, Leave())
        yield "create a project", self.takes(bo, Project("ab" * 16, 2**20, {}))
        rename = RenameProject(self.film, roster.epoch, b"sealed")
        yield "rename a project", self.takes(bo, rename)
        archive = ChangeState(self.film, "archived", NOW, 0, ERA)
        delete = ChangeState(self.film, "deleted", NOW, EXPIRES, ERA)
        back = ChangeState(self.old, "active", NOW, 0, ERA)
        for change, verb in ((archive, "archive"), (delete, "delete"), (back, "bring back")):
            yield f"{verb} a project", self.takes(bo, change)
        yield "make settings for the studio", self.takes(bo, Settings(b"sealed"))
        may_write = device and roster.writer_in(self.film, device, roster.epoch) is not None
        yield "change files", bool(may_write)
        yield "be served by other workstations", device in roster.devices
        yield "read what comes", roster.epoch in opened_eras(roster, bo)


def _state(roster: Roster) -> tuple[object, ...]:
    people = roster.members, roster.devices, roster.invites
    return *people, roster.projects, roster.eras, roster.settings


@pytest.mark.parametrize("subject", STANDINGS)
@pytest.mark.parametrize("actor", STANDINGS)
def test_exactly_what_the_page_says_succeeds_between_each_two(actor: str, subject: str) -> None:
    company = Company(actor, subject)
    seen = set()
    for on, who in ((company.cy, subject), (company.bo, "themselves")):
        for operation, succeeds in company.operations(on):
            seen.add(operation)
            cell = TABLE[operation][actor]
            expected = {
                "yes": True,
                "no": False,
                "anybody": True,
                "themselves": who == "themselves",
                "others but owners": who in {"editor", "inviter", "viewer"},
                "editors": who in {"editor", "inviter"},
            }[cell]
            if who in {"left", "put out"} and cell == "anybody":
                # There is nobody any more; but who has left can be put out, which begins the next era.
                expected = (operation, who) == ("put somebody out", "left")
            assert succeeds == expected, (operation, actor, on.label.member, who)
    assert seen == set(TABLE)
    # Whatever a member can write: who founds has nobody beside him, and who joins is no member yet.
    assert company.kinds == set(get_args(Body)) - {Genesis, Join}


def test_the_last_owner_stays_whatever_he_does() -> None:
    company = Company("editor", "viewer")
    ada = company.studio.ada.keys
    for body in (
        Leave(),
        Revoke([ada.public], ERA),
        ChangeRole(ada.public, "", "editor", ERA),
    ):
        assert not company.takes(ada, body)


def test_a_role_in_one_project_ends_with_the_next_one_in_the_studio() -> None:
    company = Company("editor", "viewer")
    studio, cy = company.studio, company.cy.keys.public
    device = studio.roster().members[cy].device
    for project, role in ((company.film, "editor"), (None, "viewer")):
        view = studio.view(studio.ada)
        studio.entries.append(role_entry(view, cy, project, role))  # type: ignore[arg-type]
        roster = studio.roster()
        may = roster.writer_in(ProjectId(company.film), device, roster.epoch) is not None
        assert may == (role == "editor")
