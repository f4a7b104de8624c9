"""The command that takes a project out of the studio, into a plain directory."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from lucidnode.cli.output import as_json, counted, show_json, size
from lucidnode.cli.past_input import given_path, opened_past
from lucidnode.cli.progress import spinner
from lucidnode.cli.project import passphrase_file
from lucidnode.fs.errors import InTheWay, NoSuchPast
from lucidnode.fs.history.exported_tree import Exported, TreeExport
from lucidnode.fs.history.past_places import shown
from lucidnode.fs.history.restoration import attributes_at

_SHOWN = 20
"""Paths that are listed; more are only counted."""


@click.command("export", short_help="Write a project, or a part of it, into a plain directory.")
@click.argument("path")
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--at", "text", help="As it was: a version, a date and time, or how long ago.")
@passphrase_file
@as_json
@click.pass_obj
def export_command(
    home: Path,
    path: str,
    target: Path,
    text: str | None,
    passphrase_file: Path | None,
    wants_json: bool,
) -> None:
    """Write PATH with all in it as TARGET, which must not be there yet.

    PATH is the name of a project, lies in a mounted one, or is PROJECT:PATH. Contents are checked
    block by block. Names, modes, times, extended attributes, symbolic and hard links and holes are
    kept, owners if root does it; set-uid bits, devices and sockets are left out.

    \b
    Examples:
      lucidnode export demo /mnt/backup/demo
      lucidnode export demo:film /mnt/backup/film-monday --at '2026-03-02 18:00'
    """
    given = given_path(home, path)
    if os.path.lexists(target):
        raise InTheWay(f"{target} is there already: name a new directory")

    async def work() -> Exported:
        async with opened_past(home, passphrase_file, given.project) as opened:
            seq = opened.past.head().seq if text is None else opened.point(text)
            with opened.past.at(seq) as tree, spinner(f"exporting to {target}…") as show:
                found = attributes_at(tree, given.path)
                if found is None:
                    raise NoSuchPast(f"there is no {shown(given.path)} in version {seq}")
                done = 0

                def progress(count: int) -> None:
                    nonlocal done
                    done += count
                    if show is not None:
                        show(f"exporting to {target}, {size(done)}…")

                keys = opened.access.keys()
                return await TreeExport(tree, keys, opened.client, progress).write(found, target)

    told = asyncio.run(work())
    os.sync()
    if wants_json:
        show_json(
            {
                "files": told.files,
                "bytes": told.size,
                "missing": [{"path": path, "why": why} for path, why in told.missing],
                "without_attributes": told.without_attributes,
            }
        )
    else:
        click.echo(f"{target} has {counted(told.files, 'file')}, {size(told.size)}", err=True)
    for where, why in told.missing[:_SHOWN]:
        click.echo(f"  left out: {where}: {why}", err=True)
    if told.without_attributes:
        click.echo(
            f"  {counted(told.without_attributes, 'file')} without all attributes, owners or times: the "
            "file system there does not take them",
            err=True,
        )
    if told.missing:
        raise click.ClickException(f"{counted(len(told.missing), 'file')} could not be exported")
