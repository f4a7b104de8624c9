"""The command that brings a plain directory into a project."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from lucidnode.cli.background import facts
from lucidnode.cli.mounted_project import mounted_project
from lucidnode.cli.output import as_json, counted, show_json, size
from lucidnode.cli.progress import spinner, work_left
from lucidnode.fs.errors import InTheWay
from lucidnode.imported_tree import TreeImport, survey
from lucidnode.in_the_cloud import Waited, waited_for

_SHOWN = 20
"""Paths that are listed; more are only counted."""


@click.command("import", short_help="Copy a plain directory into a mounted project.")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("project", metavar="PROJECT[:PATH]")
@as_json
@click.pass_obj
def import_command(home: Path, directory: Path, project: str, wants_json: bool) -> None:
    """Copy all that is in DIRECTORY into a project that is mounted here, or into PATH in it.

    Several files at once. Names, modes, times, extended attributes, symbolic and hard links and
    holes are kept, owners if root does it. Each file is read back before it gets its name, and when
    the command ends everything is in the cloud. What is there already, with the same size and time,
    is not copied: a command that was broken off goes on. Nothing is replaced.

    \b
    Examples:
      lucidnode import /mnt/backup/demo demo
      lucidnode import ~/footage demo:film/footage
    """
    name, _, path = project.partition(":")
    status = asyncio.run(facts(home, "status"))
    wanted = mounted_project(home, status, name)
    mountpoint = next(Path(m["mountpoint"]) for m in status["mounts"] if m["project"] == wanted)
    target = Path(os.path.normpath(mountpoint / path.lstrip("/")))
    if not target.is_relative_to(mountpoint):
        raise click.UsageError(f"{path} leads out of the project")
    if target.resolve().is_relative_to(directory.resolve()):
        raise click.UsageError(f"{directory} holds {target}: it would be copied into itself")
    if target.exists() and not target.is_dir():
        raise InTheWay(f"{target} is no directory")
    target.mkdir(parents=True, exist_ok=True)
    with spinner(f"looking through {directory}…"):
        found = survey(directory)
    with work_left(f"importing {directory}", found.size, in_bytes=True) as show:
        told = TreeImport(directory, target, found, show).run()
    with spinner("waiting until it is in the cloud…") as say:

        def looked(waited: Waited) -> None:
            if say is not None:
                say(f"{counted(len(waited.waiting), 'file')} on the way to the cloud…")

        waited_for([target], None, looked)
    if wants_json:
        show_json(
            {
                "files": told.files,
                "bytes": told.size,
                "unchanged": told.unchanged,
                "left_out": [{"path": path, "why": why} for path, why in told.left_out],
                "without_attributes": told.without_attributes,
            }
        )
    else:
        there = f"; {told.unchanged:,} there already" if told.unchanged else ""
        click.echo(
            f"{target} has {counted(told.files, 'file')} more, {size(told.size)}{there}", err=True
        )
    for where, why in told.left_out[:_SHOWN]:
        click.echo(f"  left out: {where}: {why}", err=True)
    if told.without_attributes:
        click.echo(
            f"  {counted(told.without_attributes, 'file')} without all attributes, owners or times",
            err=True,
        )
    if told.left_out:
        raise click.ClickException(f"{counted(len(told.left_out), 'file')} could not be imported")
