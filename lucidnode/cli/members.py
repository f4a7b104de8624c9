"""Commands that show who belongs to the studio, and how that came about."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

import click
import msgspec

from lucidnode import membership
from lucidnode.cli.changing_members import (
    members_inviting,
    members_revoke,
    members_role,
    members_settle,
)
from lucidnode.cli.lone_owner import tell_lone_owner
from lucidnode.cli.membership_input import unlocked
from lucidnode.cli.output import as_json, show_json, show_table
from lucidnode.cli.secrets_input import passphrase_file
from lucidnode.fs.membership.audit import AuditRecord, audit
from lucidnode.fs.membership.roster_view import Person
from lucidnode.node.client.ids import ProjectId


@click.group("members", short_help="Show who belongs to the studio, change roles, put out.")
def members_command() -> None:
    """Show who belongs to the studio and who is invited, change roles, and put members out.

    \b
    Example:
      lucidnode members list
    """


for _changing in (members_role, members_inviting, members_revoke, members_settle):
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
            else f"invited until {_day(one.expires_ns)}",
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


@click.command(
    "audit", short_help="Show who joined, left, got which role, and can open which project."
)
@click.option("--json", "wants_json", is_flag=True, help="Print JSON, one line for each entry.")
@passphrase_file
@click.pass_obj
def audit_command(home: Path, wants_json: bool, passphrase_file: Path | None) -> None:
    """Show who was invited, joined, left, was put out, got which role and which project's key, from the signed log.

    Times are what the clocks of those who wrote said.

    \b
    Example:
      lucidnode audit --json
    """
    mine, socket = unlocked(home, passphrase_file)
    records = list(audit(asyncio.run(membership.read_log(socket)), mine))
    if wants_json:
        for record in records:
            click.echo(msgspec.json.encode(record).decode())
        return
    show_table(["", "when", "what"], [[r.seq, _when(r.at_ns), _sentence(r)] for r in records])


def _sentence(record: AuditRecord) -> str:
    match record.event:
        case "founded":
            return f"{record.member} founded the studio on {record.device}"
        case "invited":
            who = record.member or "somebody"
            day, where = _day(record.until_ns), _listed(record.projects)
            return f"{record.by} invited {who} as {record.role}, until {day}, to {where}"
        case "joined":
            where = _listed(record.projects)
            by = f", invited by {record.inviter}," if record.inviter else ","
            return f"{record.member} joined as {record.role} with {record.device}{by} and can open {where}"
        case "put out":
            return f"{record.by} put out {record.member} ({record.device})"
        case "invite closed":
            return f"{record.by} closed an invite"
        case "renamed":
            return f"{record.by} renamed {record.member} ({record.before}): now {record.device}"
        case "left":
            return f"{record.member} left with {record.device}"
        case "inviting allowed":
            return f"{record.by} lets {record.member} ({record.device}) invite"
        case "inviting forbidden":
            return f"{record.by} lets {record.member} ({record.device}) invite no more"
        case "role changed":
            where = f" of {record.project}" if record.project else ""
            return f"{record.by} made {record.member} ({record.device}) {record.role}{where}"
        case "project created":
            people = _listed(record.opens_to)
            return f"{record.by} created the project {record.project}, which opens to {people}"
        case "project renamed":
            return f"{record.by} renamed the project {record.project} to {record.name}"
        case "project archived":
            return f"{record.by} archived the project {record.project}"
        case "project deleted":
            day = _day(record.until_ns)
            return f"{record.by} deleted the project {record.project}, for good from {day} on"
        case "project restored":
            return f"{record.by} brought back the project {record.project}"
        case "settings changed":
            return f"{record.by} changed the settings of the studio"
        case _:
            return f"an entry that counts for nothing: {record.reason}"


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "nothing"


def _when(at_ns: int | None) -> str:
    return "" if at_ns is None else _at("%Y-%m-%d %H:%M", at_ns)


def _day(at_ns: int | None) -> str:
    return "" if at_ns is None else _at("%Y-%m-%d", at_ns)


def _at(form: str, at_ns: int) -> str:
    try:
        return time.strftime(form, time.localtime(at_ns // 10**9))
    except (OverflowError, ValueError, OSError):  # somebody else wrote it
        return "(no time)"
