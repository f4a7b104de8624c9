"""Commands about locks between workstations."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from lucidnode.cli.background import facts
from lucidnode.cli.lock_orders import holder, ordered, taken_when_free
from lucidnode.cli.mounted_project import mounted_project
from lucidnode.cli.output import as_json, confirm, minute_of, show_json, show_line, show_table
from lucidnode.cli.progress import spinner
from lucidnode.cli.project_names import offering_projects_and_paths
from lucidnode.cli.workstation_lock import lock_workstation
from lucidnode.fs.files.opening import LockOrder
from lucidnode.node.config import load_config

_files = click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path)
)

_TAKEN = "locked for this workstation"


@click.group(
    "lock",
    invoke_without_command=True,
    short_help="Lock this workstation; or see and change who has which files locked.",
)
@click.option(
    "--unmount",
    is_flag=True,
    help="Unmount all drives and end the daemon as well, so that no key is left in memory.",
)
@click.pass_context
def lock_command(context: click.Context, unmount: bool) -> None:
    """Alone: lock this workstation, so that commands ask for the passphrase again.

    What is mounted stays mounted, unless --unmount says otherwise, and the daemon goes on.
    `lucidnode unlock`, or a passphrase that somebody types, ends it.

    With a command after it, this is about files: see which workstation has which locked, and lock,
    release or break.

    A project file that a program has open for writing is locked for its workstation, and so is what
    somebody takes by hand: others can only read it. The locks that programs take of a file (`flock`,
    `fcntl`) are decided on one workstation at a time. Others ask it, and get them once no program
    there has a lock of the file.

    \b
    Examples:
      lucidnode lock
      lucidnode lock list
      lucidnode lock take ~/demo/cut.prproj
    """
    if context.invoked_subcommand is None:
        lock_workstation(context.obj, unmount=unmount)
    elif unmount:
        raise click.UsageError("--unmount is for the whole workstation, not for files")


@lock_command.command("list")
@click.argument("project", required=False, shell_complete=offering_projects_and_paths)
@as_json
@click.pass_obj
def lock_list(home: Path, project: str | None, wants_json: bool) -> None:
    """List which workstation has which files locked, in all mounted projects or in PROJECT.

    First come the files that a workstation has for itself. Then those of which programs on several
    workstations have taken locks, or some have now, and which these are: other workstations of the office
    are asked over the LAN. With --json the latter are `locks`, of which the first row of a mount, without
    a path, stands for all others; a workstation without a name is this.

    \b
    Example:
      lucidnode lock list demo
    """
    load_config(home)
    status = asyncio.run(facts(home, "status"))
    found: list[dict[str, Any]] = status["locks"]
    leases: list[dict[str, Any]] = status["leases"]
    if project is not None:
        wanted = mounted_project(home, status, project)
        places = {each["mountpoint"] for each in status["mounts"] if each["project"] == wanted}
        found = [each for each in found if each["mountpoint"] in places]
        leases = [each for each in leases if each["mountpoint"] in places]
    if wants_json:
        show_json({"leases": leases, "locks": found})
        return
    files = [each for each in found if each["path"]]
    if not files and not leases:
        click.echo("no file is locked here, or was locked from several workstations", err=True)
    if leases:
        show_table(
            ["file", "only to be written on", "because", "since"],
            [
                [
                    Path(each["mountpoint"]) / each["path"],
                    _called(each["device"]),
                    "somebody locked it" if each["taken"] else "it is open",
                    minute_of(each["since_ns"]),
                ]
                for each in leases
            ],
        )
    if files:
        _show_tokens(files)


@lock_command.command("take")
@_files
@click.option("--wait", is_flag=True, help="Wait until nobody else has them.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="With --wait: give up on a file after SECONDS.",
)
@as_json
@click.pass_obj
def lock_take(
    home: Path, files: tuple[Path, ...], wait: bool, timeout_s: float | None, wants_json: bool
) -> None:
    """Lock FILES for this workstation: until `lock release`, others can only read them.

    That needs the bucket. A lock ends with the mount, and two minutes after a workstation was last
    heard of others may take it. With --wait, one that another workstation has is taken when it is let
    go; several are taken in the order of their names, so that no two who wait keep each other out.

    \b
    Examples:
      lucidnode lock take ~/demo/cut.prproj
      lucidnode lock take --wait ~/demo/cut.prproj && ./conform cut.prproj
    """
    if timeout_s is not None and not wait:
        raise click.UsageError("--timeout is for --wait")
    load_config(home)
    if not wait:
        _order(home, files, "take", _TAKEN, wants_json=wants_json)
        return
    with spinner("waiting…") as show:
        for file in sorted(files, key=lambda file: file.resolve()):

            def waiting(who: str, file: Path = file) -> None:
                if show is not None:
                    show(f"{file}: {who} has it…")

            taken_when_free(file, timeout_s, waiting)
    _tell(files, _TAKEN, wants_json=wants_json)


@lock_command.command("release")
@_files
@as_json
@click.pass_obj
def lock_release(home: Path, files: tuple[Path, ...], wants_json: bool) -> None:
    """Release FILES, which `lock take` has locked on this workstation.

    One that a program has open for writing stays locked until it closes it.

    \b
    Example:
      lucidnode lock release ~/demo/cut.prproj
    """
    _order(home, files, "release", "released", wants_json=wants_json)


@lock_command.command("break")
@_files
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@click.pass_obj
def lock_break(home: Path, files: tuple[Path, ...], yes: bool, wants_json: bool) -> None:
    """End the locks of FILES, whoever has them.

    What is written to them there after that, or was and is not in the cloud yet, becomes a conflict
    copy beside them; nothing is lost.

    \b
    Example:
      lucidnode lock break ~/demo/cut.prproj
    """
    for file in files:
        if (who := holder(file)) is not None:
            show_line(f"{file}: {who} has it", err=True)
    confirm("What is written there from now on becomes a conflict copy. Go on?", yes=yes)
    _order(home, files, "break", "free", wants_json=wants_json)


def _order(
    home: Path, files: tuple[Path, ...], order: LockOrder, done: str, *, wants_json: bool
) -> None:
    load_config(home)
    for file in files:
        ordered(file, order)
    _tell(files, done, wants_json=wants_json)


def _tell(files: tuple[Path, ...], done: str, *, wants_json: bool) -> None:
    if wants_json:
        show_json({"files": [{"path": str(file), "device": holder(file)} for file in files]})
        return
    for file in files:
        show_line(f"{file}: {done}", err=True)


def _show_tokens(files: list[dict[str, Any]]) -> None:
    show_table(
        ["file", "locks are decided on", "wanted by", "locked by"],
        [
            [
                Path(each["mountpoint"]) / each["path"],
                _called(each["device"]),
                _called(each["wanted_by"]),
                _holders(each["holders"]),
            ]
            for each in files
        ],
    )


def _holders(holders: list[dict[str, Any]]) -> str:
    """Return who has locks of a file: each process once."""
    told = dict.fromkeys(
        f"{each['program'] or 'process'} {each['pid']} on {_called(each['device'])}"
        for each in holders
    )
    return ", ".join(told)


def _called(device: str | None) -> str:
    return "" if device is None else device or "this workstation"
