"""Who belongs to the studio and what they may do, from the signed log in the bucket.

Everybody reads the same log and must come to the same result, so the rules use nothing but the
entries. An entry that breaks a rule is void: skipped, reported, and still part of the chain of
hashes. Nothing here needs a key; the signature check is an argument, so that each plane brings
its own library.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from lucidnode.node.client.errors import Corrupt, Malformed, Refused
from lucidnode.node.client.ids import DeviceId, ProjectId, Seq
from lucidnode.node.client.roster_entry import (
    FORMAT,
    NO_ENTRY,
    DeviceClaim,
    Genesis,
    Invite,
    Join,
    Project,
    Role,
    RosterEntry,
    device_id,
    device_proof_message,
    entry_hash,
)

Verify = Callable[[bytes, bytes, bytes], bool]
"""(Ed25519 public key, message, signature) -> whether it holds. Must not raise on bad input."""


class ForeignRoster(Corrupt):
    """The log does not start with the studio's own first entry: another bucket, or a forged one."""


class NewerRoster(Refused):
    """A member wrote an entry of a later format: this version can no longer tell who may do what."""


@dataclass(frozen=True, slots=True)
class Device:
    """A workstation that peers serve. Its certificate is matched to *public* by the reader."""

    id: DeviceId
    public: bytes
    certificate: bytes
    member: bytes
    role: Role


@dataclass(frozen=True, slots=True)
class Member:
    """A person, known by a signing key; *label* is sealed under the studio's name key."""

    public: bytes
    box: bytes
    role: Role
    device: DeviceId
    label: bytes


@dataclass(frozen=True, slots=True)
class OpenInvite:
    """An invite that nobody has used yet."""

    public: bytes
    box: bytes
    role: Role
    expires_ns: int
    label: bytes


@dataclass(frozen=True, slots=True)
class ProjectRecord:
    """A project and its key, sealed to each box key of a member or open invite."""

    id: ProjectId
    block_size: int
    author: bytes
    seals: Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class VoidEntry:
    """An entry that was skipped, and why."""

    seq: Seq
    reason: str


@dataclass(frozen=True, slots=True)
class Roster:
    """The state after entry *head*. Maps are keyed by id or by signing public key."""

    studio: bytes
    genesis: bytes
    head: Seq
    head_hash: bytes
    members: Mapping[bytes, Member]
    devices: Mapping[DeviceId, Device]
    invites: Mapping[bytes, OpenInvite]
    projects: Mapping[ProjectId, ProjectRecord]
    voids: tuple[VoidEntry, ...]

    @classmethod
    def empty(cls) -> Roster:
        """Return what a node knows before it has read any entry: nobody."""
        return cls(b"", NO_ENTRY, Seq(0), NO_ENTRY, {}, {}, {}, {}, ())

    def writer_key(self, device: DeviceId) -> bytes | None:
        """Return the public key of a device whose journal entries count, else None."""
        known = self.devices.get(device)
        return known.public if known is not None and known.role != "viewer" else None


def verified(entries: Sequence[bytes], genesis: bytes | None, verify: Verify) -> Roster:
    """Return what raw *entries* 1..n establish.

    *genesis* is the hash of entry 1 as it was pinned at init or join; None only while creating
    a studio. Raises ForeignRoster if entry 1 is not that or no sound first entry, NewerRoster if a
    member has moved the studio to a later format.
    """
    if not entries:
        raise ForeignRoster("the bucket holds no roster")
    first = entry_hash(entries[0])
    if genesis is not None and first != genesis:
        raise ForeignRoster("the roster in the bucket is not the one of this studio")
    try:
        state = _State(entries[0], verify)
    except (Malformed, _Void) as error:
        raise ForeignRoster(f"entry 1 of the roster founds no studio: {error}") from error
    previous = first
    voids = []
    for number, raw in enumerate(entries[1:], start=2):
        try:
            state.admit(Seq(number), previous, raw)
        except (Malformed, _Void) as error:
            voids.append(VoidEntry(Seq(number), str(error)))
        previous = entry_hash(raw)
    return Roster(
        studio=state.studio,
        genesis=first,
        head=Seq(len(entries)),
        head_hash=previous,
        members=MappingProxyType(state.members),
        devices=MappingProxyType(state.devices),
        invites=MappingProxyType(state.invites),
        projects=MappingProxyType(state.projects),
        voids=tuple(voids),
    )


class _Void(Exception):
    """The entry breaks a rule; the message says which."""


class _State:
    """The roster while it is read. Every method either applies an entry whole or raises."""

    def __init__(self, genesis: bytes, verify: Verify) -> None:
        self.members: dict[bytes, Member] = {}
        self.devices: dict[DeviceId, Device] = {}
        self.invites: dict[bytes, OpenInvite] = {}
        self.projects: dict[ProjectId, ProjectRecord] = {}
        self._verify = verify
        entry = self._authentic(Seq(1), NO_ENTRY, genesis)
        body = entry.content() if entry.format == FORMAT else None
        if not isinstance(body, Genesis):
            raise _Void("not a first entry of this format")
        self.studio = body.studio
        self._welcome(entry.author, body.member_box, "owner", body.device, body.label)

    def admit(self, seq: Seq, previous: bytes, raw: bytes) -> None:
        """Apply one entry after the first."""
        entry = self._authentic(seq, previous, raw)
        author = entry.author
        if entry.format > FORMAT:
            if self._may_edit(author) or author in self.invites:
                raise NewerRoster(f"roster entry {seq} has format {entry.format}")
            raise _Void("a later format from nobody who may write")
        body = entry.content()
        match body:
            case Genesis():
                raise _Void("a second first entry")
            case Invite():
                self._invite(author, body)
            case Join():
                self._join(author, body)
            case Project():
                self._project(author, body)

    def _authentic(self, seq: Seq, previous: bytes, raw: bytes) -> RosterEntry:
        entry = RosterEntry.parse(raw)
        if entry.seq != seq or entry.previous != previous:
            raise _Void("made for another place in the log")
        if not self._verify(entry.author, entry.signing_message(), entry.signature):
            raise _Void("the signature does not hold")
        return entry

    def _invite(self, author: bytes, body: Invite) -> None:
        member = self.members.get(author)
        if member is None or member.role != "owner":
            raise _Void("only an owner invites")
        self._require_new_keys(body.invite, body.invite_box)
        self.invites[body.invite] = OpenInvite(
            body.invite, body.invite_box, body.role, body.expires_ns, body.label
        )
        self._add_seals(body.invite_box, body.projects)

    def _join(self, author: bytes, body: Join) -> None:
        invite = self.invites.get(author)
        if invite is None:
            raise _Void("no such open invite")
        if body.joined_ns > invite.expires_ns:
            raise _Void("the invite had expired")
        self._require_new_keys(body.member, body.member_box)
        self._welcome(body.member, body.member_box, invite.role, body.device, body.label)
        self._add_seals(body.member_box, body.projects)
        del self.invites[author]

    def _project(self, author: bytes, body: Project) -> None:
        if not self._may_edit(author):
            raise _Void("only an owner or editor creates projects")
        project = ProjectId(body.project)
        if project in self.projects:
            raise _Void("the project exists")
        seals = MappingProxyType(body.seals)
        self.projects[project] = ProjectRecord(project, body.block_size, author, seals)

    def _welcome(
        self, public: bytes, box: bytes, role: Role, claim: DeviceClaim, label: bytes
    ) -> None:
        device = device_id(claim.public)
        if device in self.devices:
            raise _Void("the device belongs to a member already")
        message = device_proof_message(self.studio, public, box, claim.public, claim.certificate)
        if not self._verify(claim.public, message, claim.proof):
            raise _Void("the device does not confirm its member")
        self.devices[device] = Device(device, claim.public, claim.certificate, public, role)
        self.members[public] = Member(public, box, role, device, label)

    def _add_seals(self, box: bytes, projects: Mapping[str, bytes]) -> None:
        for name, sealed in projects.items():
            record = self.projects.get(ProjectId(name))
            if record is not None:
                seals = MappingProxyType({**record.seals, box: sealed})
                self.projects[record.id] = replace(record, seals=seals)

    def _may_edit(self, author: bytes) -> bool:
        member = self.members.get(author)
        return member is not None and member.role != "viewer"

    def _require_new_keys(self, public: bytes, box: bytes) -> None:
        """Two people behind one key could not be told apart, nor one of them removed."""
        boxes = {member.box for member in self.members.values()}
        boxes |= {invite.box for invite in self.invites.values()}
        if public in self.members or public in self.invites or box in boxes:
            raise _Void("a key that is in use")
