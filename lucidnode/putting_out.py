"""What an owner does to members: roles, and putting out, and the epochs that end with either."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from lucidnode.fs.commit.epoch_end import end_epoch
from lucidnode.fs.commit.project_access import ProjectAccess
from lucidnode.fs.errors import FsError, NotAMember
from lucidnode.fs.membership.entries import (
    inviting_entry,
    leave_entry,
    rename_entry,
    revoke_entry,
    role_entry,
    shared_invites,
)
from lucidnode.fs.membership.member import Label
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.membership.roster_view import OpenProject, RosterView
from lucidnode.membership import append_entry, read_roster
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.ids import ProjectId
from lucidnode.node.client.roster_entry import Role
from lucidnode.own_replica import own_replica


@dataclass(frozen=True, slots=True)
class EndedEpoch:
    """A project whose old epoch has ended, or why it has not: until then, what was put out may write."""

    project: str
    problem: str = ""


async def revoke(socket: Path, mine: Membership, keys: Collection[bytes]) -> None:
    """Put out the members, and close the invites, of *keys*. Raises NotAllowed, NotAMember, Unavailable.

    With an owner go the open invites whose secrets he has: he could come back by one.
    """

    def entry(view: RosterView) -> bytes:
        members = view.roster.members
        gone = [one for key, one in members.items() if key in keys or one.has_left]
        if any(one.role == "owner" for one in gone):
            return revoke_entry(view, {*keys, *shared_invites(view.roster, _now_ns())})
        return revoke_entry(view, keys)

    await append_entry(socket, mine, entry)


async def leave(socket: Path, mine: Membership) -> None:
    """Say in the log of members that *mine* goes, once. Raises NotAllowed, Unavailable."""
    with contextlib.suppress(NotAMember):  # put out already
        view = await read_roster(socket, mine)
        if not view.me.has_left:
            await append_entry(socket, mine, leave_entry)


async def change_role(
    socket: Path, mine: Membership, member: bytes, project: ProjectId | None, role: Role
) -> None:
    """Give *member* the *role*, in *project* or everywhere. Raises NotAllowed, NotAMember, Unavailable.

    Of an owner who becomes less, open invites are closed first: he has their secrets, as all owners.
    """
    roster = (await read_roster(socket, mine)).roster
    known = roster.members.get(member)
    shared = shared_invites(roster, _now_ns())
    if known is not None and known.role == "owner" != role and shared:
        await revoke(socket, mine, shared)
    await append_entry(socket, mine, lambda view: role_entry(view, member, project, role))


async def allow_inviting(socket: Path, mine: Membership, member: bytes, *, may: bool) -> None:
    """Let *member*, an editor, invite, or no more. Raises NotAllowed, NotAMember, Unavailable."""
    await append_entry(socket, mine, lambda view: inviting_entry(view, member, may=may))


async def rename(socket: Path, mine: Membership, member: bytes, device: str) -> None:
    """Have the workstation of *member* called *device*. Raises NotAllowed, NotAMember, Invalid, Unavailable."""

    def entry(view: RosterView) -> bytes:
        one = next((one for one in view.people() if one.public == member), None)
        name = "" if one is None else one.label.member
        return rename_entry(view, member, Label(name, device))

    await append_entry(socket, mine, entry)


async def end_epochs(
    home: Path,
    socket: Path,
    mine: Membership,
    started: Callable[[str], None],
    only: ProjectId | None = None,
) -> AsyncIterator[EndedEpoch]:
    """End the epoch before the newest in every project where *mine* can, or in one *only*, one by one.

    Until then, what was made in it by somebody who was put out counts. *started* hears the name of each.
    """
    async with DaemonClient(socket) as client:
        view = RosterView.read(await client.roster.entries(), mine)
        roster = view.roster
        for project in view.projects_and_deleted():
            if only not in {None, project.id} or _is_past(project):
                continue
            if roster.writer_in(project.id, view.me.device, roster.epoch) is None:
                continue
            started(project.name)
            try:
                await _ended(home, client, mine, project)
            except (NodeError, FsError) as error:
                yield EndedEpoch(project.name, str(error))
            else:
                yield EndedEpoch(project.name)


def _now_ns() -> int:
    return SystemClock().wall_ns()


def _is_past(project: OpenProject) -> bool:
    """Tell whether its objects may have left the bucket: nothing can be said there any more."""
    return project.state == "deleted" and project.until_ns < _now_ns()


async def _ended(home: Path, client: DaemonClient, mine: Membership, project: OpenProject) -> None:
    access, clock = await ProjectAccess.open(client.roster, mine, project.id), SystemClock()
    async with own_replica(home, client, access, clock, "epoch") as replica:
        await end_epoch(client.journal, access, replica, clock)
