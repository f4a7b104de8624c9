"""`lucidnode retention` and `lucidnode gc`: how long the past is kept, and what goes after that."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path

import click

from lucidnode.cli.output import as_json, counted, show_json, show_line, show_table, size
from lucidnode.cli.past_input import opened_past, when
from lucidnode.cli.progress import spinner
from lucidnode.cli.project_names import offering_projects
from lucidnode.cli.root_rows import commit_rows
from lucidnode.cli.secrets_input import passphrase_file
from lucidnode.fs.collection.collection import Amount, Round
from lucidnode.fs.collection.collector import one_round
from lucidnode.fs.collection.rules import DEFAULT_RETENTION_DAYS
from lucidnode.fs.errors import NotAllowed
from lucidnode.fs.format.project_facts import (
    MAX_RETENTION_DAYS,
    MIN_RETENTION_DAYS,
    RETENTION,
    Retention,
    encoded_fact,
    retention_in,
)
from lucidnode.fs.history.horizon import oldest_whole
from lucidnode.fs.membership.roster_view import RosterView
from lucidnode.fs.replica.inode import ROOT
from lucidnode.fs.replica.intents import SetXattr
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.ids import Seq


@click.group("retention", short_help="Show or set for how long the past of a project is kept.")
def retention_command() -> None:
    """Show or set for how many days the past of a project is kept.

    What was deleted or replaced can be brought back for so long; after that its
    room in the bucket is freed. With 36500 nothing goes by itself. Snapshots are kept for as long as they have a name.

    \b
    Examples:
      lucidnode retention show demo
      lucidnode retention set demo 90
    """


@retention_command.command("show")
@click.argument("project", shell_complete=offering_projects)
@passphrase_file
@as_json
@click.pass_obj
def show_retention(
    home: Path, project: str, passphrase_file: Path | None, wants_json: bool
) -> None:
    """Show for how many days the past of PROJECT is kept.

    \b
    Example:
      lucidnode retention show demo --json
    """

    async def work() -> tuple[int, Seq]:
        async with opened_past(home, passphrase_file, project) as opened:
            return _days(opened.past.now), oldest_whole(opened.past.now)

    days, oldest = asyncio.run(work())
    if wants_json:
        show_json({"days": days, "oldest_whole_version": oldest})
        return
    click.echo(f"the past of {project} is kept for {counted(days, 'day')}")
    if oldest:
        click.echo(f"the oldest version that is whole is {oldest}")


@retention_command.command("set")
@click.argument("project", shell_complete=offering_projects)
@click.argument("days", type=click.IntRange(MIN_RETENTION_DAYS, MAX_RETENTION_DAYS))
@passphrase_file
@click.pass_obj
def set_retention(home: Path, project: str, days: int, passphrase_file: Path | None) -> None:
    """Keep the past of PROJECT for DAYS days, 30 at least. Only an owner of the studio does.

    It can't be less: a workstation that was away for 30 days must find what its work rests on.

    \b
    Example:
      lucidnode retention set demo 90
    """

    async def work() -> None:
        async with opened_past(home, passphrase_file, project) as opened:
            view = RosterView.read(await opened.client.roster.entries(), opened.membership)
            if view.me.role != "owner":
                raise NotAllowed("only an owner changes how long the past is kept: ask one")
            value = encoded_fact(Retention(days))
            row = SetXattr(ROOT, RETENTION, value, SystemClock().wall_ns())
            if (RETENTION, value) not in await commit_rows(opened, [row]):
                raise click.ClickException("somebody else has just set it: look, and set it again")

    asyncio.run(work())
    click.echo(f"the past of {project} is kept for {counted(days, 'day')}", err=True)


@click.command("gc", short_help="Free the room of what nothing needs any more.")
@click.argument("project", shell_complete=offering_projects)
@click.option("--dry-run", "dry", is_flag=True, help="Only show what would be done; the default.")
@click.option("--now", is_flag=True, help="Do it.")
@passphrase_file
@as_json
@click.pass_obj
def gc_command(
    home: Path,
    project: str,
    dry: bool,
    now: bool,
    passphrase_file: Path | None,
    wants_json: bool,
) -> None:
    """Free the room in the bucket of what PROJECT needs no more: no file, past, snapshot or checkpoint.

    It takes three runs. The first lists what is unused. One that is run when a list has stood for as
    long as the past is kept, and three days, makes it final: nobody may use what is on it again. One
    that is run a day later deletes. Workstations that have the project mounted do such a run by
    themselves once a day; it can be broken off at any time, and run on several.

    \b
    Examples:
      lucidnode gc demo
      lucidnode gc demo --now
    """
    if dry and now:
        raise click.UsageError("either --dry-run or --now")

    async def work() -> Round:
        async with opened_past(home, passphrase_file, project, whole=True) as opened:
            if now and not opened.access.may_write:
                raise NotAllowed("a viewer changes nothing: ask an editor to run it")
            with spinner(f"collecting {project}…") as show:
                return await one_round(
                    opened.past,
                    opened.client,
                    opened.access,
                    SystemClock(),
                    show or _nobody,
                    dry=not now,
                )

    told = asyncio.run(work())
    if wants_json:
        show_json(_facts(told, dry=not now))
    else:
        _tell(project, told, dry=not now)


def _days(tree: TreeReader) -> int:
    found = retention_in(tree.fact(RETENTION))
    return DEFAULT_RETENTION_DAYS if found is None else found.days


_ROWS = (
    ("stored", "in the bucket", "in the bucket"),
    ("used", "used", "used"),
    ("condemned", "listed from now on", "would be listed"),
    ("standing", "listed, and standing", "listed, and standing"),
    ("final", "final from now on", "would be final"),
    ("waiting", "final, and going within a day", "final, and going within a day"),
    ("deleted", "deleted", "would be deleted"),
    ("refused", "not deleted: the store refuses", "not deleted: the store refuses"),
    ("left", "left for the next run", "left for the next run"),
)


def _facts(told: Round, *, dry: bool) -> dict[str, object]:
    amounts: dict[str, object] = {
        name: {"blocks": amount.blocks, "bytes": amount.bytes}
        for name, amount in _amounts(told).items()
    }
    return {
        "dry_run": dry,
        **amounts,
        "deleted_checkpoints": told.checkpoints,
        "refused_because": told.why or None,
        "next_due": told.due_ns / 1e9 if told.due_ns else None,
    }


def _tell(project: str, told: Round, *, dry: bool) -> None:
    amounts = _amounts(told)
    rows = [
        [size(amounts[name].bytes), amounts[name].blocks, would if dry else did]
        for name, did, would in _ROWS
        if amounts[name].blocks or name == "stored"
    ]
    show_table(["size", "blocks", ""], rows)
    if told.checkpoints:
        would = "would be deleted" if dry else "deleted"
        click.echo(f"{counted(told.checkpoints, 'old checkpoint')} {would}", err=True)
    if told.due_ns:
        click.echo(f"the next of what stands is due on {when(told.due_ns)}", err=True)
    if told.why:
        show_line(f"the store says: {told.why}", err=True)
    if dry:
        click.echo(
            f"nothing was changed: `lucidnode gc {shlex.quote(project)} --now` does it", err=True
        )


def _amounts(told: Round) -> dict[str, Amount]:
    return {name: getattr(told, name) for name, _, _ in _ROWS}


def _nobody(_words: str) -> None:
    """Nobody watches."""
