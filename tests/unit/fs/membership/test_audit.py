"""What the log of members tells to one of them."""

from __future__ import annotations

import pytest
from studio_fixture import EXPIRES, NOW, Studio

from lucidnode.fs.errors import NotAllowed, NotAMember
from lucidnode.fs.membership.audit import AuditRecord, audit, concerning, devices_ever
from lucidnode.fs.membership.entries import (
    leave_entry,
    rename_entry,
    revoke_entry,
    role_entry,
)
from lucidnode.fs.membership.member import Label, MemberKeys
from lucidnode.node.client.ids import ProjectId
from lucidnode.node.client.roster import ForeignRoster
from lucidnode.node.client.roster_entry import MAX_FORMAT, RosterEntry, entry_hash, stand_in


def test_every_entry_is_told_in_order() -> None:
    studio = Studio()
    film = studio.project("film")
    bo = studio.join("viewer", "Bo", "grading")
    studio.invite("owner", expires_ns=EXPIRES + 1)
    expected = [
        AuditRecord(1, "founded", by="Ada", member="Ada", device="edit-1", role="owner"),
        AuditRecord(2, "project created", by="Ada", project="film", opens_to=["Ada"]),
        AuditRecord(
            *(3, "invited", "Ada"), member="Bo", role="viewer", until_ns=EXPIRES, projects=["film"]
        ),
        AuditRecord(
            *(4, "joined", "invite", "Ada"),
            member="Bo",
            device="grading",
            role="viewer",
            at_ns=NOW,
            projects=["film"],
        ),
        AuditRecord(
            *(5, "invited", "Ada"),
            member="Bo",
            role="owner",
            until_ns=EXPIRES + 1,
            projects=["film"],
        ),
    ]
    assert list(audit(studio.entries, studio.ada)) == expected
    # The key of the project was never sealed to whoever is asked about here.
    stranger = studio.newcomer()
    told = list(audit(studio.entries, stranger))
    assert [one.project for one in told if one.project] == [film]
    assert [one.member for one in audit(studio.entries, bo)] == [one.member for one in expected]


def test_who_came_by_whom_left_was_put_out_and_can_open_what_is_told() -> None:
    studio = Studio()
    film = studio.project("film")
    studio.project("secret")
    bo = studio.join("editor", "Bo", projects=[film])
    studio.let_invite(bo)
    cy = studio.join("viewer", "Cy", by=bo)
    di = studio.join("viewer", "Di", projects=[])
    studio.project("score")
    view = studio.view(studio.ada)
    studio.entries.append(role_entry(view, cy.keys.public, film, "editor"))
    studio.entries.append(leave_entry(studio.view(di)))
    studio.entries.append(revoke_entry(studio.view(studio.ada), [bo.keys.public]))
    told = list(audit(studio.entries, studio.ada))
    joined = [one for one in told if one.event == "joined"]
    assert [(one.member, one.inviter, one.projects) for one in joined] == [
        ("Bo", "Ada", ["film"]),
        ("Cy", "Bo", ["film"]),
        ("Di", "Ada", []),
    ]
    assert [one.opens_to for one in told if one.project == "score"] == [["Ada", "Bo", "Cy", "Di"]]
    assert [(one.event, one.by, one.member, one.role, one.project) for one in told[-3:]] == [
        ("role changed", "Ada", "Cy", "editor", "film"),
        ("left", "Di", "Di", "", ""),
        ("put out", "Ada", "Bo", "", ""),
    ]
    assert [one.event for one in told if one.event.startswith("inviting")] == ["inviting allowed"]


def test_a_workstation_has_the_name_it_was_given_last() -> None:
    studio = Studio()
    bo = studio.join("viewer", "Bo", "edit-2")
    for by, name in ((studio.ada, "grading"), (bo, "online")):
        view = studio.view(by)
        studio.entries.append(rename_entry(view, bo.keys.public, Label("Bo", name)))
    assert [one.label.device for one in studio.view(bo).people()] == ["edit-1", "online"]
    assert list(audit(studio.entries, bo))[-2:] == [
        AuditRecord(4, "renamed", by="Ada", member="Bo", device="grading", before="edit-2"),
        AuditRecord(5, "renamed", by="Bo", member="Bo", device="online", before="grading"),
    ]
    with pytest.raises(NotAllowed):
        rename_entry(studio.view(bo), studio.ada.keys.public, Label("Ada", "mine"))
    with pytest.raises(NotAMember):
        rename_entry(studio.view(studio.ada), bytes(32), Label("Bo", "x"))


def test_what_counts_for_nothing_is_told_as_such_however_much_there_is() -> None:
    studio = Studio()
    for number in range(300):
        studio.entries.append(stand_in(bytes([number % 256]) * 32))
    invite = studio.invite()
    # Used by somebody who says a time at which it had expired: authentic, and void.
    late = RosterEntry.parse(studio.joining(invite, studio.newcomer()))
    body = late.body.replace(NOW.to_bytes(8, "big"), (EXPIRES + 1).to_bytes(8, "big"))
    assert body != late.body
    studio.entries.append(
        _signed(invite, len(studio.entries) + 1, entry_hash(studio.entries[-1]), body)
    )
    told = list(audit(studio.entries, studio.ada))
    assert [one.event for one in told] == ["founded", *["void"] * 300, "invited", "void"]
    assert told[-1].reason == "the invite had expired"


def _signed(author: MemberKeys, seq: int, previous: bytes, body: bytes) -> bytes:
    entry = RosterEntry(1, seq, previous, author.public, body, b"")
    return RosterEntry(
        1, seq, previous, author.public, body, author.sign(entry.signing_message())
    ).encode()


def test_of_a_project_it_is_told_who_could_open_it_and_what_became_of_them() -> None:
    studio = Studio()
    film, secret = studio.project("film"), studio.project("secret")
    bo = studio.join("editor", "Bo", projects=[film])
    cy = studio.join("viewer", "Cy", "edit-3", projects=[secret])
    ada = studio.view(studio.ada)
    studio.entries.append(role_entry(ada, bo.keys.public, film, "viewer"))
    studio.entries.append(role_entry(studio.view(studio.ada), cy.keys.public, None, "editor"))
    renamed = Label("Bo", "grading")
    studio.entries.append(rename_entry(studio.view(bo), bo.keys.public, renamed))
    studio.entries.append(revoke_entry(studio.view(studio.ada), {bo.keys.public}))
    studio.entries.append(leave_entry(studio.view(cy)))
    told = {one.seq: one for one in audit(studio.entries, studio.ada)}

    def of(project: ProjectId) -> list[tuple[str, str]]:
        seqs = sorted(concerning(studio.entries, studio.ada, project))
        return [(told[seq].event, told[seq].member) for seq in seqs]

    assert of(film) == [
        ("project created", ""),
        ("invited", "Bo"),
        ("joined", "Bo"),
        ("role changed", "Bo"),
        ("renamed", "Bo"),
        ("put out", "Bo"),
    ]
    assert of(secret) == [
        ("project created", ""),
        ("invited", "Bo"),  # whom an invite suggests, here
        ("joined", "Cy"),
        ("role changed", "Cy"),
        ("left", "Cy"),
    ]
    # Who is out is called by name all the same, in what he signed.
    labels = {label.member: label.device for label in devices_ever(studio.entries, bo).values()}
    assert labels == {"Ada": "edit-1", "Bo": "grading", "Cy": "edit-3"}


def test_another_studio_is_refused_and_a_later_format_ends_it() -> None:
    studio = Studio()
    with pytest.raises(ForeignRoster):
        list(audit(Studio().entries, studio.ada))
    newer = RosterEntry(
        MAX_FORMAT + 1, 2, entry_hash(studio.entries[0]), studio.ada.keys.public, b"?", b""
    )
    signed = RosterEntry(
        MAX_FORMAT + 1,
        2,
        newer.previous,
        newer.author,
        b"?",
        studio.ada.keys.sign(newer.signing_message()),
    )
    told = list(audit([*studio.entries, signed.encode(), b"more"], studio.ada))
    assert [one.event for one in told] == ["founded"]
