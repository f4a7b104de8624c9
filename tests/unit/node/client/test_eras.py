"""The roster's rules on who may do what when: eras, roles, and putting out."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from studio_fixture import Studio

from lucidnode.fs.errors import NotAllowed, NotAMember
from lucidnode.fs.format.keys import key_of_next_epoch
from lucidnode.fs.membership.entries import leave_entry, revoke_entry, role_entry
from lucidnode.fs.membership.member import MemberKeys
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.membership.roster_view import opened_eras
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import DeviceId, ProjectId, Seq
from lucidnode.node.client.roster_entry import (
    ERA_FORMAT,
    FORMAT,
    Body,
    ChangeRole,
    Leave,
    NewEra,
    Project,
    Revoke,
    RosterEntry,
    signing_message,
)


def put_out(studio: Studio, *gone: Membership | MemberKeys, by: Membership | None = None) -> None:
    keys = [one.keys.public if isinstance(one, Membership) else one.public for one in gone]
    studio.entries.append(revoke_entry(studio.view(by or studio.ada), keys))


def change_role(
    studio: Studio, who: Membership, role: Any, project: ProjectId | None = None
) -> None:
    studio.entries.append(role_entry(studio.view(studio.ada), who.keys.public, project, role))


def device_of(studio: Studio, who: Membership) -> DeviceId:
    return studio.roster().members[who.keys.public].device


def key_of(studio: Studio, who: Membership, project: ProjectId) -> dict[int, bytes]:
    [found] = [one for one in studio.view(who).projects() if one.id == project]
    return {epoch: keys.journal for epoch, keys in found.keys.epochs.items()}


def by_hand(
    studio: Studio, author: MemberKeys, body: Body | bytes, number: int = ERA_FORMAT
) -> str | None:
    """Append a well-signed entry that no rule has looked at; return why it is void, None if it is not."""
    raw = body if isinstance(body, bytes) else msgspec.msgpack.encode(body)
    head = studio.roster()
    seq = Seq(head.head + 1)
    message = signing_message(seq, head.head_hash, author.public, raw, number)
    studio.entries.append(
        RosterEntry(number, seq, head.head_hash, author.public, raw, author.sign(message)).encode()
    )
    after = studio.roster()
    voids = [void.reason for void in after.voids if void.seq == seq]
    if voids:
        assert (after.members, after.devices, after.invites, after.eras) == (
            head.members,
            head.devices,
            head.invites,
            head.eras,
        )
    return voids[0] if voids else None


def test_who_is_put_out_is_in_the_studio_no_more_and_what_he_wrote_before_counts() -> None:
    studio = Studio()
    bo, film = studio.join(), studio.project("film")
    device = device_of(studio, bo)
    put_out(studio, bo)
    roster = studio.roster()
    assert bo.keys.public not in roster.members
    assert device not in roster.devices  # no peer serves it
    public = roster.device_key(device)
    assert public is not None
    assert roster.writer_key(device) == roster.writer_in(film, device, 1) == public
    assert roster.writer_in(film, device, 2) is None
    assert list(roster.epochs(film)) == [1, 2]
    with pytest.raises(NotAMember, match="put this workstation out"):
        studio.view(bo)
    with pytest.raises(NotAMember, match="does not list you"):
        studio.view(studio.newcomer())


def test_the_keys_of_what_comes_are_sealed_to_those_who_stay() -> None:
    studio = Studio()
    bo, cy, film = studio.join(), studio.join(name="Cy"), studio.project("film")
    waiting = studio.invite()
    had = studio.view(bo)
    put_out(studio, bo)
    assert sorted(key_of(studio, studio.ada, film)) == [1, 2]
    assert key_of(studio, cy, film) == key_of(studio, studio.ada, film)
    assert opened_eras(studio.roster(), bo.keys) == {}
    # Nor in the object itself, which he still reads, whatever readers of the log leave out.
    revoked = RosterEntry.parse(studio.entries[-1]).content()
    assert isinstance(revoked, Revoke)
    assert revoked.era.seals.keys() == {studio.ada.keys.box, cy.keys.box, waiting.box}
    assert [list(one.keys.epochs) for one in had.projects()] == [[1]]
    # Who was invited before, and comes in now, has all of it; so has who is invited now.
    late, later = studio.newcomer("Di"), studio.newcomer("Ed")
    studio.entries.append(studio.joining(waiting, late))
    put_out(studio, cy)
    studio.entries.append(studio.joining(studio.invite(), later))
    everything = key_of(studio, studio.ada, film)
    assert sorted(everything) == [1, 2, 3]
    assert key_of(studio, late, film) == key_of(studio, later, film) == everything


def test_an_era_takes_one_seal_for_each_who_stays_however_many_projects_there_are() -> None:
    studio = Studio()
    bo = studio.join()
    for number in range(20):
        studio.project(f"film {number}")
    before = len(studio.entries[-1])
    put_out(studio, bo)
    assert len(studio.roster().eras[0].seals) == 1
    assert len(studio.entries[-1]) < 2 * before
    assert all(list(one.keys.epochs) == [1, 2] for one in studio.view(studio.ada).projects())


def test_a_project_begins_with_the_epoch_of_its_time() -> None:
    studio = Studio()
    bo, old = studio.join(), studio.project("old")
    put_out(studio, bo)
    young = studio.project("young")
    assert list(studio.roster().epochs(old)) == [1, 2]
    assert list(studio.roster().epochs(young)) == [2]
    assert sorted(key_of(studio, studio.ada, young)) == [2]
    assert studio.roster().writer_in(young, device_of(studio, studio.ada), 2) is not None


def test_a_role_is_another_from_the_new_era_on_and_in_that_project_only() -> None:
    studio = Studio()
    bo, film, other = studio.join(), studio.project("film"), studio.project("other")
    device = device_of(studio, bo)
    change_role(studio, bo, "viewer", film)
    roster = studio.roster()
    assert roster.writer_in(film, device, 1) is not None
    assert roster.writer_in(film, device, 2) is None
    assert roster.writer_in(other, device, 2) is not None
    assert studio.view(bo).role_in(film) == "viewer"
    assert sorted(key_of(studio, bo, film)) == [1, 2]  # he reads on
    [_, person] = studio.view(studio.ada).people()
    assert (person.role, person.roles) == ("editor", {film: "viewer"})
    change_role(studio, bo, "editor", film)
    change_role(studio, bo, "viewer")
    roster = studio.roster()
    assert [roster.writer_in(film, device, epoch) is not None for epoch in (1, 2, 3, 4)] == [
        True,
        False,
        True,
        False,
    ]
    assert [roster.writer_in(other, device, epoch) is not None for epoch in (3, 4)] == [True, False]


def test_who_joins_later_wrote_nothing_in_the_eras_before() -> None:
    studio = Studio()
    film, bo = studio.project("film"), studio.join()
    put_out(studio, bo)
    cy = studio.join(name="Cy")
    roster = studio.roster()
    assert roster.writer_in(film, device_of(studio, cy), 1) is None
    assert roster.writer_in(film, device_of(studio, cy), 2) is not None


def test_invites_that_somebody_opened_who_is_no_owner_any_more_are_closed() -> None:
    studio = Studio()
    bo = studio.join("owner")
    studio.invite("owner", by=bo)
    by_ada = studio.invite()
    put_out(studio, bo)
    assert set(studio.roster().invites) == {by_ada.public}
    cy = studio.join("owner", "Cy")
    studio.invite(by=cy)
    change_role(studio, cy, "editor")
    assert set(studio.roster().invites) == {by_ada.public}


def test_an_open_invite_is_closed_by_name() -> None:
    studio = Studio()
    film = studio.project("film")
    invite, stays = studio.invite(), studio.invite()
    put_out(studio, invite)
    assert set(studio.roster().invites) == {stays.public}
    assert opened_eras(studio.roster(), invite) == {}
    assert list(studio.roster().epochs(film)) == [1, 2]


def test_the_last_owner_stays() -> None:
    studio = Studio()
    studio.join()
    with pytest.raises(NotAllowed, match="without an owner"):
        put_out(studio, studio.ada)
    with pytest.raises(NotAllowed, match="without an owner"):
        change_role(studio, studio.ada, "editor")
    with pytest.raises(NotAllowed, match="without an owner"):
        leave_entry(studio.view(studio.ada))
    era = NewEra(b"", {})
    key = studio.ada.keys.public
    assert by_hand(studio, studio.ada.keys, Revoke([key], era)) == "no owner would stay"
    assert (
        by_hand(studio, studio.ada.keys, ChangeRole(key, "", "viewer", era))
        == "no owner would stay"
    )


def test_who_left_is_served_by_nobody_and_goes_with_the_next_era() -> None:
    studio = Studio()
    bo, cy, film = studio.join(), studio.join(name="Cy"), studio.project("film")
    with pytest.raises(NotAllowed, match="only an owner can be the first"):
        leave_entry(studio.view(bo))
    change_role(studio, cy, "viewer")
    device = device_of(studio, bo)
    studio.entries.append(leave_entry(studio.view(bo)))
    roster = studio.roster()
    assert not roster.voids
    assert device not in roster.devices
    assert roster.writer_in(film, device, 2) is not None  # what he sent before he left counts
    change_role(studio, cy, "editor")
    assert bo.keys.box not in studio.roster().eras[-1].seals
    assert bo.keys.public not in studio.roster().members
    assert [studio.roster().writer_in(film, device, epoch) is not None for epoch in (1, 2, 3)] == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("role", ["editor", "viewer"])
def test_only_an_owner_begins_an_era(role: Any) -> None:
    studio = Studio()
    bo, cy = studio.join(role), studio.join(name="Cy")
    with pytest.raises(NotAllowed):
        revoke_entry(studio.view(bo), [cy.keys.public])
    with pytest.raises(NotAllowed):
        role_entry(studio.view(bo), bo.keys.public, None, "owner")
    era = NewEra(b"", {})
    # Before an owner has done it once, a later format by anybody else is no entry at all.
    assert "later format" in str(by_hand(studio, bo.keys, Revoke([cy.keys.public], era)))
    put_out(studio, studio.join(name="Di"))
    era = NewEra(bytes(64), {})
    assert by_hand(studio, bo.keys, Revoke([cy.keys.public], era)) == "only an owner puts out"
    change = ChangeRole(bo.keys.public, "", "owner", era)
    assert by_hand(studio, bo.keys, change) == "only an owner changes roles"


def test_an_era_that_breaks_a_rule_is_void() -> None:
    studio = Studio()
    bo, film = studio.join(), studio.project("film")
    ada, key = studio.ada.keys, bo.keys.public
    first, sealed = NewEra(b"", {}), NewEra(bytes(64), {})
    for body, why in (
        (Revoke([], first), "order of keys"),
        (Revoke([key, key], first), "order of keys"),
        (Revoke([b"short"], first), "key"),
        (Revoke([b"x" * 32], first), "no such member or open invite"),
        (Revoke([key], sealed), "does not follow"),
        (Revoke([key], NewEra(b"x", {})), "era"),
        (Revoke([key], NewEra(b"", {b"box": b"sealed"})), "seal"),
        (Revoke([key], NewEra(b"", {b"b" * 32: bytes(513)})), "seal"),
        (ChangeRole(key, "ab" * 16, "viewer", first), "no such project"),
        (ChangeRole(key, film, "owner", first), "an owner is one in every project"),
        (ChangeRole(ada.public, film, "viewer", first), "an owner is one in every project"),
        (ChangeRole(b"x" * 32, "", "viewer", first), "no such member"),
        (Project("f" * 32, 2**20, {}), "format"),
    ):
        assert why in str(by_hand(studio, ada, body)), body
    assert "format" in str(by_hand(studio, ada, Revoke([key], first), FORMAT))
    assert by_hand(studio, ada, Project("f" * 32, 2**20, {}), FORMAT) == "the id of no project"
    assert by_hand(studio, ada, Revoke([key], first)) is None
    assert "does not follow" in str(
        by_hand(studio, ada, ChangeRole(ada.public, "", "owner", first))
    )
    assert by_hand(studio, bo.keys, Leave()) is not None  # nobody of the studio any more


def test_a_device_that_was_put_out_belongs_to_nobody_else() -> None:
    studio = Studio()
    bo = studio.join(seed=b"b" * 32)
    put_out(studio, bo)
    studio.entries.append(studio.joining(studio.invite(), studio.newcomer("Bo again"), b"b" * 32))
    assert studio.roster().voids[-1].reason == "the device belongs to a member already"


def test_the_key_of_an_epoch_takes_the_one_before_and_the_eras() -> None:
    project = ProjectId("ab" * 16)
    key = key_of_next_epoch(project, b"p" * 32, b"e" * 32, 2)
    assert len(key) == 32
    assert (
        len(
            {
                key,
                key_of_next_epoch(project, b"q" * 32, b"e" * 32, 2),
                key_of_next_epoch(project, b"p" * 32, b"f" * 32, 2),
                key_of_next_epoch(project, b"p" * 32, b"e" * 32, 3),
                key_of_next_epoch(ProjectId("cd" * 16), b"p" * 32, b"e" * 32, 2),
            }
        )
        == 5
    )


def test_a_body_of_a_kind_in_the_wrong_format_does_not_parse() -> None:
    studio = Studio()
    bo = studio.join()
    entry = RosterEntry.parse(revoke_entry(studio.view(studio.ada), [bo.keys.public]))
    assert entry.format == ERA_FORMAT
    with pytest.raises(Malformed):
        msgspec.structs.replace(entry, format=FORMAT).content()
