"""What the shell offers where a project is expected: `shell_complete` of parameters.

Names of projects are sealed; those that are known here without a passphrase are of what is mounted, and of
what comes back by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from lucidnode.cli.background import facts
from lucidnode.cli.home import home_of
from lucidnode.cli.mounted_project import offering_paths
from lucidnode.cli.persistent_mounts import persistent_mounts

_WAIT_S = 0.8
"""How long who presses Tab waits for the daemon: its mounts wait half as long for who in the office is silent."""


def offering_projects(
    context: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Have the shell offer the projects that are known here; none if that cannot be seen."""
    names: set[str] = set()
    # Whatever is wrong is for the command to say: the person has not finished typing it.
    with contextlib.suppress(Exception):
        home = home_of(context.find_root().params.get("home"))
        names.update(each.project for each in persistent_mounts(home))
        names.update(asyncio.run(_mounted(home)))
    return [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]


def offering_projects_and_paths(
    context: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Have the shell offer the projects that are known here, and files where none begins like that."""
    found = offering_projects(context, param, incomplete)
    return found or offering_paths(context, param, incomplete)


async def _mounted(home: Path) -> list[str]:
    async with asyncio.timeout(_WAIT_S):
        found = await facts(home, "conflicts")
    return [mount["project"] for mount in found["mounts"] if mount["project"]]
