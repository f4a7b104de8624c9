"""Who belongs to the studio and what they may do: the state that the signed log establishes.

Read from the log by lucidnode.node.client.roster_rules. Nothing here needs a key.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from lucidnode.node.client.errors import Corrupt, Refused
from lucidnode.node.client.ids import DeviceId, ProjectId, Seq
from lucidnode.node.client.roster_entry import NO_ENTRY, ProjectState, Role


class ForeignRoster(Corrupt):
    """The log does not start with the studio's own first entry: another bucket, or a forged one."""


class NewerRoster(Refused):
    """An owner wrote an entry of a later format: this version may add nothing behind it."""


class Void(Exception):
    """An object of the log breaks a rule; the message says which."""


FIRST_EPOCH = 1
"""The epoch of a studio in which nobody was put out, and no role changed, yet."""


_WIDEST_FIRST: tuple[Role, ...] = ("owner", "editor", "viewer")


def is_at_most(role: Role, limit: Role) -> bool:
    """Return whether *role* may no more than *limit*."""
    return _WIDEST_FIRST.index(role) >= _WIDEST_FIRST.index(limit)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a device might do from entry *seq* of the log on: in *project*, or everywhere if None.

    Without a *role* its member is put out.
    """

    seq: Seq
    project: ProjectId | None
    role: Role | None


@dataclass(frozen=True, slots=True)
class Device:
    """A workstation, put out or not. *certificate* (DER) is the one its key *public* can have."""

    id: DeviceId
    public: bytes
    certificate: bytes
    member: bytes
    role: Role
    standings: tuple[Standing, ...] = ()
    """What it might do when, oldest first."""

    def role_in(self, project: ProjectId, before: float = float("inf")) -> Role | None:
        """Return what it may do in *project* by the entries of the log *before* that one."""
        studio: Role | None = None
        here: Role | None = None
        for each in self.standings:
            if each.seq >= before:
                break
            if each.project is None:
                studio, here = each.role, None
            elif each.project == project:
                here = each.role
        return here or studio


@dataclass(frozen=True, slots=True)
class Member:
    """A person, known by a signing key; *label* is sealed under the studio's name key."""

    public: bytes
    box: bytes
    role: Role
    device: DeviceId
    label: bytes
    has_left: bool = False
    """Gone by a word of his own: the next era is sealed without him."""
    may_invite: bool = False
    """An editor whom an owner allows to let others in."""
    invited: int = 0
    """How many invites he has opened."""

    @property
    def can_invite(self) -> bool:
        """Whether invites of his count, and he answers those who ask."""
        return not self.has_left and (self.role == "owner" or self.may_invite)


@dataclass(frozen=True, slots=True)
class OpenInvite:
    """An invite that nobody has used yet; *author* is the member who opened it."""

    public: bytes
    box: bytes
    role: Role
    expires_ns: int
    label: bytes
    author: bytes = b""


def closed_with(invites: Mapping[bytes, OpenInvite], gone: Collection[Member]) -> set[bytes]:
    """Return the keys of the open invites that close where *gone* may less from here on.

    They are those that they opened. An editor who may invite has the secrets of what others opened,
    to answer in their place, and could come back by one of those.
    """
    authors = {member.public for member in gone}
    shared = any(member.may_invite for member in gone)
    return {
        key
        for key, invite in invites.items()
        if invite.author in authors or (shared and invite.role != "owner")
    }


@dataclass(frozen=True, slots=True)
class Era:
    """What began with entry *seq* of the log: its key, sealed to each box key that may have it.

    *before* is the key of the era before, sealed under it. The epochs of projects are numbered as
    eras are: what is here is era 2 and later.
    """

    seq: Seq
    before: bytes
    seals: Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class SealedName:
    """What a project is called from entry *seq* on: sealed under its key of *epoch*."""

    seq: Seq
    epoch: int
    sealed: bytes


@dataclass(frozen=True, slots=True)
class StateChange:
    """What a project is from entry *seq* on; times in ns since 1970, by the owner's clock.

    Of a deleted one nothing leaves the bucket before *until_ns*.
    """

    seq: Seq
    state: ProjectState
    changed_ns: int
    until_ns: int


@dataclass(frozen=True, slots=True)
class ProjectRecord:
    """A project and its key of *first_epoch*, sealed to each box key of a member or open invite."""

    id: ProjectId
    block_size: int
    author: bytes
    seals: Mapping[bytes, bytes]
    seq: Seq
    """The entry that created it."""
    first_epoch: int = FIRST_EPOCH
    names: tuple[SealedName, ...] = ()
    """What owners have called it since, oldest first."""
    states: tuple[StateChange, ...] = ()
    """What owners have made of it since, oldest first."""

    @property
    def state(self) -> ProjectState:
        """What it is now."""
        return self.states[-1].state if self.states else "active"

    def state_before(self, before: float) -> ProjectState:
        """Return what it was by the entries of the log *before* that one."""
        known: ProjectState = "active"
        for change in self.states:
            if change.seq < before:
                known = change.state
        return known


@dataclass(frozen=True, slots=True)
class VoidEntry:
    """A number of the log that counts for nothing, and why."""

    seq: Seq
    reason: str


@dataclass(frozen=True, slots=True)
class Roster:
    """The state after entry *head*. Maps are keyed by id or by signing public key.

    *newer* is the number of an owner's entry of a later format: what stands from there on this
    version cannot read, and the state is the last it understands.
    """

    studio: bytes
    genesis: bytes
    head: Seq
    head_hash: bytes
    members: Mapping[bytes, Member]
    devices: Mapping[DeviceId, Device]
    invites: Mapping[bytes, OpenInvite]
    projects: Mapping[ProjectId, ProjectRecord]
    voids: tuple[VoidEntry, ...]
    newer: Seq | None
    former: Mapping[DeviceId, Device] = field(default_factory=dict)
    """Devices whose member was put out or left: no peer serves them."""
    eras: tuple[Era, ...] = ()
    format: int = 1
    """The latest format that an owner has used."""
    settings: bytes = b""
    """What an owner has set for the studio, sealed."""

    @classmethod
    def empty(cls) -> Roster:
        """Return what a node knows before it has read any entry: nobody."""
        return cls(b"", NO_ENTRY, Seq(0), NO_ENTRY, {}, {}, {}, {}, (), None)

    def device_key(self, device: DeviceId) -> bytes | None:
        """Return the public key of a device that is or was of the studio, else None."""
        known = self._known(device)
        return None if known is None else known.public

    @property
    def epoch(self) -> int:
        """The epoch that what is new is sealed in, in every project."""
        return FIRST_EPOCH + len(self.eras)

    def epochs(self, project: ProjectId) -> range:
        """Return the epochs of *project* that the log announces; none if there is no such project."""
        record = self.projects.get(project)
        return range(0) if record is None else range(record.first_epoch, self.epoch + 1)

    def widest_role(self, device: DeviceId) -> Role | None:
        """Return the most that a device may do anywhere; None for one that nobody of the studio has.

        It is what its credentials for the bucket have to allow.
        """
        known = self.devices.get(device)
        if known is None:
            return None
        roles = {known.role, *(known.role_in(project) for project in self.projects)}
        return next((role for role in _WIDEST_FIRST if role in roles), None)

    def is_deleted(self, project: ProjectId) -> bool:
        """Tell whether *project* was deleted, and not brought back."""
        record = self.projects.get(project)
        return record is not None and record.state == "deleted"

    def writer_key(self, device: DeviceId) -> bytes | None:
        """Return the public key of a device that might once change something somewhere, else None.

        Who has no project key can say no more of an entry. What counts is `writer_in`.
        """
        known = self._known(device)
        if known is None or all(each.role in {None, "viewer"} for each in known.standings):
            return None
        return known.public

    def writer_in(self, project: ProjectId, device: DeviceId, epoch: int) -> bytes | None:
        """Return the public key of a device whose entries of *epoch* count in *project*, else None.

        Within an era nobody's rights become less, so it is what he might at its end that counts. In a
        project that is archived or deleted it is owners alone who may end an epoch.
        """
        known = self._known(device)
        if known is None:
            return None
        ended_by = epoch - FIRST_EPOCH
        before = self.eras[ended_by].seq if 0 <= ended_by < len(self.eras) else float("inf")
        role = known.role_in(project, before)
        record = self.projects.get(project)
        closed = record is not None and record.state_before(before) != "active"
        return known.public if role in ({"owner"} if closed else {"owner", "editor"}) else None

    def trusted_in(self, project: ProjectId, device: DeviceId) -> bytes | None:
        """Return the public key of a device whose word on what *project* holds is taken now, else None.

        An editor's is, though nobody may change it any more.
        """
        known = self._known(device)
        role = None if known is None else known.role_in(project)
        return known.public if known is not None and role in {"owner", "editor"} else None

    def _known(self, device: DeviceId) -> Device | None:
        return self.devices.get(device) or self.former.get(device)
