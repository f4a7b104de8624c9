"""Moving the block cache of this workstation to another directory, for the commands that do it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from lucidnode.cache_move import check_new_place, move_cache, size_of_cache
from lucidnode.cli.background import ensure_daemon, facts_if_running
from lucidnode.cli.node import exit_command
from lucidnode.cli.node_key_at_hand import find_node_key, give_to_agent, membership_of_agent
from lucidnode.cli.output import size
from lucidnode.cli.progress import work_left
from lucidnode.disk_room import check_for_adopting
from lucidnode.node.cache.room import disk_of
from lucidnode.node.config import cache_directory, load_config


def move_cache_to(home: Path, directory: str | None) -> None:
    """Have the cache in *directory*, None for the home. A daemon that runs is ended, and runs again then.

    Raises MountPointBusy while anything is mounted, and as `move_cache`.
    """
    config = load_config(home)
    old = cache_directory(home, config)
    new = home / "cache" if directory is None else Path(directory)
    if old == new:
        click.echo(f"the cache is in {new} already", err=True)
        return
    disk_of(old)  # of one that hangs nothing comes over
    check_for_adopting(new, config.cache_limit, config.min_free)
    check_new_place(home, new)
    find_node_key(home)
    mine = membership_of_agent(home)
    ran = asyncio.run(facts_if_running(home, "status")) is not None
    click.get_current_context().invoke(exit_command)
    held = size_of_cache(old)
    with work_left("moving the cache", held, in_bytes=True) as show:
        move_cache(home, new, show)
    click.echo(f"the cache is in {new} from now on, with the {size(held)} it holds", err=True)
    if not ran:
        return
    if not find_node_key(home):
        click.echo("the daemon starts with the next command that gets the passphrase", err=True)
        return
    ensure_daemon(home)
    if mine is not None:
        give_to_agent(home, mine, typed=False)
