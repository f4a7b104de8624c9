"""Commands about how much of a file is on this workstation: look, bring it here, let it go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from lucidnode.blocks_of_paths import (
    PathBlocks,
    Ranges,
    WarmedBlocks,
    blocks_of,
    blocks_of_ranges,
    evict,
    warm,
)
from lucidnode.cli.background import facts
from lucidnode.cli.output import as_json, counted, in_blocks, show_json, show_line, show_table, size
from lucidnode.cli.progress import spinner, work_left
from lucidnode.cut_media import bytes_of, media_of
from lucidnode.media_search import MediaSearch
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.daemon_socket.file_blocks import DaemonFileBlocks
from lucidnode.node.client.daemon_socket.place import SOCKET_FILE
from lucidnode.node.client.errors import NotThere, Refused
from lucidnode.node.client.file_blocks import Evicted
from lucidnode.node.config import load_config

_Looks = Callable[[DaemonFileBlocks, dict[str, Any]], Coroutine[Any, Any, list[PathBlocks]]]
"""Finds the blocks that are wanted."""

_NAMED = 20
"""Media of a cut that are named when they are nowhere."""

_paths = click.argument(
    "paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path)
)


@click.command("cached", short_help="Show how much of files is on this workstation.")
@_paths
@as_json
@click.pass_obj
def cached_command(home: Path, paths: tuple[Path, ...], wants_json: bool) -> None:
    """Show how much of PATHS is on this workstation, and needs no network to be read.

    Of a directory, that is all that is in it.

    \b
    Example:
      lucidnode cached ~/demo/rushes
    """
    load_config(home)
    found = asyncio.run(_looked(home, paths))
    if wants_json:
        show_json({"paths": [_facts(each) for each in found]})
        return
    show_table(
        ["path", "of", "is here", "", "not in the cloud yet", "files"],
        [
            [
                each.path,
                size(each.bytes),
                size(here(each)),
                share(each),
                size(each.loose + each.bytes_at("waiting")),
                each.files,
            ]
            for each in found
        ],
    )


@click.command("warm", short_help="Bring files to this workstation before they are needed.")
@_paths
@click.option(
    "--timeline",
    type=click.Path(exists=True, path_type=Path),
    help="Of what is below PATHS only the media that this cut uses.",
)
@click.option(
    "--handles",
    type=click.FloatRange(0, 3600),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="What is brought before and behind each clip of the cut.",
)
@as_json
@click.pass_obj
def warm_command(
    home: Path, paths: tuple[Path, ...], timeline: Path | None, handles: float, wants_json: bool
) -> None:
    """Bring all of PATHS into the cache of this workstation, from the office as far as it has it.

    What nobody in the office has leaves the cloud once, however many workstations warm it at the
    same time. Ctrl-C ends it; what came stays, until the cache needs its room.

    With --timeline it is the media that a cut uses, looked for below PATHS, and of each file the part
    that is seen: .otio, .edl, .fcpxml, .xml of Final Cut 7; of a .prproj all media of the project,
    whole.

    \b
    Examples:
      lucidnode warm ~/demo/rushes/day-12
      lucidnode warm --timeline ~/demo/cuts/reel-2.otio ~/demo
    """
    load_config(home)
    if timeline is None:
        looks = partial(blocks_of, paths=paths)
    else:
        looks = partial(blocks_of_ranges, wanted=_media(timeline, handles, paths))
    found, warmed = asyncio.run(_warmed(home, looks))
    if wants_json:
        show_json(
            {
                "paths": [_facts(each) for each in found],
                "from_office": warmed.peer,
                "from_cloud": warmed.bucket,
            }
        )
    came = warmed.peer + warmed.bucket
    parts = [f"{size(warmed.peer)} from the office", f"{size(warmed.bucket)} from the cloud"]
    of_it = f": {', '.join(parts)}" if came else ""
    everything = size(sum(each.bytes for each in found))
    click.echo(f"{everything} are here; {size(came)} of it came now{of_it}", err=True)


@click.command("evict", short_help="Let files leave the cache of this workstation.")
@_paths
@as_json
@click.pass_obj
def evict_command(home: Path, paths: tuple[Path, ...], wants_json: bool) -> None:
    """Let PATHS leave the cache of this workstation, so that others have its room.

    Nothing is deleted: what is read again comes back from the office or the cloud. What is not in
    the cloud yet stays here, and so does what is pinned. Small files that lie in one block leave
    together.

    \b
    Example:
      lucidnode evict ~/demo/rushes/day-01
    """
    load_config(home)
    evicted, waiting, kept = asyncio.run(_evicted(home, paths))
    if wants_json:
        show_json(
            {"blocks": evicted.blocks, "bytes": evicted.bytes, "not_in_the_cloud_yet": waiting}
        )
        return
    stays = f"; {size(waiting)} are not in the cloud yet, and stay" if waiting else ""
    pinned = f"; pinned, and staying: {counted(kept, 'block')}" if kept else ""
    click.echo(f"freed {in_blocks(evicted.bytes, evicted.blocks)}{pinned}{stays}", err=True)


async def _looked(home: Path, paths: tuple[Path, ...]) -> list[PathBlocks]:
    status = await facts(home, "status")
    async with DaemonClient(home / SOCKET_FILE) as client:
        with spinner("looking…"):
            return await blocks_of(client.file_blocks, status, paths)


def _media(timeline: Path, handles_s: float, folders: Sequence[Path]) -> dict[Path, Ranges]:
    """Return the files that *timeline* uses, and which bytes of them; tells what is nowhere.

    Raises as `media_of`, and NotThere if none of them is below *folders*.
    """
    uses = media_of(timeline, handles_s)
    search = MediaSearch(folders)
    wanted: dict[Path, list[tuple[int, int]]] = {}
    missing: dict[str, None] = {}
    with spinner("looking for media…"):
        for use in uses:
            paths = search.find(use.parts)
            for path in paths:
                wanted.setdefault(path, []).extend(bytes_of(use.share, path.stat().st_size))
            if not paths:
                missing[use.parts[-1]] = None
    if not wanted:
        raise NotThere(
            f"none of the {counted(len(missing), 'file')} of {timeline.name} is below there"
        )
    for name in list(missing)[:_NAMED]:
        show_line(f"nowhere below there: {name}", err=True)
    if len(missing) > _NAMED:
        click.echo(f"and {len(missing) - _NAMED} more", err=True)
    return dict(wanted)


async def _warmed(home: Path, looks: _Looks) -> tuple[list[PathBlocks], WarmedBlocks]:
    status = await facts(home, "status")
    async with DaemonClient(home / SOCKET_FILE) as client:
        with spinner("looking…"):
            found = await looks(client.file_blocks, status)
        cache = await client.facts.on("cache")
        wanted = {block: each.sizes[block] for each in found for block in each.at("away", "cache")}
        if sum(wanted.values()) > cache["limit"]:
            raise Refused(
                f"{size(sum(wanted.values()))} do not fit into the cache, which holds "
                f"{size(cache['limit'])}: warm less, or `lucidnode config set cache.limit`"
            )
        missing = sum(
            {block: each.sizes[block] for each in found for block in each.at("away")}.values()
        )
        with work_left("warming", missing, in_bytes=True) as came:
            warmed = await warm(client.blocks, found, came)
        if warmed.unkept:
            raise Refused(
                f"{counted(warmed.unkept, 'block')} came and could not be kept: the disk of the "
                "cache has no room, or fails; `lucidnode doctor` says which"
            )
        return await looks(client.file_blocks, status), warmed


async def _evicted(home: Path, paths: tuple[Path, ...]) -> tuple[Evicted, int, int]:
    """Return what left, the bytes that are not in the cloud yet, and how many cached blocks are pinned."""
    status = await facts(home, "status")
    blocks = freed = 0
    async with DaemonClient(home / SOCKET_FILE) as client:
        with spinner("looking…"):
            found = await blocks_of(client.file_blocks, status, paths)
        with spinner("letting go…"):
            for each in found:
                evicted = await evict(client.file_blocks, each)
                blocks, freed = blocks + evicted.blocks, freed + evicted.bytes
    waiting = sum(each.loose + each.bytes_at("waiting") for each in found)
    return Evicted(blocks, freed), waiting, sum(len(each.at("cache")) for each in found) - blocks


def here(found: PathBlocks) -> int:
    """Return how many bytes of it are on this disk."""
    return found.loose + found.bytes_at("cache", "waiting")


def share(found: PathBlocks) -> str:
    """Return how much of it is here; never all while anything is away."""
    return f"{100 * here(found) // found.bytes if found.bytes else 100} %"


def _facts(found: PathBlocks) -> dict[str, Any]:
    return {
        "path": str(found.path),
        "files": found.files,
        "bytes": found.bytes,
        "here": here(found),
        "not_in_the_cloud_yet": found.loose + found.bytes_at("waiting"),
        "blocks": len(found.places),
        "blocks_here": len(found.at("cache", "waiting")),
    }
