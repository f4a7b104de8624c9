"""Commands about projects: create one, list them, and what else an owner does to them."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path

import click

from lucidnode import membership
from lucidnode.cli.changing_projects import archive, delete, rename, restore
from lucidnode.cli.membership_input import unlocked
from lucidnode.cli.output import as_json, moment, show_json, show_table
from lucidnode.cli.progress import spinner
from lucidnode.cli.rekeying import rekey
from lucidnode.cli.secrets_input import passphrase_file
from lucidnode.fs.membership.member import spelled
from lucidnode.fs.membership.roster_view import OpenProject
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.roster_entry import ProjectState

_KIB = 1024
_MIB = 1024 * _KIB


@click.group("project", short_help="Create, list, rename, archive and delete projects.")
def project_command() -> None:
    """Create, list, rename, archive and delete projects. Each is a drive of its own, with keys of its own.

    \b
    Example:
      lucidnode project create demo
    """


@project_command.command("create")
@click.argument("name")
@click.option(
    "--block-size",
    type=click.Choice(["256K", "512K", "1M", "2M", "4M", "8M", "16M"]),
    default="1M",
    show_default=True,
    help="Largest block. Cannot be changed later.",
)
@passphrase_file
@click.pass_obj
def create(home: Path, name: str, block_size: str, passphrase_file: Path | None) -> None:
    """Create a project that every member of the studio can open.

    \b
    Example:
      lucidnode project create demo
    """
    spelled(name)
    mine, socket = unlocked(home, passphrase_file)
    unit = _MIB if block_size.endswith("M") else _KIB
    size_bytes = int(block_size[:-1]) * unit
    with spinner("writing it into the bucket…"):
        asyncio.run(membership.create_project(socket, mine, name, size_bytes))
    hint = f"lucidnode mount {shlex.quote(name)} DIR"
    click.echo(f"project {name} created: mount it with `{hint}`", err=True)


@project_command.command("list")
@passphrase_file
@as_json
@click.pass_obj
def list_projects(home: Path, passphrase_file: Path | None, wants_json: bool) -> None:
    """List the projects you can open; those that are archived, or deleted and can be brought back, apart.

    \b
    Example:
      lucidnode project list --json
    """
    mine, socket = unlocked(home, passphrase_file)
    now_ns = SystemClock().wall_ns()
    known = asyncio.run(membership.read_roster(socket, mine)).projects_and_deleted()
    found = [one for one in known if one.state != "deleted" or one.until_ns >= now_ns]
    if wants_json:
        show_json(
            {
                "projects": [
                    {"name": p.name, "id": p.id, "block_size": p.block_size}
                    for p in found
                    if p.state == "active"
                ],
                "archived": [
                    {
                        "name": p.name,
                        "id": p.id,
                        "block_size": p.block_size,
                        "since_ns": p.changed_ns,
                    }
                    for p in found
                    if p.state == "archived"
                ],
                "deleted": [
                    {"name": p.name, "id": p.id, "since_ns": p.changed_ns, "until_ns": p.until_ns}
                    for p in found
                    if p.state == "deleted"
                ],
            }
        )
        return
    if not found:
        click.echo("No project yet: make one with `lucidnode project create NAME`.")
        return
    order: list[ProjectState] = ["active", "archived", "deleted"]
    show_table(
        ["project", "largest block", "id", ""],
        [
            [p.name, _block_size(p.block_size), p.id, _said_of(p)]
            for p in sorted(found, key=lambda p: order.index(p.state))
        ],
    )


def _said_of(project: OpenProject) -> str:
    match project.state:
        case "active":
            return ""
        case "archived":
            return f"archived since {moment(project.changed_ns / 1e9)}: read-only"
        case "deleted":
            return f"deleted; can be brought back until {moment(project.until_ns / 1e9)}"


for _command in (rename, archive, delete, restore, rekey):
    project_command.add_command(_command)


def _block_size(size: int) -> str:
    """Return a power of two in the unit in which it is chosen."""
    return f"{size // _MIB} MiB" if size >= _MIB else f"{size // _KIB} KiB"
