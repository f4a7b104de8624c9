"""Commands by which an owner renames, archives, deletes and brings back projects."""

from __future__ import annotations

import asyncio
import shlex
import sys
from pathlib import Path

import click

from lucidnode import membership, project_changes
from lucidnode.cli.ended_epochs import end_epochs, tell_ended, told_ended
from lucidnode.cli.membership_input import unlocked
from lucidnode.cli.output import as_json, confirm, moment, show_json
from lucidnode.cli.progress import spinner
from lucidnode.cli.project_names import offering_projects
from lucidnode.cli.secrets_input import passphrase_file
from lucidnode.fs.errors import NoSuchProject
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.membership.roster_view import OpenProject, RosterView
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.errors import Refused
from lucidnode.node.client.roster_entry import ProjectState

DEFAULT_KEEP_DAYS = 30
_MOST_DAYS = 3650


@click.command("rename")
@click.argument("name", shell_complete=offering_projects)
@click.argument("new_name")
@passphrase_file
@click.pass_obj
def rename(home: Path, name: str, new_name: str, passphrase_file: Path | None) -> None:
    """Give the project NAME the name NEW_NAME, for everybody. For owners.

    Mounts go on as they are. What the service brings back at every start is listed by name: mount it
    with --persist once more.

    \b
    Example:
      lucidnode project rename demo 'demo, the film'
    """
    mine, socket = unlocked(home, passphrase_file)
    view = asyncio.run(membership.read_roster(socket, mine))
    project = view.project(name)
    with spinner("writing it into the bucket…"):
        asyncio.run(project_changes.rename(socket, mine, project.id, new_name))
    click.echo(f"{project.name} is called {new_name} now", err=True)


@click.command("archive")
@click.argument("name", shell_complete=offering_projects)
@click.option("--yes", is_flag=True, help="Do not ask.")
@passphrase_file
@as_json
@click.pass_obj
def archive(
    home: Path, name: str, yes: bool, passphrase_file: Path | None, wants_json: bool
) -> None:
    """Have nobody change the project NAME any more: it can be read, and mounted to read. For owners.

    Whoever has it mounted is told and goes read-only at once; a workstation that is off, when it is
    back. What was not sent by then stays where it was written. `lucidnode project restore` undoes it.

    \b
    Example:
      lucidnode project archive demo
    """
    mine, socket = unlocked(home, passphrase_file)
    project = asyncio.run(membership.read_roster(socket, mine)).project(name)
    confirm(f"Archive {project.name}? Nobody can change it then.", yes=yes)
    _change(home, socket, mine, project, "archived", wants_json=wants_json)


@click.command("delete")
@click.argument("name", shell_complete=offering_projects)
@click.option(
    "--days",
    type=click.IntRange(1, _MOST_DAYS),
    default=DEFAULT_KEEP_DAYS,
    show_default=True,
    help="How long its blocks stay in the bucket, and it can be undone.",
)
@click.option("--name-again", help="The project's name once more, instead of being asked for it.")
@passphrase_file
@as_json
@click.pass_obj
def delete(
    home: Path,
    name: str,
    days: int,
    name_again: str | None,
    passphrase_file: Path | None,
    wants_json: bool,
) -> None:
    """Delete the project NAME for everybody: asks for its name again. For owners.

    Whoever has it mounted is told and goes read-only, and nobody can mount it any more. Its blocks,
    journal and snapshots stay in the bucket for 30 days, or as --days says; until then
    `lucidnode project restore` undoes it. A day after that, the workstations of the studio delete them
    for good.

    \b
    Examples:
      lucidnode project delete demo
      lucidnode project delete demo --days 90 --name-again demo
    """
    mine, socket = unlocked(home, passphrase_file)
    project = asyncio.run(membership.read_roster(socket, mine)).project(name)
    if name_again is None:
        if not sys.stdin.isatty():
            raise click.UsageError(
                "there is no terminal to ask for the name on: give it with --name-again"
            )
        name_again = click.prompt(
            f"This deletes {project.name} for everybody, and in {days} days for good.\n"
            "Its name, to go on",
            err=True,
        )
    if name_again != project.name:
        raise Refused(f"{name_again} is not {project.name}: nothing was deleted")
    _change(home, socket, mine, project, "deleted", days, wants_json=wants_json)


@click.command("restore")
@click.argument("name", shell_complete=offering_projects)
@passphrase_file
@as_json
@click.pass_obj
def restore(home: Path, name: str, passphrase_file: Path | None, wants_json: bool) -> None:
    """Bring back the project NAME, archived or deleted, name or id: it can be written again. For owners.

    Where it is mounted still, that goes on at once, with what was not sent; else mount it anew.

    \b
    Example:
      lucidnode project restore demo
    """
    mine, socket = unlocked(home, passphrase_file)
    project = _put_away(asyncio.run(membership.read_roster(socket, mine)), name)
    _change(home, socket, mine, project, "active", wants_json=wants_json)


def _put_away(view: RosterView, name: str) -> OpenProject:
    known = view.projects_and_deleted()
    found = [one for one in known if one.id == name] or [
        one for one in known if one.name == name and one.state != "active"
    ]
    if not found:
        view.project(name)  # raises where there is none of that name
        raise Refused(f"{name} is neither archived nor deleted")
    if len(found) > 1:
        ids = ", ".join(one.id for one in found)
        raise NoSuchProject(f"several projects were called {name}: name it by its id, {ids}")
    return found[0]


def _change(
    home: Path,
    socket: Path,
    mine: Membership,
    project: OpenProject,
    state: ProjectState,
    days: int = 0,
    *,
    wants_json: bool,
) -> None:
    clock = SystemClock()
    asyncio.run(project_changes.change_state(socket, mine, project.id, state, clock, days))
    ended = end_epochs(home, socket, mine, project.id)
    view = asyncio.run(membership.read_roster(socket, mine))
    now = project_changes.of_id(view, project.id)
    if wants_json:
        until_ns = {"until_ns": now.until_ns} if now.until_ns else {}
        show_json(
            {"name": now.name, "id": now.id, "state": now.state, **until_ns} | told_ended(ended)
        )
        return
    hint = f"lucidnode project restore {shlex.quote(now.name)}"
    match state:
        case "archived":
            said = f"{now.name} is archived: `{hint}` takes it up again"
        case "deleted":
            said = (
                f"{now.name} is deleted: until {moment(now.until_ns / 1e9)}, `{hint}` undoes that"
            )
        case _:
            said = (
                f"{now.name} is back: mount it with `lucidnode mount {shlex.quote(now.name)} DIR`"
            )
    click.echo(said, err=True)
    tell_ended(ended)
