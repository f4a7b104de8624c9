"""What an owner makes of a project: its name, whether it is written to, and its end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lucidnode.fs.membership.entries import rename_project_entry, state_entry
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.membership.roster_view import OpenProject, RosterView
from lucidnode.membership import append_entry
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.ids import ProjectId
from lucidnode.node.client.roster_entry import ProjectState

DAY_NS = 86_400 * 10**9


def of_id(view: RosterView, project: ProjectId) -> OpenProject:
    """Return that project, deleted or not, as *view* has it now."""
    return next(one for one in view.projects_and_deleted() if one.id == project)


async def rename(socket: Path, mine: Membership, project: ProjectId, name: str) -> None:
    """Have *project* called *name*. Raises NotAllowed, NameTaken, Invalid, Unavailable."""
    await append_entry(
        socket, mine, lambda view: rename_project_entry(view, of_id(view, project), name)
    )


async def change_state(
    socket: Path,
    mine: Membership,
    project: ProjectId,
    state: ProjectState,
    clock: Clock,
    keep_days: int = 0,
) -> None:
    """Make *project* another *state*; one that is deleted is kept for *keep_days*.

    Raises NotAllowed, Unavailable. The old epoch has to be ended after it (putting_out.py).
    """
    await append_entry(socket, mine, _made(project, state, clock.wall_ns(), keep_days))


def _made(
    project: ProjectId, state: ProjectState, now_ns: int, keep_days: int
) -> Callable[[RosterView], bytes]:
    until_ns = now_ns + keep_days * DAY_NS if state == "deleted" else 0
    return lambda view: state_entry(view, of_id(view, project), state, now_ns, until_ns)
