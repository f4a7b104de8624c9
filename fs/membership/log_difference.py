"""What two readings of the log of members make of the studio, for a person who has to choose one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lucidnode.fs.errors import NotAMember
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.membership.roster_view import RosterView
from lucidnode.node.client.ids import Seq


@dataclass(frozen=True, slots=True)
class LogDifference:
    """Where two logs part, and who and what only one of them knows, in words."""

    first: Seq
    """The first number that is not the same in both."""
    only_here: list[str]
    only_shown: list[str]
    """All of it, unless *lists_me*."""
    lists_me: bool
    """Whether the log that was read here has this member; else nobody can read the names in it."""


def log_difference(
    here: Sequence[bytes], shown: Sequence[bytes], mine: Membership
) -> LogDifference | None:
    """Return how the items *shown* by the bucket differ from those read *here*; None if they only go on.

    Raises ForeignRoster, and NotAMember if *mine* is not in the studio by those that are shown.
    """
    both = zip(here, shown, strict=False)
    first = next((at for at, (one, other) in enumerate(both) if one != other), len(shown))
    if first == len(shown) >= len(here):
        return None
    by_shown = _told(RosterView.read(shown, mine))
    try:
        by_here = _told(RosterView.read(here, mine))
    except NotAMember:
        return LogDifference(Seq(first + 1), [], by_shown, lists_me=False)
    return LogDifference(
        Seq(first + 1),
        [one for one in by_here if one not in by_shown],
        [one for one in by_shown if one not in by_here],
        lists_me=True,
    )


def _told(view: RosterView) -> list[str]:
    """Return what a roster establishes, a line for each."""
    names = {project.id: project.name for project in view.projects_and_deleted()}
    lines = [f"{one.label.member}, {one.label.device}: {one.role}" for one in view.people()]
    lines += [
        f"{one.label.member}, {one.label.device}: {role} of {names.get(project, project)}"
        for one in view.people()
        for project, role in one.roles.items()
    ]
    lines += [f"project {names.get(project, project)}" for project in view.roster.projects]
    lines += [
        f"an invite as {one.role} for {one.label.member or 'somebody'}" for one in view.invites()
    ]
    return lines
