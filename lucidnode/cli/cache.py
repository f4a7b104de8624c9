"""Commands for the block cache of this workstation."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec

from lucidnode.cli.background import end_daemon_keeper, facts, facts_if_running
from lucidnode.cli.moving_cache import move_cache_to
from lucidnode.cli.node_key_at_hand import daemon_with_keys
from lucidnode.cli.output import as_json, confirm, counted, in_blocks, show_facts, show_json, size
from lucidnode.cli.progress import bytes_left
from lucidnode.cli.secrets_input import passphrase_file
from lucidnode.disk_room import check_for_adopting
from lucidnode.node.cache.mark import check_fit, read_mark, take
from lucidnode.node.cache_moves import forget_moves
from lucidnode.node.client.bounded_look import answer_of
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.errors import Refused
from lucidnode.node.config import cache_directory, change_config, load_config

_LOOK_INTERVAL_S = 0.25


@click.group("cache", short_help="Look at the block cache, empty it, or move it.")
def cache_command() -> None:
    """Look at the block cache of this workstation, empty it, or keep it elsewhere.

    How much it holds is a setting: `lucidnode config set cache.limit 50GiB`.

    \b
    Example:
      lucidnode cache show
    """


@cache_command.command("show")
@as_json
@click.pass_obj
def cache_show(home: Path, wants_json: bool) -> None:
    """Show how full the cache is.

    \b
    Example:
      lucidnode cache show
    """
    load_config(home)
    found = asyncio.run(facts(home, "cache"))
    if wants_json:
        show_json(found)
        return
    show_facts(
        [
            ("cached", in_blocks(found["bytes"], found["blocks"])),
            ("of it pinned", size(found["pinned_bytes"])),
            ("limit", size(found["limit"])),
            ("free on the disk", size(found["disk_free"])),
        ]
    )


@cache_command.command("clear")
@passphrase_file
@as_json
@click.pass_obj
def cache_clear(home: Path, passphrase_file: Path | None, wants_json: bool) -> None:
    """Delete every cached block but those that are pinned. What waits for its upload is not touched.

    \b
    Example:
      lucidnode cache clear
    """
    before, after = asyncio.run(_cleared(daemon_with_keys(home, passphrase_file), home))
    blocks = max(0, before["blocks"] - after["blocks"])
    freed = max(0, before["bytes"] - after["bytes"])
    if wants_json:
        show_json({"bytes": freed, "blocks": blocks})
        return
    words = f"freed {size(freed)}: " if blocks else ""
    stays = f"; {size(after['pinned_bytes'])} are pinned, and stay" if after["pinned_bytes"] else ""
    click.echo(f"{words}{counted(blocks, 'block')} dropped from the cache{stays}", err=True)


async def _cleared(socket: Path, home: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Clear the cache, showing how far it is; returns what it held before, and holds now."""
    before = await facts(home, "cache")
    with bytes_left("clearing") as show:
        async with asyncio.TaskGroup() as tasks:
            order = tasks.create_task(_order_clear(socket))
            while not order.done():
                show(to_clear(await facts(home, "cache")))
                await asyncio.wait({order}, timeout=_LOOK_INTERVAL_S)
    return before, await facts(home, "cache")


def to_clear(found: dict[str, Any]) -> int:
    """Return how many bytes go when the cache of which that was *found* is cleared: what is pinned stays."""
    held, pinned = int(found["bytes"]), int(found["pinned_bytes"])
    return max(0, held - pinned)


async def _order_clear(socket: Path) -> None:
    async with DaemonClient(socket) as client:
        await client.orders.give("cache/clear")


def _refuse_while_used(home: Path) -> None:
    if asyncio.run(facts_if_running(home, "status")) is not None:
        raise Refused("the daemon uses the cache: run `lucidnode exit` first")
    end_daemon_keeper(home)  # it would start a daemon that died


@cache_command.command("adopt")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Begin anew without asking.")
@click.pass_obj
def cache_adopt(home: Path, directory: Path, yes: bool) -> None:
    """Keep the cache in DIRECTORY from now on, with what it holds if it was the cache before.

    For a new disk, or after the old one was lost. The old directory is left as it is: what waits
    there for its upload is uploaded only once that directory is adopted again. The daemon must not
    run.

    \b
    Example:
      lucidnode exit && lucidnode cache adopt /mnt/nvme/lucidnode
    """
    config = load_config(home)
    _refuse_while_used(home)
    old, new = cache_directory(home, config), directory.expanduser().absolute()
    check_for_adopting(new, config.cache_limit, config.min_free)
    check_fit(new)
    if config.cache_id not in {None, _mark_of_old(old), read_mark(new)}:
        confirm(
            f"{old}, the cache until now, is missing, or its disk hangs. What was saved here and had not got to the "
            "cloud is only there: without it those files are lost, or incomplete. Begin anew?",
            yes=yes,
        )
    try:
        mark = take(new)
    except OSError as error:
        raise Refused(f"{new} cannot be a cache: {error.strerror}") from error
    forget_moves(home)  # what they left is left as it is, as the old one is
    change_config(home, partial(msgspec.structs.replace, cache_dir=str(new), cache_id=mark))
    left = "" if old == new else f"; {old} is left as it is, with what was not uploaded from there"
    click.echo(f"the cache is in {new} from now on{left}", err=True)


def _mark_of_old(old: Path) -> str | None:
    """Return what marks the cache until now; None if it is away, or its disk hangs."""
    try:
        return answer_of(old, read_mark)
    except TimeoutError:
        return None


@cache_command.command("move")
@click.argument("directory", type=click.Path(path_type=Path))
@click.pass_obj
def cache_move(home: Path, directory: Path) -> None:
    """Move the cache to DIRECTORY, with all it holds: blocks, and what waits for its upload.

    Nothing may be mounted meanwhile. Whatever happens on the way, the cache is whole, where it was or
    there; if it broke off, the same command goes on. `lucidnode config set cache.place` does the same.

    \b
    Example:
      lucidnode cache move /mnt/nvme/lucidnode
    """
    move_cache_to(home, str(directory.expanduser().absolute()))
