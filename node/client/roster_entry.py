"""The roster's entries: what they say and how they are signed. Formats 1 to 4 (docs/format.md, "Roster").

    roster/<seq>   MessagePack map {format, seq, previous, author, body, signature}
    body           MessagePack map of one kind below, tagged by "type"
    signature      Ed25519 by `author` over `signing_message`

The envelope is the same in every later format; what a newer body means is not known here. Names
and project keys inside are sealed: this plane can check the log and read neither. Who may write
what is the matter of lucidnode.node.client.roster_rules.

An object under roster/<seq> that is no authentic entry stands in the log by its *stand-in*: 4 bytes
magic and its hash. So nobody keeps what strangers put there, and since a stand-in hashes to
something else than an entry, nobody can pass off one for the other either.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from blake3 import blake3

from lucidnode.node.client.device_certificate import is_certificate
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import MAX_SEQ, DeviceId, Seq, parse_project_id
from lucidnode.node.client.msgpack import decoded
from lucidnode.node.client.public_keys import (
    KEY_SIZE,
    SIGNATURE_SIZE,
    is_box_key,
    is_signing_key,
)

FORMAT = 1
"""Of the kinds that every release reads."""

ERA_FORMAT = 2
"""Of the kinds that begin an era. A release that does not know them reads no further."""

PROJECT_FORMAT = 3
"""Of the kinds that change a project, and of the settings that an owner makes for the studio."""

INVITING_FORMAT = 4
"""Of the kind by which an owner lets an editor invite."""

MAX_FORMAT = INVITING_FORMAT
"""The latest that this release reads."""

MAX_ENTRY_BYTES = 1024 * 1024
"""Bytes of one roster entry."""

MAX_LABEL = 1024
MAX_SEALED = 512
"""Bytes of a sealed label, and of a project secret sealed to one key."""

HASH_SIZE = 32
STUDIO_SIZE = 16

_MAX_NS = 2**63 - 1

NO_ENTRY = bytes(HASH_SIZE)
"""The `previous` of entry 1."""

ERA_PROJECT = "f" * 32
"""No project has this id: under it the newest era key travels among project secrets."""

ERA_BEFORE_BYTES = 64
"""An era key sealed under the one after it."""

MAX_ERAS = 100_000
"""Eras of a studio: some thirty role changes and removals a day, for ten years."""

MAX_SETTINGS_BYTES = 64 * 1024
"""Bytes of the sealed settings of a studio."""

MIN_BLOCK_BYTES = 256 * 1024
MAX_BLOCK_BYTES = 16 * 1024 * 1024

_ENTRY_DOMAIN = b"lucidnode 2026 roster entry signature\0"
_DEVICE_DOMAIN = b"lucidnode 2026 roster device proof\0"

Role = Literal["owner", "editor", "viewer"]

ProjectState = Literal["active", "archived", "deleted"]


class DeviceClaim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A device and its own word that it belongs to a member (`device_proof_message`)."""

    public: bytes
    certificate: bytes
    proof: bytes


class Genesis(msgspec.Struct, frozen=True, tag="genesis", forbid_unknown_fields=True):
    """Entry 1: the studio and its first owner, who is the author."""

    studio: bytes
    member_box: bytes
    device: DeviceClaim
    label: bytes


class Invite(msgspec.Struct, frozen=True, tag="invite", forbid_unknown_fields=True):
    """By who may invite: whoever holds the invite's two secret keys may join once, as *role*.

    *projects* gives the keys of existing projects, sealed to the invite's box key.
    """

    invite: bytes
    invite_box: bytes
    role: Role
    expires_ns: int
    label: bytes
    projects: dict[str, bytes]


class Join(msgspec.Struct, frozen=True, tag="join", forbid_unknown_fields=True):
    """By the invite's key, which it uses up: a new member and its device.

    *projects* gives the project keys the invite could open, sealed again to the member.
    """

    member: bytes
    member_box: bytes
    device: DeviceClaim
    label: bytes
    joined_ns: int
    projects: dict[str, bytes]


class Project(msgspec.Struct, frozen=True, tag="project", forbid_unknown_fields=True):
    """By an owner or editor: a project, its key sealed to every box key that may open it.

    *seals* maps the box public keys of members and open invites to sealed project secrets.
    """

    project: str
    block_size: int
    seals: dict[bytes, bytes]


class NewEra(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The key of the era that an entry begins, sealed to every box that stays (*seals*).

    *before* is the key of the era before, sealed under it: so who has one has all earlier ones.
    """

    before: bytes
    seals: dict[bytes, bytes]


class Revoke(msgspec.Struct, frozen=True, tag="revoke", forbid_unknown_fields=True):
    """By an owner: puts members out of the studio and closes open invites.

    *keys* are their Ed25519 keys, in order.
    """

    keys: list[bytes]
    era: NewEra


class ChangeRole(msgspec.Struct, frozen=True, tag="role", forbid_unknown_fields=True):
    """By an owner: *member* has *role* from the new era on, in *project* or, if empty, everywhere."""

    member: bytes
    project: str
    role: Role
    era: NewEra


class Leave(msgspec.Struct, frozen=True, tag="leave", forbid_unknown_fields=True):
    """By a member who goes: served by no peer any more; the next era is sealed without him."""


class RenameDevice(msgspec.Struct, frozen=True, tag="rename", forbid_unknown_fields=True):
    """By an owner, or by *member*: what people call the member and its device from here on.

    Nothing but the label changes, so it is of format 1: releases that do not know it skip it.
    """

    member: bytes
    label: bytes


class RenameProject(msgspec.Struct, frozen=True, tag="rename_project", forbid_unknown_fields=True):
    """By an owner: *project* has another name, sealed under the project's key of *epoch*."""

    project: str
    epoch: int
    name: bytes


class ChangeState(msgspec.Struct, frozen=True, tag="state", forbid_unknown_fields=True):
    """By an owner: *project* is *state* from the new era on; *changed_ns* by his clock.

    Of what is deleted, nothing leaves the bucket before *until_ns*, and until then it can be undone.
    It is 0 for the other states.
    """

    project: str
    state: ProjectState
    changed_ns: int
    until_ns: int
    era: NewEra


class Settings(msgspec.Struct, frozen=True, tag="settings", forbid_unknown_fields=True):
    """By an owner: the settings of the studio, all of them, sealed (node/studio_settings.py)."""

    sealed: bytes


class AllowInviting(msgspec.Struct, frozen=True, tag="inviting", forbid_unknown_fields=True):
    """By an owner: whether *member*, an editor, *may* invite from here on."""

    member: bytes
    may: bool


Body = (
    Genesis
    | Invite
    | Join
    | Project
    | Revoke
    | ChangeRole
    | Leave
    | RenameDevice
    | RenameProject
    | ChangeState
    | Settings
    | AllowInviting
)

_FORMATS: dict[type[Body], int] = {
    Revoke: ERA_FORMAT,
    ChangeRole: ERA_FORMAT,
    Leave: ERA_FORMAT,
    RenameProject: PROJECT_FORMAT,
    ChangeState: PROJECT_FORMAT,
    Settings: PROJECT_FORMAT,
    AllowInviting: INVITING_FORMAT,
}

_BODY: msgspec.msgpack.Decoder[Body] = msgspec.msgpack.Decoder(Body)


def format_of(body: Body) -> int:
    """Return the format of an entry with *body*: the first whose readers know the kind."""
    return _FORMATS.get(type(body), FORMAT)


_STAND_IN = b"LNR0"


def stand_in(hash_: bytes) -> bytes:
    """Return what the log holds for an object with *hash_* that is no entry.

    The hash of an object of any size: docs/format.md, "Objects in the bucket".
    """
    return _STAND_IN + hash_


def is_stand_in(item: bytes) -> bool:
    """Return whether *item* of a log is a stand-in."""
    return len(item) == len(_STAND_IN) + HASH_SIZE and item.startswith(_STAND_IN)


def is_item_of(item: bytes, object_hash: bytes) -> bool:
    """Return whether *item* of a log may have been made of the object with *object_hash*."""
    # A stand-in in the bucket is its own item: that is how a lost object is put back.
    return object_hash == entry_hash(item) or item == stand_in(object_hash)


class RosterEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The signed envelope of one entry."""

    format: int
    seq: int
    previous: bytes
    author: bytes
    body: bytes
    signature: bytes

    def encode(self) -> bytes:
        """Return the bytes stored under roster/<seq>; raises Malformed over MAX_ENTRY_BYTES."""
        raw = msgspec.msgpack.encode(self)
        if len(raw) > MAX_ENTRY_BYTES:
            raise Malformed("roster entry: too large")
        return raw

    @classmethod
    def parse(cls, raw: bytes) -> RosterEntry:
        """Return the envelope in *raw*, of any format from 1; raises Malformed.

        Each entry has one encoding: any other order, width or extra byte is refused.
        """
        if len(raw) > MAX_ENTRY_BYTES:
            raise Malformed("roster entry: too large")
        entry = decoded(_ENTRY, raw)
        sizes = (len(entry.previous), len(entry.author), len(entry.signature))
        if sizes != (HASH_SIZE, KEY_SIZE, SIGNATURE_SIZE):
            raise Malformed("roster entry: sizes")
        if entry.format < FORMAT or not 1 <= entry.seq <= MAX_SEQ:
            raise Malformed("roster entry: numbers")
        if msgspec.msgpack.encode(entry) != raw:
            raise Malformed("roster entry: encoding")
        return entry

    def signing_message(self) -> bytes:
        """Return what the author signs: everything but the signature."""
        return signing_message(Seq(self.seq), self.previous, self.author, self.body, self.format)

    def content(self) -> Body:
        """Return the body, its sizes, limits and keys checked; raises Malformed. Known formats only.

        A body has one encoding as the envelope has: what a reader makes of a field that is there
        twice, or of a number in another type, would be its library's affair.
        """
        body = decoded(_BODY, self.body)
        _require(self.format == format_of(body), "format of its kind")
        _check(body)
        if msgspec.msgpack.encode(body) != self.body:
            raise Malformed("roster entry: encoding of the body")
        return body


_ENTRY = msgspec.msgpack.Decoder(RosterEntry)


def signing_message(
    seq: Seq, previous: bytes, author: bytes, body: bytes, number: int = FORMAT
) -> bytes:
    """Return what the author of an entry signs: a domain and all fields, each of a fixed size."""
    return b"".join(
        [
            _ENTRY_DOMAIN,
            number.to_bytes(8, "big"),
            seq.to_bytes(8, "big"),
            previous,
            author,
            blake3(body).digest(),
        ]
    )


def device_proof_message(
    studio: bytes, member: bytes, member_box: bytes, public: bytes, certificate: bytes
) -> bytes:
    """Return what a device signs to say that it belongs to *member* of *studio*."""
    return b"".join(
        [_DEVICE_DOMAIN, studio, member, member_box, public, blake3(certificate).digest()]
    )


def device_id(public: bytes) -> DeviceId:
    """Return the id of the device with this raw Ed25519 public key."""
    return DeviceId(blake3(public).digest(length=16).hex())


def entry_hash(raw: bytes) -> bytes:
    """Return BLAKE3-256 of what the log holds for a number: the `previous` of the next entry."""
    return blake3(raw).digest()


def _check(body: Body) -> None:
    match body:
        case Genesis():
            _require(len(body.studio) == STUDIO_SIZE, "studio id")
            _require(is_box_key(body.member_box), "key")
            _check_device(body.device)
            _require(len(body.label) <= MAX_LABEL, "label")
        case Invite():
            _require(is_signing_key(body.invite) and is_box_key(body.invite_box), "key")
            _require(body.expires_ns >= 0, "time")
            _require(len(body.label) <= MAX_LABEL, "label")
            _check_projects(body.projects)
        case Join():
            _require(is_signing_key(body.member) and is_box_key(body.member_box), "key")
            _check_device(body.device)
            _require(body.joined_ns >= 0, "time")
            _require(len(body.label) <= MAX_LABEL, "label")
            _check_projects(body.projects)
        case Project():
            parse_project_id(body.project)
            size = body.block_size
            _require(MIN_BLOCK_BYTES <= size <= MAX_BLOCK_BYTES, "block size")
            _require(size & (size - 1) == 0, "block size")
            for box, sealed in body.seals.items():
                _require(len(box) == KEY_SIZE and len(sealed) <= MAX_SEALED, "seal")

        case Revoke():
            keys = body.keys
            _require(bool(keys) and keys == sorted(set(keys)), "order of keys")
            _require(all(len(key) == KEY_SIZE for key in keys), "key")
            _check_era(body.era)
        case ChangeRole():
            _require(len(body.member) == KEY_SIZE, "key")
            if body.project:
                parse_project_id(body.project)
            _check_era(body.era)
        case Leave():
            pass
        case AllowInviting():
            _require(len(body.member) == KEY_SIZE, "key")
        case RenameDevice():
            _require(len(body.member) == KEY_SIZE, "key")
            _require(len(body.label) <= MAX_LABEL, "label")
        case RenameProject():
            parse_project_id(body.project)
            _require(body.epoch >= 1, "epoch")
            _require(len(body.name) <= MAX_SEALED, "name")
        case ChangeState():
            parse_project_id(body.project)
            _require(0 <= body.changed_ns <= _MAX_NS, "time")
            last = _MAX_NS if body.state == "deleted" else 0
            first = body.changed_ns if body.state == "deleted" else 0
            _require(first <= body.until_ns <= last, "time")
            _check_era(body.era)
        case Settings():
            _require(len(body.sealed) <= MAX_SETTINGS_BYTES, "settings")


def _check_era(era: NewEra) -> None:
    _require(len(era.before) in {0, ERA_BEFORE_BYTES}, "era")
    for box, sealed in era.seals.items():
        _require(len(box) == KEY_SIZE and len(sealed) <= MAX_SEALED, "seal")


def _check_device(claim: DeviceClaim) -> None:
    _require(is_signing_key(claim.public), "device key")
    _require(is_certificate(claim.certificate, claim.public), "certificate")
    _require(len(claim.proof) == SIGNATURE_SIZE, "device proof")


def _check_projects(projects: dict[str, bytes]) -> None:
    for project, sealed in projects.items():
        parse_project_id(project)
        _require(len(sealed) <= MAX_SEALED, "seal")


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise Malformed(f"roster entry: {what}")
