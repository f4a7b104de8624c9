"""The commands that tell what happened."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from lucidnode.cli.looking_back import LookedBack, all_option, looked_back, since_option
from lucidnode.cli.mounted_project import offering_paths
from lucidnode.cli.output import as_json, counted, show_json, show_table, size
from lucidnode.cli.past_input import given_path, hinting, opened_past, when, who
from lucidnode.cli.secrets_input import passphrase_file
from lucidnode.fs.commit.project_access import ProjectAccess
from lucidnode.fs.errors import NoSuchPast
from lucidnode.fs.history.differences import Difference, differences
from lucidnode.fs.history.file_history import Event, events_of
from lucidnode.fs.history.past import Past
from lucidnode.fs.history.past_places import Path as Names
from lucidnode.fs.history.past_places import shown
from lucidnode.fs.history.restoration import attributes_at
from lucidnode.node.client.ids import Seq

_SHOWN = 50
"""Events that are shown; with `--all`, `--since`, or as JSON, it is all of them."""


@click.command("history", short_help="Show who changed a file, and when.")
@click.argument("path", shell_complete=offering_paths)
@since_option
@all_option
@passphrase_file
@as_json
@click.pass_obj
def history_command(
    home: Path,
    path: str,
    since: str | None,
    wants_all: bool,
    passphrase_file: Path | None,
    wants_json: bool,
) -> None:
    """Show what happened to PATH, the newest first: who, when, what, its size and the version.

    PATH lies in a mounted project, or is PROJECT:PATH. It may be gone. Renames are followed; of a
    directory, it shows what came and went in it. `restore --at VERSION` brings a version back.
    It looks back to the last checkpoint of the project, a thousand changes of it or so, and says how
    far that is; --since and --all read further back, one small request for each change.

    \b
    Examples:
      lucidnode history ~/demo/film/cut.mov
      lucidnode history demo:film/cut.mov --since 30d
    """
    given = given_path(home, path)

    async def work() -> tuple[list[Event], ProjectAccess, LookedBack]:
        async with opened_past(home, passphrase_file, given.project) as opened:
            looked = await looked_back(opened, since, wants_all=wants_all)
            return events_of(opened.past, given.path), opened.access, looked

    with hinting(given):
        events, access, looked = asyncio.run(work())
    events.reverse()
    if wants_json:
        show_json({"since": looked.seq, "events": [_facts(event, access) for event in events]})
        return
    listed = events if wants_all or since else events[:_SHOWN]
    show_table(
        ["version", "when", "who", "what", "size", "path"],
        [
            [
                event.seq,
                when(event.wall_ns),
                who(access, event.device),
                event.what,
                "" if event.size is None else size(event.size),
                f"{event.before} -> {event.path}" if event.before else event.path,
            ]
            for event in listed
        ],
    )
    if len(listed) < len(events):
        click.echo(
            f"and {counted(len(events) - len(listed), 'older event')}: --all shows them", err=True
        )
    looked.tell()


def _facts(event: Event, access: ProjectAccess) -> dict[str, object]:
    return {
        "version": event.seq,
        "time": event.wall_ns / 1e9,
        "device": event.device,
        "who": who(access, event.device),
        "what": event.what,
        "path": event.path,
        "before": event.before,
        "size": event.size,
    }


@click.command("diff", short_help="Show what changed between two points in time.")
@click.argument("path", shell_complete=offering_paths)
@click.option("--from", "since", required=True, help="A version, a date and time, or how long ago.")
@click.option("--to", "until", help="The same; without it, now.")
@passphrase_file
@as_json
@click.pass_obj
def diff_command(
    home: Path,
    path: str,
    since: str,
    until: str | None,
    passphrase_file: Path | None,
    wants_json: bool,
) -> None:
    """Show what differs in a project, or below PATH, from one point in time to another.

    PATH is the name of a project, lies in a mounted one, or is PROJECT:PATH. A renamed directory is
    one line, whatever is in it.

    \b
    Examples:
      lucidnode diff demo --from 1d
      lucidnode diff ~/demo/film --from 2026-03-01 --to 2026-03-02
    """
    given = given_path(home, path)

    async def work() -> tuple[Seq, Seq, list[Difference]]:
        async with opened_past(home, passphrase_file, given.project) as opened:
            first = await opened.point(since)
            last = opened.past.head().seq if until is None else await opened.point(until)
            await opened.at_hand.reach(min(first, last))

            def found(past: Past) -> list[Difference]:
                _require_there(past, given.path, first, last)
                return differences(past, first, last)

            return first, last, await opened.at_hand.answered(found)

    with hinting(given):
        first, last, found = asyncio.run(work())
    wanted = [each for each in found if _lies_below(each, given.path)]
    if wants_json:
        show_json(
            {
                "from": first,
                "to": last,
                "differences": [
                    {
                        "change": each.change,
                        "path": shown(each.path),
                        "before": None if each.old_path is None else shown(each.old_path),
                        "size": each.size,
                        "size_before": each.old_size,
                    }
                    for each in wanted
                ],
            }
        )
        return
    if not wanted:
        click.echo(f"nothing differs from version {first} to {last}", err=True)
        return
    show_table(
        ["change", "before", "size", "path"],
        [
            [
                each.change,
                "" if each.old_size is None else size(each.old_size),
                "" if each.size is None else size(each.size),
                f"{shown(each.old_path)} -> {shown(each.path)}"
                if each.old_path
                else shown(each.path),
            ]
            for each in wanted
        ],
    )


def _require_there(past: Past, path: Names, first: Seq, last: Seq) -> None:
    """Raise NoSuchPast unless one of the two versions has *path*: "nothing differs" would be no answer."""
    for seq in (first, last):
        with past.at(seq) as tree:
            if attributes_at(tree, path) is not None:
                return
    name = shown(path)
    raise NoSuchPast(f"neither version {first} nor {last} has {name}")


def _lies_below(each: Difference, path: Names) -> bool:
    return any(one is not None and one[: len(path)] == path for one in (each.path, each.old_path))
