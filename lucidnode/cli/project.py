"""Commands about projects: create one, list them."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path

import click

from lucidnode import membership
from lucidnode.cli.membership_input import unlocked
from lucidnode.cli.output import as_json, show_json, show_table
from lucidnode.cli.progress import spinner
from lucidnode.fs.membership.member import spelled

_KIB = 1024
_MIB = 1024 * _KIB

passphrase_file = click.option(
    "--passphrase-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Read the passphrase from the first line of this file instead of asking.",
)


@click.group("project", short_help="Create projects and list them.")
def project_command() -> None:
    """Create projects and list them. Each is a drive of its own, with keys of its own.

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
    """List the projects you can open.

    \b
    Example:
      lucidnode project list --json
    """
    mine, socket = unlocked(home, passphrase_file)
    found = asyncio.run(membership.read_roster(socket, mine)).projects()
    if wants_json:
        show_json(
            {"projects": [{"name": p.name, "id": p.id, "block_size": p.block_size} for p in found]}
        )
        return
    if not found:
        click.echo("No project yet: make one with `lucidnode project create NAME`.")
        return
    show_table(
        ["project", "largest block", "id"],
        [[p.name, _block_size(p.block_size), p.id] for p in found],
    )


def _block_size(size: int) -> str:
    """Return a power of two in the unit in which it is chosen."""
    return f"{size // _MIB} MiB" if size >= _MIB else f"{size // _KIB} KiB"
