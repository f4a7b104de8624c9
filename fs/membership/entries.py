"""Roster entries as their authors write them: signed bytes for the slot after the head.

Each function judges by the roster it is given; if another entry wins the slot, read the roster
again and call it again. What it refuses here, every reader would skip as void.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from lucidnode.fs.errors import Invalid, NameTaken, NotAllowed, TicketSpent
from lucidnode.fs.format.sodium import random_bytes
from lucidnode.fs.membership.member import (
    Label,
    MemberKeys,
    ProjectSecret,
    seal_label,
    seal_secret,
    spelled,
)
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.membership.roster_view import RosterView, opened_secrets
from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.client.public_keys import KEY_SIZE
from lucidnode.node.client.roster import NewerRoster, Roster
from lucidnode.node.client.roster_entry import (
    FORMAT,
    MAX_BLOCK_BYTES,
    MIN_BLOCK_BYTES,
    NO_ENTRY,
    Body,
    DeviceClaim,
    Genesis,
    Invite,
    Join,
    Project,
    Role,
    RosterEntry,
    signing_message,
)
from lucidnode.node.client.roster_rules import (
    MAX_PEOPLE,
    MAX_PROJECTS,
    MAX_PROJECTS_OF_EDITOR,
)

_FIRST_EPOCH = 1


def genesis_entry(
    studio: bytes, name_key: bytes, owner: MemberKeys, device: DeviceClaim, label: Label
) -> bytes:
    """Return roster entry 1 of a new studio; its hash is what members pin."""
    sealed = seal_label(name_key, owner.public, _spelled(label))
    return _signed(Seq(1), NO_ENTRY, owner, Genesis(studio, owner.box, device, sealed))


def invite_entry(
    view: RosterView,
    invite: MemberKeys,
    role: Role,
    expires_ns: int,
    suggested_name: str,
    projects: Collection[ProjectId] | None = None,
) -> bytes:
    """Return the entry by which an owner opens an invite to *projects*, None for all; raises NotAllowed."""
    if view.me.role != "owner":
        raise NotAllowed("only an owner of the studio can invite")
    if len(view.roster.members) + len(view.roster.invites) >= MAX_PEOPLE:
        raise NotAllowed(f"the studio has {MAX_PEOPLE} members and open invites, and takes no more")
    label = Label(spelled(suggested_name), "") if suggested_name else Label("", "")
    body = Invite(
        invite=invite.public,
        invite_box=invite.box,
        role=role,
        expires_ns=expires_ns,
        label=seal_label(view.membership.name_key, invite.public, label),
        projects={
            project: sealed
            for project, sealed in _sealed_again(
                view.roster, view.membership.keys, invite.box
            ).items()
            if projects is None or project in projects
        },
    )
    return _next(view.roster, view.membership.keys, body)


def join_entry(
    roster: Roster,
    invite: MemberKeys,
    joining: Membership,
    device: DeviceClaim,
    joined_ns: int,
) -> bytes:
    """Return the entry by which the holder of *invite* becomes the member *joining*.

    Raises TicketSpent. Save the membership before this entry is created: afterwards the invite is
    used up, and keys that were lost in between lock their owner out.
    """
    opened = roster.invites.get(invite.public)
    if opened is None:
        raise TicketSpent("this ticket was used already: ask for a new one")
    if joined_ns > opened.expires_ns:
        raise TicketSpent("this ticket is past its time: ask for a new one")
    member = joining.keys
    body = Join(
        member=member.public,
        member_box=member.box,
        device=device,
        label=seal_label(joining.name_key, member.public, _spelled(joining.label)),
        joined_ns=joined_ns,
        projects=_sealed_again(roster, invite, member.box),
    )
    return _next(roster, invite, body)


def project_entry(view: RosterView, project: ProjectId, name: str, block_size: int) -> bytes:
    """Return the entry that creates *project*, its fresh key sealed to everybody of the studio.

    *block_size* is a power of two, 256 KiB to 16 MiB. Raises NotAllowed, NameTaken, Invalid.
    """
    if view.me.role == "viewer":
        raise NotAllowed("a viewer of the studio cannot create projects")
    others = view.roster.projects.values()
    mine = sum(project.author == view.me.public for project in others)
    if len(others) >= MAX_PROJECTS:
        raise NotAllowed(f"the studio has {MAX_PROJECTS} projects, and takes no more")
    if view.me.role != "owner" and mine >= MAX_PROJECTS_OF_EDITOR:
        raise NotAllowed(
            f"you have created {MAX_PROJECTS_OF_EDITOR} projects: ask an owner to create more"
        )
    name = spelled(name)
    if name in {".", ".."} or name.startswith("-"):
        raise Invalid(f"a project is not called {name}: that name means something else to a shell")
    if any(name == known.name for known in view.projects()):
        raise NameTaken(f"there is a project {name!r} already")
    power_of_two = block_size & (block_size - 1) == 0
    if not (MIN_BLOCK_BYTES <= block_size <= MAX_BLOCK_BYTES and power_of_two):
        raise Invalid("a block size is a power of two from 256 KiB to 16 MiB")
    secret = ProjectSecret(project, name, _FIRST_EPOCH, random_bytes(KEY_SIZE))
    roster = view.roster
    boxes = [member.box for member in roster.members.values()]
    boxes += [invite.box for invite in roster.invites.values()]
    body = Project(project, block_size, {box: seal_secret(secret, box) for box in boxes})
    return _next(roster, view.membership.keys, body)


def _sealed_again(roster: Roster, keys: MemberKeys, box: bytes) -> dict[str, bytes]:
    return {
        project: seal_secret(secret, box)
        for project, secret in opened_secrets(roster, keys).items()
    }


def _spelled(label: Label) -> Label:
    return Label(spelled(label.member), spelled(label.device))


def _next(roster: Roster, author: MemberKeys, body: Body) -> bytes:
    if roster.newer is not None:
        raise NewerRoster("an owner uses a later version for this studio: update Lucidnode")
    return _signed(Seq(roster.head + 1), roster.head_hash, author, body)


def _signed(seq: Seq, previous: bytes, author: MemberKeys, body: Body) -> bytes:
    raw = msgspec.msgpack.encode(body)
    message = signing_message(seq, previous, author.public, raw)
    return RosterEntry(FORMAT, seq, previous, author.public, raw, author.sign(message)).encode()
