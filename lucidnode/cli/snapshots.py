"""`lucidnode snapshot`: names for states of a project, which are kept as long as they have one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import msgspec

from lucidnode.cli.mounting import mount_command
from lucidnode.cli.output import as_json, confirm, counted, show_json, show_table
from lucidnode.cli.past_input import opened_past, when
from lucidnode.cli.project_names import offering_projects
from lucidnode.cli.root_rows import commit_rows
from lucidnode.cli.secrets_input import passphrase_file
from lucidnode.fs.errors import NoRoomForAttribute, NoSuchPoint
from lucidnode.fs.history.points import is_like_a_point
from lucidnode.fs.membership.member import shown
from lucidnode.fs.replica.inode import ROOT
from lucidnode.fs.replica.intents import XATTR_CREATE, RemoveXattr, SetXattr
from lucidnode.fs.snapshots.schedule import (
    MAX_KEPT,
    SCHEDULE,
    Schedule,
    decoded_schedule,
    schedule_of,
)
from lucidnode.fs.snapshots.snapshot_row import (
    SnapshotRow,
    attribute,
    attribute_of,
    snapshots_of,
)
from lucidnode.node.client.clock import SystemClock

_COUNT = click.IntRange(0, MAX_KEPT)


@click.group("snapshot", short_help="Name states of a project, and list and delete the names.")
def snapshot_command() -> None:
    """Name states of a project. All members see the names; what has one is kept.

    `mount --snapshot NAME` shows it, and the name does wherever `--at` asks for a point in time.

    \b
    Examples:
      lucidnode snapshot create demo 'before the grading'
      lucidnode mount demo ~/demo-then --snapshot 'before the grading'
    """


@snapshot_command.command("create")
@click.argument("project", shell_complete=offering_projects)
@click.argument("name")
@click.option("--at", "text", help="An earlier state: a version, a date and time, or how long ago.")
@passphrase_file
@as_json
@click.pass_obj
def create(
    home: Path,
    project: str,
    name: str,
    text: str | None,
    passphrase_file: Path | None,
    wants_json: bool,
) -> None:
    """Give the state of PROJECT that is committed now, or was then, the name NAME.

    It takes no time and no room, whatever the size. What is not committed yet is not in it:
    `lucidnode wait` on the mount, before, has it in.

    \b
    Examples:
      lucidnode snapshot create demo 'before the grading'
      lucidnode snapshot create demo locked-cut --at '2026-03-02 18:00'
    """
    key = attribute(name)
    if is_like_a_point(name):
        raise click.UsageError(f"'{name}' reads as a point in time: take another name")

    async def work() -> SnapshotRow:
        async with opened_past(home, passphrase_file, project) as opened:
            seq = opened.past.head().seq if text is None else await opened.point(text)
            row = SnapshotRow(seq=seq, wall_ns=SystemClock().wall_ns())
            taken = click.ClickException(
                f"there is a snapshot '{name}' already: take another name, or delete that one first"
            )
            if any(attribute_of(each) == key for each in snapshots_of(opened.past.now)):
                raise taken
            change = SetXattr(ROOT, key, row.encoded(), row.wall_ns, XATTR_CREATE)
            if (key, row.encoded()) not in await commit_rows(opened, [change]):
                raise taken
            return row

    try:
        made = asyncio.run(work())
    except NoRoomForAttribute as error:
        raise click.ClickException(
            f"{project} has as many snapshots as it can: `lucidnode snapshot delete` makes room"
        ) from error
    if wants_json:
        show_json({"name": name, "version": made.seq})
        return
    click.echo(f"snapshot '{name}' of {project} is version {made.seq}", err=True)


@snapshot_command.command("list")
@click.argument("project", shell_complete=offering_projects)
@passphrase_file
@as_json
@click.pass_obj
def list_(home: Path, project: str, passphrase_file: Path | None, wants_json: bool) -> None:
    """Show the snapshots of PROJECT, the newest state first.

    \b
    Example:
      lucidnode snapshot list demo
    """

    async def work() -> list[dict[str, object]]:
        async with opened_past(home, passphrase_file, project) as opened:
            newest = opened.past.head().seq
            return [
                {
                    "name": shown(each.name),
                    "version": each.row.seq,
                    "time": await opened.at_hand.wall_ns(each.row.seq) / 1e9
                    if 0 < each.row.seq <= newest
                    else None,
                    "made": each.row.wall_ns / 1e9,
                    "scheduled": each.row.scheduled,
                }
                for each in reversed(snapshots_of(opened.past.now))
            ]

    found = asyncio.run(work())
    if wants_json:
        show_json({"snapshots": found})
        return
    if not found:
        click.echo(f"{project} has no snapshots", err=True)
        return
    show_table(
        ["version", "newest change", "named", "by", "name"],
        [
            [
                each["version"],
                "" if each["time"] is None else _when(each["time"]),
                _when(each["made"]),
                "schedule" if each["scheduled"] else "hand",
                each["name"],
            ]
            for each in found
        ],
    )


@snapshot_command.command("delete")
@click.argument("project", shell_complete=offering_projects)
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do it without asking.")
@passphrase_file
@click.pass_obj
def delete(home: Path, project: str, name: str, yes: bool, passphrase_file: Path | None) -> None:
    """Take the name NAME away from a state of PROJECT.

    The project stays as it is. The state itself is kept only as long as everything is.

    \b
    Example:
      lucidnode snapshot delete demo 'before the grading'
    """

    async def work() -> None:
        async with opened_past(home, passphrase_file, project) as opened:
            keys = [
                attribute_of(each)
                for each in snapshots_of(opened.past.now)
                if name in {each.name, shown(each.name)}
            ]
            if not keys:
                raise NoSuchPoint(
                    f"{project} has no snapshot '{name}': `lucidnode snapshot list` shows those there are"
                )
            confirm(f"Delete snapshot '{name}' of {project}, for everybody?", yes=yes)
            now = SystemClock().wall_ns()
            await commit_rows(opened, [RemoveXattr(ROOT, key, now) for key in keys[:1]])

    asyncio.run(work())
    click.echo(f"{project} has no snapshot '{name}' any more", err=True)


@snapshot_command.command("mount")
@click.argument("project", shell_complete=offering_projects)
@click.argument("name")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--allow-other", is_flag=True, help="Let other users of this machine in, too.")
@passphrase_file
@click.pass_context
def mount(
    context: click.Context,
    project: str,
    name: str,
    directory: Path,
    allow_other: bool,
    passphrase_file: Path | None,
) -> None:
    """Show PROJECT at DIRECTORY as it was in the snapshot NAME, read-only, beside the mount of now.

    The same as `lucidnode mount PROJECT DIRECTORY --snapshot NAME`; `lucidnode umount` ends it.

    \b
    Example:
      lucidnode snapshot mount demo 'before the grading' ~/demo-then
    """
    context.invoke(
        mount_command,
        project=project,
        directory=directory,
        snapshot=name,
        allow_other=allow_other,
        passphrase_file=passphrase_file,
    )


@snapshot_command.command("schedule")
@click.argument("project", shell_complete=offering_projects)
@click.option("--on/--off", "wanted", default=None, help="Have snapshots made, or none any more.")
@click.option("--quarters", type=_COUNT, help="How many stay of the last quarters of an hour.")
@click.option("--hours", type=_COUNT, help="... of the last hours.")
@click.option("--days", type=_COUNT, help="... of the last days.")
@click.option("--weeks", type=_COUNT, help="... of the last weeks.")
@passphrase_file
@as_json
@click.pass_obj
def schedule_(
    home: Path,
    project: str,
    wanted: bool | None,
    quarters: int | None,
    hours: int | None,
    days: int | None,
    weeks: int | None,
    passphrase_file: Path | None,
    wants_json: bool,
) -> None:
    """Show whether snapshots of PROJECT are made by themselves, or switch that on or off.

    Every quarter of an hour in which something was committed, one of the workstations that have
    the project mounted makes one. Of the last 4 quarters, 6 hours, 7 days and 4 weeks one each
    stays, or as many as you say. At --off the scheduled ones are taken away; those made by hand
    stay.

    \b
    Examples:
      lucidnode snapshot schedule demo --on
      lucidnode snapshot schedule demo --on --days 14
    """
    given = {"quarters": quarters, "hours": hours, "days": days, "weeks": weeks}
    changed = {name: count for name, count in given.items() if count is not None}
    if changed and not wanted:
        raise click.UsageError("how many stay is for --on")

    async def work() -> Schedule | None:
        async with opened_past(home, passphrase_file, project) as opened:
            found = schedule_of(opened.past.now)
            if wanted is None or (not wanted and found is None):
                return found
            now = SystemClock().wall_ns()
            if not wanted:
                await commit_rows(opened, [RemoveXattr(ROOT, SCHEDULE, now)])
                return None
            new = msgspec.structs.replace(found or Schedule(), **changed)
            if decoded_schedule(new.encoded()) is None:
                raise click.UsageError("a schedule of which nothing stays: use --off")
            await commit_rows(opened, [SetXattr(ROOT, SCHEDULE, new.encoded(), now)])
            return new

    found = asyncio.run(work())
    if wants_json:
        show_json({"on": found is not None, **(msgspec.structs.asdict(found) if found else {})})
    elif found is None:
        click.echo(f"snapshots of {project} are made by hand only", err=True)
    else:
        click.echo(
            f"snapshots of {project} are made every quarter of an hour; there stay "
            f"{found.quarters} of these, {counted(found.hours, 'hour')}, "
            f"{counted(found.days, 'day')}, {counted(found.weeks, 'week')}",
            err=True,
        )


def _when(seconds: object) -> str:
    assert isinstance(seconds, float)
    return when(int(seconds * 1e9))
