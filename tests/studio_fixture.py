"""A studio on paper: members, devices and a roster log, made with the functions the CLI uses."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial

from lucidnode.fs.format import sodium
from lucidnode.fs.membership.entries import (
    genesis_entry,
    invite_entry,
    inviting_entry,
    join_entry,
    project_entry,
)
from lucidnode.fs.membership.member import Label, MemberKeys
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.membership.roster_view import RosterView
from lucidnode.node.client.device_certificate import device_certificate
from lucidnode.node.client.ids import ProjectId
from lucidnode.node.client.roster import Roster
from lucidnode.node.client.roster_entry import DeviceClaim, Role, device_proof_message, entry_hash
from lucidnode.node.client.roster_rules import verified

EXPIRES = 2_000_000_000_000_000_000
NOW = 1_900_000_000_000_000_000


def claim(studio: bytes, member: MemberKeys, seed: bytes) -> DeviceClaim:
    """Return the claim of the device with Ed25519 *seed* that it belongs to *member*."""
    public = sodium.signing_public(seed)
    certificate = device_certificate(public, partial(sodium.sign, seed))
    message = device_proof_message(studio, member.public, member.box, public, certificate)
    return DeviceClaim(public, certificate, sodium.sign(seed, message))


@dataclass
class Studio:
    """Founded by Ada. `entries` is what the bucket holds under roster/."""

    studio: bytes = b"S" * 16
    name_key: bytes = b"N" * 32
    seed: bytes = field(default_factory=lambda: sodium.random_bytes(32))
    """Of Ada's device."""
    entries: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        keys = MemberKeys.new()
        label = Label("Ada", "edit-1")
        first = genesis_entry(
            self.studio, self.name_key, keys, claim(self.studio, keys, self.seed), label
        )
        self.entries.append(first)
        self.ada = Membership(self.studio, entry_hash(first), self.name_key, keys, label)

    def roster(self) -> Roster:
        """Return the roster as everybody reads it."""
        return verified(self.entries, self.ada.genesis)

    def view(self, membership: Membership) -> RosterView:
        """Return the roster as one member reads it."""
        return RosterView.read(self.entries, membership)

    def invite(
        self,
        role: Role = "editor",
        by: Membership | None = None,
        expires_ns: int = EXPIRES,
        projects: Collection[ProjectId] | None = None,
    ) -> MemberKeys:
        """Open an invite and return its keys, as a ticket would carry them."""
        keys = MemberKeys.new()
        view = self.view(by or self.ada)
        self.entries.append(invite_entry(view, keys, role, expires_ns, "Bo", projects))
        return keys

    def let_invite(self, editor: Membership, *, may: bool = True) -> None:
        """Have the owner let *editor* invite, or no more."""
        self.entries.append(inviting_entry(self.view(self.ada), editor.keys.public, may=may))

    def newcomer(self, name: str = "Bo", device: str = "edit-2") -> Membership:
        """Return a person who is not a member yet."""
        return Membership(
            self.studio, self.ada.genesis, self.name_key, MemberKeys.new(), Label(name, device)
        )

    def joining(self, invite: MemberKeys, who: Membership, seed: bytes | None = None) -> bytes:
        """Return the entry by which *who* joins."""
        device = claim(self.studio, who.keys, seed or sodium.random_bytes(32))
        return join_entry(self.roster(), invite, who, device, NOW)

    def join(
        self,
        role: Role = "editor",
        name: str = "Bo",
        device: str = "edit-2",
        seed: bytes | None = None,
        *,
        by: Membership | None = None,
        projects: Collection[ProjectId] | None = None,
    ) -> Membership:
        """Invite and join one more person."""
        invite = self.invite(role, by, projects=projects)
        who = self.newcomer(name, device)
        self.entries.append(self.joining(invite, who, seed))
        return who

    def project(
        self, name: str, by: Membership | None = None, block_size: int = 1024 * 1024
    ) -> ProjectId:
        """Create a project."""
        project = ProjectId(sodium.random_bytes(16).hex())
        self.entries.append(project_entry(self.view(by or self.ada), project, name, block_size))
        return project
