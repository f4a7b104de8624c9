"""The command that tells how much is where, and whose."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from pathlib import Path
from typing import TypeVar

import click

from lucidnode.cli.background import facts_if_running
from lucidnode.cli.membership_input import unlocked
from lucidnode.cli.mounted_project import offering_paths
from lucidnode.cli.output import as_json, show_json, show_table, size
from lucidnode.cli.past_input import given_path, hinting, known_project, opened_past, who
from lucidnode.cli.secrets_input import passphrase_file
from lucidnode.fs.commit.project_access import ProjectAccess
from lucidnode.fs.commit.repair.replica_files import REPLICA_FILE
from lucidnode.fs.errors import NoSuchPast
from lucidnode.fs.history.past_places import Path as Names
from lucidnode.fs.history.past_places import shown
from lucidnode.fs.history.used_space import Usage, UsedSpace, usage_of, writer_by_version
from lucidnode.fs.membership.roster_view import RosterView
from lucidnode.fs.project_home import project_directory
from lucidnode.fs.replica.used_files import used_beside
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.ids import DeviceId, ProjectId

_NOT_KNOWN = "not known"

Key = TypeVar("Key", bound=Hashable)


@click.command("usage", short_help="Show how much is in each directory, and whose.")
@click.argument("path", shell_complete=offering_paths)
@click.option(
    "--from-journal",
    is_flag=True,
    help="Read who wrote it from the journal: also of what earlier releases wrote. Long, the first time.",
)
@passphrase_file
@as_json
@click.pass_obj
def usage_command(
    home: Path, path: str, from_journal: bool, passphrase_file: Path | None, wants_json: bool
) -> None:
    """Show what lies in PATH, the largest first, and how much each member wrote of it.

    PATH is the name of a project, lies in a mounted one, or is PROJECT:PATH. Sizes are those that
    files show; copies that share their blocks count each, and what is only in the history does not.
    Where the project is mounted here it is read from this workstation alone, with what is not
    committed yet.

    \b
    Examples:
      lucidnode usage demo
      lucidnode usage ~/demo/film --json
    """
    given = given_path(home, path)

    async def work() -> tuple[Usage | None, ProjectAccess]:
        if from_journal:
            async with opened_past(home, passphrase_file, given.project, whole=True) as opened:
                log = opened.past.log
                by_journal = usage_of(
                    opened.past.used(), given.path, lambda file: log.writer(file.ino)
                )
                return by_journal, opened.access
        mine, socket = await asyncio.to_thread(unlocked, home, passphrase_file)
        async with DaemonClient(socket) as client:
            view = RosterView.read(await client.roster.entries(), mine)
            project = known_project(view, given.project).id
            access = await ProjectAccess.open(client.roster, mine, project)
        if await _is_mounted(home, project):
            return _beside(home, project, access, given.path), access
        async with opened_past(home, passphrase_file, given.project) as opened:
            writer = writer_by_version(access.devices())
            return usage_of(opened.past.used(), given.path, writer), access

    with hinting(given):
        usage, access = asyncio.run(work())
        if usage is None:
            raise NoSuchPast(f"there is no {shown(given.path)} in this project now")
    _show(usage, access, wants_json=wants_json)


async def _is_mounted(home: Path, project: ProjectId) -> bool:
    status = await facts_if_running(home, "status")
    return status is not None and any(each["project"] == project for each in status["mounts"])


def _beside(home: Path, project: ProjectId, access: ProjectAccess, path: Names) -> Usage | None:
    replica = project_directory(home, project) / REPLICA_FILE
    with used_beside(replica, access.keys().replica) as files:
        return usage_of(files, path, writer_by_version(access.devices()))


def _show(usage: Usage, access: ProjectAccess, *, wants_json: bool) -> None:
    parts = _largest_first(usage.parts)
    writers = _largest_first(usage.writers)
    members: dict[str, UsedSpace] = {}
    for device, used in writers:
        member = members.setdefault(_member(access, device), UsedSpace())
        member.size += used.size
        member.files += used.files
    if wants_json:
        show_json(
            {
                **_facts(usage.total),
                "parts": [{"name": shown((name,)), **_facts(used)} for name, used in parts],
                "members": [
                    {"member": member, **_facts(used)} for member, used in _largest_first(members)
                ],
                "writers": [
                    {"device": device, "who": _who(access, device), **_facts(used)}
                    for device, used in writers
                ],
            }
        )
        return
    rows = [[size(used.size), used.files, shown((name,))] for name, used in parts]
    show_table(
        ["size", "files", "in"], [*rows, [size(usage.total.size), usage.total.files, "all of it"]]
    )
    click.echo()
    show_table(
        ["size", "files", "written by"],
        [[size(used.size), used.files, member] for member, used in _largest_first(members)],
    )
    if None in usage.writers:
        click.echo(
            "what is not known was written by a release before this one: --from-journal tells",
            err=True,
        )


def _largest_first(used: dict[Key, UsedSpace]) -> list[tuple[Key, UsedSpace]]:
    return sorted(used.items(), key=lambda each: each[1].size, reverse=True)


def _facts(used: UsedSpace) -> dict[str, int]:
    return {"bytes": used.size, "files": used.files}


def _who(access: ProjectAccess, device: DeviceId | None) -> str:
    return _NOT_KNOWN if device is None else who(access, device)


def _member(access: ProjectAccess, device: DeviceId | None) -> str:
    """Return whom *device* is of; what people call the device if its member has no name."""
    if device is None:
        return _NOT_KNOWN
    member, workstation = access.who(device)
    return member or workstation
