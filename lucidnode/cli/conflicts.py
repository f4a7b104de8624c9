"""Commands about conflict copies: two workstations changed one file, and both versions are there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from lucidnode.cli.background import facts
from lucidnode.cli.output import as_json, counted, show_json
from lucidnode.fs.errors import MountPointMissing
from lucidnode.fs.replica.conflict_name import is_conflict_name, version_names
from lucidnode.node.config import load_config


@click.group("conflicts", short_help="Look at conflict copies, or settle them.")
def conflicts_command() -> None:
    """Look at the conflict copies of the mounted projects, or settle them.

    Where two workstations changed one file at the same time, both versions are kept: one under a
    name with `(conflict, WORKSTATION, TIME)`. Remove or rename that file, and the conflict is
    settled, for all workstations.

    \b
    Examples:
      lucidnode conflicts list
      lucidnode conflicts dismiss ~/demo/notes*conflict*
    """


@conflicts_command.command("list")
@click.argument("project", required=False)
@as_json
@click.pass_obj
def conflicts_list(home: Path, project: str | None, wants_json: bool) -> None:
    """List the conflict copies in the mounted projects, or in PROJECT.

    \b
    Example:
      lucidnode conflicts list demo
    """
    load_config(home)
    found = asyncio.run(facts(home, "conflicts"))["mounts"]
    if project is not None:
        found = [each for each in found if each["project"] == project]
        if not found:
            raise MountPointMissing(
                f"{project} is not mounted here, or does not answer: "
                "`lucidnode status` shows what is mounted"
            )
    if wants_json:
        show_json({"mounts": found})
        return
    for mount in found:
        for path in mount["conflicts"]:
            click.echo(str(Path(mount["mountpoint"]) / path))
    if not any(mount["conflicts"] for mount in found):
        click.echo("no conflicts", err=True)


@conflicts_command.command("dismiss")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
def conflicts_dismiss(files: tuple[Path, ...]) -> None:
    """Keep FILES as what they are: versions of their own, and no conflict any more.

    Each gets a name with `(version, WORKSTATION, TIME)`. To settle a conflict otherwise, remove
    the file or give it a name of your own.

    \b
    Example:
      lucidnode conflicts dismiss "demo/notes (conflict, berta, 2026-03-01 10-00-00).txt"
    """
    for file in files:
        if not is_conflict_name(file.name.encode(errors="surrogateescape")):
            raise click.BadParameter(f"{file} is no conflict copy", param_hint="FILES")
    for file in files:
        names = version_names(file.name.encode(errors="surrogateescape"))
        free = (file.with_name(name.decode(errors="surrogateescape")) for name in names)
        file.rename(next(path for path in free if not path.exists()))
    click.echo(f"{counted(len(files), 'conflict')} settled", err=True)
