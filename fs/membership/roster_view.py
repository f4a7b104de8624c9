"""The roster as one member sees it: names in the clear, and the projects this member can open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lucidnode.fs.errors import FormatError, NoSuchProject, NotAMember
from lucidnode.fs.format.keys import ProjectKeys
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
from lucidnode.node.client.roster import Member, Roster
from lucidnode.node.client.roster_entry import Role
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
            raise NotAMember("this studio does not list you as a member: ask for an invitation")
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
        names = _told_apart([shown(secret.name) for secret in secrets.values()])
        return sorted(
            (
                OpenProject(
                    project,
                    name,
                    self.roster.projects[project].block_size,
                    ProjectKeys.of(project, {secret.epoch: secret.key}),
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
            secrets[project] = open_secret(keys, project, sealed)
        except FormatError:
            continue
    return secrets
