"""Commands about locks between workstations."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from lucidnode.cli.background import facts
from lucidnode.cli.mounted_project import mounted_project
from lucidnode.cli.output import as_json, show_json, show_table
from lucidnode.node.config import load_config


@click.group("lock", short_help="See which workstation has the locks of which files.")
def lock_command() -> None:
    """See which workstation has the locks of which files.

    The locks that programs take of a file (`flock`, `fcntl`) are decided on one workstation at a
    time. Others ask it, and get them once no program there has a lock of the file.

    \b
    Example:
      lucidnode lock list
    """


@lock_command.command("list")
@click.argument("project", required=False)
@as_json
@click.pass_obj
def lock_list(home: Path, project: str | None, wants_json: bool) -> None:
    """List which workstation has the locks of which files, in all mounted projects or in PROJECT.

    Files are listed that several workstations have locked, or that are locked here. With --json the
    first row of a mount, without a path, stands for all others; a workstation without a name is this.

    \b
    Example:
      lucidnode lock list demo
    """
    load_config(home)
    status = asyncio.run(facts(home, "status"))
    found: list[dict[str, Any]] = status["locks"]
    if project is not None:
        wanted = mounted_project(home, status, project)
        places = {each["mountpoint"] for each in status["mounts"] if each["project"] == wanted}
        found = [each for each in found if each["mountpoint"] in places]
    if wants_json:
        show_json({"locks": found})
        return
    files = [each for each in found if each["path"]]
    if not files:
        click.echo("no file is locked here, or was locked from several workstations", err=True)
        return
    show_table(
        ["file", "locks are decided on", "wanted by", "locked here"],
        [
            [
                Path(each["mountpoint"]) / each["path"],
                _called(each["device"]),
                _called(each["wanted_by"]),
                "yes" if each["locked"] else "",
            ]
            for each in files
        ],
    )


def _called(device: str | None) -> str:
    return "" if device is None else device or "this workstation"
