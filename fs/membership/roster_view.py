"""The roster as one member sees it: names in the clear, and the projects this member can open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from lucidnode.fs.errors import FormatError, NoSuchProject, NotAMember
from lucidnode.fs.format.keys import ProjectKeys, key_of_next_epoch, open_era_before
from lucidnode.fs.membership.member import (
    Label,
    MemberKeys,
    ProjectSecret,
    open_label,
    open_project_name,
    open_secret,
    shown,
    spelled,
)
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.membership.project_names import ProjectNaming, told_apart
from lucidnode.fs.membership.recovery_code import SHOWN_AS
from lucidnode.node.client.ids import DeviceId, ProjectId
from lucidnode.node.client.roster import FIRST_EPOCH, Member, ProjectRecord, Roster
from lucidnode.node.client.roster_entry import ERA_PROJECT, ProjectState, Role
from lucidnode.node.client.roster_rules import verified

_UNREADABLE = Label("(unreadable name)", "(unreadable name)")
"""Shown for a label that does not open: its author harmed only itself."""


@dataclass(frozen=True, slots=True)
class Person:
    """A member, for people to read."""

    label: Label
    role: Role
    device: DeviceId
    is_me: bool
    public: bytes
    has_left: bool
    roles: Mapping[ProjectId, Role]
    """In which projects the role is another one."""
    may_invite: bool
    """An editor whom an owner lets invite."""


@dataclass(frozen=True, slots=True)
class PendingInvite:
    """An invite nobody has used yet, for people to read."""

    label: Label
    role: Role
    expires_ns: int

    @property
    def is_recovery_code(self) -> bool:
        """Whether a recovery code opens it, instead of a ticket."""
        return self.role == "owner" and self.label.member == SHOWN_AS


class Closed(NamedTuple):
    """Why nobody may change a project, whatever his role."""

    reason: str
    is_deleted: bool


@dataclass(frozen=True, slots=True)
class OpenProject:
    """A project this member can open."""

    id: ProjectId
    name: str
    block_size: int
    keys: ProjectKeys
    state: ProjectState
    changed_ns: int
    """When an owner made it that, by his clock; 0 for one that always was active."""
    until_ns: int
    """Until when its deletion can be undone; 0 for others."""

    @property
    def closed(self) -> Closed | None:
        """Why nobody may change it; None where members may, as their roles are."""
        match self.state:
            case "archived":
                reason = "an owner has archived it; `lucidnode project restore` takes it up again"
                return Closed(reason, is_deleted=False)
            case "deleted":
                day = datetime.fromtimestamp(self.until_ns / 1e9, UTC)
                return Closed(
                    "an owner has deleted it; `lucidnode project restore` undoes that, "
                    f"until {day:%Y-%m-%d}",
                    is_deleted=True,
                )
            case "active":
                return None


class RosterView:
    """A verified roster and one membership in it."""

    def __init__(self, roster: Roster, membership: Membership) -> None:
        """Raise NotAMember if *roster* does not list the membership's keys."""
        me = roster.members.get(membership.keys.public)
        if me is None:
            raise _not_listed(roster, membership)
        self.roster = roster
        self.membership = membership
        self.me: Member = me

    @classmethod
    def read(cls, entries: Sequence[bytes], membership: Membership) -> RosterView:
        """Verify raw *entries* against the pinned studio.

        Raises ForeignRoster and NotAMember.
        """
        return cls(verified(entries, membership.genesis), membership)

    def people(self) -> list[Person]:
        """Return the members in the order they came."""
        return [
            Person(
                self._label(member.public, member.label),
                member.role,
                member.device,
                member == self.me,
                member.public,
                member.has_left,
                self._roles(member),
                member.may_invite,
            )
            for member in self.roster.members.values()
        ]

    def invites(self) -> list[PendingInvite]:
        """Return the invites nobody has used yet, expired ones too."""
        return [
            PendingInvite(self._label(one.public, one.label), one.role, one.expires_ns)
            for one in self.roster.invites.values()
        ]

    def recovery_codes(self) -> set[bytes]:
        """Return the keys of the open invites that recovery codes of this member belong to."""
        return {
            one.public
            for one, shown in zip(self.roster.invites.values(), self.invites(), strict=True)
            if one.author == self.me.public and shown.is_recovery_code
        }

    def labels(self) -> dict[DeviceId, Label]:
        """Return what people call each member and the workstation, by its device."""
        return {person.device: person.label for person in self.people()}

    def projects(self) -> list[OpenProject]:
        """Return the projects this member can open, archived ones too, by name. No two have one name.

        Of several that were given one name, the first in the log bears it; a later one is shown
        with a number (project_names.py).
        """
        return [one for one in self.projects_and_deleted() if one.state != "deleted"]

    def projects_and_deleted(self) -> list[OpenProject]:
        """Return those that are deleted as well, under the names that they had."""
        secrets = opened_secrets(self.roster, self.membership.keys)
        keys = project_keys(self.roster, self.membership.keys)
        records = self.roster.projects
        names = told_apart(
            naming
            for project, secret in secrets.items()
            for naming in _namings(records[project], keys[project], shown(secret.name))
        )
        return sorted(
            (_opened(records[project], names[project], keys[project]) for project in secrets),
            key=lambda project: project.name,
        )

    def project(self, name: str) -> OpenProject:
        """Return the project called *name*, or with that id; raises NoSuchProject."""
        known = self.projects_and_deleted()
        found = [one for one in known if one.id == name] or [
            one for one in known if one.name == spelled(name)
        ]
        there = [one for one in found if one.state != "deleted"]
        if not there:
            deleted = ": an owner has deleted it" if found else ""
            raise NoSuchProject(f"no project {name!r} that you can open{deleted}")
        return there[0]

    def role_in(self, project: ProjectId) -> Role:
        """Return what this member may do in *project*."""
        return self._roles(self.me).get(project, self.me.role)

    def _roles(self, member: Member) -> dict[ProjectId, Role]:
        device = self.roster.devices.get(member.device)
        if device is None:
            return {}
        roles = {project: device.role_in(project) for project in self.roster.projects}
        return {project: role for project, role in roles.items() if role and role != member.role}

    def _label(self, owner: bytes, sealed: bytes) -> Label:
        try:
            label = open_label(self.membership.name_key, owner, sealed)
        except FormatError:
            return _UNREADABLE
        # An invite may suggest no name; what is there was chosen by somebody else.
        return Label(*(text and shown(text) for text in (label.member, label.device)))


def _opened(record: ProjectRecord, name: str, keys: ProjectKeys) -> OpenProject:
    newest = record.states[-1] if record.states else None
    return OpenProject(
        record.id,
        name,
        record.block_size,
        keys,
        record.state,
        0 if newest is None else newest.changed_ns,
        0 if newest is None else newest.until_ns,
    )


def _namings(record: ProjectRecord, keys: ProjectKeys, first: str) -> list[ProjectNaming]:
    """Return what the log says of the project's name. What does not open its author sealed wrongly."""
    wanted = {record.seq: first}
    for each in record.names:
        try:
            wanted[each.seq] = open_project_name(keys, each.epoch, each.sealed)
        except FormatError:
            continue
    namings: list[ProjectNaming] = []
    name, there = first, True
    states = {change.seq: change.state != "deleted" for change in record.states}
    for seq in sorted({*wanted, *states}):
        was_there, there = there, states.get(seq, there)
        name = wanted.get(seq, name)
        if seq in wanted or there != was_there:
            # Under its last name people find what was deleted, which nobody else has to avoid.
            namings.append(ProjectNaming(seq, record.id, name if there else None))
    return namings


def _not_listed(roster: Roster, membership: Membership) -> NotAMember:
    if any(device.member == membership.keys.public for device in roster.former.values()):
        return NotAMember(
            "an owner has put this workstation out of the studio: what it has not sent stays on it, "
            "and nobody else gets it. Ask for an invitation to come back"
        )
    return NotAMember("this studio does not list you as a member: ask for an invitation")


def _epochs(secret: ProjectSecret, eras: Mapping[int, bytes]) -> dict[int, bytes]:
    """Return the key of each epoch of a project, from its first to the last that *eras* reach."""
    keys, key = {secret.epoch: secret.key}, secret.key
    epoch = secret.epoch + 1
    while (era_key := eras.get(epoch)) is not None:
        key = key_of_next_epoch(ProjectId(secret.project), key, era_key, epoch)
        keys[epoch] = key
        epoch += 1
    return keys


def opened_eras(roster: Roster, keys: MemberKeys) -> dict[int, bytes]:
    """Return the era key of each epoch behind the first, of those that *keys* can open; none if it cannot.

    An older era's stands alone if its successor does not open: it was sealed wrongly by its author.
    """
    opened: dict[int, bytes] = {}
    for at in reversed(range(len(roster.eras))):
        era, epoch = roster.eras[at], FIRST_EPOCH + 1 + at
        try:
            if epoch + 1 in opened:
                before = roster.eras[at + 1].before
                opened[epoch] = open_era_before(opened[epoch + 1], epoch + 1, before)
            elif (sealed := era.seals.get(keys.box)) is not None:
                secret = open_secret(keys, ProjectId(ERA_PROJECT), sealed)
                if secret.epoch == epoch:
                    opened[epoch] = secret.key
        except FormatError:
            continue
    return opened


def project_keys(roster: Roster, keys: MemberKeys) -> dict[ProjectId, ProjectKeys]:
    """Return the keys of each project that *keys*, of a member, can open."""
    eras = opened_eras(roster, keys)
    return {
        project: ProjectKeys.of(project, _epochs(secret, eras), roster.epochs(project))
        for project, secret in opened_secrets(roster, keys).items()
    }


def opened_secrets(roster: Roster, keys: MemberKeys) -> dict[ProjectId, ProjectSecret]:
    """Return the secret of each project that *keys*, of a member or an invite, can open.

    A secret that does not open is left out: it was sealed wrongly by its author.
    """
    secrets = {}
    for project, record in roster.projects.items():
        sealed = record.seals.get(keys.box)
        if sealed is None:
            continue
        try:
            secret = open_secret(keys, project, sealed)
        except FormatError:
            continue
        if secret.epoch == record.first_epoch:
            secrets[project] = secret
    return secrets
