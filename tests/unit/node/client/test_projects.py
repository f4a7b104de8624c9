"""The roster's rules on what an owner makes of projects: names, states, and the studio's settings."""

from __future__ import annotations

import msgspec
import pytest
from studio_fixture import NOW, Studio

from lucidnode.fs.errors import Invalid, NameTaken, NoSuchProject, NotAllowed
from lucidnode.fs.membership.audit import AuditRecord, audit
from lucidnode.fs.membership.entries import (
    rename_project_entry,
    revoke_entry,
    settings_entry,
    state_entry,
)
from lucidnode.fs.membership.member import MemberKeys
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.membership.project_names import ProjectNaming, told_apart
from lucidnode.fs.membership.roster_view import OpenProject
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.client.project_rules import MAX_CHANGES_OF_PROJECT
from lucidnode.node.client.roster import FIRST_EPOCH
from lucidnode.node.client.roster_entry import (
    ERA_FORMAT,
    MAX_SETTINGS_BYTES,
    PROJECT_FORMAT,
    Body,
    ChangeState,
    NewEra,
    ProjectState,
    RenameProject,
    RosterEntry,
    Settings,
    entry_hash,
    signing_message,
)
from lucidnode.node.client.roster_rules import RosterReader

LATER = NOW + 10**18


def of(studio: Studio, project: ProjectId, who: Membership | None = None) -> OpenProject:
    view = studio.view(who or studio.ada)
    return next(one for one in view.projects_and_deleted() if one.id == project)


def rename(studio: Studio, project: ProjectId, name: str, by: Membership | None = None) -> None:
    by = by or studio.ada
    studio.entries.append(rename_project_entry(studio.view(by), of(studio, project, by), name))


def change(
    studio: Studio, project: ProjectId, state: ProjectState, now_ns: int = NOW, until_ns: int = 0
) -> None:
    view = studio.view(studio.ada)
    studio.entries.append(state_entry(view, of(studio, project), state, now_ns, until_ns))


def names(studio: Studio, who: Membership | None = None) -> dict[ProjectId, str]:
    return {one.id: one.name for one in studio.view(who or studio.ada).projects()}


def by_hand(
    studio: Studio, author: MemberKeys, body: Body, number: int = PROJECT_FORMAT
) -> str | None:
    """Append a well-signed entry that no rule has looked at; return why it is void."""
    raw, before = msgspec.msgpack.encode(body), studio.roster()
    seq = Seq(before.head + 1)
    message = signing_message(seq, before.head_hash, author.public, raw, number)
    entry = RosterEntry(number, seq, before.head_hash, author.public, raw, author.sign(message))
    studio.entries.append(entry.encode())
    after = studio.roster()
    reasons = [void.reason for void in after.voids if void.seq == seq]
    if reasons:
        assert (after.projects, after.eras, after.settings) == (
            before.projects,
            before.eras,
            before.settings,
        )
    return reasons[0] if reasons else None


# -- names -----------------------------------------------------------------------------------------


def test_a_project_is_called_what_an_owner_says_by_everybody_who_can_open_it() -> None:
    studio = Studio()
    film, bo = studio.project("film"), studio.join()
    rename(studio, film, "the film")
    assert names(studio) == names(studio, bo) == {film: "the film"}
    # Also by who comes later, and after somebody was put out, who cannot read what it is called then.
    had = studio.view(bo)
    studio.entries.append(revoke_entry(studio.view(studio.ada), [bo.keys.public]))
    cy = studio.join(name="Cy")
    rename(studio, film, "secret")
    assert names(studio, cy) == {film: "secret"}
    sealed = studio.roster().projects[film].names[-1]
    assert sealed.epoch == FIRST_EPOCH + 1
    assert [list(one.keys.epochs) for one in had.projects()] == [[FIRST_EPOCH]]
    assert b"secret" not in b"".join(studio.entries)


def test_names_are_refused_that_are_taken_or_no_names() -> None:
    studio = Studio()
    film, other, bo = studio.project("film"), studio.project("other"), studio.join()
    for name, refused in (
        ("other", NameTaken),
        ("film", NameTaken),
        ("-x", Invalid),
        (" ", Invalid),
    ):
        with pytest.raises(refused):
            rename(studio, film, name)
    with pytest.raises(NotAllowed, match="only an owner"):
        rename(studio, film, "mine", by=bo)
    rename(studio, film, "third")
    rename(studio, other, "film")  # which nobody bears any more
    assert names(studio) == {film: "third", other: "film"}


@pytest.mark.parametrize(
    ("namings", "told"),
    [
        ([(1, "a", "x"), (2, "b", "x")], {"a": "x", "b": "x (2)"}),
        ([(1, "a", "x"), (2, "b", "x"), (3, "a", "y"), (4, "c", "x")], {"a": "y", "b": "x (2)", "c": "x"}),
        ([(1, "a", "x"), (2, "b", "y"), (3, "b", "x")], {"a": "x", "b": "x (2)"}),
        ([(1, "a", "x"), (2, "a", "x")], {"a": "x"}),
        # One that is deleted gives its name up, and takes the next when it is back.
        ([(1, "a", "x"), (2, "a", None), (3, "b", "x")], {"a": "x", "b": "x"}),
        ([(1, "a", "x"), (2, "a", None), (3, "b", "x"), (4, "a", "x")], {"a": "x (2)", "b": "x"}),
        ([(1, "a", "x"), (2, "a", None), (3, "b", "x"), (4, "b", "y"), (5, "c", "x")], {"a": "x", "b": "y", "c": "x"}),
    ],
)  # fmt: skip
def test_no_two_projects_bear_one_name(
    namings: list[tuple[int, str, str | None]], told: dict[str, str]
) -> None:
    said = [ProjectNaming(Seq(seq), ProjectId(who), name) for seq, who, name in namings]
    assert told_apart(said) == told
    assert told_apart(reversed(said)) == told


def test_a_rename_by_hand_counts_only_if_an_owner_says_it_of_an_epoch_there_is() -> None:
    studio = Studio()
    film, bo = studio.project("film"), studio.join()
    ada = studio.ada.keys
    assert (
        by_hand(studio, bo.keys, RenameProject(film, 1, b"?"))
        == "a later format, and not by an owner"
    )
    assert by_hand(studio, ada, RenameProject("00" * 16, 1, b"?")) == "no such project"
    assert "an epoch" in str(by_hand(studio, ada, RenameProject(film, 2, b"?")))
    assert "format of its kind" in str(
        by_hand(studio, ada, RenameProject(film, 1, b"?"), ERA_FORMAT)
    )
    # Sealed wrongly, it harms nobody: the name stays.
    assert by_hand(studio, ada, RenameProject(film, 1, b"?" * 200)) is None
    assert (
        by_hand(studio, bo.keys, RenameProject(film, 1, b"?")) == "only an owner changes projects"
    )
    assert names(studio) == names(studio, bo) == {film: "film"}


def test_one_project_has_so_many_names_and_no_more() -> None:
    studio = Studio()
    film, ada = studio.project("film"), studio.ada.keys
    raw, roster = msgspec.msgpack.encode(RenameProject(film, 1, b"")), studio.roster()
    reader = RosterReader(studio.ada.genesis)
    for entry in studio.entries:
        reader.read(entry)
    seq, previous = roster.head, roster.head_hash
    last = None
    for _ in range(MAX_CHANGES_OF_PROJECT + 1):
        seq = Seq(seq + 1)
        message = signing_message(seq, previous, ada.public, raw, PROJECT_FORMAT)
        made = RosterEntry(PROJECT_FORMAT, seq, previous, ada.public, raw, ada.sign(message))
        last = reader.read(made.encode())
        previous = entry_hash(made.encode())
    assert last is not None
    assert last.reason == "too many names of this project"
    assert len(reader.roster().projects[film].names) == MAX_CHANGES_OF_PROJECT


# -- what it is ------------------------------------------------------------------------------------


def test_in_a_closed_project_owners_alone_end_an_epoch_and_editors_stay_believed() -> None:
    studio = Studio()
    film, other, bo = studio.project("film"), studio.project("other"), studio.join()
    roster = studio.roster()
    ada_device, bo_device = (roster.members[who.keys.public].device for who in (studio.ada, bo))
    change(studio, film, "archived")
    roster = studio.roster()
    assert roster.epoch == 2
    assert roster.writer_in(film, bo_device, 1) is not None
    assert roster.writer_in(film, bo_device, 2) is None
    assert roster.writer_in(film, ada_device, 2) is not None
    assert roster.writer_in(other, bo_device, 2) is not None
    assert roster.trusted_in(film, bo_device) is not None  # his checkpoints are as true as before
    change(studio, film, "active")
    roster = studio.roster()
    assert roster.writer_in(film, bo_device, 2) is None  # for ever: it was closed then
    assert roster.writer_in(film, bo_device, 3) is not None
    assert of(studio, film).closed is None


def test_what_is_deleted_is_shown_nowhere_and_can_be_brought_back_in_time() -> None:
    studio = Studio()
    film = studio.project("film")
    change(studio, film, "deleted", NOW, NOW + 30)
    view = studio.view(studio.ada)
    assert view.projects() == []
    with pytest.raises(NoSuchProject, match="an owner has deleted it"):
        view.project("film")
    [gone] = view.projects_and_deleted()
    assert (gone.name, gone.state, gone.until_ns) == ("film", "deleted", NOW + 30)
    again = studio.project("film")
    with pytest.raises(NotAllowed, match="has passed"):
        change(studio, film, "active", NOW + 31)
    change(studio, film, "archived", NOW + 30)
    assert names(studio) == {again: "film", film: "film (2)"}
    assert of(studio, film).closed is not None


def test_a_change_of_state_by_hand_counts_only_within_the_rules() -> None:
    studio = Studio()
    film, bo, ada = studio.project("film"), studio.join(), studio.ada.keys
    era = NewEra(b"", {})

    def void(author: MemberKeys, body: Body) -> str:
        return str(by_hand(studio, author, body))

    assert void(ada, ChangeState(film, "active", NOW, 0, era)) == "the project is that already"
    assert "time" in void(ada, ChangeState(film, "archived", NOW, NOW, era))
    assert "time" in void(ada, ChangeState(film, "deleted", NOW, NOW - 1, era))
    assert "follow" in void(ada, ChangeState(film, "archived", NOW, 0, NewEra(b"x" * 64, {})))
    assert void(ada, ChangeState("00" * 16, "archived", NOW, 0, era)) == "no such project"
    change(studio, film, "deleted", NOW, NOW + 1)
    assert void(bo.keys, ChangeState(film, "active", NOW, 0, NewEra(b"x" * 64, {}))) == (
        "only an owner changes projects"
    )
    late = ChangeState(film, "active", NOW + 2, 0, NewEra(b"x" * 64, {}))
    assert void(ada, late) == "the time to undo it had passed"


# -- settings --------------------------------------------------------------------------------------


def test_the_settings_of_the_studio_are_an_owners_last_word() -> None:
    studio = Studio()
    bo = studio.join()
    assert studio.roster().settings == b""
    studio.entries.append(settings_entry(studio.view(studio.ada), b"one"))
    studio.entries.append(settings_entry(studio.view(studio.ada), b"two"))
    assert studio.roster().settings == b"two"
    with pytest.raises(NotAllowed, match="only an owner"):
        settings_entry(studio.view(bo), b"three")
    assert by_hand(studio, bo.keys, Settings(b"three")) == (
        "only an owner makes settings for the studio"
    )
    assert "settings" in str(
        by_hand(studio, studio.ada.keys, Settings(bytes(MAX_SETTINGS_BYTES + 1)))
    )
    assert studio.roster().settings == b"two"


# -- told ------------------------------------------------------------------------------------------


def test_all_of_it_is_told_by_the_audit() -> None:
    studio = Studio()
    film = studio.project("film")
    rename(studio, film, "cut")
    change(studio, film, "archived")
    change(studio, film, "deleted", NOW, LATER)
    change(studio, film, "active", NOW)
    studio.entries.append(settings_entry(studio.view(studio.ada), b""))
    assert list(audit(studio.entries, studio.ada))[2:] == [
        AuditRecord(3, "project renamed", by="Ada", project="film", name="cut"),
        AuditRecord(4, "project archived", by="Ada", project="cut", at_ns=NOW),
        AuditRecord(5, "project deleted", by="Ada", project="cut", at_ns=NOW, until_ns=LATER),
        AuditRecord(6, "project restored", by="Ada", project="cut", at_ns=NOW),
        AuditRecord(7, "settings changed", by="Ada"),
    ]
    # Who was never given the key is told the id.
    told = list(audit(studio.entries, studio.newcomer()))
    assert {one.project for one in told if one.project} == {film}


def test_an_unknown_state_is_malformed() -> None:
    studio = Studio()
    film = studio.project("film")
    body = ChangeState(film, "archived", NOW, 0, NewEra(b"", {}))
    raw = msgspec.msgpack.encode(body).replace(b"archived", b"archivee")
    entry = RosterEntry(PROJECT_FORMAT, 3, bytes(32), studio.ada.keys.public, raw, bytes(64))
    with pytest.raises(Malformed):
        entry.content()
