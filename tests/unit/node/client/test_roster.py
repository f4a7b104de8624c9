"""The roster's rules: who gets in, who may do what, and that everybody reads the same."""

from __future__ import annotations

import ssl
from functools import partial
from typing import Any

import msgspec
import pytest
from studio_fixture import EXPIRES, NOW, Studio, claim

from lucidnode.fs.errors import NotAllowed, TicketSpent
from lucidnode.fs.format import sodium
from lucidnode.fs.membership.member import (
    Label,
    MemberKeys,
    ProjectSecret,
    seal_label,
    seal_secret,
)
from lucidnode.node.client.device_certificate import SIZE, device_certificate
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import DeviceId, Seq
from lucidnode.node.client.roster import ForeignRoster, NewerRoster, Roster, Void
from lucidnode.node.client.roster_entry import (
    FORMAT,
    MAX_ENTRY_BYTES,
    MAX_FORMAT,
    MAX_LABEL,
    MAX_SEALED,
    NO_ENTRY,
    Body,
    DeviceClaim,
    Genesis,
    Invite,
    Join,
    Project,
    RosterEntry,
    device_id,
    device_proof_message,
    entry_hash,
    is_item_of,
    signing_message,
    stand_in,
)
from lucidnode.node.client.roster_people import MAX_PEOPLE
from lucidnode.node.client.roster_rules import (
    MAX_BYTES_OF_AUTHOR,
    MAX_VOIDS,
    RosterReader,
    verified,
)
from lucidnode.node.client.roster_state import MAX_PROJECTS, MAX_PROJECTS_OF_EDITOR


def by_hand(studio: Studio, author: MemberKeys, body: Body | bytes, number: int = FORMAT) -> bytes:
    """Return a well-signed entry for the next slot that no rule has looked at."""
    raw = body if isinstance(body, bytes) else msgspec.msgpack.encode(body)
    head = studio.roster()
    seq, previous = Seq(head.head + 1), head.head_hash
    message = signing_message(seq, previous, author.public, raw, number)
    return RosterEntry(number, seq, previous, author.public, raw, author.sign(message)).encode()


def invite_body(keys: MemberKeys, **changes: Any) -> Invite:
    body = Invite(keys.public, keys.box, "editor", EXPIRES, b"label", {})
    return msgspec.structs.replace(body, **changes)


def join_body(studio: Studio, keys: MemberKeys, seed: bytes = b"d" * 32, **changes: Any) -> Join:
    device = claim(studio.studio, keys, seed)
    return msgspec.structs.replace(
        Join(keys.public, keys.box, device, b"label", NOW, {}), **changes
    )


def project_body(**changes: Any) -> Project:
    return msgspec.structs.replace(Project("ab" * 16, 1024 * 1024, {}), **changes)


def only_void(studio: Studio, raw: bytes) -> str:
    """Add *raw* and return why it is void; nothing else of the roster may change."""
    before = studio.roster()
    studio.entries.append(raw)
    after = studio.roster()
    assert (after.members, after.devices, after.invites, after.projects) == (
        before.members,
        before.devices,
        before.invites,
        before.projects,
    )
    assert after.head == before.head + 1
    assert [void.seq for void in after.voids[len(before.voids) :]] == [after.head]
    return after.voids[-1].reason


# -- a studio as it should be --------------------------------------------------------------------


def test_the_founder_is_an_owner_with_a_device_that_may_write() -> None:
    studio = Studio()
    roster = studio.roster()
    (ada,) = roster.members.values()
    assert (ada.role, ada.public) == ("owner", studio.ada.keys.public)
    device = roster.devices[ada.device]
    assert device.id == device_id(device.public)
    assert roster.writer_key(ada.device) == device.public
    assert (roster.head, roster.studio) == (1, studio.studio)
    assert roster.genesis == studio.ada.genesis == roster.head_hash


@pytest.mark.parametrize("role", ["owner", "editor", "viewer"])
def test_who_joins_has_the_role_of_the_invite(role: Any) -> None:
    studio = Studio()
    bo = studio.join(role)
    member = studio.roster().members[bo.keys.public]
    assert member.role == role
    assert studio.roster().devices[member.device].role == role
    assert not studio.roster().invites
    assert (studio.roster().writer_key(member.device) is None) == (role == "viewer")


def test_an_unknown_device_may_not_write() -> None:
    assert Studio().roster().writer_key(DeviceId("00" * 16)) is None


def test_nobody_is_known_before_the_first_entry() -> None:
    roster = Roster.empty()
    assert not roster.members
    assert not roster.devices
    assert roster.head == 0


def test_another_owner_can_invite_and_create_projects() -> None:
    studio = Studio()
    bo = studio.join("owner")
    invite = studio.invite(by=bo)
    project = studio.project("trailer", by=bo)
    assert invite.public in studio.roster().invites
    assert studio.roster().projects[project].author == bo.keys.public
    assert not studio.roster().voids


def test_a_project_is_sealed_to_every_member_and_open_invite() -> None:
    studio = Studio()
    bo, invite = studio.join(), studio.invite()
    project = studio.project("trailer")
    seals = studio.roster().projects[project].seals
    assert set(seals) == {studio.ada.keys.box, bo.keys.box, invite.box}


# -- the first entry -----------------------------------------------------------------------------


def test_a_bucket_without_a_roster_is_foreign() -> None:
    with pytest.raises(ForeignRoster):
        verified([], None)


def test_another_studios_roster_is_foreign_even_if_sound() -> None:
    mine, other = Studio(), Studio()
    with pytest.raises(ForeignRoster):
        verified(other.entries, mine.ada.genesis)
    assert verified(other.entries, None).genesis == other.ada.genesis


def test_a_flipped_bit_anywhere_in_the_first_entry_founds_no_studio() -> None:
    (raw,) = Studio().entries
    flipped = bytearray(raw)
    for position in range(len(raw)):
        flipped[position] ^= 1 << position % 8
        with pytest.raises(ForeignRoster):
            verified([bytes(flipped)], None)
        flipped[position] = raw[position]


def test_a_first_entry_cut_or_extended_founds_no_studio() -> None:
    (raw,) = Studio().entries
    for wrong in [*(raw[:length] for length in range(len(raw))), raw + b"\0", raw + raw]:
        with pytest.raises(ForeignRoster):
            verified([wrong], None)


def first_entry(author: MemberKeys, body: Body, number: int = FORMAT) -> bytes:
    raw = msgspec.msgpack.encode(body)
    message = signing_message(Seq(1), NO_ENTRY, author.public, raw, number)
    return RosterEntry(number, 1, NO_ENTRY, author.public, raw, author.sign(message)).encode()


def test_only_a_founding_founds() -> None:
    author = MemberKeys.new()
    device = claim(b"S" * 16, author, b"d" * 32)
    sound = Genesis(b"S" * 16, author.box, device, b"label")
    assert verified([first_entry(author, sound)], None).head == 1
    unconfirmed = msgspec.structs.replace(
        sound, device=msgspec.structs.replace(device, proof=bytes(64))
    )
    for raw in [
        first_entry(author, project_body()),
        first_entry(author, unconfirmed),
        first_entry(author, msgspec.structs.replace(sound, studio=b"T" * 16)),
        first_entry(author, msgspec.structs.replace(sound, member_box=b"b" * 32)),
        first_entry(author, msgspec.structs.replace(sound, studio=b"S" * 15)),
        first_entry(author, sound, number=2),
    ]:
        with pytest.raises(ForeignRoster):
            verified([raw], None)


# -- void entries --------------------------------------------------------------------------------


def test_garbage_is_void_and_the_log_goes_on_behind_it() -> None:
    studio = Studio()
    for garbage in (b"", b"\0", b"\xc1", b"<html>", bytes(1000), bytes(MAX_ENTRY_BYTES + 1)):
        only_void(studio, garbage)
    studio.join()
    assert len(studio.roster().members) == 2
    assert len(studio.roster().voids) == 6


def test_a_flipped_bit_anywhere_makes_an_entry_void() -> None:
    studio = Studio()
    studio.invite()
    raw = studio.entries.pop()
    sound = len(studio.roster().invites)
    flipped = bytearray(raw)
    for position in range(len(raw)):
        flipped[position] ^= 1 << position % 8
        roster = verified([*studio.entries, bytes(flipped)], studio.ada.genesis)
        assert len(roster.voids) == 1
        assert len(roster.invites) == sound
        flipped[position] = raw[position]


def test_an_entry_holds_in_its_own_slot_and_history_only() -> None:
    studio, before = Studio(), Studio()
    studio.invite()
    raw = studio.entries[-1]
    assert only_void(studio, raw) == "made for another place in the log"
    before.entries.append(raw)
    assert len(before.roster().voids) == 1


def test_replacing_an_old_entry_voids_what_was_built_on_it() -> None:
    """The bucket's owner can break the log, and everybody sees it; it cannot bend it."""
    studio = Studio()
    bo = studio.join()
    replaced = [studio.entries[0], b"garbage", *studio.entries[2:]]
    roster = verified(replaced, studio.ada.genesis)
    assert bo.keys.public not in roster.members
    assert len(roster.voids) == 2


def test_an_entry_does_not_hold_on_another_past() -> None:
    """Even where nothing in it depends on the entry that was exchanged."""
    studio = Studio()
    studio.invite()
    studio.project("trailer")
    exchanged = [studio.entries[0], b"garbage", studio.entries[2]]
    roster = verified(exchanged, studio.ada.genesis)
    assert not roster.projects
    assert [void.seq for void in roster.voids] == [2, 3]


def test_an_entry_has_one_encoding() -> None:
    studio = Studio()
    studio.invite()
    raw = studio.entries.pop()
    fields = msgspec.msgpack.decode(raw)
    assert RosterEntry.parse(msgspec.msgpack.encode(fields)).seq == 2
    reordered = msgspec.msgpack.encode(dict(reversed(fields.items())))
    more = msgspec.msgpack.encode({**fields, "more": 1})
    wide = raw.replace(b"\xa6format\x01", b"\xa6format\xcc\x01")
    assert len(wide) == len(raw) + 1
    for wrong in (reordered, more, wide):
        with pytest.raises(Malformed):
            RosterEntry.parse(wrong)
        only_void(studio, wrong)


@pytest.mark.parametrize("role", ["editor", "viewer"])
def test_only_owners_invite(role: Any) -> None:
    studio = Studio()
    bo = studio.join(role)
    with pytest.raises(NotAllowed):
        studio.invite(by=bo)
    raw = by_hand(studio, bo.keys, invite_body(MemberKeys.new(), role="owner"))
    assert only_void(studio, raw) == "only an owner, or an editor who is allowed to, invites"


def test_a_viewer_creates_no_project() -> None:
    studio = Studio()
    bo = studio.join("viewer")
    with pytest.raises(NotAllowed):
        studio.project("trailer", by=bo)
    raw = by_hand(studio, bo.keys, project_body())
    assert only_void(studio, raw) == "only an owner or editor creates projects"


def test_a_stranger_does_nothing() -> None:
    studio, stranger = Studio(), MemberKeys.new()
    for body in (
        invite_body(MemberKeys.new()),
        join_body(studio, stranger),
        project_body(),
        Genesis(studio.studio, stranger.box, claim(studio.studio, stranger, b"d" * 32), b""),
    ):
        only_void(studio, by_hand(studio, stranger, body))


def test_an_invite_is_good_for_one() -> None:
    studio = Studio()
    invite = studio.invite()
    studio.entries.append(studio.joining(invite, studio.newcomer()))
    with pytest.raises(TicketSpent):
        studio.joining(invite, studio.newcomer())
    raw = by_hand(studio, invite, join_body(studio, MemberKeys.new()))
    assert only_void(studio, raw) == "by nobody of the studio"


def test_of_two_who_race_for_one_invite_the_first_gets_in() -> None:
    studio = Studio()
    invite = studio.invite()
    first, second = studio.newcomer(), studio.newcomer()
    entries = [studio.joining(invite, first), studio.joining(invite, second)]
    studio.entries.append(entries[0])
    only_void(studio, entries[1])
    assert set(studio.roster().members) == {studio.ada.keys.public, first.keys.public}


def test_an_invite_past_its_time_admits_nobody() -> None:
    studio = Studio()
    invite = studio.invite(expires_ns=NOW - 1)
    with pytest.raises(TicketSpent):
        studio.joining(invite, studio.newcomer())
    raw = by_hand(studio, invite, join_body(studio, MemberKeys.new()))
    assert only_void(studio, raw) == "the invite had expired"


def test_a_device_must_confirm_its_member() -> None:
    studio = Studio()
    invite = studio.invite()
    who, other = MemberKeys.new(), MemberKeys.new()
    sound = join_body(studio, who)
    for device in (
        claim(studio.studio, other, b"d" * 32),
        claim(b"T" * 16, who, b"d" * 32),
        msgspec.structs.replace(sound.device, proof=bytes(64)),
    ):
        raw = by_hand(studio, invite, msgspec.structs.replace(sound, device=device))
        assert only_void(studio, raw) == "the device does not confirm its member"
    studio.entries.append(by_hand(studio, invite, sound))
    assert who.public in studio.roster().members


def test_a_device_has_one_member() -> None:
    studio = Studio()
    first, second = studio.invite(), studio.invite()
    studio.entries.append(studio.joining(first, studio.newcomer(), seed=b"d" * 32))
    raw = studio.joining(second, studio.newcomer(), seed=b"d" * 32)
    assert only_void(studio, raw) == "the device belongs to a member already"
    assert second.public in studio.roster().invites


def test_nobody_can_take_anothers_keys() -> None:
    """Neither to pass as that person, nor to catch what is sealed to them."""
    studio = Studio()
    ada, mine = studio.ada.keys, MemberKeys.new()
    invite, pending = studio.invite(), studio.invite()
    for taken in (ada, pending):
        for sign_seed, box_secret in [
            (taken.sign_seed, mine.box_secret),
            (mine.sign_seed, taken.box_secret),
        ]:
            keys = MemberKeys(sign_seed, box_secret)
            join = by_hand(studio, invite, join_body(studio, keys))
            assert only_void(studio, join) == "a key that is in use"
            again = by_hand(studio, ada, invite_body(keys))
            assert only_void(studio, again) == "a key that is in use"


def test_a_project_is_created_once() -> None:
    studio = Studio()
    project = studio.project("trailer")
    raw = by_hand(studio, studio.ada.keys, project_body(project=project))
    assert only_void(studio, raw) == "the project exists"


def test_a_newcomer_changes_only_its_own_seals() -> None:
    studio = Studio()
    project = studio.project("trailer")
    invite = studio.invite()
    who = MemberKeys.new()
    before = studio.roster().projects[project].seals
    body = join_body(studio, who, projects={project: b"x" * 64, "cd" * 16: b"no such project"})
    studio.entries.append(by_hand(studio, invite, body))
    after = studio.roster().projects
    assert dict(after[project].seals) == {**before, who.box: b"x" * 64}
    assert set(after) == {project}


# -- limits --------------------------------------------------------------------------------------


LIMITS = ("roster entry: ", "project id", "not the MessagePack")
"""How the reasons start that speak of shape and size, not of who may do what."""

PROJECTS: list[dict[str, Any]] = [
    {"project": "AB" * 16},
    {"project": "../../studio"},
    {"block_size": 0},
    {"block_size": -(2**20)},
    {"block_size": 2**17},
    {"block_size": 2**25},
    {"block_size": 2**20 + 1},
    {"seals": {b"short": b""}},
    {"seals": {bytes(32): bytes(MAX_SEALED + 1)}},
]
INVITES: list[dict[str, Any]] = [
    {"invite": bytes(31)},
    {"invite_box": bytes(33)},
    {"label": bytes(MAX_LABEL + 1)},
    {"expires_ns": -1},
    {"role": "king"},
    {"projects": {"x": b""}},
    {"projects": {"ab" * 16: bytes(MAX_SEALED + 1)}},
]
JOINS: list[dict[str, Any]] = [
    {"member": bytes(31)},
    {"member_box": bytes(31)},
    {"joined_ns": -1},
    {"label": bytes(MAX_LABEL + 1)},
    {"projects": {"x": b""}},
]
DEVICES: list[dict[str, Any]] = [
    {"public": bytes(31)},
    {"certificate": b""},
    {"certificate": bytes(SIZE)},
    {"certificate": b"garbage"},
    {"proof": bytes(63)},
]


def test_a_body_outside_its_limits_is_void() -> None:
    studio = Studio()
    ada, invite, newcomer = studio.ada.keys, studio.invite(), MemberKeys.new()
    device = join_body(studio, newcomer).device
    wrong: list[tuple[MemberKeys, Body]] = [
        *((ada, project_body(**changes)) for changes in PROJECTS),
        *((ada, invite_body(newcomer, **changes)) for changes in INVITES),
        *((invite, join_body(studio, newcomer, **changes)) for changes in JOINS),
        *(
            (invite, join_body(studio, newcomer, device=msgspec.structs.replace(device, **changes)))
            for changes in DEVICES
        ),
    ]
    for author, body in wrong:
        reason = only_void(studio, by_hand(studio, author, body))
        assert reason.startswith(LIMITS), (reason, body)
    # None of them was void for another reason: unchanged they hold.
    sound: list[tuple[MemberKeys, Body]] = [
        (ada, project_body()),
        (ada, invite_body(MemberKeys.new())),
        (invite, join_body(studio, newcomer)),
    ]
    for author, body in sound:
        studio.entries.append(by_hand(studio, author, body))
    assert len(studio.roster().voids) == len(wrong)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode({"type": "king"}),
        msgspec.msgpack.encode({"type": "project"}),
        msgspec.msgpack.encode({**msgspec.to_builtins(project_body()), "type": "join"}),
        msgspec.msgpack.encode({**msgspec.to_builtins(project_body()), "more": 1}),
        msgspec.msgpack.encode(project_body()) + b"\0",
    ],
)
def test_a_body_that_does_not_parse_is_void(body: bytes) -> None:
    studio = Studio()
    assert only_void(studio, by_hand(studio, studio.ada.keys, body)).startswith(LIMITS)


def test_an_entry_over_the_limit_is_not_made() -> None:
    studio = Studio()
    with pytest.raises(Malformed):
        by_hand(studio, studio.ada.keys, bytes(MAX_ENTRY_BYTES))


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 0},
        {"seq": 0},
        {"seq": 2**53},
        {"previous": bytes(31)},
        {"author": bytes(33)},
        {"signature": bytes(63)},
    ],
)
def test_an_envelope_outside_its_limits_is_malformed(changes: dict[str, Any]) -> None:
    entry = RosterEntry.parse(Studio().entries[0])
    with pytest.raises(Malformed):
        RosterEntry.parse(msgspec.structs.replace(entry, **changes).encode())


# -- later formats -------------------------------------------------------------------------------

LATER = b"what it means is not known here"


def test_an_owners_entry_of_a_later_format_ends_reading_with_the_last_state_understood() -> None:
    studio = Studio()
    studio.join()
    before = studio.roster()
    studio.entries.append(by_hand(studio, studio.ada.keys, LATER, number=MAX_FORMAT + 1))
    studio.entries.append(b"whatever stands behind it")
    after = studio.roster()
    assert (after.newer, after.head, after.head_hash) == (4, 3, before.head_hash)
    assert after.members == before.members
    with pytest.raises(NewerRoster, match="update"):
        studio.invite()
    with pytest.raises(NewerRoster, match="update"):
        studio.project("trailer")


def test_nobody_else_can_announce_a_later_format() -> None:
    studio = Studio()
    editor, viewer, invite = studio.join(), studio.join("viewer"), studio.invite("viewer")
    for author in (editor.keys, viewer.keys, invite, MemberKeys.new()):
        only_void(studio, by_hand(studio, author, LATER, number=MAX_FORMAT + 1))
    stolen = RosterEntry.parse(by_hand(studio, editor.keys, b"", number=MAX_FORMAT + 1))
    only_void(studio, msgspec.structs.replace(stolen, author=studio.ada.keys.public).encode())
    assert studio.roster().newer is None
    studio.entries.append(studio.joining(invite, studio.newcomer()))
    assert len(studio.roster().members) == 4


# -- what is no entry ----------------------------------------------------------------------------


def test_what_is_no_entry_stands_in_the_chain_by_its_stand_in() -> None:
    studio = Studio()
    for thing in (
        b"",
        b"<html>",
        bytes(MAX_ENTRY_BYTES + 1),
        by_hand(studio, MemberKeys.new(), LATER),
    ):
        studio.entries.append(thing)
        placeholder = stand_in(entry_hash(thing))
        assert studio.roster().head_hash == entry_hash(placeholder)
        # A reader that has kept only the stand-in comes to the same.
        kept = verified([*studio.entries[:-1], placeholder], studio.ada.genesis)
        assert kept.head_hash == studio.roster().head_hash


def test_an_entry_cannot_be_passed_off_as_none() -> None:
    """Nor the other way round: the entry behind it is chained to what its author saw."""
    studio = Studio()
    studio.invite()
    studio.project("trailer")
    hidden = stand_in(entry_hash(studio.entries[1]))
    roster = verified([studio.entries[0], hidden, studio.entries[2]], studio.ada.genesis)
    assert [void.seq for void in roster.voids] == [2, 3]


def test_a_lost_object_can_be_put_back_by_its_stand_in() -> None:
    studio = Studio()
    studio.entries.append(b"garbage")
    placeholder = stand_in(entry_hash(b"garbage"))
    studio.invite()
    put_back = [studio.entries[0], placeholder, studio.entries[2]]
    assert verified(put_back, studio.ada.genesis).invites == studio.roster().invites
    for thing in (b"garbage", placeholder):
        assert is_item_of(placeholder, entry_hash(thing))
    assert is_item_of(studio.entries[2], entry_hash(studio.entries[2]))
    assert not is_item_of(studio.entries[2], entry_hash(b"garbage"))


def test_what_nobody_built_on_can_be_read_again() -> None:
    studio = Studio()
    studio.entries += [b"garbage", b"more"]
    reader = RosterReader(studio.ada.genesis)
    for item in studio.entries:
        reader.read(item)
    assert reader.last_entry() == 1
    assert reader.up_to(reader.last_entry()).roster() == verified(
        studio.entries[:1], studio.ada.genesis
    )
    studio.invite()
    reader.read(studio.entries[-1])
    assert reader.last_entry() == 4


def test_nobody_keeps_what_strangers_put_in_the_log() -> None:
    studio = Studio()
    reader = RosterReader(studio.ada.genesis)
    reader.read(studio.entries[0])
    for _ in range(MAX_VOIDS + 10):
        reader.read(b"x" * 1000)
    assert sum(map(len, reader.log[1:])) == 36 * (MAX_VOIDS + 10)
    assert len(reader.roster().voids) == MAX_VOIDS
    assert reader.roster().voids[-1].seq == reader.roster().head


def test_a_look_at_the_next_item_changes_nothing() -> None:
    studio = Studio()
    studio.invite()
    reader = RosterReader(studio.ada.genesis)
    with pytest.raises(ForeignRoster):
        reader.check(b"garbage")
    reader.check(studio.entries[0])
    reader.read(studio.entries[0])
    before = reader.roster()
    for wrong in (b"garbage", studio.entries[0], studio.entries[1][:-1]):
        with pytest.raises(Void):
            reader.check(wrong)
    reader.check(studio.entries[1])
    assert reader.roster() == before
    reader.read(studio.entries[1])
    assert reader.roster() == studio.roster()
    assert not before.invites


# -- keys ----------------------------------------------------------------------------------------

SMALL_POINT = bytes([1]) + bytes(31)
"""Of order 1: one signature by it holds for every message, in OpenSSL."""


def test_keys_at_the_edge_of_their_curves_are_no_keys() -> None:
    studio = Studio()
    ada, invite, who = studio.ada.keys, studio.invite(), MemberKeys.new()
    unreduced = (int.from_bytes(who.box, "little") | 1 << 255).to_bytes(32, "little")
    for box in (bytes(32), SMALL_POINT, b"\xff" * 32, unreduced):
        only_void(studio, by_hand(studio, ada, invite_body(who, invite_box=box)))
        only_void(studio, by_hand(studio, invite, join_body(studio, who, member_box=box)))
    for public in (bytes(32), SMALL_POINT, b"\xff" * 32):
        only_void(studio, by_hand(studio, ada, invite_body(who, invite=public)))
        only_void(studio, by_hand(studio, invite, join_body(studio, who, member=public)))
        device = join_body(studio, who).device
        for claimed in (
            msgspec.structs.replace(device, public=public),
            msgspec.structs.replace(device, proof=SMALL_POINT + bytes(32)),
        ):
            only_void(studio, by_hand(studio, invite, join_body(studio, who, device=claimed)))


def test_a_certificate_is_the_one_of_its_key_or_none() -> None:
    studio = Studio()
    invite, who = studio.invite(), MemberKeys.new()
    seed, other = b"d" * 32, b"e" * 32
    public = sodium.signing_public(seed)
    sound = join_body(studio, who, seed).device.certificate
    for certificate in (
        b"garbage",
        sound[:-1],
        sound + b"\0",
        sound[:-1] + bytes([sound[-1] ^ 1]),
        device_certificate(sodium.signing_public(other), partial(sodium.sign, other)),
        device_certificate(public, partial(sodium.sign, other)),
    ):
        # The device itself confirms it: nothing but the certificate is wrong.
        message = device_proof_message(studio.studio, who.public, who.box, public, certificate)
        device = DeviceClaim(public, certificate, sodium.sign(seed, message))
        raw = by_hand(studio, invite, join_body(studio, who, device=device))
        assert only_void(studio, raw) == "roster entry: certificate"
    assert all(ssl.DER_cert_to_PEM_cert(d.certificate) for d in studio.roster().devices.values())


def test_a_body_has_one_encoding() -> None:
    studio = Studio()
    body = project_body(seals={studio.ada.keys.box: b"x"})
    fields = msgspec.msgpack.decode(msgspec.msgpack.encode(body))
    twice = msgspec.msgpack.encode(fields)
    assert twice.startswith(b"\x84")
    again = b"\xaablock_size" + msgspec.msgpack.encode(body.block_size)
    for wrong in (
        msgspec.msgpack.encode(dict(reversed(fields.items()))),
        msgspec.msgpack.encode({**fields, "block_size": float(body.block_size)}),
        b"\x85" + twice[1:] + again,
    ):
        only_void(studio, by_hand(studio, studio.ada.keys, wrong))


# -- limits of what one key can do to everybody's memory -----------------------------------------


def test_an_editor_creates_so_many_projects_and_keeps_no_owner_from_it() -> None:
    studio = Studio()
    bo = studio.join()
    reader = RosterReader(studio.ada.genesis)
    for item in studio.entries:
        reader.read(item)

    def create(author: MemberKeys, number: int) -> None:
        body = msgspec.msgpack.encode(project_body(project=f"{number:032x}"))
        seq, previous = Seq(len(reader.log) + 1), reader.hashes[-1]
        signature = author.sign(signing_message(seq, previous, author.public, body))
        reader.read(RosterEntry(1, seq, previous, author.public, body, signature).encode())

    for number in range(MAX_PROJECTS_OF_EDITOR):
        create(bo.keys, number)
    assert not reader.roster().voids
    create(bo.keys, MAX_PROJECTS_OF_EDITOR)
    assert [one.reason for one in reader.roster().voids] == ["too many projects by this editor"]
    create(studio.ada.keys, MAX_PROJECTS_OF_EDITOR)
    assert len(reader.roster().projects) == MAX_PROJECTS_OF_EDITOR + 1


def test_entries_that_invite_admit_and_create_projects_always_fit() -> None:
    key, id_, rest = 2 + 32, 2 + 32, 3 + 4096
    assert MAX_PROJECTS * (id_ + 3 + MAX_SEALED) + rest <= MAX_ENTRY_BYTES
    assert MAX_PEOPLE * (key + 3 + MAX_SEALED) + rest <= MAX_ENTRY_BYTES
    longest = ProjectSecret("ab" * 16, "n" * 255, 2**32 - 1, bytes(32))
    assert len(seal_secret(longest, MemberKeys.new().box)) <= MAX_SEALED
    assert len(seal_label(bytes(32), b"", Label("n" * 255, "n" * 255))) <= MAX_LABEL


@pytest.mark.parametrize("role", ["editor", "viewer"])
def test_nobody_but_an_owner_writes_without_end(role: Any) -> None:
    studio = Studio()
    bo = studio.join(role)
    reader = RosterReader(studio.ada.genesis)
    for item in studio.entries:
        reader.read(item)
    size = 0
    filling = bytes(MAX_ENTRY_BYTES - 1000)
    while not reader.roster().voids or reader.roster().voids[-1].reason != TOO_MUCH:
        seq, previous = Seq(len(reader.log) + 1), reader.hashes[-1]
        signature = bo.keys.sign(signing_message(seq, previous, bo.keys.public, filling))
        raw = RosterEntry(1, seq, previous, bo.keys.public, filling, signature).encode()
        size += len(raw)
        reader.read(raw)
        assert size < MAX_BYTES_OF_AUTHOR + MAX_ENTRY_BYTES
    assert sum(map(len, reader.log)) <= MAX_BYTES_OF_AUTHOR + 10_000
    studio.entries = list(reader.log)
    studio.invite()
    assert len(studio.roster().invites) == 1


TOO_MUCH = "its author has written too much"


def test_a_project_is_sealed_to_people_of_the_studio_only() -> None:
    studio = Studio()
    strangers = {bytes([n]) + bytes(31): b"x" for n in range(20)}
    seals = {studio.ada.keys.box: b"x", **strangers}
    studio.entries.append(by_hand(studio, studio.ada.keys, project_body(seals=seals)))
    (project,) = studio.roster().projects.values()
    assert set(project.seals) == {studio.ada.keys.box}


def test_a_device_claim_is_bound_to_keys_and_studio() -> None:
    keys = MemberKeys.new()
    assert isinstance(claim(b"S" * 16, keys, b"d" * 32), DeviceClaim)
    assert claim(b"S" * 16, keys, b"d" * 32).proof != claim(b"T" * 16, keys, b"d" * 32).proof
