"""The rules of the roster on people: who is invited, joins, gets another role, goes, and is put out.

Pure, and part of lucidnode.node.client.roster_rules: they use nothing but the entries.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from lucidnode.node.client.ids import DeviceId, ProjectId, Seq
from lucidnode.node.client.public_keys import verify
from lucidnode.node.client.roster import (
    Device,
    Member,
    OpenInvite,
    ProjectRecord,
    Standing,
    Void,
    closed_with,
    is_at_most,
)
from lucidnode.node.client.roster_entry import (
    ERA_PROJECT,
    AllowInviting,
    ChangeRole,
    DeviceClaim,
    Genesis,
    Invite,
    Join,
    RenameDevice,
    Revoke,
    Role,
    device_id,
    device_proof_message,
)

MAX_PEOPLE = 1800
"""Members and open invites; a new project is sealed to each of them in one entry."""

MAX_INVITES_OF_EDITOR = 500
"""Invites that one editor opens in all; owners can open any up to MAX_PEOPLE."""


class People:
    """Members, their devices, and open invites. Each method applies an entry whole or raises Void."""

    def __init__(self) -> None:
        self.members: dict[bytes, Member] = {}
        self.devices: dict[DeviceId, Device] = {}
        self.former: dict[DeviceId, Device] = {}
        self.invites: dict[bytes, OpenInvite] = {}

    def is_owner(self, author: bytes) -> bool:
        """Tell whether *author* is an owner, who has not left."""
        member = self.members.get(author)
        return member is not None and member.role == "owner" and not member.has_left

    def boxes(self) -> set[bytes]:
        """Return the box keys to which what is new may be sealed."""
        boxes = {member.box for member in self.members.values()}
        return boxes | {invite.box for invite in self.invites.values()}

    # -- who comes ---------------------------------------------------------------------------

    def found(self, author: bytes, body: Genesis) -> None:
        self._welcome(body.studio, author, body.member_box, "owner", body.device, body.label)
        self._stand(body.device, Standing(Seq(1), None, "owner"))

    def invite(
        self, author: bytes, body: Invite, projects: Mapping[ProjectId, ProjectRecord]
    ) -> None:
        member = self.members.get(author)
        if member is None or not member.can_invite:
            raise Void("only an owner, or an editor who is allowed to, invites")
        if member.role != "owner":
            self._check_invite_of_editor(member, body, projects)
        self._require_new_keys(body.invite, body.invite_box)
        if len(self.members) + len(self.invites) >= MAX_PEOPLE:
            raise Void("too many members and open invites")
        self.invites[body.invite] = OpenInvite(
            body.invite, body.invite_box, body.role, body.expires_ns, body.label, author
        )
        self.members[author] = replace(member, invited=member.invited + 1)

    def join(
        self,
        studio: bytes,
        author: bytes,
        body: Join,
        seq: Seq,
        projects: Iterable[ProjectId],
    ) -> None:
        invite = self.invites.get(author)
        if invite is None:
            raise Void("no such open invite")
        if body.joined_ns > invite.expires_ns:
            raise Void("the invite had expired")
        self._require_new_keys(body.member, body.member_box)
        self._welcome(studio, body.member, body.member_box, invite.role, body.device, body.label)
        self._stand(body.device, Standing(seq, None, invite.role))
        inviter = self.devices[self.members[invite.author].device]
        for project in projects if inviter.role != "owner" else ():
            # Else who may only read a project could have somebody write in it for him.
            his = inviter.role_in(project) or "viewer"
            if not is_at_most(invite.role, his):
                self._stand(body.device, Standing(seq, project, his))
        del self.invites[author]

    def allow_inviting(self, author: bytes, body: AllowInviting) -> None:
        if not self.is_owner(author):
            raise Void("only an owner says who may invite")
        member = self._staying_member(body.member)
        if member.role != "editor":
            raise Void("the right to invite is an editor's")
        if member.may_invite == body.may:
            raise Void("that is so already")
        self.members[member.public] = replace(member, may_invite=body.may)
        if not body.may:
            self._close_invites_with(member)

    def _check_invite_of_editor(
        self, member: Member, body: Invite, projects: Mapping[ProjectId, ProjectRecord]
    ) -> None:
        if not is_at_most(body.role, member.role):
            raise Void("nobody invites anybody to be more than he is")
        for name in body.projects.keys() - {ERA_PROJECT}:
            record = projects.get(ProjectId(name))
            if record is None or member.box not in record.seals:
                raise Void("a project that the inviter has no key of")
        if member.invited >= MAX_INVITES_OF_EDITOR:
            raise Void("too many invites by this editor")

    def _welcome(
        self,
        studio: bytes,
        public: bytes,
        box: bytes,
        role: Role,
        claim: DeviceClaim,
        label: bytes,
    ) -> None:
        device = device_id(claim.public)
        if device in self.devices or device in self.former:
            raise Void("the device belongs to a member already")
        message = device_proof_message(studio, public, box, claim.public, claim.certificate)
        if not verify(claim.public, message, claim.proof):
            raise Void("the device does not confirm its member")
        self.devices[device] = Device(device, claim.public, claim.certificate, public, role)
        self.members[public] = Member(public, box, role, device, label)

    def _stand(self, claim: DeviceClaim, standing: Standing) -> None:
        device = self.devices[device_id(claim.public)]
        self.devices[device.id] = replace(device, standings=(*device.standings, standing))

    def _require_new_keys(self, public: bytes, box: bytes) -> None:
        """Two people behind one key could not be told apart, nor one of them removed."""
        if public in self.members or public in self.invites or box in self.boxes():
            raise Void("a key that is in use")

    # -- what becomes of them ----------------------------------------------------------------

    def check_role(self, author: bytes, body: ChangeRole, projects: Collection[ProjectId]) -> None:
        """Raise Void unless *author* may give that role."""
        if not self.is_owner(author):
            raise Void("only an owner changes roles")
        member = self._staying_member(body.member)
        if not body.project:
            if body.role != "owner":
                self._require_owner({member.public})
        elif ProjectId(body.project) not in projects:
            raise Void("no such project")
        elif "owner" in {member.role, body.role}:
            raise Void("an owner is one in every project")

    def change_role(self, body: ChangeRole, seq: Seq) -> None:
        """Give the role, which `check_role` has let pass."""
        member = self.members[body.member]
        device = self.devices[member.device]
        project = ProjectId(body.project) if body.project else None
        standings = (*device.standings, Standing(seq, project, body.role))
        self.devices[device.id] = replace(
            device, standings=standings, role=body.role if project is None else device.role
        )
        if project is None:
            self.members[member.public] = replace(member, role=body.role, may_invite=False)
        if body.role != "owner" and (project is None or member.may_invite):
            self._close_invites_with(member)

    def rename(self, author: bytes, body: RenameDevice) -> None:
        by = self.members.get(author)
        if by is None or by.has_left or (by.role != "owner" and author != body.member):
            raise Void("only an owner renames others")
        member = self._staying_member(body.member)
        self.members[member.public] = replace(member, label=body.label)

    # -- who goes ----------------------------------------------------------------------------

    def check_revoke(self, author: bytes, body: Revoke) -> None:
        """Raise Void unless *author* may put those out."""
        if not self.is_owner(author):
            raise Void("only an owner puts out")
        if not all(key in self.members or key in self.invites for key in body.keys):
            raise Void("no such member or open invite")
        self._require_owner(body.keys)

    def revoke(self, body: Revoke, seq: Seq) -> None:
        """Put them out, which `check_revoke` has let pass."""
        gone = [self.members[key] for key in body.keys if key in self.members]
        self._close_invites_with(*gone)
        for member in gone:
            self._put_out(member.public, seq)
        for key in body.keys:
            self.invites.pop(key, None)

    def leave(self, author: bytes) -> None:
        member = self._staying_member(author)
        self._require_owner({author})
        self.members[author] = replace(member, has_left=True)
        self._close_invites_with(member)
        self.former[member.device] = self.devices.pop(member.device)

    def put_out_who_left(self, seq: Seq) -> None:
        for key in [key for key, member in self.members.items() if member.has_left]:
            self._put_out(key, seq)

    def _put_out(self, key: bytes, seq: Seq) -> None:
        member = self.members.pop(key)
        device = self.devices.pop(member.device, None) or self.former[member.device]
        self.former[device.id] = replace(
            device, standings=(*device.standings, Standing(seq, None, None))
        )

    def _staying_member(self, key: bytes) -> Member:
        member = self.members.get(key)
        if member is None or member.has_left:
            raise Void("no such member")
        return member

    def _require_owner(self, gone: Collection[bytes]) -> None:
        if not any(self.is_owner(key) for key in self.members.keys() - set(gone)):
            raise Void("no owner would stay")

    def _close_invites_with(self, *gone: Member) -> None:
        for key in closed_with(self.invites, gone):
            del self.invites[key]
