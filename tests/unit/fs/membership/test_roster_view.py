"""What members read in the roster, and what nobody else does."""

from __future__ import annotations

from functools import partial

import msgspec
import pytest
from studio_fixture import EXPIRES, NOW, Studio

from lucidnode.fs.errors import (
    FormatError,
    Invalid,
    NameTaken,
    NoSuchProject,
    NotAMember,
)
from lucidnode.fs.format import sodium
from lucidnode.fs.membership.entries import invite_entry, project_entry, revoke_entry
from lucidnode.fs.membership.member import (
    Label,
    MemberKeys,
    ProjectSecret,
    open_label,
    open_secret,
    seal_label,
    seal_secret,
    shown,
    spelled,
)
from lucidnode.fs.membership.recovery_code import SHOWN_AS
from lucidnode.node.client.device_certificate import device_certificate
from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.client.roster import ForeignRoster
from lucidnode.node.client.roster_entry import (
    Body,
    DeviceClaim,
    Join,
    Project,
    RosterEntry,
    device_proof_message,
    entry_hash,
    signing_message,
)

FILM = ProjectId("0f" * 16)
MIB = 1024 * 1024


def signed_next(studio: Studio, author: MemberKeys, body: Body) -> bytes:
    """Return a well-signed entry for the next slot, as another program might write it."""
    raw = msgspec.msgpack.encode(body)
    seq, previous = Seq(len(studio.entries) + 1), entry_hash(studio.entries[-1])
    signature = author.sign(signing_message(seq, previous, author.public, raw))
    return RosterEntry(1, seq, previous, author.public, raw, signature).encode()


def claim_with_box(studio: Studio, member: MemberKeys, box: bytes) -> DeviceClaim:
    seed = sodium.random_bytes(32)
    public = sodium.signing_public(seed)
    certificate = device_certificate(public, partial(sodium.sign, seed))
    message = device_proof_message(studio.studio, member.public, box, public, certificate)
    return DeviceClaim(public, certificate, sodium.sign(seed, message))


def test_every_member_opens_every_project_with_the_same_keys() -> None:
    """Whether the project was there before the invite, before the join, or came after it."""
    studio = Studio()
    studio.project("before the invite")
    invite = studio.invite()
    studio.project("before the join")
    bo = studio.newcomer()
    studio.entries.append(studio.joining(invite, bo))
    studio.project("after the join", by=bo, block_size=4 * MIB)
    mine = studio.view(studio.ada).projects()
    assert mine == studio.view(bo).projects()
    assert [(one.name, one.block_size) for one in mine] == [
        ("after the join", 4 * MIB),
        ("before the invite", MIB),
        ("before the join", MIB),
    ]
    assert all(one.keys.project == one.id for one in mine)


def test_a_project_is_found_by_name_and_by_id() -> None:
    studio = Studio()
    project = studio.project("Fête 2")
    view = studio.view(studio.ada)
    assert view.project("Fête 2").id == project
    assert view.project("Fe\u0302te 2").id == project
    assert view.project(project).name == "Fête 2"
    with pytest.raises(NoSuchProject):
        view.project("Fête")


def test_a_name_is_taken_once() -> None:
    studio = Studio()
    studio.project("trailer")
    with pytest.raises(NameTaken):
        studio.project("trailer")


def named(studio: Studio, number: int, name: str) -> Project:
    """Return a project that its author called *name*, whatever is there already."""
    project = f"{number:032x}"
    boxes = [member.box for member in studio.roster().members.values()]
    secret = ProjectSecret(project, name, 1, bytes(32))
    return Project(project, MIB, {box: seal_secret(secret, box) for box in boxes})


def test_projects_of_one_name_made_elsewhere_are_told_apart_by_a_number() -> None:
    studio = Studio()
    bo = studio.join()
    first = studio.project("trailer")
    names = ["trailer (2)", "trailer", "trailer", "trailer (2)"]
    told = ["trailer (2)", "trailer (3)", "trailer (4)", "trailer (2) (2)"]
    for number, (name, expected) in enumerate(zip(names, told, strict=True), start=1):
        studio.entries.append(signed_next(studio, studio.ada.keys, named(studio, number, name)))
        for member in (studio.ada, bo):
            view = studio.view(member)
            assert view.project(expected).id == f"{number:032x}"
            assert view.project("trailer").id == first
            assert view.project(f"{number:032x}").name == expected
    with pytest.raises(NameTaken):
        studio.project("trailer (3)")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("red\x1b[31m", "red\ufffd[31m"),
        ("two\nlines", "two\ufffdlines"),
        ("a/b", "a\ufffdb"),
        ("", "\ufffd"),
        ("  ", "\ufffd"),
        ("\u202eevil", "\ufffdevil"),
        ("fine name", "fine name"),
        ("Fe\u0302te", "F\u00eate"),
    ],
)
def test_a_name_that_somebody_else_chose_is_one_line_of_visible_characters(
    name: str, expected: str
) -> None:
    studio = Studio()
    studio.entries.append(signed_next(studio, studio.ada.keys, named(studio, 1, name)))
    assert [one.name for one in studio.view(studio.ada).projects()] == [expected]
    assert shown("x" + name * 300).isprintable()
    assert len(shown("x" + name * 300).encode()) <= 255
    invite = studio.invite()
    bo = msgspec.structs.replace(studio.newcomer(), label=Label("Bo", "edit-2"))
    label = seal_label(studio.name_key, bo.keys.public, Label(name, name))
    device = claim_with_box(studio, bo.keys, bo.keys.box)
    body = Join(bo.keys.public, bo.keys.box, device, label, NOW, {})
    studio.entries.append(signed_next(studio, invite, body))
    assert studio.view(bo).people()[1].label in {Label(expected, expected), Label("", "")}


def test_a_name_that_is_too_long_hides_only_its_project() -> None:
    studio = Studio()
    long = named(studio, 1, "n" * 256)
    assert all(len(seal) <= 512 for seal in long.seals.values())
    studio.entries.append(signed_next(studio, studio.ada.keys, long))
    assert studio.roster().projects
    assert not studio.view(studio.ada).projects()


def test_a_secret_that_was_sealed_wrongly_hides_only_its_project() -> None:
    studio = Studio()
    studio.project("sound")
    keys = studio.ada.keys
    other = ProjectSecret("cd" * 16, "of another project", 1, bytes(32))
    for project, sealed in [("aa" * 16, b"garbage"), ("ab" * 16, seal_secret(other, keys.box))]:
        studio.entries.append(signed_next(studio, keys, Project(project, MIB, {keys.box: sealed})))
    assert not studio.roster().voids
    assert [one.name for one in studio.view(studio.ada).projects()] == ["sound"]


def test_people_and_their_workstations_have_names() -> None:
    studio = Studio()
    bo = studio.join("viewer", "Bo", "grading")
    studio.invite("editor")
    view = studio.view(bo)
    assert [(one.label, one.role, one.is_me) for one in view.people()] == [
        (Label("Ada", "edit-1"), "owner", False),
        (Label("Bo", "grading"), "viewer", True),
    ]
    assert [(one.label.member, one.role, one.expires_ns) for one in view.invites()] == [
        ("Bo", "editor", EXPIRES)
    ]
    assert sorted(label.device for label in view.labels().values()) == ["edit-1", "grading"]


def test_a_name_that_does_not_open_is_shown_as_such() -> None:
    studio = Studio()
    stray = msgspec.structs.replace(studio.ada, name_key=bytes(32))
    assert [one.label.member for one in studio.view(stray).people()] == ["(unreadable name)"]


def test_who_is_not_listed_has_no_view() -> None:
    studio = Studio()
    with pytest.raises(NotAMember):
        studio.view(studio.newcomer())
    with pytest.raises(ForeignRoster):
        Studio().view(studio.ada)


def test_no_name_or_key_is_readable_in_the_log() -> None:
    studio = Studio()
    studio.join("editor", "Grace Unmistakable", "workstation-unmistakable")
    studio.project("project-unmistakable")
    log = b"".join(studio.entries)
    assert b"nmistakable" not in log
    assert b"Ada" not in log
    assert studio.ada.keys.sign_seed not in log


def test_short_and_long_names_seal_to_the_same_size() -> None:
    key = bytes(32)
    sizes = {len(seal_label(key, key, Label("a" * n, "b" * n))) for n in range(1, 20)}
    assert len(sizes) == 1


@pytest.mark.parametrize("name", ["", " ", "a ", " a", "a/b", "a\nb", "a\0b", "\u200b", "é" * 128])
def test_a_name_nobody_can_type_is_refused(name: str) -> None:
    with pytest.raises(Invalid):
        spelled(name)
    studio = Studio()
    with pytest.raises(Invalid):
        studio.project(name)


@pytest.mark.parametrize("size", [0, -MIB, MIB + 1, 128 * 1024, 32 * MIB])
def test_a_block_size_outside_the_format_is_refused(size: int) -> None:
    studio = Studio()
    with pytest.raises(Invalid):
        project_entry(studio.view(studio.ada), FILM, "trailer", size)


def test_an_invite_needs_no_name() -> None:
    studio = Studio()
    studio.entries.append(
        invite_entry(studio.view(studio.ada), MemberKeys.new(), "viewer", EXPIRES, "")
    )
    assert studio.view(studio.ada).invites()[0].label == Label("", "")


def test_nobody_joins_with_a_key_that_cannot_be_sealed_to() -> None:
    studio = Studio()
    bo = studio.newcomer()
    invite = studio.invite()
    # All zeros is a point of low order: whatever is sealed to it, anybody could open.
    device = claim_with_box(studio, bo.keys, bytes(32))
    body = Join(bo.keys.public, bytes(32), device, b"", NOW, {})
    studio.entries.append(signed_next(studio, invite, body))
    assert bo.keys.public not in studio.roster().members
    assert invite.public in studio.roster().invites


# -- what is sealed ------------------------------------------------------------------------------


def test_a_label_belongs_to_one_member() -> None:
    key = sodium.random_bytes(32)
    sealed = seal_label(key, b"ada", Label("Ada", "edit-1"))
    assert open_label(key, b"ada", sealed) == Label("Ada", "edit-1")
    for wrong_key, owner, wrong in [
        (key, b"bo!", sealed),
        (bytes(32), b"ada", sealed),
        (key, b"ada", sealed[:-1]),
        (key, b"ada", sealed[:40]),
        (key, b"ada", b""),
    ]:
        with pytest.raises(FormatError):
            open_label(wrong_key, owner, wrong)


def test_a_flipped_bit_anywhere_in_a_label_is_found() -> None:
    key = sodium.random_bytes(32)
    sealed = bytearray(seal_label(key, b"ada", Label("Ada", "edit-1")))
    for position in range(len(sealed)):
        sealed[position] ^= 4
        with pytest.raises(FormatError):
            open_label(key, b"ada", bytes(sealed))
        sealed[position] ^= 4


def test_a_project_secret_opens_for_its_member_and_project_only() -> None:
    mine, other = MemberKeys.new(), MemberKeys.new()
    secret = ProjectSecret(FILM, "trailer", 1, b"k" * 32)
    sealed = seal_secret(secret, mine.box)
    assert open_secret(mine, FILM, sealed) == secret
    for keys, project in [(other, FILM), (mine, ProjectId("f0" * 16))]:
        with pytest.raises(FormatError):
            open_secret(keys, project, sealed)


@pytest.mark.parametrize(
    "secret",
    [
        ProjectSecret(FILM, "trailer", 0, b"k" * 32),
        ProjectSecret(FILM, "trailer", 2**32, b"k" * 32),
        ProjectSecret(FILM, "trailer", 1, b"k" * 31),
    ],
)
def test_a_project_secret_without_a_usable_key_is_refused(secret: ProjectSecret) -> None:
    mine = MemberKeys.new()
    with pytest.raises(FormatError):
        open_secret(mine, FILM, seal_secret(secret, mine.box))


@pytest.mark.parametrize("contents", [b"", b"\xc1", msgspec.msgpack.encode({"project": FILM})])
def test_contents_that_do_not_parse_are_refused(contents: bytes) -> None:
    mine, key = MemberKeys.new(), bytes(32)
    framed = len(contents).to_bytes(4, "big") + contents + bytes(60 - len(contents))
    with pytest.raises(FormatError):
        open_secret(mine, FILM, sodium.seal_to(mine.box, framed))
    nonce = bytes(32)
    with pytest.raises(FormatError):
        open_label(key, b"ada", nonce + sodium.aegis256_seal(key, nonce, framed, b"ada"))


def test_secrets_do_not_show_in_logs_and_tracebacks() -> None:
    studio = Studio()
    secret = ProjectSecret(FILM, "trailer", 1, b"unmistakable-key-of-32-bytes-long")
    shown = repr(studio.ada) + repr(studio.ada.keys) + repr(secret)
    assert "unmistakable" not in shown
    assert repr(studio.ada.keys.sign_seed)[2:-1] not in shown
    assert repr(studio.name_key)[2:-1] not in shown


@pytest.mark.parametrize("sizes", [(31, 32), (32, 33), (0, 0)])
def test_member_keys_have_one_size(sizes: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="key sizes"):
        MemberKeys(bytes(sizes[0]), bytes(sizes[1]))


def test_the_recovery_codes_of_a_member_are_told_from_tickets_and_from_those_of_others() -> None:
    studio = Studio()
    cy = studio.join("owner", "Cy")
    hers, his = MemberKeys.new(), MemberKeys.new()
    for who, keys in ((studio.ada, hers), (cy, his)):
        view = studio.view(who)
        studio.entries.append(invite_entry(view, keys, "owner", EXPIRES, SHOWN_AS))
    studio.invite("owner")
    view = studio.view(studio.ada)
    assert view.recovery_codes() == {hers.public}
    assert [one.is_recovery_code for one in view.invites()] == [True, True, False]
    studio.entries.append(revoke_entry(view, {hers.public}))
    assert studio.view(studio.ada).recovery_codes() == set()
    assert studio.view(cy).recovery_codes() == {his.public}
