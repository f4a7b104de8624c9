"""The command that takes a project out of the studio, into a plain directory."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path

import click

from lucidnode.cli.mounted_project import offering_paths
from lucidnode.cli.output import as_json, counted, show_json, show_line, size
from lucidnode.cli.past_input import given_path, hinting, not_there, opened_past
from lucidnode.cli.progress import spinner, work_left
from lucidnode.cli.secrets_input import passphrase_file
from lucidnode.fs.errors import InTheWay
from lucidnode.fs.history.exported_tree import Exported, TreeExport, size_below
from lucidnode.fs.history.restoration import attributes_at
from lucidnode.fs.history.tar_export import TarExport

_SHOWN = 20
"""Paths that are listed; more are only counted."""


@click.command("export", short_help="Write a project, or a part of it, into a plain directory.")
@click.argument("path", shell_complete=offering_paths)
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--tar", "wants_tar", is_flag=True, help="Write one archive; `-` is standard output.")
@click.option("--resume", is_flag=True, help="Finish the directory that an export has left.")
@click.option("--at", "text", help="As it was: a version, a date and time, or how long ago.")
@passphrase_file
@as_json
@click.pass_obj
def export_command(
    home: Path,
    path: str,
    target: Path,
    wants_tar: bool,
    resume: bool,
    text: str | None,
    passphrase_file: Path | None,
    wants_json: bool,
) -> None:
    """Write PATH with all in it as TARGET, which must not be there yet.

    PATH is the name of a project, lies in a mounted one, or is PROJECT:PATH. Contents are checked
    block by block. Names, modes, times, extended attributes, symbolic and hard links and holes are
    kept, owners if root does it; set-uid bits, devices and sockets are left out. With --resume,
    files that are in TARGET with their size and time stay, and all others are written again.

    \b
    Examples:
      lucidnode export demo /mnt/backup/demo
      lucidnode export demo:film /mnt/backup/film-monday --at '2026-03-02 18:00'
      lucidnode export demo - --tar | zstd > /mnt/backup/demo.tar.zst
    """
    given = given_path(home, path)
    is_stream = wants_tar and str(target) == "-"
    if wants_tar and resume:
        raise click.UsageError("an archive is written in one go: --resume is for directories")
    if is_stream and (wants_json or sys.stdout.isatty()):
        raise click.UsageError("the archive goes to standard output, where nothing else can be")
    if not is_stream and not resume and os.path.lexists(target):
        resumed = "" if wants_tar else ", or --resume finishes an export into it"
        raise InTheWay(f"{target} is there already: name a new one{resumed}")

    async def work() -> Exported:
        async with opened_past(home, passphrase_file, given.project) as opened:
            seq = opened.past.head().seq if text is None else await opened.point(text)
            async with opened.at_hand.state(seq) as tree:
                found = attributes_at(tree, given.path)
                if found is None:
                    raise await not_there(opened, given.path, seq)
                with spinner(f"looking through {given.project}…"):
                    total = size_below(tree, found)
                with work_left(f"exporting to {target}", total, in_bytes=True) as progress:
                    keys, blocks = opened.access.keys(), opened.client.blocks
                    if not wants_tar:
                        export = TreeExport(tree, keys, blocks, progress, resume=resume)
                        return await export.write(found, target)
                    name = os.fsdecode(given.path[-1]) if given.path else opened.access.name
                    with contextlib.ExitStack() as closing:
                        archive = (
                            sys.stdout.buffer
                            if is_stream
                            else closing.enter_context(target.open("xb"))
                        )
                        told = await TarExport(tree, keys, blocks, archive, progress).write(
                            found, name
                        )
                        archive.flush()
                        return told

    with hinting(given):
        told = asyncio.run(work())
    os.sync()
    if wants_json:
        show_json(
            {
                "files": told.files,
                "bytes": told.size,
                "unchanged": told.unchanged,
                "missing": [{"path": path, "why": why} for path, why in told.missing],
                "without_attributes": told.without_attributes,
            }
        )
    else:
        there = f"; {told.unchanged:,} were there" if told.unchanged else ""
        what = "the archive" if is_stream else target
        show_line(f"{what} has {counted(told.files, 'file')}, {size(told.size)}{there}", err=True)
    for where, why in told.missing[:_SHOWN]:
        show_line(f"  left out: {where}: {why}", err=True)
    if told.without_attributes:
        click.echo(
            f"  {counted(told.without_attributes, 'file')} without all attributes, owners or times: the "
            "file system there does not take them",
            err=True,
        )
    if told.missing:
        raise click.ClickException(f"{counted(len(told.missing), 'file')} could not be exported")
