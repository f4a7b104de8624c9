"""`lucidnode why`: where each block of a file is, where it last came from, and how long that took."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import click

from lucidnode.blocks_of_paths import located, places_of, uses_of
from lucidnode.cli.background import facts
from lucidnode.cli.output import as_json, counted, show_json, show_line, show_table, size
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.daemon_socket.place import SOCKET_FILE
from lucidnode.node.client.file_blocks import BlockPlace, BlockUse, WhyPassedOver
from lucidnode.node.client.ids import BlockId
from lucidnode.node.config import load_config


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a file that lies in one block."""

    use: BlockUse
    at: BlockPlace


@dataclass(frozen=True, slots=True)
class _Looked:
    """What was found of a file. *names* are what people call devices."""

    parts: list[_Part]
    loose: int
    names: dict[str, str]


@click.command("why", short_help="Show where a file's blocks are, and how they came here.")
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@click.option("--blocks", "each_block", is_flag=True, help="A line for each block.")
@as_json
@click.pass_obj
def why_command(home: Path, file: Path, each_block: bool, wants_json: bool) -> None:
    """Show where each block of FILE is, where it last came from, and how long that took.

    Neighbours of which the same is to be said share a line, with their mean and longest time.
    How blocks came is known since the daemon started. What came for a colleague, who reads it
    through this workstation, or was written here, did not come for a program here.

    \b
    Example:
      lucidnode why ~/demo/film.mov
    """
    if file.is_dir():
        here = shlex.quote(str(file))
        raise click.UsageError(
            f"{file} is a directory: `lucidnode cached {here}` says how much of it is here"
        )
    load_config(home)
    looked = asyncio.run(_looked(home, file))
    if wants_json:
        show_json(_facts(file, looked))
        return
    groups: Iterable[list[_Part]]
    if each_block:
        groups = ([part] for part in looked.parts)
    else:
        groups = (list(same) for _, same in groupby(looked.parts, _said))
    rows = [_row(group, looked.names) for group in groups]
    if looked.loose:
        rows.append(["", size(looked.loose), "", "on this disk, in no block yet", "", "", ""])
    if not rows:
        show_line(f"{file} has no content", err=True)
        return
    show_table(["from", "bytes", "blocks", "is", "came from", "took", "at"], rows)
    if held := _withheld(looked.parts):
        click.echo(held)


async def _looked(home: Path, file: Path) -> _Looked:
    status = await facts(home, "status")
    project, ino = located(status, file)
    async with DaemonClient(home / SOCKET_FILE) as client:
        uses, loose = await uses_of(client.file_blocks, project, ino)
        ids = list(dict.fromkeys(BlockId(use.id) for use in uses))
        places = await places_of(client.file_blocks, project, ids)
        peers = (await client.facts.on("peers"))["peers"]
    names = {each["device"]: each["name"] or each["device"][:8] for each in peers}
    parts = [_Part(use, places[BlockId(use.id)]) for use in uses]
    return _Looked(parts, loose, names)


def _said(part: _Part) -> tuple[object, ...]:
    """Return what neighbours have in common that share a line."""
    at = part.at
    then = [at.asked_first, at.passed_over] if at.place == "away" else []
    return at.place, at.came_from, at.came_past, then


def _row(group: list[_Part], names: dict[str, str]) -> list[str]:
    at = group[0].at
    came = list({part.use.id: part.at for part in group if part.at.came_from}.values())
    return [
        size(group[0].use.offset),
        size(sum(part.use.used for part in group)),
        f"{len({part.use.id for part in group}):,}",
        where_now(at, names),
        where_from(at, names),
        _took([each.took_s for each in came]),
        "" if not came else _when(max(each.came_ns for each in came)),
    ]


def _withheld(parts: list[_Part]) -> str:
    """Return which indexer was not given blocks of the file, if one was not."""
    held = {part.use.id: part.at for part in parts if part.at.withheld_from}
    if not held:
        return ""
    last = max(held.values(), key=lambda at: at.withheld_ns)
    return (
        f"{counted(len(held), 'block')} withheld from programs that look into files by themselves, last from "
        f"{last.withheld_from} at {_when(last.withheld_ns)} (`lucidnode config explain indexers.programs`)"
    )


def where_from(at: BlockPlace, names: dict[str, str]) -> str:
    """Return where the block came from the last time, and past whom; nothing if it did not."""
    source = {"": "", "peer": "a colleague", "bucket": "the cloud"}[at.came_from]
    return source + _passed_over(at.came_past, names)


def where_now(at: BlockPlace, names: dict[str, str]) -> str:
    """Return where the block is, and who would be asked for it."""
    match at.place:
        case "cache":
            return "on this disk"
        case "waiting":
            return "on this disk, not in the cloud yet"
        case "away":
            asked = [names.get(device, device[:8]) for device in at.asked_first]
            return f"away; asked next: {', then '.join([*asked, 'the cloud'])}" + _passed_over(
                at.passed_over, names
            )


_WHY: Final[dict[WhyPassedOver, str]] = {
    "away": "is away",
    "resting": "did not answer in time",
    "slow": "was much slower than the cloud",
}


def _passed_over(past: list[tuple[str, WhyPassedOver]], names: dict[str, str]) -> str:
    """Return which workstations were passed over and why, behind what came of it; nothing if none was."""
    said = [f"{names.get(device, device[:8])} {_WHY[why]}" for device, why in past]
    return f" ({', '.join(said)})" if said else ""


def _took(seconds: list[float]) -> str:
    if not seconds:
        return ""
    mean, longest = sum(seconds) / len(seconds), max(seconds)
    most = f", at most {longest * 1000:.0f} ms" if len(seconds) > 1 else ""
    return f"{mean * 1000:.0f} ms{most}"


def _when(wall_ns: int) -> str:
    return f"{datetime.fromtimestamp(wall_ns / 1e9).astimezone():%Y-%m-%d %H:%M:%S}"


def _facts(file: Path, looked: _Looked) -> dict[str, Any]:
    return {
        "path": str(file),
        "in_no_block_yet": looked.loose,
        "blocks": [
            {
                "offset": part.use.offset,
                "bytes": part.use.used,
                "id": part.use.id.hex(),
                "place": part.at.place,
                "came_from": part.at.came_from or None,
                "took_seconds": round(part.at.took_s, 6) if part.at.came_from else None,
                "came_at": part.at.came_ns / 1e9 if part.at.came_from else None,
                "asked_first": part.at.asked_first,
                "passed_over": _devices(part.at.passed_over),
                "came_past": _devices(part.at.came_past),
                "withheld_from": part.at.withheld_from or None,
                "withheld_at": part.at.withheld_ns / 1e9 if part.at.withheld_from else None,
            }
            for part in looked.parts
        ],
    }


def _devices(past: list[tuple[str, WhyPassedOver]]) -> list[dict[str, str]]:
    return [{"device": device, "why": why} for device, why in past]
