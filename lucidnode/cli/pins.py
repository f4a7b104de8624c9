"""`lucidnode pin`: what stays on this workstation, whatever else is read here."""

from __future__ import annotations

import asyncio
import contextlib
import os
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import click

from lucidnode.blocks_of_paths import PathBlocks, blocks_of, located
from lucidnode.cli.background import facts
from lucidnode.cli.nearness import here, share
from lucidnode.cli.output import as_json, show_json, show_line, show_table, size
from lucidnode.cli.progress import spinner
from lucidnode.fs.errors import FileMissing, MountPointMissing
from lucidnode.fs.replica.inode import ROOT
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.daemon_socket.file_blocks import DaemonFileBlocks
from lucidnode.node.client.daemon_socket.pins import DaemonPins
from lucidnode.node.client.daemon_socket.place import SOCKET_FILE
from lucidnode.node.client.errors import NotThere, Refused
from lucidnode.node.client.file_blocks import below
from lucidnode.node.client.ids import BlockId, ProjectId, parse_project_id
from lucidnode.node.client.pins import MAX_PLACES, Pin, PinnedProject, PinPlace, PinsReply, PinsWish
from lucidnode.node.config import load_config


class _Pinned(NamedTuple):
    """A pin as it is shown. *found* is None while nothing is there."""

    path: Path
    project: ProjectId
    found: PathBlocks | None


@click.group("pin", short_help="Keep files on this workstation for good.")
def pin_command() -> None:
    """Keep files on this workstation, whatever else is read here: pin, list and unpin.

    What is pinned is fetched in the background, and so is what others change in it or add to it
    later. Pins may fill four fifths of the cache.

    \b
    Examples:
      lucidnode pin set ~/demo/rushes/day-12
      lucidnode pin list
    """


@pin_command.command("set")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@as_json
@click.pass_obj
def pin_set(home: Path, paths: tuple[Path, ...], wants_json: bool) -> None:
    """Keep PATHS on this workstation, with all that is in them now and later.

    A directory stays pinned wherever it is moved; a file is whatever has its name. Of a symbolic link
    it is what the link leads to now.

    \b
    Example:
      lucidnode pin set ~/demo/rushes/day-12
    """
    load_config(home)
    found = asyncio.run(_set(home, paths))
    if wants_json:
        show_json({"pins": [_facts(each, "") for each in found]})
        return
    for each in found:
        if each.found is not None:
            missing = each.found.bytes - here(each.found)
            rest = f"; {size(missing)} are being fetched" if missing else ", and here"
            show_line(f"{each.path} is pinned: {size(each.found.bytes)}{rest}", err=True)


@pin_command.command("list")
@as_json
@click.pass_obj
def pin_list(home: Path, wants_json: bool) -> None:
    """List what is pinned on this workstation, and how much of it is here.

    \b
    Example:
      lucidnode pin list
    """
    load_config(home)
    pins, projects, room = asyncio.run(_listed(home))
    why = {parse_project_id(each.project): each.why for each in projects}
    mounted = {each.project for each in pins}
    away = [each for each in projects if parse_project_id(each.project) not in mounted]
    if wants_json:
        show_json(
            {
                "pins": [_facts(each, why.get(each.project, "")) for each in pins],
                "not_mounted": [
                    {"project": each.project, "bytes": each.bytes, "here": each.bytes_here}
                    for each in away
                ],
                "room": room,
            }
        )
        return
    if not pins and not away:
        click.echo(
            "nothing is pinned here: `lucidnode pin set PATH` keeps files for good", err=True
        )
        return
    rows: list[list[object]] = [_row(each, why.get(each.project, "")) for each in pins]
    rows += [
        [
            f"project {each.project}",
            size(each.bytes),
            size(each.bytes_here),
            "",
            "not mounted here now",
        ]
        for each in away
    ]
    show_table(["pinned", "of", "is here", "", ""], rows)
    click.echo(f"pins may take {size(room)} of the cache", err=True)


@pin_command.command("unset")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@as_json
@click.pass_obj
def pin_unset(home: Path, paths: tuple[Path, ...], wants_json: bool) -> None:
    """Keep PATHS no longer than anything else. What is here stays until its room is needed.

    \b
    Example:
      lucidnode pin unset ~/demo/rushes/day-12
    """
    load_config(home)
    asyncio.run(_unset(home, paths))
    if wants_json:
        show_json({"unpinned": [str(path) for path in paths]})
        return
    for path in paths:
        show_line(f"{path} is pinned no more", err=True)


async def _set(home: Path, paths: tuple[Path, ...]) -> list[_Pinned]:
    status = await facts(home, "status")
    paths = tuple(path.resolve() if path.is_symlink() else path for path in paths)
    async with DaemonClient(home / SOCKET_FILE) as client:
        by_project: dict[ProjectId, list[Path]] = {}
        for path in paths:
            by_project.setdefault(located(status, path)[0], []).append(path)
        found: list[_Pinned] = []
        for project, some in by_project.items():
            with spinner("looking…"):
                await _check_room(client, status, project, some)
                places = iter([_place(status, path) for path in some])
                while few := list(islice(places, MAX_PLACES)):
                    await _ordered(client.pins, PinsWish(project, "set", few))
                found += [
                    _Pinned(each.path, project, each)
                    for each in await blocks_of(client.file_blocks, status, some)
                ]
        return found


async def _check_room(
    client: DaemonClient, status: dict[str, Any], project: ProjectId, paths: list[Path]
) -> None:
    """Raise Refused if *paths* and all that is pinned already are more than pins may take."""
    pinned = (await _ordered(client.pins, PinsWish(project, "list"))).pins
    inos = [pin.ino for pin in pinned if pin.ino] + [located(status, path)[1] for path in paths]
    sizes: dict[BlockId, int] = {}
    async for part in below(partial(client.file_blocks.of_files, project), inos):
        sizes.update((BlockId(use.id), use.size) for use in part.uses)
    all_pins = await client.pins.here()
    others = sum(each.bytes for each in all_pins.projects if each.project != project)
    wanted = sum(sizes.values()) + others
    if wanted > all_pins.room:
        raise Refused(
            f"{size(wanted)} would be pinned with that, and pins may take {size(all_pins.room)}: "
            "pin less, unpin something, or `lucidnode config set cache.limit`"
        )


async def _unset(home: Path, paths: tuple[Path, ...]) -> None:
    status = await facts(home, "status")
    async with DaemonClient(home / SOCKET_FILE) as client:
        for path in paths:
            if not path.parent.exists() and await _unset_lost(client.pins, status, path):
                continue
            # A link by its target, as it was pinned; by its own name if its target was replaced by it.
            names = {path.resolve(), path} if path.is_symlink() else {path}
            if not any([await _unset_at(client.pins, status, each) for each in names]):
                raise NotThere(f"{path} is not pinned: `lucidnode pin list` shows what is")


async def _unset_at(daemon: DaemonPins, status: dict[str, Any], path: Path) -> bool:
    wish = PinsWish(_project(status, path), "list")
    before = len((await _ordered(daemon, wish)).pins)
    wish = PinsWish(wish.project, "unset", [_place(status, path)])
    return len((await _ordered(daemon, wish)).pins) < before


async def _unset_lost(daemon: DaemonPins, status: dict[str, Any], path: Path) -> bool:
    """Unset what `pin list` shows as *path*, whose directory is gone; tell whether there was any."""
    for mount in status["mounts"]:
        project, root = parse_project_id(mount["project"]), Path(mount["mountpoint"])
        pins = (await _ordered(daemon, PinsWish(project, "list"))).pins
        places = [
            PinPlace(pin.parent, pin.path.rpartition(b"/")[2])
            for pin in pins
            if not pin.ino and _is_shown_as(root, pin, path)
        ]
        if places:
            await _ordered(daemon, PinsWish(project, "unset", places[:MAX_PLACES]))
            return True
    return False


async def _listed(home: Path) -> tuple[list[_Pinned], list[PinnedProject], int]:
    status = await facts(home, "status")
    found: list[_Pinned] = []
    async with DaemonClient(home / SOCKET_FILE) as client:
        for mount in status["mounts"]:
            project, root = parse_project_id(mount["project"]), Path(mount["mountpoint"])
            pins = (await _ordered(client.pins, PinsWish(project, "list"))).pins
            with spinner("looking…"):
                for pin in pins:
                    path = _path(root, pin)
                    found.append(
                        _Pinned(path, project, await _looked_at(client.file_blocks, status, path))
                    )
        here_now = await client.pins.here()
    return found, here_now.projects, here_now.room


async def _looked_at(
    daemon: DaemonFileBlocks, status: dict[str, Any], path: Path
) -> PathBlocks | None:
    """Return what lies at *path*, None while nothing is there, or another drive hides it."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, MountPointMissing):
        for found in await blocks_of(daemon, status, [path]):
            return found
    return None


async def _ordered(daemon: DaemonPins, wish: PinsWish) -> PinsReply:
    reply = await daemon.order(wish)
    if reply.refused:
        raise Refused(f"it cannot be pinned: {reply.refused}")
    return reply


def _place(status: dict[str, Any], path: Path) -> PinPlace:
    """Return the place of *path*, where nothing may be. Raises FileMissing, OSError."""
    real = _real(path)
    if any(Path(each["mountpoint"]) == real for each in status["mounts"]):
        return PinPlace(int(ROOT), b"")
    return PinPlace(real.parent.lstat().st_ino, os.fsencode(real.name))


def _project(status: dict[str, Any], path: Path) -> ProjectId:
    real = _real(path)
    return located(status, real if real.exists() else real.parent)[0]


def _real(path: Path) -> Path:
    if path.exists() and not path.is_symlink():
        return path.resolve()
    try:
        return path.parent.resolve(strict=True) / path.name
    except FileNotFoundError as error:
        raise FileMissing(f"{path.parent} does not exist") from error


def _path(root: Path, pin: Pin) -> Path:
    return root / os.fsdecode(pin.path)


def _is_shown_as(root: Path, pin: Pin, path: Path) -> bool:
    return _path(root, pin) == path.absolute()


def _row(each: _Pinned, why: str) -> list[object]:
    if each.found is None:
        return [each.path, "", "", "", "nothing has that name now"]
    missing = here(each.found) < each.found.bytes
    note = (why or "on its way") if missing else ""
    return [each.path, size(each.found.bytes), size(here(each.found)), share(each.found), note]


def _facts(each: _Pinned, why: str) -> dict[str, Any]:
    found = each.found
    return {
        "path": str(each.path),
        "project": each.project,
        "is_there": found is not None,
        "files": 0 if found is None else found.files,
        "bytes": 0 if found is None else found.bytes,
        "here": 0 if found is None else here(found),
        "why": why,
    }
