"""Commands that show who belongs to the studio, and change that."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

import click

from lucidnode import membership
from lucidnode.cli.changing_members import (
    members_inviting,
    members_revoke,
    members_role,
    members_settle,
)
from lucidnode.cli.lone_owner import tell_lone_owner
from lucidnode.cli.membership_input import unlocked
from lucidnode.cli.output import as_json, day_of, show_json, show_table
from lucidnode.cli.repairing_members import members_repair
from lucidnode.cli.secrets_input import passphrase_file
from lucidnode.fs.membership.roster_view import Person
from lucidnode.node.client.ids import ProjectId


@click.group("members", short_help="Show who belongs to the studio, change roles, put out.")
def members_command() -> None:
    """Show who belongs to the studio and who is invited, change roles, and put members out.

    \b
    Example:
      lucidnode members list
    """


for _changing in (
    members_role,
    members_inviting,
    members_revoke,
    members_settle,
    members_repair,
):
    members_command.add_command(_changing)


@members_command.command("list")
@passphrase_file
@as_json
@click.pass_obj
def members_list(home: Path, passphrase_file: Path | None, wants_json: bool) -> None:
    """List the members with their workstations and roles, and the invites that are open.

    \b
    Example:
      lucidnode members list --json
    """
    mine, socket = unlocked(home, passphrase_file)
    view = asyncio.run(membership.read_roster(socket, mine))
    people, invites, now_ns = view.people(), view.invites(), time.time_ns()
    if wants_json:
        show_json(
            {
                "members": [
                    {
                        "member": one.label.member,
                        "device": one.label.device,
                        "device_id": one.device,
                        "role": one.role,
                        "roles": dict(one.roles),
                        "may_invite": one.may_invite,
                        "has_left": one.has_left,
                        "is_me": one.is_me,
                    }
                    for one in people
                ],
                "invites": [
                    {
                        "for": one.label.member,
                        "role": one.role,
                        "until_ns": one.expires_ns,
                        "expired": one.expires_ns < now_ns,
                        "recovery_code": one.is_recovery_code,
                    }
                    for one in invites
                ],
            }
        )
        return
    projects = {project.id: project.name for project in view.projects_and_deleted()}
    rows = [
        [one.label.member, one.label.device, one.role, _said_of(one, projects)] for one in people
    ]
    rows += [
        [
            one.label.member or "(nobody named)",
            "",
            one.role,
            "until it is used, or another is made"
            if one.is_recovery_code
            else f"invited until {day_of(one.expires_ns)}",
        ]
        for one in invites
        if one.expires_ns >= now_ns
    ]
    show_table(["member", "workstation", "role", ""], rows)
    tell_lone_owner(view)


def _said_of(one: Person, projects: Mapping[ProjectId, str]) -> str:
    said = ["this workstation"] if one.is_me else []
    said += [f"{role} of {projects.get(project, project)}" for project, role in one.roles.items()]
    if one.may_invite:
        said.append("may invite")
    if one.has_left:
        said.append("has left: an owner's next change of members is sealed without this one")
    return ", ".join(said)
