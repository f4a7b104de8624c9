"""Which mounted project a command means, by its name or by a path in it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from lucidnode.cli.background import facts
from lucidnode.fs.errors import MountPointMissing
from lucidnode.node.client.ids import ProjectId, parse_project_id


def offering_paths(
    _context: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Have the shell offer files where a path may stand for what is in a project: `shell_complete` of a parameter."""
    return [CompletionItem(incomplete, type="file")]


def mounted_project(home: Path, status: dict[str, Any], project: str | None) -> ProjectId:
    """Return the mounted project that is called *project*, or mounted there; the only one for None.

    *status* is what the daemon says on `status`. Raises MountPointMissing.
    """
    mounts = status["mounts"]
    if project is None and len(mounts) == 1:
        return parse_project_id(mounts[0]["project"])
    where = None if project is None else str(Path(project).expanduser().absolute())
    names = {
        mount["mountpoint"]: mount["project"]
        for mount in asyncio.run(facts(home, "conflicts"))["mounts"]
    }
    for mount in mounts:
        called = {mount["mountpoint"], mount["project"]}
        if where in called or project in called | {names.get(mount["mountpoint"], "")}:
            return parse_project_id(mount["project"])
    raise MountPointMissing(
        f"{project} is not mounted here: `lucidnode status` shows what is mounted"
        if project is not None
        else "say which project: `lucidnode status` shows what is mounted"
    )
