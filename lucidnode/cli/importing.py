"""The commands that bring a plain directory into a project, mounted here or not."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import click

from lucidnode.cli.cloud_progress import cloud_progress
from lucidnode.cli.output import as_json, counted, show_json, show_line, size
from lucidnode.cli.own_mount import mounted_for
from lucidnode.cli.progress import spinner, work_left
from lucidnode.cli.project_names import offering_projects
from lucidnode.cli.secrets_input import passphrase_file
from lucidnode.fs.errors import InTheWay
from lucidnode.imported_tree import Imported, TreeImport, survey
from lucidnode.in_the_cloud import waited_for

_SHOWN = 20
"""Paths that are listed; more are only counted."""

_directory = click.argument(
    "directory", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
_target = click.argument("project", metavar="PROJECT[:PATH]", shell_complete=offering_projects)


@click.command("import", short_help="Copy a plain directory into a project.")
@_directory
@_target
@passphrase_file
@as_json
@click.pass_context
def import_command(
    context: click.Context,
    directory: Path,
    project: str,
    passphrase_file: Path | None,
    wants_json: bool,
) -> None:
    """Copy all that is in DIRECTORY into a project, or into PATH in it.

    Several files at once. Names, modes, times, extended attributes, symbolic and hard links and
    holes are kept, owners if root does it. Each file is read back before it gets its name, and when
    the command ends everything is in the cloud. What is there already, with the same size and time,
    is not copied: a command that was broken off goes on. Nothing is replaced. A project that is not
    mounted here is mounted in a directory of its own until it is done.

    \b
    Examples:
      lucidnode import /mnt/backup/demo demo
      lucidnode import ~/footage demo:film/footage
    """
    with _place(context, directory, project, passphrase_file) as target:
        told = _brought(context.obj, directory, target, replaces=False, deletes=False)
    _tell(told, directory, project, wants_json=wants_json)


@click.command("sync", short_help="Make a project like a plain directory.")
@_directory
@_target
@click.option("--delete", is_flag=True, help="Remove from the project what DIRECTORY has not.")
@passphrase_file
@as_json
@click.pass_context
def sync_command(
    context: click.Context,
    directory: Path,
    project: str,
    delete: bool,
    passphrase_file: Path | None,
    wants_json: bool,
) -> None:
    """Have a project, or PATH in it, hold what DIRECTORY holds now.

    As `import`, but what has another content or time there is replaced, each file in one step. What
    was there before is in its history and comes back by `lucidnode restore`. With --delete, what
    DIRECTORY has not is removed, and comes back by `lucidnode undelete`.

    \b
    Examples:
      lucidnode sync ~/footage demo:film/footage
      lucidnode sync /mnt/nas/demo demo --delete
    """
    with _place(context, directory, project, passphrase_file) as target:
        told = _brought(context.obj, directory, target, replaces=True, deletes=delete)
    _tell(told, directory, project, wants_json=wants_json)


@contextlib.contextmanager
def _place(
    context: click.Context, directory: Path, project: str, passphrase_file: Path | None
) -> Iterator[Path]:
    """Have *project* mounted, here or for this command alone; give the directory that is meant."""
    name, _, path = project.partition(":")
    with mounted_for(context, name, passphrase_file) as mountpoint:
        target = Path(os.path.normpath(mountpoint / path.lstrip("/")))
        if not target.is_relative_to(mountpoint):
            raise click.UsageError(f"{path} leads out of the project")
        if target.resolve().is_relative_to(directory.resolve()):
            raise click.UsageError(f"{directory} holds {target}: it would be copied into itself")
        if target.exists() and not target.is_dir():
            raise InTheWay(f"{target} is no directory")
        target.mkdir(parents=True, exist_ok=True)
        yield target


def _brought(
    home: Path, directory: Path, target: Path, *, replaces: bool, deletes: bool
) -> Imported:
    with spinner(f"looking through {directory}…"):
        found = survey(directory)
    with work_left(f"copying {directory}", found.size, in_bytes=True) as show:
        work = TreeImport(directory, target, found, show, replaces=replaces)
        if deletes:
            work.remove_others()
        told = work.run()
    with cloud_progress(home) as looked:
        waited_for([target], None, looked)
    return told


def _tell(told: Imported, directory: Path, project: str, *, wants_json: bool) -> None:
    if wants_json:
        show_json(
            {
                "files": told.files,
                "bytes": told.size,
                "unchanged": told.unchanged,
                "removed": told.removed,
                "left_out": [{"path": path, "why": why} for path, why in told.left_out],
                "without_attributes": told.without_attributes,
            }
        )
    else:
        there = f"; {told.unchanged:,} there already" if told.unchanged else ""
        gone = f"; {told.removed:,} removed" if told.removed else ""
        show_line(
            f"{project} has {counted(told.files, 'file')} of {directory} more, "
            f"{size(told.size)}{there}{gone}",
            err=True,
        )
    for where, why in told.left_out[:_SHOWN]:
        show_line(f"  left out: {where}: {why}", err=True)
    if told.without_attributes:
        click.echo(
            f"  {counted(told.without_attributes, 'file')} without all attributes, owners or times",
            err=True,
        )
    if told.left_out:
        raise click.ClickException(f"{counted(len(told.left_out), 'file')} could not be imported")
