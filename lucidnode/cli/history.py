"""The commands that tell what happened."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from lucidnode.cli.output import as_json, counted, show_json, show_table, size
from lucidnode.cli.past_input import given_path, opened_past, when
from lucidnode.cli.project import passphrase_file
from lucidnode.fs.commit.project_access import ProjectAccess
from lucidnode.fs.history.file_history import Event, events_of

_SHOWN = 50
"""Events that are shown; with `--all`, or as JSON, it is all of them."""


@click.command("history", short_help="Show who changed a file, and when.")
@click.argument("path")
@click.option("--all", "wants_all", is_flag=True, help=f"Show more than the newest {_SHOWN}.")
@passphrase_file
@as_json
@click.pass_obj
def history_command(
    home: Path, path: str, wants_all: bool, passphrase_file: Path | None, wants_json: bool
) -> None:
    """Show what happened to PATH, the newest first: who, when, what, its size and the version.

    PATH lies in a mounted project, or is PROJECT:PATH. It may be gone. Renames are followed; of a
    directory, it shows what came and went in it. `restore --at VERSION` brings a version back. The
    first time this reads the whole journal of the project, later what is new.

    \b
    Examples:
      lucidnode history ~/demo/film/cut.mov
      lucidnode history demo:film/cut.mov
    """
    given = given_path(home, path)

    async def work() -> tuple[list[Event], ProjectAccess]:
        async with opened_past(home, passphrase_file, given.project) as opened:
            return events_of(opened.past, given.path), opened.access

    events, access = asyncio.run(work())
    events.reverse()
    if wants_json:
        show_json({"events": [_facts(event, access) for event in events]})
        return
    shown = events if wants_all else events[:_SHOWN]
    show_table(
        ["version", "when", "who", "what", "size", "path"],
        [
            [
                event.seq,
                when(event.wall_ns),
                access.device_name(event.device),
                event.what,
                "" if event.size is None else size(event.size),
                f"{event.before} -> {event.path}" if event.before else event.path,
            ]
            for event in shown
        ],
    )
    if len(shown) < len(events):
        click.echo(
            f"and {counted(len(events) - len(shown), 'older event')}: --all shows them", err=True
        )


def _facts(event: Event, access: ProjectAccess) -> dict[str, object]:
    return {
        "version": event.seq,
        "time": event.wall_ns / 1e9,
        "device": event.device,
        "who": access.device_name(event.device),
        "what": event.what,
        "path": event.path,
        "before": event.before,
        "size": event.size,
    }
