"""Who belongs to the studio and what they may do: the state that the signed log establishes.

Read from the log by lucidnode.node.client.roster_rules. Nothing here needs a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lucidnode.node.client.errors import Corrupt, Refused
from lucidnode.node.client.ids import DeviceId, ProjectId, Seq
from lucidnode.node.client.roster_entry import NO_ENTRY, Role


class ForeignRoster(Corrupt):
    """The log does not start with the studio's own first entry: another bucket, or a forged one."""


class NewerRoster(Refused):
    """An owner wrote an entry of a later format: this version may add nothing behind it."""


@dataclass(frozen=True, slots=True)
class Device:
    """A workstation that peers serve. *certificate* (DER) is the one its key *public* can have."""

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

    @classmethod
    def empty(cls) -> Roster:
        """Return what a node knows before it has read any entry: nobody."""
        return cls(b"", NO_ENTRY, Seq(0), NO_ENTRY, {}, {}, {}, {}, (), None)

    def device_key(self, device: DeviceId) -> bytes | None:
        """Return the public key of a device of the studio, whatever it may do, else None."""
        known = self.devices.get(device)
        return None if known is None else known.public

    def writer_key(self, device: DeviceId) -> bytes | None:
        """Return the public key of a device whose journal entries count, else None."""
        known = self.devices.get(device)
        return known.public if known is not None and known.role != "viewer" else None
