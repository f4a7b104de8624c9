"""Roster entries as their authors write them: signed bytes for the slot after the head.

Each function judges by the roster it is given; if another entry wins the slot, read the roster
again and call it again. What it refuses here, every reader would skip as void.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from lucidnode.fs.errors import Invalid, NameTaken, NotAllowed, NotAMember, TicketSpent
from lucidnode.fs.format.keys import seal_era_before
from lucidnode.fs.format.sodium import random_bytes
from lucidnode.fs.membership.member import (
    Label,
    MemberKeys,
    ProjectSecret,
    seal_label,
    seal_project_name,
    seal_secret,
    spelled,
)
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.membership.roster_view import (
    OpenProject,
    RosterView,
    opened_eras,
    opened_secrets,
)
from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.client.public_keys import KEY_SIZE
from lucidnode.node.client.roster import NewerRoster, Roster, closed_with, is_at_most
from lucidnode.node.client.roster_entry import (
    ERA_FORMAT,
    ERA_PROJECT,
    MAX_BLOCK_BYTES,
    MIN_BLOCK_BYTES,
    NO_ENTRY,
    AllowInviting,
    Body,
    ChangeRole,
    ChangeState,
    DeviceClaim,
    Genesis,
    Invite,
    Join,
    Leave,
    NewEra,
    Project,
    ProjectState,
    RenameDevice,
    RenameProject,
    Revoke,
    Role,
    RosterEntry,
    Settings,
    format_of,
    signing_message,
)
from lucidnode.node.client.roster_people import MAX_INVITES_OF_EDITOR, MAX_PEOPLE
from lucidnode.node.client.roster_state import MAX_PROJECTS, MAX_PROJECTS_OF_EDITOR

MAX_TICKET_NS = 31 * 24 * 3600 * 10**9
"""For how long a ticket counts at most, and a day for clocks that differ."""


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
    """Return the entry by which an invite to *projects* is opened, None for all that we can open.

    Raises NotAllowed.
    """
    require_may_invite(view, role)
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
            if projects is None or project in projects or project == ERA_PROJECT
        },
    )
    return _next(view.roster, view.membership.keys, body)


def require_may_invite(view: RosterView, role: Role) -> None:
    """Raise NotAllowed unless the member may invite somebody as *role* now."""
    if not view.me.can_invite:
        raise NotAllowed(
            "only an owner of the studio can invite, or an editor whom an owner lets: "
            "`lucidnode members inviting NAME on`"
        )
    if not is_at_most(role, view.me.role):
        raise NotAllowed(f"an {view.me.role} can invite editors and viewers, and no {role}")
    if view.me.role != "owner" and view.me.invited >= MAX_INVITES_OF_EDITOR:
        raise NotAllowed(
            f"you have invited {MAX_INVITES_OF_EDITOR} times: ask an owner to invite more"
        )
    if len(view.roster.members) + len(view.roster.invites) >= MAX_PEOPLE:
        raise NotAllowed(f"the studio has {MAX_PEOPLE} members and open invites, and takes no more")


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
        raise TicketSpent("this ticket was used already, or withdrawn: ask for a new one")
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
    name = _free_name(view, name)
    power_of_two = block_size & (block_size - 1) == 0
    if not (MIN_BLOCK_BYTES <= block_size <= MAX_BLOCK_BYTES and power_of_two):
        raise Invalid("a block size is a power of two from 256 KiB to 16 MiB")
    roster = view.roster
    secret = ProjectSecret(project, name, roster.epoch, random_bytes(KEY_SIZE))
    boxes = [member.box for member in roster.members.values() if not member.has_left]
    boxes += [invite.box for invite in roster.invites.values()]
    body = Project(project, block_size, {box: seal_secret(secret, box) for box in boxes})
    return _next(roster, view.membership.keys, body)


def revoke_entry(view: RosterView, keys: Collection[bytes]) -> bytes:
    """Return the entry by which an owner puts out the members, and closes the invites, of *keys*.

    Invites that somebody put out had opened go with them, and those that he can have answered in
    the place of others. Raises NotAllowed, NotAMember if one of *keys* is nobody's.
    """
    roster = view.roster
    if view.me.role != "owner":
        raise NotAllowed("only an owner of the studio can put somebody out")
    if any(key not in roster.members and key not in roster.invites for key in keys):
        raise NotAMember("that is no member of the studio any more, and no open invite: look again")
    gone = {key: member for key, member in roster.members.items() if key in keys or member.has_left}
    _require_owner(roster, gone)
    closed = {*keys, *closed_with(roster.invites, gone.values())}
    stay = [invite.box for key, invite in roster.invites.items() if key not in closed]
    stay += [member.box for key, member in roster.members.items() if key not in gone]
    return _next(roster, view.membership.keys, Revoke(sorted(closed), _new_era(view, stay)))


def shared_invites(roster: Roster, now_ns: int) -> set[bytes]:
    """Return the keys of the open invites whose secrets all owners may have, to answer for them.

    Which those are the log cannot tell, but recovery codes it can: they count for longer than any
    ticket, and nobody but their holder has them.
    """
    return {
        key for key, invite in roster.invites.items() if invite.expires_ns <= now_ns + MAX_TICKET_NS
    }


def role_entry(view: RosterView, member: bytes, project: ProjectId | None, role: Role) -> bytes:
    """Return the entry by which an owner gives *member* another role, in *project* or everywhere.

    Raises NotAllowed, NotAMember.
    """
    roster = view.roster
    if view.me.role != "owner":
        raise NotAllowed("only an owner of the studio can change a role")
    known = roster.members.get(member)
    if known is None or known.has_left:
        raise NotAMember("that is no member of the studio any more: look again")
    if project is not None and "owner" in {role, known.role}:
        raise NotAllowed("an owner is one of the whole studio: change the role without a project")
    if project is None and role != "owner":
        _require_owner(roster, {member})
    narrows = role != "owner" and (project is None or known.may_invite)
    closed = closed_with(roster.invites, [known]) if narrows else set()
    stay = [one.box for one in roster.members.values() if not one.has_left]
    stay += [invite.box for key, invite in roster.invites.items() if key not in closed]
    body = ChangeRole(member, project or "", role, _new_era(view, stay))
    return _next(roster, view.membership.keys, body)


def leave_entry(view: RosterView) -> bytes:
    """Return the entry by which a member leaves. Raises NotAllowed."""
    _require_owner(view.roster, {view.me.public})
    if view.roster.format < ERA_FORMAT and view.me.role != "owner":
        # Workstations of an earlier release would read no further, and only an owner decides that.
        raise NotAllowed(
            "nobody was put out of this studio yet, and only an owner can be the first: ask for "
            "`lucidnode members revoke`"
        )
    return _next(view.roster, view.membership.keys, Leave())


def inviting_entry(view: RosterView, member: bytes, *, may: bool) -> bytes:
    """Return the entry by which an owner lets *member*, an editor, invite from now on, or no more.

    Raises NotAllowed, NotAMember.
    """
    if view.me.role != "owner":
        raise NotAllowed("only an owner of the studio can say who may invite")
    known = view.roster.members.get(member)
    if known is None or known.has_left:
        raise NotAMember("that is no member of the studio any more: look again")
    if known.role != "editor":
        raise NotAllowed(
            "an owner can invite anyway"
            if known.role == "owner"
            else "a viewer cannot invite: make somebody an editor first"
        )
    return _next(view.roster, view.membership.keys, AllowInviting(member, may))


def rename_entry(view: RosterView, member: bytes, label: Label) -> bytes:
    """Return the entry by which an owner, or the member himself, is called *label* from now on.

    Raises NotAllowed, NotAMember, Invalid.
    """
    known = view.roster.members.get(member)
    if view.me.role != "owner" and member != view.me.public:
        raise NotAllowed("only an owner of the studio can rename the workstations of others")
    if known is None or known.has_left:
        raise NotAMember("that is no member of the studio any more: look again")
    sealed = seal_label(view.membership.name_key, member, _spelled(label))
    return _next(view.roster, view.membership.keys, RenameDevice(member, sealed))


def rename_project_entry(view: RosterView, project: OpenProject, name: str) -> bytes:
    """Return the entry by which an owner has *project* called *name*.

    Raises NotAllowed, NameTaken, Invalid, KeyMissing.
    """
    _require_owners_word(view, "rename")
    if project.state == "deleted":
        raise NotAllowed(f"{project.name} is deleted: bring it back first")
    if spelled(name) == project.name:
        raise NameTaken(f"it is called {name!r} already")
    sealed = seal_project_name(project.keys, _free_name(view, name))
    body = RenameProject(project.id, project.keys.current, sealed)
    return _next(view.roster, view.membership.keys, body)


def state_entry(
    view: RosterView,
    project: OpenProject,
    state: ProjectState,
    changed_ns: int,
    until_ns: int = 0,
) -> bytes:
    """Return the entry by which an owner makes *project* another *state*.

    *until_ns* is when what is deleted may leave the bucket, else 0. Raises NotAllowed.
    """
    _require_owners_word(view, "archive, delete or bring back")
    now = view.roster.projects[project.id]
    if now.state == state:
        raise NotAllowed(f"{project.name} is {state} already")
    if now.state == "deleted" and changed_ns > now.states[-1].until_ns:
        raise NotAllowed(f"the time to bring {project.name} back has passed")
    stay = [one.box for one in view.roster.members.values() if not one.has_left]
    stay += [invite.box for invite in view.roster.invites.values()]
    body = ChangeState(project.id, state, changed_ns, until_ns, _new_era(view, stay))
    return _next(view.roster, view.membership.keys, body)


def settings_entry(view: RosterView, sealed: bytes) -> bytes:
    """Return the entry by which an owner makes the settings of the studio. Raises NotAllowed."""
    if view.me.role != "owner":
        raise NotAllowed("only an owner of the studio can make settings for all of it")
    return _next(view.roster, view.membership.keys, Settings(sealed))


def _require_owners_word(view: RosterView, what: str) -> None:
    if view.me.role != "owner":
        raise NotAllowed(f"only an owner of the studio can {what} projects")


def _free_name(view: RosterView, name: str) -> str:
    name = spelled(name)
    if name in {".", ".."} or name.startswith("-"):
        raise Invalid(f"a project is not called {name}: that name means something else to a shell")
    if any(name == known.name for known in view.projects()):
        raise NameTaken(f"there is a project {name!r} already")
    return name


def _require_owner(roster: Roster, gone: Collection[bytes]) -> None:
    for key, member in roster.members.items():
        if member.role == "owner" and key not in gone and not member.has_left:
            return
    raise NotAllowed(
        "the studio would be left without an owner: make somebody else one first, with "
        "`lucidnode members role NAME owner`"
    )


def _new_era(view: RosterView, boxes: Iterable[bytes]) -> NewEra:
    roster = view.roster
    epoch, key = roster.epoch + 1, random_bytes(KEY_SIZE)
    before = b""
    if roster.eras:
        known = opened_eras(roster, view.membership.keys).get(roster.epoch)
        if known is None:
            raise NotAllowed(
                "the key of the studio's last change of members was not sealed to you: have another "
                "owner do it"
            )
        before = seal_era_before(key, epoch, known)
    secret = ProjectSecret(ERA_PROJECT, "", epoch, key)
    return NewEra(before, {box: seal_secret(secret, box) for box in boxes})


def _sealed_again(roster: Roster, keys: MemberKeys, box: bytes) -> dict[str, bytes]:
    """Return all that *keys* open, sealed to *box*: the newest era key, under an id of its own, too."""
    secrets = list(opened_secrets(roster, keys).values())
    era = opened_eras(roster, keys).get(roster.epoch)
    if era is not None:
        secrets.append(ProjectSecret(ERA_PROJECT, "", roster.epoch, era))
    return {secret.project: seal_secret(secret, box) for secret in secrets}


def _spelled(label: Label) -> Label:
    return Label(spelled(label.member), spelled(label.device))


def _next(roster: Roster, author: MemberKeys, body: Body) -> bytes:
    if roster.newer is not None:
        raise NewerRoster("an owner uses a later version for this studio: update Lucidnode")
    return _signed(Seq(roster.head + 1), roster.head_hash, author, body)


def _signed(seq: Seq, previous: bytes, author: MemberKeys, body: Body) -> bytes:
    raw = msgspec.msgpack.encode(body)
    number = format_of(body)
    message = signing_message(seq, previous, author.public, raw, number)
    return RosterEntry(number, seq, previous, author.public, raw, author.sign(message)).encode()
