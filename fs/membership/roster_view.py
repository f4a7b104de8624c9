"""The roster as one member sees it: names in the clear, and the projects this member can open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lucidnode.fs.errors import FormatError, NoSuchProject, NotAMember
from lucidnode.fs.format.keys import ProjectKeys, key_of_next_epoch, open_era_before
from lucidnode.fs.membership.member import (
    Label,
    MemberKeys,
    ProjectSecret,
    open_label,
    open_secret,
    shown,
    spelled,
)
from lucidnode.fs.membership.member_file import Membership
from lucidnode.node.client.ids import DeviceId, ProjectId
from lucidnode.node.client.roster import FIRST_EPOCH, Member, Roster
from lucidnode.node.client.roster_entry import ERA_PROJECT, Role
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


@dataclass(frozen=True, slots=True)
class PendingInvite:
    """An invite nobody has used yet, for people to read."""

    label: Label
    role: Role
    expires_ns: int


@dataclass(frozen=True, slots=True)
class OpenProject:
    """A project this member can open."""

    id: ProjectId
    name: str
    block_size: int
    keys: ProjectKeys


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
            )
            for member in self.roster.members.values()
        ]

    def invites(self) -> list[PendingInvite]:
        """Return the invites nobody has used yet, expired ones too."""
        return [
            PendingInvite(self._label(one.public, one.label), one.role, one.expires_ns)
            for one in self.roster.invites.values()
        ]

    def labels(self) -> dict[DeviceId, Label]:
        """Return what people call each member and the workstation, by its device."""
        return {person.device: person.label for person in self.people()}

    def projects(self) -> list[OpenProject]:
        """Return the projects this member can open, by name. No two have one name.

        Of several that were given one name, the first in the log bears it; a later one is shown
        with a number, and since the log only grows, it keeps that.
        """
        secrets = opened_secrets(self.roster, self.membership.keys)
        eras = opened_eras(self.roster, self.membership.keys)
        names = _told_apart([shown(secret.name) for secret in secrets.values()])
        return sorted(
            (
                OpenProject(
                    project,
                    name,
                    self.roster.projects[project].block_size,
                    ProjectKeys.of(project, _epochs(secret, eras), self.roster.epochs(project)),
                )
                for (project, secret), name in zip(secrets.items(), names, strict=True)
            ),
            key=lambda project: project.name,
        )

    def project(self, name: str) -> OpenProject:
        """Return the project called *name*, or with that id; raises NoSuchProject."""
        known = self.projects()
        found = [one for one in known if one.id == name] or [
            one for one in known if one.name == spelled(name)
        ]
        if not found:
            raise NoSuchProject(f"no project {name!r} that you can open")
        return found[0]

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


def _told_apart(names: list[str]) -> list[str]:
    """Return *names*, each after the first of its kind with the next number that is free."""
    taken: set[str] = set()
    numbers: dict[str, int] = {}
    told = []
    for name in names:
        unique = name
        while unique in taken:
            numbers[name] = numbers.get(name, 1) + 1
            unique = f"{name} ({numbers[name]})"
        taken.add(unique)
        told.append(unique)
    return told


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
